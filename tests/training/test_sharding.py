"""The mesh and what may lie on it."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from jax import P

from bioinstruct_jax.config import Mesh
from bioinstruct_jax.training import sharding, state
from tests.small import SHAPE, job, random_rows, ready


def test_minus_one_takes_what_is_left():
    assert dict(sharding.make_mesh(Mesh(data=2, fsdp=-1, tensor=2)).shape) == {"data": 2, "fsdp": 2, "tensor": 2}


@pytest.mark.parametrize("sizes", [Mesh(data=3), Mesh(data=2, fsdp=2, tensor=1), Mesh(data=16, fsdp=1)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="does not fit 8 device"):
        sharding.make_mesh(sizes)


def test_only_data_runs_between_slices():
    # Mutation: a mesh whose weights are divided over the slow network. That it compiles is in tests/test_plan.py.
    chips = [SimpleNamespace(platform="tpu", slice_index=number // 4) for number in range(8)]
    assert sharding.slices(chips) == 2
    with pytest.raises(ValueError, match=r"mesh\.data = 1 cannot be divided over 2 slices.*give mesh\.data as 2"):
        sharding.make_mesh(Mesh(), chips)
    hosts = [SimpleNamespace(platform="gpu", slice_index=number) for number in range(8)]
    assert sharding.slices(hosts) == 1  # GPUs count hosts under that name


def test_what_cannot_be_divided_is_named():
    this = job()
    mesh = sharding.make_mesh(Mesh(data=1, fsdp=2, tensor=4))
    plan = state.plan(this, SHAPE, mesh)
    with pytest.raises(ValueError, match=r"2 key/value heads, which cannot be divided over mesh.tensor = 4"):
        sharding.check_divisible(mesh, SHAPE, plan.weights, 4)
    odd = replace(SHAPE, intermediate_size=44)  # its adapters, over both axes elsewhere, here over one
    mesh = sharding.make_mesh(Mesh(data=1, fsdp=4, tensor=2))
    plan = state.plan(job(odd), odd, mesh)
    sharding.check_divisible(mesh, odd, plan.weights, 4)
    specs = {path: like.sharding.spec for path, like in state.by_path(plan.trained).items()}
    assert specs["layers.mlp.up_proj.lora_b"] == P(None, None, "tensor")
    assert specs["layers.self_attn.q_proj.lora_b"] == P(None, None, ("tensor", "fsdp"))
    with pytest.raises(ValueError, match="3 rows cannot be divided over data x fsdp = 4"):
        sharding.check_divisible(mesh, SHAPE, plan.weights, 3)


def test_parameters_and_moments_lie_as_the_table_says_and_never_whole():
    this = ready(job(), (2, 2, 2))
    for path, array in (state.by_path(this.now.trained) | state.by_path(this.frozen)).items():
        assert array.sharding.spec == this.plan.weights[path].spec, path
    specs = {path: weight.spec for path, weight in this.plan.weights.items() if "lora" in path}
    moments = [leaf for leaf in jax.tree.leaves(this.now.optimizer) if leaf.ndim]
    assert sorted(map(str, (leaf.sharding.spec for leaf in moments))) == sorted(map(str, [*specs.values()] * 2))


def test_initial_values_do_not_depend_on_the_mesh():
    one, many = ready(job()), ready(job(), (2, 2, 2))
    for tree in ("now", "frozen"):
        a = getattr(one, tree).trained if tree == "now" else one.frozen
        b = getattr(many, tree).trained if tree == "now" else many.frozen
        for path, array in state.by_path(a).items():
            np.testing.assert_array_equal(array, state.by_path(b)[path], err_msg=path)


def test_a_batch_is_divided_over_its_rows():
    mesh = sharding.make_mesh(Mesh(data=2, fsdp=2, tensor=2))
    batch = sharding.put_batch({name: array[None] for name, array in random_rows(8, 24).items()}, mesh)
    assert batch.tokens.shape == (1, 8, 24)
    assert batch.tokens.addressable_shards[0].data.shape == (1, 2, 24)
