"""One device or eight, however they share the model and the batch: the same training, the same held-out loss."""

import math
from dataclasses import replace
from functools import cache
from itertools import product

import jax
import numpy as np
import pytest

from bioinstruct_jax.config import Lora
from bioinstruct_jax.data.rows import Rows
from bioinstruct_jax.training import state
from bioinstruct_jax.training.held_out import HeldOut
from tests.small import CALM, WIDE, Ready, job, moved, random_rows, ready, train, unequal

LENGTH, ROWS, STEPS = 24, 16, 20
MESHES = [sizes for sizes in product((1, 2, 4, 8), repeat=3) if math.prod(sizes) == 8]
QUICK = [("lora", (2, 2, 2))]


@cache
def _one_device(trainable: str) -> tuple[Ready, dict, list]:
    adapter = Lora(rank=4, alpha=8.0, dropout=0.2) if trainable == "lora" else Lora()
    this = ready(job(WIDE, trainable=trainable, lora=adapter, optimizer=CALM))
    return this, *train(this, _windows(), micro_batches=2)


def _windows() -> list[dict[str, np.ndarray]]:
    """Twenty different batches; most devices have no target in some, none has any in one."""
    windows = [unequal(ROWS, LENGTH, seed=step) for step in range(STEPS)]
    for arrays in windows[::3]:
        arrays["weights"][1:-1] = 0
    windows[10]["weights"][:] = 0
    return windows


CASES = [
    pytest.param(*case, id=f"{case[0]}-{case[1]}", marks=() if case in QUICK else pytest.mark.slow)
    for case in product(("lora", "all"), MESHES)
]


@pytest.mark.parametrize(("trainable", "sizes"), CASES)
def test_eight_devices_learn_what_one_learns(trainable, sizes):
    # Measured: loss within 4e-7, parameters within 3e-6 of how far they went; `CALM` says why its `eps`.
    # Mutations: a mean over devices of each device's mean loss; a dropout key that takes in the number of devices.
    one, one_arrays, one_metrics = _one_device(trainable)
    many_arrays, many_metrics = train(moved(one, sizes), _windows(), micro_batches=2)
    assert one_metrics[-1].loss != one_metrics[0].loss
    np.testing.assert_allclose(one_metrics, many_metrics, rtol=1e-5)
    for path, start in state.by_path(one.now.trained).items():
        difference, change = many_arrays[path] - one_arrays[path], one_arrays[path] - np.asarray(start)
        assert np.linalg.norm(difference) <= 1e-5 * np.linalg.norm(change), path


@pytest.mark.parametrize("sizes", [(8, 1, 1), (2, 2, 2)])
def test_devices_left_without_rows_by_a_short_last_batch_do_not_count(sizes):
    # Five held-out rows in batches of eight: of eight devices three have only padding.
    # Mutation: filled up with copies of the last row.
    one = ready(replace(job(WIDE), optimizer=CALM))
    arrays = random_rows(5, LENGTH)
    rows = Rows(**{name: array.astype(np.uint8 if name == "weights" else np.int32) for name, array in arrays.items()})
    found = []
    for this, size in ((one, 5), (moved(one, sizes), 8)):
        with jax.set_mesh(this.mesh):
            held_out = HeldOut(rows, this.plan.graph, this.now.trained, this.frozen, size, this.mesh, {})
            found.append(held_out.loss(this.now.trained, this.frozen))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0][1] == found[1][1] > 0
