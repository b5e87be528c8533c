"""The train step: what it learns does not depend on how a batch is cut up, placed or compiled."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from bioinstruct_jax.config import Lora, Optimizer, Training
from bioinstruct_jax.training import state
from tests.small import examples, job, on_mesh, packed, random_rows, ready

LENGTH = 24


def _run(ready_, arrays, micro_batches=1, steps=3):
    """Trained arrays and metrics after some steps on the same batch."""
    with jax.set_mesh(ready_.mesh):
        batch = on_mesh(arrays, ready_.mesh, micro_batches)
        now, seen = ready_.now, []
        for _ in range(steps):
            now, metrics = ready_.step(now, ready_.frozen, batch)
            seen.append(jax.device_get(metrics))
    return {path: np.asarray(array) for path, array in state.by_path(now.trained).items()}, seen


def _assert_same(one, other, rtol=1e-5):
    for path, array in one.items():
        np.testing.assert_allclose(array, other[path], rtol=rtol, atol=rtol * float(np.abs(array).max()), err_msg=path)


def _unequal(rows: int) -> dict[str, np.ndarray]:
    """Rows whose target counts differ very much: one row is nearly all targets, the last has a single one."""
    arrays = random_rows(rows, LENGTH)
    arrays["weights"][0] = arrays["segments"][0] > 0
    arrays["weights"][-1] = 0
    arrays["weights"][-1, 1] = 1
    return arrays


def test_gradient_accumulation_is_the_full_batch():
    # transformers#34191, litgpt#1947, LLaMA-Factory#10705, ms-swift#10084.
    # Mutation: dividing each micro-batch by its own target count (a mean of means) changes the loss by 5e-2.
    arrays = _unequal(4)
    whole, whole_metrics = _run(ready(job()), arrays, micro_batches=1)
    parts, parts_metrics = _run(ready(job()), arrays, micro_batches=4)
    _assert_same(whole, parts)
    for one, other in zip(whole_metrics, parts_metrics, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@pytest.mark.parametrize("sizes", [(8, 1, 1), (1, 8, 1), (2, 2, 2)])
@pytest.mark.parametrize("trainable", ["lora", "all"])
def test_every_mesh_learns_the_same(sizes, trainable):
    # Mutation: a psum left out of the loss (jnp.mean over the local rows) or a LoRA B sharded over R fails here.
    adapter = Lora(rank=4, alpha=8.0, dropout=0.2) if trainable == "lora" else Lora()
    this = job(trainable=trainable, lora=adapter)
    arrays = _unequal(16)
    one, one_metrics = _run(ready(this), arrays, micro_batches=2)
    many, many_metrics = _run(ready(this, sizes), arrays, micro_batches=2)
    _assert_same(one, many, rtol=1e-4)  # Adam's first steps divide by near-zero moments: rounding is amplified
    for a, b in zip(one_metrics, many_metrics, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_a_batch_without_targets_changes_nothing_but_the_step_count():
    # Mutation: without the final `where`, weight decay and the moments move the weights.
    this = ready(job(optimizer=Optimizer(learning_rate=1e-2, weight_decay=0.1)))
    arrays = random_rows(4, LENGTH)
    with jax.set_mesh(this.mesh):
        now, _ = this.step(this.now, this.frozen, on_mesh(arrays, this.mesh))
        arrays["weights"][:] = 0
        after, metrics = this.step(now, this.frozen, on_mesh(arrays, this.mesh))
    assert float(metrics.loss) == 0
    assert float(metrics.grad_norm) == 0
    assert int(after.step) == int(now.step) + 1
    assert jax.tree.all(jax.tree.map(lambda a, b: bool(jnp.array_equal(a, b)), after[1:], now[1:]))


def test_padding_tokens_do_not_matter():
    arrays = random_rows(4, LENGTH)
    one, _ = _run(ready(job()), arrays)
    arrays["tokens"][arrays["segments"] == 0] = 5
    other, _ = _run(ready(job()), arrays)
    _assert_same(one, other, rtol=0)


def test_dropout_follows_from_seed_and_step_and_micro_batch():
    this = job(lora=Lora(rank=4, alpha=8.0, dropout=0.5))
    arrays = random_rows(4, LENGTH)
    first, first_metrics = _run(ready(this), arrays)
    again, _ = _run(ready(this), arrays)
    _assert_same(first, again, rtol=0)
    model = ready(this)
    other = ready(replace(this, seed=1))._replace(now=model.now, frozen=model.frozen)
    _, other_metrics = _run(other, arrays)
    assert first_metrics[0].loss != other_metrics[0].loss
    # Mutation: a key without `state.step` makes two steps at learning rate ~0 have the same loss.
    still = ready(replace(this, optimizer=Optimizer(learning_rate=1e-30)))
    _, metrics = _run(still, arrays, steps=2)
    assert metrics[0].loss != metrics[1].loss


def test_recomputing_layers_changes_nothing():
    arrays = random_rows(4, LENGTH)
    kept, _ = _run(ready(job()), arrays)
    again, _ = _run(ready(job(model=replace(job().model, remat="full"))), arrays)
    _assert_same(kept, again, rtol=1e-5)


def test_one_program_serves_every_step():
    this = ready(job())
    with jax.set_mesh(this.mesh):
        now = this.now
        for seed in range(3):
            now, _ = this.step(now, this.frozen, on_mesh(random_rows(4, LENGTH, seed=seed), this.mesh))
    assert this.step._cache_size() == 1  # a silent second compile comes from optimizer state placed otherwise


def _wide():
    """A base whose frozen kernels dwarf activations and adapters: 2 layers of 256 x 1024."""
    shape = replace(job().model.shape, hidden_size=256, intermediate_size=1024, num_hidden_layers=2)
    return job(shape=shape, lora=Lora(rank=2, alpha=2.0))


def _arrays_made(this, shape: str) -> list[str]:
    """Instructions of the compiled step that make an array of that shape, as opposed to handing one on."""
    with jax.set_mesh(this.mesh):
        batch = on_mesh(random_rows(2, LENGTH), this.mesh)
        text = this.step.lower(this.now, this.frozen, batch).compile().as_text()
    lines = [line for line in text.splitlines() if f"= {shape}" in line]
    return [line for line in lines if " parameter(" not in line and "get-tuple-element(" not in line]


@pytest.mark.parametrize("remat", ["full", "none"])
def test_the_compiled_step_makes_nothing_of_the_size_of_the_frozen_base(remat):
    # Mutation: the gradient taken of (trained, frozen), or gathered weights kept for the backward pass under remat
    # `none` (five such arrays, found by this test), fails here.
    shape = "f32[2,256,1024]"  # gate and up, stacked over layers: a gradient, a moment or a copy would be one of these
    this = replace(_wide(), model=replace(_wide().model, remat=remat))
    assert _arrays_made(ready(this), shape) == []
    assert _arrays_made(ready(replace(this, trainable="all", lora=Lora())), shape) != []


def test_overfitting_a_batch_brings_its_loss_near_zero():
    this = ready(job(optimizer=Optimizer(learning_rate=1e-2), training=Training(steps=200, batch_rows=2)))
    _, metrics = _run(this, packed([examples(2, longest=10), examples(2, seed=1, longest=10)], LENGTH), steps=200)
    assert metrics[0].loss > 3
    assert metrics[-1].loss < 0.5  # as low as logits of a frozen random head of width 32 can bring it
