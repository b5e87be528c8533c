"""The one loss, for training and for held-out rows: cross-entropy summed over target tokens."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import P

from bioinstruct_jax.model.llama import Llama, scores
from bioinstruct_jax.model.weights import BATCH


class Batch(NamedTuple):
    """Packed rows, each [B, S]: int32 tokens, segments (0: padding), positions; weights 1 for target tokens."""

    tokens: jax.Array
    segments: jax.Array
    positions: jax.Array
    weights: jax.Array


def targets(batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Labels [B, S] and their weights [B, S] float32. This is the only place where labels are shifted against inputs.

    The token at t + 1 is the label at t if it carries loss and belongs to the same segment: no prediction crosses from
    one packed example into the next, and the last column has no label.
    """
    labels_BS = jnp.pad(batch.tokens[:, 1:], ((0, 0), (0, 1)))
    same_BS = batch.segments[:, :-1] == batch.segments[:, 1:]
    real_BS = (batch.segments[:, 1:] > 0) & same_BS
    weights_BS = jnp.pad(batch.weights[:, 1:].astype(jnp.float32) * real_BS, ((0, 0), (0, 1)))
    return labels_BS, weights_BS


def loss_sum(model: Llama, batch: Batch, key: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
    """Summed cross-entropy in nats over the target tokens, and their number; both float32 scalars.

    Where all logits of a device would pass `model.logits_mib`, they are formed for some tokens at a time, targets
    first, and not at all for the rest: the same sum. The mean is formed by the caller, after the sums over all
    micro-batches and devices are known.
    """
    labels_BS, weights_BS = targets(batch)
    x_BSD = model.hidden(batch.tokens, batch.positions, batch.segments, key)
    over = jax.sharding.get_abstract_mesh().shape
    tokens = labels_BS.size // math.prod(over[axis] for axis in BATCH)
    with jax.named_scope("loss"):
        head = model.head()
        size = model.logits_mib * 2**20 / (4 * head.shape[1] // over["tensor"])  # tokens at once
        if tokens <= size:
            total = _some(head, x_BSD, labels_BS, weights_BS)
        else:
            total = _in_turns(head, (x_BSD, labels_BS, weights_BS), math.ceil(tokens / max(math.floor(size), 1)))
        return total, jnp.sum(weights_BS)


def _some(head: jax.Array, x_BSD: jax.Array, labels_BS: jax.Array, weights_BS: jax.Array) -> jax.Array:
    return jnp.sum(cross_entropy(scores(x_BSD, head), labels_BS) * weights_BS)


def _in_turns(head: jax.Array, tokens: tuple[jax.Array, ...], turns: int) -> jax.Array:
    """`_some` of all tokens in that many turns. One without targets costs nothing.

    Each device brings its own targets to the front, so that all are through with them at about the same time.
    """

    def targets_first(*local: jax.Array) -> tuple[jax.Array, ...]:
        order_T = jnp.argsort(local[2].reshape(-1) == 0, stable=True)

        def cut(array: jax.Array) -> jax.Array:
            flat = array.reshape(order_T.size, *array.shape[2:])[order_T]
            flat = jnp.pad(flat, ((0, -order_T.size % turns), *((0, 0),) * (flat.ndim - 1)))
            return flat.reshape(turns, 1, -1, *array.shape[2:])

        return tuple(map(cut, local))

    parts = jax.shard_map(targets_first, in_specs=(P(BATCH),) * 3, out_specs=P(None, BATCH))(*tokens)
    busy = jnp.any(parts[2] > 0, axis=(1, 2))

    def turn(total: jax.Array, part: tuple[jax.Array, ...]) -> tuple[jax.Array, None]:
        return total + _turn(head, *part), None

    return jax.lax.scan(turn, jnp.zeros(()), (busy, *parts))[0]


@jax.custom_vjp
def _turn(head: jax.Array, busy: jax.Array, *tokens: jax.Array) -> jax.Array:
    """`_some` if `busy`, else zero. Its backward pass forms the logits again, within one branch that nothing leaves but
    the gradients: JAX's own would hand logits, and a copy of the head, from one branch to another.
    """
    return jax.lax.cond(busy, _some, lambda *_: jnp.zeros(()), head, *tokens)


def _turn_forward(*inputs: jax.Array) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return _turn(*inputs), inputs


def _turn_backward(inputs: tuple[jax.Array, ...], weight: jax.Array) -> tuple[jax.Array | None, ...]:
    head, busy, x_BSD, *rest = inputs

    def some(head: jax.Array, x_BSD: jax.Array) -> tuple[jax.Array, ...]:
        return jax.vjp(lambda head, x_BSD: _some(head, x_BSD, *rest), head, x_BSD)[1](weight)

    def none(head: jax.Array, x_BSD: jax.Array) -> tuple[jax.Array, ...]:
        return jnp.zeros_like(head), jnp.zeros_like(x_BSD)

    head_gradient, x_gradient = jax.lax.cond(busy, some, none, head, x_BSD)
    return head_gradient, None, x_gradient, None, None


_turn.defvjp(_turn_forward, _turn_backward)


def cross_entropy(logits_BSV: jax.Array, labels_BS: jax.Array) -> jax.Array:
    """-log p(label) in nats [B, S] float32; logits whose vocabulary is divided over devices stay so."""
    normalizer_BS = jax.nn.logsumexp(logits_BSV, axis=-1)
    vocabulary_V = jnp.arange(logits_BSV.shape[-1])
    return normalizer_BS - jnp.sum(jnp.where(vocabulary_V == labels_BS[..., None], logits_BSV, 0), axis=-1)
