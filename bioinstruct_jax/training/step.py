"""One optimizer step and one held-out loss, as XLA compiles them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from bioinstruct_jax.model.loss import Batch, loss_sum
from bioinstruct_jax.training.state import State


class StepMetrics(NamedTuple):
    """Of one step, float32 scalars on the device.

    Attributes:
        loss: mean cross-entropy in nats over the step's target tokens (0 if there are none).
        grad_norm: global norm of the mean's gradient, before clipping.
        target_tokens, tokens: tokens with loss; tokens that are no padding.
    """

    loss: jax.Array
    grad_norm: jax.Array
    target_tokens: jax.Array
    tokens: jax.Array


def train_step(
    graph: nnx.GraphDef, optimizer: optax.GradientTransformation, seed: int
) -> Callable[[State, nnx.State, Batch], tuple[State, StepMetrics]]:
    """The function of (state, frozen, batch [micro-batches, rows, tokens]) to jit; `state` may be donated.

    The gradient is taken with respect to `state.trained` alone, so XLA never forms one of a frozen weight. Sums of
    loss, gradient and target tokens run over all micro-batches and devices before the one division, so that how a
    batch is cut up never changes what is learned. A batch without targets, and one whose loss or gradient is not
    finite, leaves the state as it was, but for the step count: a state is finite or was never reached.
    """

    def step(state: State, frozen: nnx.State, batch: Batch) -> tuple[State, StepMetrics]:
        step_key = jax.random.fold_in(jax.random.key(seed), state.step)

        def total(trained: nnx.State, micro: Batch, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            return loss_sum(nnx.merge(graph, trained, frozen), micro, key)

        def accumulate(sums: Any, indexed: tuple[jax.Array, Batch]) -> tuple[Any, None]:
            index, micro = indexed
            key = jax.random.fold_in(step_key, index)
            (loss, targets), gradient = jax.value_and_grad(total, has_aux=True)(state.trained, micro, key)
            return jax.tree.map(jnp.add, sums, (loss, targets, gradient)), None

        zero = jnp.zeros(())
        zeros = (zero, zero, jax.tree.map(jnp.zeros_like, state.trained))
        count = batch.tokens.shape[0]
        if count == 1:  # of a loop of one turn, XLA for TPU runs the forward pass twice
            (loss, targets, gradient), _ = accumulate(zeros, (jnp.int32(0), Batch(*(array[0] for array in batch))))
        else:
            (loss, targets, gradient), _ = jax.lax.scan(accumulate, zeros, (jnp.arange(count), batch))

        share = 1 / jnp.maximum(targets, 1)
        gradient = jax.tree.map(lambda sum_: sum_ * share, gradient)
        with jax.named_scope("optimizer"):
            updates, moments = optimizer.update(gradient, state.optimizer, state.trained)
            trained = optax.apply_updates(state.trained, updates)
        tokens = jnp.sum(batch.segments > 0).astype(jnp.float32)
        metrics = StepMetrics(loss * share, optax.tree.norm(gradient), targets, tokens)
        counts = (targets > 0) & jnp.isfinite(metrics.loss) & jnp.isfinite(metrics.grad_norm)
        trained, moments = jax.tree.map(
            lambda new, old: jnp.where(counts, new, old), (trained, moments), (state.trained, state.optimizer)
        )
        return State(state.step + 1, trained, moments), metrics

    return step


def held_out_step(graph: nnx.GraphDef) -> Callable[[nnx.State, nnx.State, Batch], tuple[jax.Array, jax.Array]]:
    """The function of (trained, frozen, batch [1, rows, tokens]) to (summed loss, target tokens); dropout off."""

    def held_out(trained: nnx.State, frozen: nnx.State, batch: Batch) -> tuple[jax.Array, jax.Array]:
        return loss_sum(nnx.merge(graph, trained, frozen), Batch(*(array[0] for array in batch)))

    return held_out
