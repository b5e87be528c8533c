"""The held-out loss is the training loss, whatever the batch and the number of rows."""

import jax
import numpy as np
import pytest

from bioinstruct_jax.data.rows import Rows
from bioinstruct_jax.training.held_out import HeldOut
from tests.small import on_mesh, random_rows


@pytest.mark.parametrize("count", [1, 5, 8])
def test_it_is_the_loss_that_training_reports(count, this):
    # axolotl#3478. Mutation: a mean of batch means, or dropout left on, differs; padding rows are not counted.
    arrays = random_rows(count, 24)
    rows = Rows(**{name: array.astype(np.uint8 if name == "weights" else np.int32) for name, array in arrays.items()})
    with jax.set_mesh(this.mesh):
        _, metrics = this.step(this.now, this.frozen, on_mesh(arrays, this.mesh))
        for size in (2, 3, 16):
            held_out = HeldOut(rows, this.plan.graph, this.now.trained, this.frozen, size, this.mesh, {})
            # transformers#15466: what leaves the devices is two numbers. Mutation: `logits` returned too.
            assert [out.shape for out in jax.tree.leaves(held_out.program.out_info)] == [(), ()]
            loss, targets = held_out.loss(this.now.trained, this.frozen)
            assert loss == pytest.approx(float(metrics.loss), rel=1e-5)
            assert targets == int(metrics.target_tokens)
