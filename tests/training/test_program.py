"""The step that is lowered without arrays is the one that runs on them."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from bioinstruct_jax.config import Training
from bioinstruct_jax.training import program, sharding, state
from bioinstruct_jax.training.optimizer import make_optimizer
from tests.small import job, on_mesh, random_rows, ready
from tests.test_config import preset


def test_the_abstract_step_takes_what_the_run_has_and_gives_it_back():
    # Mutations: a moment without its weight's sharding; the batch in another layout; donation left out.
    this = ready(job(training=Training(steps=20, batch_rows=16, micro_batches=2)), (2, 2, 2))
    optimizer = make_optimizer(this.job.optimizer, 20)
    abstract = program.abstract_state(this.plan, optimizer, this.mesh)
    for wanted, found in zip(jax.tree.leaves(abstract), jax.tree.leaves(this.now), strict=True):
        assert (wanted.shape, wanted.dtype, wanted.sharding) == (found.shape, found.dtype, found.sharding)
    lowered = program.lower(this.job, this.plan, optimizer, this.mesh)
    batch = on_mesh(random_rows(16, 24), this.mesh, 2)
    with jax.set_mesh(this.mesh):
        expected, _ = this.step(this.now, this.frozen, batch)
        after, _ = lowered.compile()(this.now, this.frozen, batch)
    for path, array in state.by_path(expected.trained).items():
        np.testing.assert_array_equal(array, state.by_path(after.trained)[path], err_msg=path)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(this.now.trained))  # donated


@pytest.mark.parametrize("sizes", [(1, 8, 1), pytest.param((2, 2, 2), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("kind", "platform"), [("TPU v5 lite", "tpu"), ("TPU7x", "tpu"), ("NVIDIA H200", "gpu")], ids=lambda one: one
)
@pytest.mark.parametrize(
    "name",
    ["tiny", "small_cpu", "llama1_7b", "llama1_13b", "llama2_7b", "llama2_13b", "llama3_1_8b", "llama2_7b_chat"],
)
def test_every_preset_is_lowered_for_every_kind_of_device_with_none_attached(name, kind, platform, sizes):
    # Mutation: the products of q, k and v left whole over tensor (no program); the reference instead of a kernel.
    this = preset(name)
    this = replace(this, training=replace(this.training, batch_rows=16, micro_batches=2))
    shape = this.model.shape if this.model.shape.vocab_size else replace(this.model.shape, vocab_size=4096)
    device = AbstractDevice(device_kind=kind, num_cores=None, platform=platform)
    mesh = AbstractMesh(sizes, sharding.AXES, axis_types=(AxisType.Explicit,) * 3, abstract_device=device)
    plan = state.plan(this, shape, mesh)
    sharding.check_divisible(mesh, shape, plan.weights, 8)
    step = program.traced(this, plan, make_optimizer(this.optimizer, 20), mesh)
    lowers_as, kernel = {"tpu": ("tpu", "tpu_custom_call"), "gpu": ("cuda", "triton")}[platform]
    lowered = step.lower(lowering_platforms=(lowers_as,)).as_text()
    assert kernel in lowered
    assert lowered.count("tf.aliasing_output") + lowered.count("jax.buffer_donor") >= len(jax.tree.leaves(plan.trained))
