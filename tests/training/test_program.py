"""The step that is lowered without arrays is the one that runs on them."""

import jax
import numpy as np

from bioinstruct_jax.config import Training
from bioinstruct_jax.training import program, state
from bioinstruct_jax.training.optimizer import make_optimizer
from tests.small import job, on_mesh, random_rows, ready


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
