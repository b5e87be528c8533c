"""What leaves the devices when continuations are scored."""

import jax
import numpy as np

from bioinstruct_jax.inference import batches
from bioinstruct_jax.inference.engine import _score
from bioinstruct_jax.model.weights import BATCH
from tests.inference.engines import branches, engine, random_arrays
from tests.small import SHAPE


def test_scores_leave_the_devices_as_one_number_a_token():
    # transformers#15466: [N, T, V] logits were kept. Mutation: `score` gives back what it takes the maximum of.
    made = engine(SHAPE, random_arrays(SHAPE))
    rows = jax.device_put(batches.rows(branches(4), 4, 48, 16), jax.NamedSharding(made.mesh, jax.P(BATCH, None)))
    with jax.set_mesh(made.mesh):
        given = jax.eval_shape(lambda weights, rows: _score(made.graph, weights, rows), made.weights, rows)
    assert [(out.shape, out.dtype) for out in given] == [((4, 16), np.float32), ((4, 16), np.bool_)]
