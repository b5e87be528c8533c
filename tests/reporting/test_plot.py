import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.reporting.plot import loss_plot, smoothed
from bioinstruct_jax.training.metrics import MetricsError, row

PNG = b"\x89PNG\r\n\x1a\n"


def size(png: bytes) -> tuple[int, int]:
    return int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")


def curve(steps: int) -> str:
    noise = np.random.default_rng(0).normal(size=steps + 1)
    rows = [row(0, {"held_out_loss": 6.0})]
    for step in range(1, steps + 1):
        loss = 2 + 4 * 0.99**step
        rows.append(row(step, {"loss": loss + 0.3 * noise[step], "learning_rate": 2e-4 * (1 - step / steps)}))
        if step % 50 == 0:
            rows.append(row(step, {"held_out_loss": loss + 0.1}))
    return "".join(rows)


FILES = {
    "many": curve(300),
    "one": row(1, {"loss": 3.0, "learning_rate": 1e-4}),
    "empty": "",
    "torn": curve(10) + '{"step": 11, "lo',
    "not finite": row(1, {"loss": float("nan")}) + row(2, {"loss": float("inf")}) + row(3, {"loss": None}),
    "held-out only": row(0, {"held_out_loss": 2.0}),
}


@pytest.mark.parametrize("name", list(FILES))
def test_a_picture_of_any_run(name, tmp_path):
    (tmp_path / "metrics.jsonl").write_text(FILES[name])
    loss_plot(tmp_path / "metrics.jsonl", tmp_path / "loss.png", f"run $a_1$ {name}")
    png = (tmp_path / "loss.png").read_bytes()
    assert png.startswith(PNG)
    assert size(png) == (960, 660)


def test_the_lines_are_drawn(tmp_path):
    # Mutation: not calling _line for the held-out loss makes the two pictures the same
    pictures = []
    for name, text in (("all", FILES["many"]), ("no held-out", FILES["many"].replace("held_out_loss", "other"))):
        (tmp_path / "metrics.jsonl").write_text(text)
        loss_plot(tmp_path / "metrics.jsonl", tmp_path / f"{name}.png", "a")
        pictures.append((tmp_path / f"{name}.png").read_bytes())
    assert pictures[0] != pictures[1]


def test_values_that_are_not_finite_are_left_out(tmp_path):
    # Mutation: without math.isfinite the legend of an empty line stands where "no steps recorded" should
    for name in ("not finite", "empty"):
        (tmp_path / "metrics.jsonl").write_text(FILES[name])
        loss_plot(tmp_path / "metrics.jsonl", tmp_path / f"{name}.png", "a")
    assert (tmp_path / "not finite.png").read_bytes() == (tmp_path / "empty.png").read_bytes()


def test_the_same_rows_give_the_same_bytes_in_a_bucket(tmp_path):
    (tmp_path / "m.jsonl").write_text(FILES["many"])
    UPath("memory://plot/m.jsonl").write_text(FILES["many"])
    loss_plot(tmp_path / "m.jsonl", tmp_path / "loss.png", "a")
    loss_plot("memory://plot/m.jsonl", "memory://plot/loss.png", "a")
    assert UPath("memory://plot/loss.png").read_bytes() == (tmp_path / "loss.png").read_bytes()


def test_a_broken_file_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_text("what\n" + FILES["one"])
    with pytest.raises(MetricsError, match=r"metrics\.jsonl:1: "):
        loss_plot(tmp_path / "metrics.jsonl", tmp_path / "loss.png", "a")


@given(st.floats(0.1, 10), st.integers(1, 200))
def test_smoothing_has_no_bias(value, count):
    # Mutation: without the division by 1 - d^t the curve begins near zero
    assert smoothed([value] * count) == pytest.approx([value] * count)


@given(st.lists(st.floats(-5, 5), max_size=100))
def test_smoothed_values_stay_within_the_values(values):
    averages = smoothed(values)
    assert len(averages) == len(values)
    assert all(min(values) - 1e-9 <= average <= max(values) + 1e-9 for average in averages)


def test_no_global_state_and_lazy_imports(tmp_path):
    (tmp_path / "m.jsonl").write_text(FILES["one"])
    code = (
        "import sys\nfrom bioinstruct_jax.reporting.plot import loss_plot\n"
        "print('matplotlib' in sys.modules)\n"
        f"loss_plot({str(tmp_path / 'm.jsonl')!r}, {str(tmp_path / 'loss.png')!r}, 'a')\n"
        "print('matplotlib.pyplot' in sys.modules, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\nFalse False\n", done.stderr
