"""What is learned does not depend on how rows are packed or cut up, nor on how the layers are compiled.

Gradients are those that the train step hands to its optimizer.
"""

from dataclasses import replace
from functools import cache
from typing import get_args, get_type_hints

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bioinstruct_jax.config import Lora, Model, Optimizer
from bioinstruct_jax.data import batch as data
from bioinstruct_jax.data.rows import Rows
from bioinstruct_jax.model import rope
from bioinstruct_jax.model.attention import attend
from tests.small import (
    CALM,
    Ready,
    assert_same,
    examples,
    gradients,
    job,
    on_mesh,
    packed,
    random_rows,
    ready,
    train,
    unequal,
)

LENGTH = 24
REMAT = get_args(get_type_hints(Model)["remat"])  # every policy there is
DROPPING = Lora(rank=4, alpha=8.0, dropout=0.3)


@cache
def _plain() -> tuple[Ready, object]:
    this = ready(job(optimizer=CALM))
    return this, gradients(this)


def _equal(one, other, rtol: float = 1e-5) -> None:
    """Both (gradient, metrics) are the same, and are no zeros."""
    assert one[1].target_tokens == other[1].target_tokens > 0
    np.testing.assert_allclose(one[1][:2], other[1][:2], rtol=rtol)
    assert all(np.any(array) for array in one[0].values())
    assert_same(one[0], other[0], rtol)


