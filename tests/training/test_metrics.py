import json
import math
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.settings import SettingsError
from bioinstruct_jax.training import metrics
from bioinstruct_jax.training.metrics import Metrics, MetricsError, Rows, open_tracker, read_rows, row

FOLDERS = ("local", "file://", "memory://")


@pytest.fixture(params=FOLDERS)
def folder(request, tmp_path):
    if request.param == "memory://":
        return UPath(f"memory://{tmp_path.name}-{tmp_path.parent.name}/run")
    return UPath(f"file://{tmp_path}/run") if request.param == "file://" else UPath(tmp_path / "run")


def values(step: int) -> dict:
    return {"loss": np.float32(3 / step), "grad_norm": 0.1 * step, "target_tokens": np.int32(7 * step)}


def write(folder: UPath, steps: range, after: int = 0) -> None:
    with Metrics(folder, after=after) as log:
        for step in steps:
            log.write(step, values(step))
            log.time(step, {"seconds": 0.25})
            if step % 4 == 0:
                log.write(step, {"held_out_loss": 2.5})


# ------------------------------------------------------------------ numbers


@hypothesis_settings(max_examples=500)
@given(st.floats(width=32))
def test_a_float32_is_read_back_bit_for_bit(value):
    # Mutation: rounding to six digits in _plain
    shown = json.loads(row(1, {"x": np.float32(value)}), parse_constant=pytest.fail)["x"]
    assert np.float32(shown).tobytes() == np.float32(value).tobytes() or math.isnan(value)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_the_same_number_has_the_same_bytes_in_every_type(value):
    # Mutation: json.dumps(float(x)) shows 0.10000000149011612 for a float32 0.1
    kinds = (float(value), np.float32(value), np.float64(value), np.asarray(np.float32(value)))
    assert len({row(1, {"x": kind}) for kind in kinds}) == 1


def test_bytes_of_a_row():
    line = row(
        3, {"loss": np.float32(0.1), "learning_rate": 1e-5, "tokens": np.int64(2**40), "ok": np.bool_(1), "note": "µ"}
    )
    assert (
        line == '{"step": 3, "loss": 0.1, "learning_rate": 1e-05, "tokens": 1099511627776, "ok": true, "note": "µ"}\n'
    )


def test_no_number_and_infinity_are_valid_json_and_read_by_float():
    line = row(1, {"a": math.nan, "b": np.float32(math.inf), "c": -math.inf, "d": None, "e": 1e300})
    assert line == '{"step": 1, "a": "NaN", "b": "Infinity", "c": "-Infinity", "d": null, "e": "Infinity"}\n'
    assert [float(json.loads(line)[key]) for key in "bc"] == [math.inf, -math.inf]
    assert math.isnan(float(json.loads(line)["a"]))


@pytest.mark.parametrize("value", [[1.0], np.zeros(1), {"a": 1}, object(), b"x", 1j])
def test_what_is_no_single_number_is_refused(value):
    with pytest.raises(ValueError, match=r"metric 'loss' is .*give one number, text or None"):
        row(1, {"loss": value})


# ------------------------------------------------------------------ files


@pytest.mark.parametrize("stopped", [4, 5, 9])
@pytest.mark.parametrize("torn", [b"", b'{"step": 11, "lo', b'{"step": 3}', b"\xff\xff", b"[\n", b'{"step": "x"}\n'])
def test_a_run_that_goes_on_has_the_bytes_of_one_that_never_stopped(folder, stopped, torn):
    # Mutation: `<=` to `<` in _up_to, or keeping the torn line
    write(folder / "whole", range(1, 13))
    write(folder / "parts", range(1, stopped + 1))
    for name in ("metrics.jsonl", "timing.jsonl"):
        file = folder / "parts" / name
        file.write_bytes(file.read_bytes() + torn)
    write(folder / "parts", range(5, 13), after=4)
    for name in ("metrics.jsonl", "timing.jsonl"):
        assert (folder / "parts" / name).read_bytes() == (folder / "whole" / name).read_bytes()


