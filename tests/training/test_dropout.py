"""Dropout masks follow from seed, step and layer (and micro-batch, row and projection), and from nothing else.

A mask is read off the gradient. In a row of two tokens where only the second has loss, all goes through the first: a
row of A's gradient is exactly zero where that one input of the adapter was dropped, and nowhere else.
"""

from dataclasses import replace
from functools import cache
from itertools import combinations

import numpy as np
import pytest

from bioinstruct_jax.config import Lora
from tests.small import WIDE, Ready, gradients, job, moved, packed, ready

LENGTH, ROWS = 8, 8
LORA = Lora(rank=4, alpha=8.0, dropout=0.5, targets=("v_proj", "up_proj", "down_proj"))


def _ready(seed: int = 0, unroll: int = 1, remat: str = "none", layers: int = 3) -> Ready:
    shape = replace(WIDE, num_hidden_layers=layers)
    this = job(shape, lora=LORA)
    return ready(replace(this, seed=seed, model=replace(this.model, unroll=unroll, remat=remat)))


def _reader(this: Ready):
    """(step, row of the batch, micro-batches) -> mask by projection, bool [layers, inputs]: true where kept."""
    gradient = gradients(this)

    def masks(step: int = 0, row: int = 5, micro_batches: int = 1) -> dict[str, np.ndarray]:
        arrays = packed(
            [[(np.array([3 + place, 7]), np.array([0, int(place == row)]))] for place in range(ROWS)], LENGTH
        )
        found, metrics = gradient(arrays, micro_batches, step)
        assert metrics.target_tokens == 1
        layers = this.job.model.shape.num_hidden_layers
        ways = {path: array.reshape(layers, -1, LORA.rank) for path, array in found.items() if path.endswith("lora_a")}
        kept = {path: np.any(array != 0, axis=-1) for path, array in ways.items()}
        assert len(kept) == len(LORA.targets)
        assert all(0.15 < mask.mean() < 0.85 for mask in kept.values())
        return kept

    return masks


@cache
def _one():
    return _reader(_ready())


def _same(one, other) -> bool:
    return all(np.array_equal(mask, other[path]) for path, mask in one.items())


def _all_differ(one, other) -> bool:
    """Each projection's mask differs in each layer; two of 32 independent bits agree once in 4e9."""
    return all(np.all(np.any(mask != other[path], axis=-1)) for path, mask in one.items())


def test_the_same_seed_and_step_give_the_same_masks_again():
    # Mutation: a key that also takes in an object's id.
    assert _same(_one()(step=4), _one()(step=4))
    assert _same(_one()(step=4), _reader(_ready())(step=4))


@pytest.mark.parametrize(
    "sizes",
    [pytest.param((8, 1, 1), marks=pytest.mark.slow), pytest.param((1, 1, 8), marks=pytest.mark.slow), (2, 2, 2)],
)
def test_masks_are_those_of_one_device_on_any_mesh(sizes):
    # Mutation: a key that takes in the number of devices.
    many = _reader(moved(_ready(), sizes))
    for row in (0, 5):
        assert _same(_one()(step=4, row=row), many(step=4, row=row))


@pytest.mark.parametrize(("unroll", "remat"), [(2, "none"), pytest.param(3, "full", marks=pytest.mark.slow)])
def test_masks_do_not_depend_on_how_layers_are_compiled(unroll, remat):
    # Mutation: a layer's key that takes in `unroll` and `remat`.
    assert _same(_one()(step=4), _reader(_ready(unroll=unroll, remat=remat))(step=4))


def test_another_seed_step_row_or_micro_batch_has_other_masks():
    # Mutations, one by one: a key without the seed, without the step, without the micro-batch.
    here = _one()(step=4)
    assert _all_differ(here, _one()(step=5))
    assert _all_differ(here, _one()(step=4, row=6))
    assert _all_differ(here, _reader(_ready(seed=1))(step=4))
    in_two = [_one()(step=4, row=row, micro_batches=2) for row in (1, 5)]  # the same place of two micro-batches
    assert _all_differ(*in_two)


def test_every_layer_and_projection_has_a_mask_of_its_own():
    # Mutations: a key without the layer; without the projection.
    masks = _one()(step=4)
    for mask in masks.values():
        for one, other in combinations(mask, 2):
            assert np.any(one != other)
    for one, other in combinations(masks.values(), 2):
        if one.shape == other.shape:
            assert np.any(one != other)


@pytest.mark.slow
def test_a_layer_keeps_its_masks_when_layers_are_added_above_it():
    # Mutation: layers counted from the last.
    deeper = _reader(_ready(layers=5))(step=4)
    for path, mask in _one()(step=4).items():
        np.testing.assert_array_equal(mask, deeper[path][:3])
