"""A run that is told to stop, killed, moved, changed or left without room: what it does, and what it ends with."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from bioinstruct_jax import train
from bioinstruct_jax.training.recorder import Recorder
from tests.tiny_run import ROWS, SHAPE, metric_rows, write

WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.fixture
def at_step(monkeypatch):
    """(step, what) -> `what` is done when the metrics of that step are noted, once."""
    note = Recorder.step

    def arrange(step: int, what) -> None:
        def noted(self, now, measured):
            if now == step:
                monkeypatch.setattr(Recorder, "step", note)
                what()
            note(self, now, measured)

        monkeypatch.setattr(Recorder, "step", noted)

    return arrange


def _steps(run: Path) -> list[int]:
    return sorted(int(place.name) for place in (run / "checkpoints").iterdir())


def _signal(number: int):
    return lambda: os.kill(os.getpid(), number)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 75), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_ends_the_run_with_everything_saved(finished, tmp_path, at_step, capsys, number, code):
    # Mutations: the step not saved; the signal seen at the next checkpoint only; handlers left behind.
    file, run = write(tmp_path), tmp_path / "runs" / "run"
    handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
    at_step(2, _signal(number))
    assert train.main([str(file)]) == code
    assert [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)] == handlers
    assert _steps(run)[-1] == 3  # a step is noted while the next one is under way
    assert "stopped after step 3, which is saved" in capsys.readouterr().err
    assert train.main([str(file)]) == 0
    for name in ("metrics.jsonl", WEIGHTS):
        assert (run / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.slow
def test_a_second_ctrl_c_ends_the_run_at_once(finished, tmp_path, at_step):
    file, run = write(tmp_path), tmp_path / "runs" / "run"

    def twice() -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    at_step(3, twice)
    assert train.main([str(file)]) == 130
    assert _steps(run) == [2]
    assert train.main([str(file)]) == 0
    assert (run / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()


def test_a_signal_before_the_first_step_ends_the_run_at_once(tmp_path, monkeypatch):
    from bioinstruct_jax.data import dataset

    monkeypatch.setattr(dataset, "load", lambda *_: os.kill(os.getpid(), signal.SIGTERM))
    assert train.main([str(write(tmp_path))]) == 75


@pytest.mark.slow
def test_a_run_may_go_on_on_another_mesh(finished, tmp_path, at_step):
    # The same data in the same order; sums over devices in another one. Mutation: mesh among what must not change.
    file, run = write(tmp_path), tmp_path / "runs" / "run"
    at_step(2, _signal(signal.SIGTERM))
    assert train.main([str(file)]) == 75
    assert train.main([str(file), "--mesh.data=2", "--mesh.fsdp=2", "--mesh.tensor=2"]) == 0
    assert json.loads((run / "environment.json").read_text())["mesh"] == {"data": 2, "fsdp": 2, "tensor": 2}
    for one, other in zip(metric_rows(run), metric_rows(finished), strict=True):
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [(1, 1, 8), (4, 2, 1), (1, 4, 2)])
def test_twenty_steps_on_two_meshes_are_those_on_one(tmp_path, at_step, mesh):
    training = {"steps": 20, "eval_every": 5, "checkpoint_every": 0}
    shape = {"model": {"shape": SHAPE | {"num_attention_heads": 8, "hidden_size": 64, "intermediate_size": 64}}}
    calm = {"learning_rate": 0.003, "warmup_steps": 5, "eps": 1e-4}  # or Adam would make steps of roundings
    whole = write(tmp_path, name="whole", training=training, optimizer=calm, **shape)
    assert train.main([str(whole)]) == 0
    parts = write(tmp_path, name="parts", training=training, optimizer=calm, **shape)
    at_step(8, _signal(signal.SIGTERM))
    assert train.main([str(parts)]) == 75
    sizes = [f"--mesh.{axis}={size}" for axis, size in zip(("data", "fsdp", "tensor"), mesh, strict=True)]
    assert train.main([str(parts), *sizes]) == 0
    runs = tmp_path / "runs"
    for one, other in zip(metric_rows(runs / "parts"), metric_rows(runs / "whole"), strict=True):
        for name in one:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-5, err_msg=f"step {one['step']}, {name}")


@pytest.mark.slow
def test_a_bfloat16_base_learns_what_a_float32_one_does(tmp_path):
    # Adapters are float32 in both. Mutations: adapters in bfloat16; sums of the loss in bfloat16.
    training = {"steps": 200, "eval_every": 50, "checkpoint_every": 0}
    found = {}
    for dtype in ("float32", "bfloat16"):
        file = write(tmp_path, name=dtype, model={"dtype": dtype}, training=training, lora={"rank": 4, "dropout": 0.0})
        assert train.main([str(file)]) == 0
        rows = metric_rows(tmp_path / "runs" / dtype)
        found[dtype] = [np.array([row[name] for row in rows if name in row]) for name in ("loss", "held_out_loss")]
    gaps = [np.abs(a / b - 1) for a, b in zip(found["bfloat16"], found["float32"], strict=True)]
    print(
        f"largest relative difference of 200 losses {gaps[0].max():.1e}, mean {gaps[0].mean():.1e}; "
        f"of held-out losses {gaps[1].max():.1e}; loss {found['float32'][0][0]:.3f} -> {found['float32'][0][-1]:.3f}"
    )
    assert found["float32"][0][-1] < 0.8 * found["float32"][0][0]
    assert 0 < gaps[0].mean() < 5e-3
    assert gaps[0].max() < 2e-2


@pytest.mark.slow
def test_changes_are_refused_by_name_unless_they_are_accepted(tmp_path, at_step, capsys):
    file, run = write(tmp_path), tmp_path / "runs" / "run"
    at_step(2, _signal(signal.SIGTERM))
    assert train.main([str(file)]) == 75
    changed = [str(file), "--optimizer.b2=0.99"]
    assert train.main(changed) == 2
    assert "optimizer.b2: 0.999 -> 0.99" in capsys.readouterr().err
    write(tmp_path, [*ROWS[:-1], ROWS[-1] | {"output": "A low molecular weight heparin."}])
    assert train.main([str(file)]) == 2
    error = capsys.readouterr().err
    assert "belongs to another run" in error
    assert "train was" in error or "held_out was" in error
    assert "template was" not in error
    assert train.main([str(file), "--lora.rank=8", "--accept_changes"]) == 2
    assert "an adapter cannot change its shape" in capsys.readouterr().err
    assert (
        yaml.safe_load((run / "config.yaml").read_text())["lora"]["rank"] == 4
    )  # what was refused is not written down
    assert train.main([*changed, "--accept_changes"]) == 0
    assert "WARNING: going on from step 3 although" in capsys.readouterr().err
    assert yaml.safe_load((run / "config.yaml").read_text())["optimizer"]["b2"] == 0.99
    assert [row["step"] for row in metric_rows(run) if "loss" in row] == [1, 2, 3, 4, 5, 6]


@pytest.mark.slow
def test_the_best_adapter_is_the_one_that_is_left_and_training_ends_early(tmp_path, at_step, capsys):
    # At such a learning rate the held-out loss soon rises. Mutations: the last adapter written; patience counted from
    # the start; the count forgotten by a run that was resumed.
    training = {"steps": 30, "eval_every": 1, "checkpoint_every": 0, "best": "held_out_loss", "early_stopping": 3}
    file = write(tmp_path, optimizer={"learning_rate": 0.3, "warmup_steps": 0}, training=training)
    run = tmp_path / "runs" / "run"
    assert train.main([str(file)]) == 0
    losses = {row["step"]: row["held_out_loss"] for row in metric_rows(run) if "held_out_loss" in row and row["step"]}
    best, last = min(losses, key=losses.__getitem__), max(losses)
    assert last == best + 3 < 30
    assert best in _steps(run)
    assert "stopped early" in capsys.readouterr().err
    assert json.loads((run / "finished.json").read_text())["step"] == best
    whole = (run / "metrics.jsonl").read_bytes(), (run / WEIGHTS).read_bytes()

    plain = tmp_path / "plain"
    plain.mkdir()
    short = {"steps": 30, "eval_every": 1, "checkpoint_every": 0, "early_stopping": 3}
    other = write(plain, optimizer={"learning_rate": 0.3, "warmup_steps": 0}, training=short)
    assert train.main([str(other)]) == 0
    assert (plain / "runs" / "run" / WEIGHTS).read_bytes() != whole[1]

    shutil.rmtree(run)
    at_step(last - 1, _signal(signal.SIGTERM))
    assert train.main([str(file)]) == 75
    assert train.main([str(file)]) == 0
    assert ((run / "metrics.jsonl").read_bytes(), (run / WEIGHTS).read_bytes()) == whole


@pytest.mark.slow
def test_what_is_not_finite_stops_the_run_or_is_left_out(tmp_path, capsys):
    # One step at this rate, and every loss after it is not finite. Mutations: the update of such a step applied; the
    # count starting anew in a resumed run.
    wild = {"learning_rate": 1e30, "clip_norm": None}
    file, run = write(tmp_path, optimizer=wild), tmp_path / "runs" / "run"
    for _ in range(2):
        assert train.main([str(file)]) == 3
        error = capsys.readouterr().err
        assert "step 2: loss nan" in error
        assert "not finite, on rows" in error
        assert "training.skip_nonfinite" in error
    file = write(tmp_path, name="skips", optimizer=wild, training={"skip_nonfinite": 5})
    run = tmp_path / "runs" / "skips"
    assert train.main([str(file)]) == 0
    steps = [row for row in metric_rows(run) if "loss" in row]
    assert [row.get("skipped", False) for row in steps] == [False] + [True] * 5
    assert len({row["learning_rate"] for row in steps[1:]}) == 1  # the schedule waits for a step that counts
    arrays = load_file(run / WEIGHTS)
    assert all(np.isfinite(array).all() for array in arrays.values())
    file = write(tmp_path, name="fewer", optimizer=wild, training={"skip_nonfinite": 3})
    assert train.main([str(file)]) == 3
    assert "step 5: loss nan" in capsys.readouterr().err


def test_metrics_that_cannot_grow_end_the_run_with_the_same_code(finished, tmp_path, at_step, capsys):
    # A file size limit of the system stands for a full disk. Mutation: an OSError of any kind is unusable input.
    file, run = write(tmp_path), tmp_path / "runs" / "run"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, ((run / "metrics.jsonl").stat().st_size, hard))

    at_step(2, full)
    try:
        assert train.main([str(file)]) == 4
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the run cannot write any more" in capsys.readouterr().err
    assert train.main([str(file)]) == 0
    assert (run / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()


def test_a_disk_without_room_ends_the_run_with_its_own_code(tmp_path, at_step, capsys):
    file, run = write(tmp_path, training={"save_failures": 1, "checkpoint_every": 1}), tmp_path / "runs" / "run"

    def no_room() -> None:  # before the first save: one that is under way would make the folder again
        (run / "checkpoints").write_text("in the way")

    at_step(1, no_room)
    assert train.main([str(file)]) == 4
    error = capsys.readouterr().err
    assert "The run goes on; 0 more in a row" in error
    assert "could not be written" in error.splitlines()[-1]
    (run / "checkpoints").unlink()
    assert train.main([str(file)]) == 0


# In this file, which is long, so that it begins early where files are shared out among processes by their length.
@pytest.mark.slow
def test_twenty_five_kills_change_nothing():
    # alpaca-lora#72, FastChat#1280, levanter#486. Mutations: the manifest written before orbax has finished; metrics
    # rewritten instead of cut off; the optimizer not restored; dropout keyed by the steps of this process.
    # A process of its own: runs are forked from one in which no backend was started.
    command = [sys.executable, "-m", "tests.benchmarks.kills", "--kills", "25", "--seed", "1"]
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("XLA_", "JAX_"))}  # one device
    done = subprocess.run(command, capture_output=True, text=True, timeout=1500, env=plain)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert "differences  0" in done.stdout