def _made(kind: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Eight examples that fit into two rows."""
    made = examples(8, longest=6, seed=3)
    if kind == "rows without padding":
        made = [(np.resize(tokens, 6), np.resize(weights, 6)) for tokens, weights in made]
    if kind == "two tokens beside twenty":
        long, short = examples(1, seed=5, longest=18)[0], [(tokens[:2], np.array([0, 1])) for tokens, _ in made]
        made = [*short[:3], long, *short[3:7]]
    return made


@pytest.mark.parametrize("kind", ["unequal", "rows without padding", "two tokens beside twenty"])
def test_packed_rows_are_their_examples_one_by_one(kind):
    # LLaMA-Factory#7754, maxtext#4476, axolotl#3796, torchtune#875.
    # Mutation: the segment comparison taken out of `attend`. Positions that run on through the row do not fail here,
    # and cannot: rotary attention sees differences of positions alone. That they restart is tests/data/test_rows.py's.
    _, gradient = _plain()
    made = _made(kind)
    together = gradient(packed([made[:4], made[4:]], LENGTH))
    alone = gradient(packed([[example] for example in made], LENGTH))
    assert alone[1].target_tokens == sum(int(weights[1:].sum()) for _, weights in made)
    _equal(together, alone)


@pytest.mark.parametrize("short", [False, True])
def test_micro_batches_are_the_full_batch(short):
    # transformers#34191, litgpt#1947, LLaMA-Factory#10705, ms-swift#10084.
    # Mutation: each micro-batch divided by its own target count (a mean of means).
    _, gradient = _plain()
    arrays = unequal(4, LENGTH)
    if short:  # the last window of a pass: three rows, filled up with padding
        arrays = {
            name: np.concatenate([array[:1], array[2:], np.zeros_like(array[:1])]) for name, array in arrays.items()
        }
    whole = gradient(arrays)
    per_row = [int(gradient({n: array[[row]] for n, array in arrays.items()})[1].target_tokens) for row in range(4)]
    assert max(per_row) > 10 * min(count for count in per_row if count)
    assert (0 in per_row) == short
    for parts in (2, 4):
        _equal(whole, gradient(arrays, parts))
    if short:
        _equal(whole, gradient({name: array[:3] for name, array in arrays.items()}))


def test_the_last_window_of_an_epoch_is_learned_alike_however_it_is_cut():
    # Seven rows, four a step: each epoch's last window goes on into the next epoch, and seven steps are four epochs.
    # Mutation: an order of rows that follows from the number of parts (seed + parts).
    this, _ = _plain()
    arrays = unequal(7, LENGTH)
    rows = Rows(**{name: array.astype(np.uint8 if name == "weights" else np.int32) for name, array in arrays.items()})
    runs = {}
    for parts in (1, 4):
        windows = [data.micro_batches(rows, step, seed=0, size=4, parts=parts) for step in range(7)]
        flat = [{name: array.reshape(4, LENGTH) for name, array in window.items()} for window in windows]
        seen = np.concatenate([window["tokens"] for window in flat])
        assert sorted(map(bytes, seen)) == sorted(map(bytes, np.repeat(rows.tokens, 4, axis=0)))
        runs[parts] = train(this, flat, parts)
    np.testing.assert_allclose(runs[1][1], runs[4][1], rtol=1e-5)
    assert_same(runs[1][0], runs[4][0])


def _dropping(remat: str, unroll: int) -> Ready:
    return ready(job(lora=DROPPING, model=replace(job().model, remat=remat, unroll=unroll)))


@cache
def _scanned():
    return gradients(_dropping("none", 1))(unequal(4, LENGTH), 2, step=3)


# Of three layers: 2 leaves one over, 8 is more than there are.
COMPILED = [
    pytest.param(remat, unroll, marks=() if unroll == 2 or (remat, unroll) == ("full", 1) else pytest.mark.slow)
    for remat in REMAT
    for unroll in (1, 2, 3, 8)
]


@pytest.mark.slow
@pytest.mark.parametrize(("remat", "unroll"), COMPILED)
def test_scanned_or_unrolled_layers_kept_or_recomputed_learn_the_same(remat, unroll):
    # With dropout, so that a mask drawn again for the backward pass must be the one of the forward pass.
    # Mutation: a layer's key that follows from `unroll` and `remat`. With `none` and 2 this found a real failure: the
    # mask a layer keeps, made under bernoulli()'s automatic mesh axes, could not be stacked (see `dropped`).
    _equal(_scanned(), gradients(_dropping(remat, unroll))(unequal(4, LENGTH), 2, step=3))


def _hidden(this: Ready, arrays: dict, key: jax.Array | None) -> jax.Array:
    model = nnx.merge(this.plan.graph, this.now.trained, this.frozen)
    return model.hidden(arrays["tokens"], arrays["positions"], arrays["segments"], key)


def test_scanned_layers_are_the_layers_one_after_the_other():
    # Mutation: one key for all layers.
    this, key = _dropping("none", 1), jax.random.key(1)
    arrays = {name: jnp.asarray(array) for name, array in random_rows(2, LENGTH).items()}
    with jax.set_mesh(this.mesh):
        scanned = _hidden(this, arrays, key)
        model = nnx.merge(this.plan.graph, this.now.trained, this.frozen)
        turns = rope.angles(arrays["positions"], rope.inverse_frequencies(model.shape, LENGTH))

        def mix(q, k, v, carried, _):
            return attend(rope.rotate(q, *turns), rope.rotate(k, *turns), v, arrays["segments"]), carried

        graph, stacked = nnx.split(model.layers)
        x_BSD = jnp.asarray(np.asarray(model.embed_tokens.embedding[...])[arrays["tokens"]])
        x_BSD = jax.device_put(x_BSD, jax.NamedSharding(this.mesh, jax.P(("data", "fsdp"), None, None)))
        for index in range(model.shape.num_hidden_layers):
            layer = nnx.merge(graph, jax.tree.map(lambda array, at=index: array[at], stacked))
            x_BSD, _ = layer(x_BSD, mix, None, jnp.int32(index), jax.random.fold_in(key, index))
        np.testing.assert_allclose(scanned, model.norm(x_BSD), rtol=1e-5, atol=1e-5)


def test_unroll_writes_that_many_layers_out():
    # Mutation: `unroll` not handed to the scan.
    arrays = {name: jnp.asarray(array) for name, array in random_rows(2, LENGTH).items()}

    def loops(unroll: int) -> int:
        this = _dropping("none", unroll)
        with jax.set_mesh(this.mesh):
            return jax.jit(lambda: _hidden(this, arrays, None)).lower().as_text().count("stablehlo.while")

    assert [loops(unroll) for unroll in (1, 3, 8)] == [1, 0, 0]


def test_batches_without_targets_change_nothing_but_the_step_count():
    # Mutation: without `targets > 0` at the end of the step, weight decay and the moments move the weights.
    this = ready(job(optimizer=Optimizer(learning_rate=1e-2, weight_decay=0.1)))
    arrays, later = random_rows(4, LENGTH), random_rows(4, LENGTH, seed=1)
    none = {name: array.copy() for name, array in arrays.items()}
    none["weights"][:] = 0
    first = {**none, "weights": none["weights"].copy()}
    first["weights"][:, 0] = 1  # a row's first token is nobody's next one
    padding = {name: np.zeros_like(array) for name, array in arrays.items()}
    padding["weights"][:] = 1
    with jax.set_mesh(this.mesh):
        now, _ = this.step(this.now, this.frozen, on_mesh(arrays, this.mesh))
        for empty in (none, first, padding):
            after, metrics = this.step(now, this.frozen, on_mesh(empty, this.mesh))
            assert (float(metrics.loss), float(metrics.grad_norm), float(metrics.target_tokens)) == (0, 0, 0)
            assert int(after.step) == int(now.step) + 1
            assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), after[1:], now[1:]))
            now = after
    seen, _ = train(this, [arrays, none, later])
    unseen, _ = train(this, [arrays, later])
    assert_same(seen, unseen, rtol=0)
