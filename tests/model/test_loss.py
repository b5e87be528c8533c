"""The loss and the model beneath it: causality, segments, the one shift, parity with transformers."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bioinstruct_jax.config import Lora, Mesh, Shape
from bioinstruct_jax.model import loss as loss_module
from bioinstruct_jax.model.loss import Batch, loss_sum, targets
from bioinstruct_jax.training import sharding, state
from tests.small import (
    WIDE,
    Ready,
    assert_same,
    examples,
    gradients,
    job,
    moved,
    on_mesh,
    packed,
    random_rows,
    ready,
    unequal,
)

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


def _budget(mib: float, trainable: str = "lora", shape: Shape = WIDE, sizes: tuple[int, int, int] = (1, 1, 1)) -> Ready:
    lora = Lora(rank=4, alpha=8.0, dropout=0.2) if trainable == "lora" else Lora()
    this = job(shape, trainable=trainable, lora=lora)
    return ready(replace(this, model=replace(this.model, logits_mib=mib)), sizes)


def _mib(tokens: float, shape: Shape = WIDE) -> float:
    """The budget for the logits of that many tokens."""
    return tokens * 4 * (shape.vocab_size or 0) / 2**20


TIED = replace(WIDE, tie_word_embeddings=True)
TURNS = [
    ("lora", WIDE, 50, (1, 1, 1)),
    ("all", TIED, 50, (1, 1, 1)),
    ("lora", TIED, 1, (1, 1, 1)),
    ("all", WIDE, 7, (2, 2, 2)),
    ("lora", WIDE, 5, (1, 8, 1)),
    ("lora", TIED, 5, (1, 2, 4)),
    ("all", TIED, 0.1, (1, 2, 4)),
]


@pytest.mark.parametrize(
    ("trainable", "shape", "tokens", "sizes"),
    [pytest.param(*case, marks=pytest.mark.slow if place else ()) for place, case in enumerate(TURNS)],
)
def test_logits_in_turns_give_the_same_loss_and_gradient(trainable, shape, tokens, sizes):
    # 192 tokens, of which a row is all targets and another has one; turns of 5 do not divide a device's 24.
    # Mutations: tokens left out for the last turn (cut down rather than filled up); labels not brought to the front.
    arrays = unequal(8, LENGTH)
    arrays["segments"][0] = arrays["weights"][0] = 1
    whole = _budget(1e6, trainable, shape)
    expected, metrics = gradients(whole)(arrays, step=2)
    turns = _budget(_mib(tokens, shape), trainable, shape)
    found, same = gradients(moved(turns, sizes))(arrays, step=2)
    assert metrics.target_tokens == same.target_tokens > 0
    np.testing.assert_allclose(same[:2], metrics[:2], rtol=1e-6)
    assert_same(expected, found, rtol=1e-6 if sizes == (1, 1, 1) else 1e-5)


@pytest.mark.parametrize(("sizes", "most"), [((1, 1, 1), 30), ((1, 4, 1), 23)])
def test_turns_without_targets_form_no_logits(monkeypatch, sizes, most):
    # Eight rows, 192 tokens, 30 targets in all; of four devices one has 23 of them. In turns of 4.
    # Mutations: every turn busy; targets not brought to the front.
    formed: list[int] = []
    plain = loss_module.scores

    def counting(x_BSD, head_DV):
        jax.debug.callback(lambda: formed.append(1))
        return plain(x_BSD, head_DV)

    monkeypatch.setattr(loss_module, "scores", counting)
    arrays = packed([examples(1, seed=row, longest=LENGTH) for row in range(8)], LENGTH)
    arrays["weights"][:] = 0
    arrays["segments"][0], arrays["weights"][0], arrays["weights"][2:, 1] = 1, 1, 1
    arrays["weights"][7, 2] = 1
    small = moved(_budget(_mib(4)), sizes)
    with jax.set_mesh(small.mesh):
        batch = Batch(*(array[0] for array in on_mesh(arrays, small.mesh)))

        @jax.jit
        def loss(trained, frozen, batch):
            return loss_sum(nnx.merge(small.plan.graph, trained, frozen), batch)

        _, count = jax.block_until_ready(loss(small.now.trained, small.frozen, batch))
        jax.effects_barrier()
    assert count == 30
    assert len(formed) == -(-most // 4)


def test_a_large_vocabulary_needs_no_more_memory_than_its_budget_allows():
    # 512 tokens of 128,256 scores are 250 MiB. Measured: 1,013 MiB of temporaries at once, 44 MiB in turns of 16 MiB
    # (1,024 tokens were twice that at once). Mutations: JAX's own gradient of the branch (a copy of the head, 31 MiB,
    # in each turn: 79 MiB); no turns.
    shape = replace(WIDE, vocab_size=128256, hidden_size=64, num_hidden_layers=1)

    def peak(mib: float) -> float:
        """MiB of temporaries of the step."""
        this = job(shape)
        this = replace(this, model=replace(this.model, logits_mib=mib))
        mesh = sharding.make_mesh(Mesh(), jax.devices()[:1])
        with jax.set_mesh(mesh):
            plan = state.plan(this, shape, mesh)
            rows = jax.ShapeDtypeStruct((8, 64), jnp.int32, sharding=jax.NamedSharding(mesh, jax.P(("data", "fsdp"))))

            def loss(trained, frozen, batch):
                return loss_sum(nnx.merge(plan.graph, trained, frozen), batch)

            step = jax.jit(jax.value_and_grad(loss, has_aux=True))
            made = step.lower(plan.trained, plan.frozen, Batch(*(rows,) * 4)).compile()
        return made.memory_analysis().temp_size_in_bytes / 2**20

    assert peak(1000.0) > 2 * 250
    assert peak(16.0) < 4 * 16
