"""Checkpoints: what was saved comes back in place and bit for bit, also when later steps give its buffers away."""

import jax
import numpy as np
import pytest
from upath import UPath

from bioinstruct_jax.training import state
from bioinstruct_jax.training.checkpoint import Checkpoints
from bioinstruct_jax.training.optimizer import make_optimizer
from bioinstruct_jax.training.step import train_step
from tests.small import job, on_mesh, random_rows, ready


def _values(now) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(now)]


def test_a_state_comes_back_bit_for_bit_though_its_buffers_were_donated(tmp_path):
    # Mutation: saving a flat dictionary without the optimizer raises KeyError; restoring without shardings, the third
    # assertion fails. The write goes on in the background while the next step overwrites the donated buffers.
    this = ready(job(), (2, 2, 2))
    with jax.set_mesh(this.mesh), Checkpoints(UPath(tmp_path / "checkpoints"), 1, {"data": "a"}) as checkpoints:
        optimizer = make_optimizer(this.job.optimizer, this.job.training.steps)
        step = jax.jit(train_step(this.plan.graph, optimizer, 0), donate_argnums=0)
        batch = on_mesh(random_rows(4, 24), this.mesh)
        now, _ = step(this.now, this.frozen, batch)
        expected = _values(now)
        checkpoints.save(1, now)
        for _ in range(3):
            now, _ = step(now, this.frozen, batch)
        checkpoints.manager.wait_until_finished()
        found = checkpoints.restore(now)
    for one, other in zip(_values(found), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert jax.tree.structure(found) == jax.tree.structure(now)
    assert all(a.sharding == b.sharding for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(now), strict=True))


def test_the_newest_are_kept_and_the_newest_is_restored(tmp_path):
    this = ready(job())
    with jax.set_mesh(this.mesh):
        with Checkpoints(UPath(tmp_path / "checkpoints"), 2, {}) as checkpoints:
            assert checkpoints.restore(this.now) is None
            for step in (1, 2, 3):
                checkpoints.save(step, this.now._replace(step=jax.device_put(np.int32(step), this.now.step.sharding)))
        assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"2", "3"}
        with Checkpoints(UPath(tmp_path / "checkpoints"), 2, {}) as checkpoints:
            assert int(checkpoints.restore(this.now).step) == 3


def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path):
    # EasyDeL#259: a checkpoint knows its base.
    this = ready(job())
    with jax.set_mesh(this.mesh):
        with Checkpoints(UPath(tmp_path / "checkpoints"), 1, {"base": "one", "data": "a"}) as checkpoints:
            checkpoints.save(1, this.now)
        other = Checkpoints(UPath(tmp_path / "checkpoints"), 1, {"base": "two", "data": "a"})
        with other, pytest.raises(ValueError, match="step 1 belongs to another run: base was 'one', is 'two'"):
            other.restore(this.now)


def test_by_path_and_back():
    this = ready(job())
    arrays = state.by_path(this.now.trained)
    again = state.from_paths(this.now.trained, arrays)
    assert jax.tree.structure(again) == jax.tree.structure(this.now.trained)
    assert set(arrays) == {path for path in this.plan.weights if "lora" in path}
    with pytest.raises(KeyError, match="lora_a"):
        state.from_paths(this.now.trained, {})
