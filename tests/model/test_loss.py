"""The loss and the model beneath it: causality, segments, the one shift, parity with transformers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bioinstruct_jax.model.loss import Batch, loss_sum, targets
from bioinstruct_jax.training import state
from tests.small import examples, job, packed, random_rows, ready

LENGTH = 24


def _batch(arrays, mesh) -> Batch:
    spec = jax.NamedSharding(mesh, jax.P(("data", "fsdp"), None))
    return Batch(**{name: jax.device_put(array, spec) for name, array in arrays.items()})


@pytest.fixture(scope="module")
def small():
    return ready(job())


def _loss_and_gradient(small, arrays):
    with jax.set_mesh(small.mesh):
        batch = _batch(arrays, small.mesh)

        def loss(trained):
            return loss_sum(nnx.merge(small.plan.graph, trained, small.frozen), batch)

        (total, count), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(small.now.trained)
    return float(total), float(count), gradient


def test_packed_rows_have_the_loss_and_gradient_of_their_examples_one_by_one(small):
    # LLaMA-Factory#7754, maxtext#4476, axolotl#3796, torchtune#875.
    # Mutation: the segment comparison taken out of `attend` changes the loss by 1e-2; positions running on through the
    # row change it by 1e-2; the segment comparison taken out of `targets` is caught by the count.
    made = examples(6, longest=8)
    together = _loss_and_gradient(small, packed([made[:3], made[3:]], LENGTH))
    alone = _loss_and_gradient(small, packed([[example] for example in made], LENGTH))
    assert together[1] == alone[1] == sum(int(weights[1:].sum()) for _, weights in made)
    assert together[0] == pytest.approx(alone[0], rel=1e-5)
    for one, other in zip(jax.tree.leaves(together[2]), jax.tree.leaves(alone[2]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5 * float(jnp.abs(one).max()))


def test_labels_are_shifted_once_and_never_across_segments():
    # torchtune#2613. Mutation: shifting by two, or dropping `same_BS`, fails here.
    arrays = packed([[(np.array([5, 6, 7]), np.array([0, 1, 1])), (np.array([8, 9]), np.array([1, 1]))]], 7)
    labels, weights = targets(Batch(**{name: jnp.asarray(array) for name, array in arrays.items()}))
    assert weights[0].tolist() == [1, 1, 0, 1, 0, 0, 0]  # 5->6, 6->7, not 7->8, 8->9
    assert labels[0, :4].tolist() == [6, 7, 8, 9]


def test_a_row_without_targets_has_no_loss_and_no_gradient(small):
    # trl#6320. Mutation: a mean formed inside `loss_sum` gives NaN here.
    arrays = random_rows(2, LENGTH)
    arrays["weights"][:] = 0
    total, count, gradient = _loss_and_gradient(small, arrays)
    assert (total, count) == (0, 0)
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


def test_no_gradient_flows_from_a_token_to_earlier_ones_or_to_other_segments(small):
    # Exactly zero, not small. Mutation: _MASKED = -10 leaves 1e-5 here; tril replaced by ones leaves 1e-1.
    arrays = packed([examples(3, longest=8)], LENGTH)
    segments = arrays["segments"][0]
    arrays["tokens"][0] = np.arange(LENGTH)  # each place has a row of the embedding to itself
    frozen = state.by_path(small.frozen)
    with jax.set_mesh(small.mesh):
        batch = _batch(arrays, small.mesh)

        def hidden(embedding):
            values = frozen | {"embed_tokens.embedding": embedding}
            model = nnx.merge(small.plan.graph, small.now.trained, state.from_paths(small.frozen, values))
            return model.hidden(batch.tokens, batch.positions, batch.segments)[0]

        jacobian = jax.jit(jax.jacfwd(hidden))(frozen["embed_tokens.embedding"])  # [query, D, key, D]
    influence = np.abs(jacobian[:, :, :LENGTH]).sum(axis=(1, 3))
    allowed = np.tril(np.ones((LENGTH, LENGTH), bool)) & (segments[:, None] == segments[None, :])
    assert not np.any(influence[~allowed])
    assert np.all(influence[allowed] > 0)