def test_a_new_run_begins_with_empty_files(folder):
    write(folder, range(0))
    with Metrics(folder) as log:
        log.write(0, {"held_out_loss": 3.0})
    with Metrics(folder) as log:  # stopped before its first checkpoint, so step 0 is measured again
        log.write(0, {"held_out_loss": 3.0})
    assert read_rows(folder / "metrics.jsonl") == [{"step": 0, "held_out_loss": 3.0}]


@pytest.mark.parametrize("line", ['{"step": 2, "lo', "{}", "[1]", "3", '{"step": "2"}', ""])
def test_a_broken_line_in_the_middle_is_named(folder, line):
    folder.mkdir(parents=True)
    (folder / "metrics.jsonl").write_text('{"step": 1}\n' + line + '\n{"step": 3}\n')
    with pytest.raises(MetricsError, match=r"metrics\.jsonl:2: .* is no metrics row"):
        Rows(folder / "metrics.jsonl", after=3)


def test_a_local_row_is_on_disk_at_once(tmp_path):
    rows = Rows(UPath(tmp_path / "m.jsonl"))
    rows.write(1, {"loss": 0.5})
    assert (tmp_path / "m.jsonl").read_text() == '{"step": 1, "loss": 0.5}\n'
    rows.close()


def test_a_bucket_is_written_at_flush_and_after_a_while(monkeypatch):
    file = UPath("memory://metrics-flush/m.jsonl")
    rows = Rows(file)
    rows.write(1, {})
    assert file.read_bytes() == b""
    rows.flush()
    assert len(read_rows(file)) == 1
    rows.write(2, {})
    monkeypatch.setattr(metrics, "_BETWEEN_UPLOADS", -1.0)
    rows.write(3, {})  # Mutation: no flush in write loses everything since the last checkpoint
    assert len(read_rows(file)) == 3
    rows.close()


def test_jax_is_not_imported():
    code = (
        "import sys, bioinstruct_jax.training.metrics\n"
        "print([name for name in ('jax', 'torch', 'tensorboardX', 'wandb') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


# ------------------------------------------------------------------ trackers


def test_no_tracker(tmp_path):
    assert open_tracker("none", UPath(tmp_path), name="a", settings={}) is None


@pytest.mark.parametrize(("kind", "package"), [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_missing_package_is_named(kind, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SettingsError, match=rf"{package}: pip install 'bioinstruct-jax\[track\]'"):
        open_tracker(kind, UPath(tmp_path), name="a", settings={})


def test_tensorboard_writes_what_can_be_read_back(tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401 - the format read below is the one it writes

    tracker = open_tracker("tensorboard", UPath(tmp_path), name="a", settings={})
    with Metrics(UPath(tmp_path), tracker=tracker) as log:
        log.write(1, {"loss": np.float32(0.5), "note": "text is left out", "nothing": None})
        log.time(1, {"seconds": 0.25})
        log.write(2, {"loss": math.nan})
    (file,) = (tmp_path / "tensorboard").iterdir()
    data, seen = file.read_bytes(), []
    while data:  # a record: length (8 bytes), its checksum (4), the message, its checksum (4)
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        seen += [(event.step, value.tag, value.simple_value) for value in event.summary.value]
        data = data[16 + size :]
    assert seen[:2] == [(1, "loss", 0.5), (1, "seconds", 0.25)]
    assert seen[2][:2] == (2, "loss")
    assert math.isnan(seen[2][2])


def test_tensorboard_refuses_a_bucket():
    pytest.importorskip("tensorboardX")
    with pytest.raises(SettingsError, match="local disk only, and the run folder is memory://"):
        open_tracker("tensorboard", UPath("memory://run"), name="a", settings={})


def test_wandb_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    for name, value in {"WANDB_MODE": "offline", "WANDB_SILENT": "true", "WANDB_CONFIG_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path))
    tracker = open_tracker("wandb", UPath(tmp_path), name="first", settings={"lora": {"rank": 16}})
    with Metrics(UPath(tmp_path), tracker=tracker) as log:
        log.write(1, {"loss": 0.5})
    (record,) = (tmp_path / "wandb").glob("offline-run-*/run-first.wandb")
    end = time.monotonic() + 120
    while b"loss" not in record.read_bytes() and time.monotonic() < end:
        time.sleep(0.05)  # wandb's own process writes it in its own time
    assert b"loss" in record.read_bytes()
    assert b"rank" in record.read_bytes()
