"""No verb waits for a TPU that is not there."""

import importlib.util
import os
import subprocess
import sys

import pytest

from bioinstruct_jax import platforms


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine with libtpu and no device; a list of files makes it another."""
    monkeypatch.delenv("JAX_PLATFORMS")
    monkeypatch.setattr(platforms, "DEVICES", tmp_path)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found("json" if name == "libtpu" else name))

    def attach(*files: str) -> None:
        for file in files:
            (tmp_path / file).parent.mkdir(exist_ok=True)
            (tmp_path / file).touch()

    return attach


def test_no_tpu_means_the_cpu_alone(machine):
    # Mutation: JAX_PLATFORMS left unset, with which JAX starts libtpu.
    platforms.settle("auto")
    assert os.environ["JAX_PLATFORMS"] == "cpu"


def test_a_gpu_without_a_tpu(machine, monkeypatch):
    machine("nvidia0")
    monkeypatch.setattr(platforms, "has_gpu", lambda: True)
    platforms.settle("auto")
    assert os.environ["JAX_PLATFORMS"] == "cuda,cpu"


@pytest.mark.parametrize("file", ["accel0", "vfio/0"])
def test_a_tpu_is_left_to_jax(machine, file):
    machine(file, "vfio/vfio")
    platforms.settle("auto")
    assert "JAX_PLATFORMS" not in os.environ


def test_what_the_user_set_stays_and_what_the_job_says_wins(machine, monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "tpu,cpu")
    platforms.settle("auto")
    assert os.environ["JAX_PLATFORMS"] == "tpu,cpu"
    platforms.settle("gpu")
    assert os.environ["JAX_PLATFORMS"] == "cuda"


def test_without_libtpu_nothing_is_touched(machine, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    platforms.settle("auto")
    assert "JAX_PLATFORMS" not in os.environ


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
@pytest.mark.skipif(platforms.has_tpu(), reason="a TPU is attached")
@pytest.mark.parametrize("verb", ["train", "chat", "export", "plan"])
def test_libtpu_says_nothing_where_there_is_no_tpu(verb, tmp_path, finished):
    # Mutation: `platforms.settle` left out of a verb: libtpu prints that it finds no host and no worker.
    run = finished / "adapter"
    words = {
        "train": ["--training.steps=1", "--training.batch_rows=1", "--platform=auto", f"--runs_dir={tmp_path}"],
        "chat": [f"--adapter={run}", "--max_tokens=1"],
        "export": [f"--adapter={run}", f"--out={tmp_path / 'merged'}"],
        "plan": ["--slice=h100-1"],
    }[verb]
    if verb == "train":
        words += ["--training.eval_every=0", "--data.held_out=0", "--training.checkpoint_every=0"]
        words += ["--optimizer.warmup_steps=0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_", "TPU_"))}
    done = subprocess.run(
        [sys.executable, "-m", f"bioinstruct_jax.{verb}", *words],
        env=environment,
        input="Is there fever?\n",
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    assert not [word for word in ("libtpu", "TPU_", "accelerator type", "InitGoogle") if word in done.stderr]
