"""The loss and the model beneath it: causality, segments, the one shift, parity with transformers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bioinstruct_jax.config import Lora
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


@pytest.mark.parametrize("remat", ["none", pytest.param("full", marks=pytest.mark.slow)])
def test_no_gradient_flows_from_a_token_to_earlier_losses_or_to_other_segments(remat):
    # Exactly zero, not small: gradients of each place's loss by each embedding, through the whole model with its
    # adapters and their dropout. Mutations: _MASKED = -10; tril replaced by ones; the segment comparison taken out of
    # `attend`; `same_BS` dropped from `targets`.
    this = ready(job(lora=Lora(rank=4, alpha=8.0, dropout=0.3), model=replace(job().model, remat=remat)))
    arrays = packed([examples(3, longest=8)], LENGTH)
    segments = arrays["segments"][0]
    arrays["tokens"][0] = np.arange(LENGTH)  # each place has a row of the embedding to itself
    frozen = state.by_path(this.frozen)
    with jax.set_mesh(this.mesh):

        @jax.jit
        def gradient(embedding, batch):
            def loss(embedding):
                values = frozen | {"embed_tokens.embedding": embedding}
                model = nnx.merge(this.plan.graph, this.now.trained, state.from_paths(this.frozen, values))
                return loss_sum(model, batch, jax.random.key(0))[0]

            return jax.grad(loss)(embedding)

        influence = np.zeros((LENGTH, LENGTH))
        for place in range(LENGTH - 1):  # the loss of the prediction made there, by each place's embedding
            arrays["weights"][:] = np.arange(LENGTH) == place + 1
            by_token = gradient(frozen["embed_tokens.embedding"], _batch(arrays, this.mesh))
            influence[place] = np.abs(by_token)[:LENGTH].sum(axis=-1)
    has_next = np.append((segments[1:] == segments[:-1]) & (segments[1:] > 0), False)
    seen = np.tril(np.ones((LENGTH, LENGTH), bool)) & (segments[:, None] == segments[None, :]) & has_next[:, None]
    assert not np.any(influence[~seen])
    assert np.all(influence[seen] > 0)
    assert has_next.sum() == sum(segments > 0) - 3
