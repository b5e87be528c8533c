"""The speed benchmark: what its sides compute, and what it says of one that is not there."""

import argparse
from importlib import util

import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from bioinstruct_jax.training import program, sharding, state
from bioinstruct_jax.training.optimizer import make_optimizer
from tests.benchmarks import rows, speed

INSTALLED = [side for side in ("ours", "peft", "tunix") if side not in speed.NEEDS or util.find_spec(speed.NEEDS[side])]
GIVEN = {"models": ["tiny"], "length": 64, "rows": 8, "steps": 2, "remat": "full"}


@pytest.mark.slow
@pytest.mark.parametrize("side", INSTALLED)
def test_a_side_keeps_segments_apart(side):
    # A packed row of two segments, targets in the second alone: other tokens in the first change nothing, to the bit.
    # Mutations, each for every side: a causal mask without segments; the first token of a segment among the targets.
    job = speed.job_of(argparse.Namespace(**GIVEN))
    random = np.random.default_rng(0)
    positions = np.tile(np.r_[np.arange(24), np.arange(40)].astype(np.int32), (8, 1))
    segments = np.tile(np.r_[np.full(24, 1), np.full(40, 2)].astype(np.int32), (8, 1))
    batch = {"positions": positions, "segments": segments, "weights": (segments == 2).astype(np.int32)}
    shared = random.integers(3, 2048, (8, 64)).astype(np.int32)

    def loss(*, first: int, second: int) -> float:
        tokens = shared.copy()
        tokens[:, :24] += first
        tokens[:, -1] += second
        _, step = speed.SIDES[side](job)  # anew: a step changes the adapter
        return step(batch | {"tokens": np.minimum(tokens, 2047)})

    assert 6 < loss(first=0, second=0) == loss(first=5, second=0) != loss(first=0, second=5)


@pytest.mark.parametrize("model", [*rows.MODELS, "tiny"])
def test_every_models_step_is_lowered_for_the_gpu_it_is_meant_for(model):
    # Mutation: random weights without a tokenizer, which the settings refuse: the tiny model alone would run.
    job = speed.job_of(argparse.Namespace(**GIVEN | {"models": [model], "length": 4096, "rows": 4}))
    device = AbstractDevice(device_kind="NVIDIA H200", num_cores=None, platform="gpu")
    mesh = AbstractMesh((1, 1, 1), sharding.AXES, axis_types=(AxisType.Explicit,) * 3, abstract_device=device)
    plan = state.plan(job, job.model.shape, mesh)
    text = program.traced(job, plan, make_optimizer(job.optimizer, 1000), mesh).lower(lowering_platforms=("cuda",))
    assert "triton" in text.as_text()


def test_a_failure_of_ours_is_told_by_the_exit_code(monkeypatch, capsys):
    # Mutation: 0 whatever became of it.
    failed = {"error": "ValueError: no"}
    monkeypatch.setattr(speed, "_run", lambda *_: failed)
    monkeypatch.setattr(speed.sys, "argv", ["speed", "--models", "tiny"])
    assert speed.main() == 1
    assert "tiny, full, ours failed: ValueError: no" in capsys.readouterr().out


def test_what_is_not_installed_is_a_row(monkeypatch, capsys):
    # Mutations: the check left out; an error of any kind reported as not installed.
    monkeypatch.setattr(speed.util, "find_spec", lambda name: None)
    options = argparse.Namespace(**GIVEN)
    found = [{"model": "tiny", "input": "full", "side": "ours", "tokens_per_second": 100.0, "first_step": 1.0}]
    for side in ("peft", "tunix"):
        found.append({"model": "tiny", "input": "full", "side": side} | speed._run(options, "tiny", "full", side, "."))
    found[1]["error"] = "out of memory"
    speed.report(found)
    assert "| tiny, full | 100 | failed | not installed | -, - | 1 s, 0 s |" in capsys.readouterr().out


@pytest.mark.parametrize("padded", [False, True], ids=["packed", "padded"])
def test_rows_hold_whole_examples(padded):
    # Mutations: positions that run on; segments numbered from 0; examples of other lengths than were drawn.
    sizes = rows.lengths("packed", rows=4, length=512)
    made = rows.batches(sizes, rows=4, length=512, vocabulary=100, padded=padded)
    left = list(sizes)
    for batch in made:
        assert batch["tokens"].shape[1] == 512 or padded
        for row, positions in zip(batch["segments"], batch["positions"], strict=True):
            for segment in range(1, row.max() + 1):
                held = np.flatnonzero(row == segment)
                np.testing.assert_array_equal(positions[held], np.arange(held.size))
                left.remove(held.size)
        assert np.all((batch["segments"] > 0) == (batch["tokens"] > 0))
    assert len(left) < len(sizes) / 2
