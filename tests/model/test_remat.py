"""What each policy of rematerialisation keeps, seen in the step lowered for a TPU without one."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest
from flax import nnx
from jax.sharding import AbstractMesh, AxisType

from bioinstruct_jax.config import Data, Source
from bioinstruct_jax.model.loss import Batch, loss_sum
from bioinstruct_jax.training import sharding, state
from tests.small import SHAPE, job

LENGTH = 128


def _lowered(remat: str) -> str:
    shape = replace(SHAPE, head_dim=16, max_position_embeddings=LENGTH)
    this = job(shape, data=Data(sources=(Source(path="seeds"),), length=LENGTH))
    this = replace(this, model=replace(this.model, remat=remat, attention="splash"))
    mesh = AbstractMesh((1, 1, 1), sharding.AXES, axis_types=(AxisType.Explicit,) * 3)
    rows = jax.ShapeDtypeStruct((2, LENGTH), jnp.int32, sharding=jax.NamedSharding(mesh, jax.P(("data", "fsdp"), None)))
    with jax.sharding.use_abstract_mesh(mesh):
        plan = state.plan(this, shape, mesh)

        def loss(trained, frozen, batch):
            return loss_sum(nnx.merge(plan.graph, trained, frozen), batch)

        step = jax.jit(jax.value_and_grad(loss, has_aux=True))
        traced = step.trace(plan.trained, plan.frozen, Batch(*(rows,) * 4))
        return traced.lower(lowering_platforms=("tpu",)).as_text()


@pytest.mark.parametrize(
    ("remat", "forward", "host"),
    [("full", 2, False), ("attention", 1, False), ("offload", 2, True), ("none", 1, False)],
)
def test_a_policy_keeps_what_its_name_says(remat, forward, host):
    # That all learn the same: tests/training/test_exactness.py.
    # Mutations: `attention` as `full`; `offload` as `full`; the input's name left out.
    text = _lowered(remat)
    assert text.count('kernel_name = "splash_mha_fwd') == forward
    moved = [line for line in text.splitlines() if "pinned_host" in line]
    assert bool(moved) == host
    assert all(f"tensor<2x{LENGTH}x32xf32>" in line for line in moved)  # a layer's input [B, S, D]
