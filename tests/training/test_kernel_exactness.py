"""Every attention kernel learns what the reference learns, from packed rows; kernels are emulated on the CPU."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from bioinstruct_jax.config import Data, Lora, Source
from tests.small import SHAPE, Gradients, Ready, assert_same, examples, gradients, job, moved, packed, ready

LENGTH = 128  # the shortest row that every kernel takes
GROUPED = replace(
    SHAPE, num_hidden_layers=2, num_attention_heads=8, num_key_value_heads=4, head_dim=16, max_position_embeddings=128
)
SINGLE = replace(GROUPED, num_attention_heads=4)
SHAPES = {"grouped": GROUPED, "one query a key": SINGLE, "one key": replace(GROUPED, num_key_value_heads=1)}
KERNELS = ("splash", "triton")


def _job(attention: str, shape: str, remat: str = "none", unroll: int = 1):
    base = job(SHAPES[shape], lora=Lora(rank=4, alpha=8.0, dropout=0.2))
    model = replace(base.model, attention=attention, remat=remat, unroll=unroll)
    return replace(base, model=model, data=Data(sources=(Source(path="seeds"),), length=LENGTH))


@cache
def _rows() -> dict[str, np.ndarray]:
    """Rows of many short segments, of one that fills the row, of padding alone, and with padding behind."""
    full = examples(1, seed=2, longest=LENGTH)[0]
    full = tuple(np.resize(array, LENGTH) for array in full)
    few = examples(3, seed=1, longest=50)
    return packed([examples(16, longest=8), [full], [], few, few[::-1], few[:1], few[1:], examples(9)], LENGTH)


@cache
def _reference(shape: str) -> tuple[Ready, tuple[Gradients, object]]:
    this = ready(_job("reference", shape))
    return this, gradients(this)(_rows())


def _assert_learned(this: Ready, shape: str) -> None:
    expected, found = _reference(shape)[1], gradients(this)(_rows())
    assert expected[1].target_tokens == found[1].target_tokens > 100
    np.testing.assert_allclose(found[1][:2], expected[1][:2], rtol=1e-5)
    assert all(np.any(array) for array in expected[0].values())
    assert_same(expected[0], found[0], rtol=2e-5)


QUICK = [("splash", "grouped", "full")]
CASES = [
    pytest.param(kernel, shape, remat, marks=() if (kernel, shape, remat) in QUICK else pytest.mark.slow)
    for kernel in KERNELS
    for shape in SHAPES
    for remat in ("none", "full")
]


@pytest.mark.parametrize(("kernel", "shape", "remat"), CASES)
def test_a_kernel_learns_what_the_reference_learns(kernel, shape, remat):
    # LLaMA-Factory#7754, maxtext#4476: the segments, in every implementation.
    # Mutations, each for both kernels: no segment ids; no scale (splash: q as it is, triton: sm_scale 1); query heads
    # in the order [G, K] (swapaxes before the reshape; for triton the keys tiled rather than repeated); not causal;
    # keys and values exchanged.
    this = ready(_job(kernel, shape, remat))
    assert this.plan.graph != _reference(shape)[0].plan.graph
    _assert_learned(this, shape)


@pytest.mark.slow
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", [(2, 2, 2), (8, 1, 1), (1, 8, 1), (1, 2, 4)])
def test_a_kernel_on_eight_devices_learns_what_the_reference_learns_on_one(kernel, sizes):
    # Mutation: segments handed over undivided (P(None)); heads not divided over `tensor`.
    here = _reference("grouped")[0]
    _assert_learned(moved(here._replace(job=_job(kernel, "grouped")), sizes), "grouped")
