"""The one loss, for training and for held-out rows: cross-entropy summed over target tokens."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from bioinstruct_jax.model.llama import Llama


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
    labels_BS = jnp.roll(batch.tokens, -1, axis=1)
    same_BS = batch.segments[:, :-1] == batch.segments[:, 1:]
    real_BS = (batch.segments[:, 1:] > 0) & same_BS
    weights_BS = jnp.pad(batch.weights[:, 1:].astype(jnp.float32) * real_BS, ((0, 0), (0, 1)))
    return labels_BS, weights_BS


def loss_sum(model: Llama, batch: Batch, key: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
    """Summed cross-entropy in nats over the target tokens, and their number; both float32 scalars.

    The mean is formed by the caller, after the sums over all micro-batches and devices are known.
    """
    labels_BS, weights_BS = targets(batch)
    x_BSD = model.hidden(batch.tokens, batch.positions, batch.segments, key)
    with jax.named_scope("loss"):
        logits_BSV = model.logits(x_BSD)
        return jnp.sum(cross_entropy(logits_BSV, labels_BS) * weights_BS), jnp.sum(weights_BS)


def cross_entropy(logits_BSV: jax.Array, labels_BS: jax.Array) -> jax.Array:
    """-log p(label) in nats [B, S] float32; logits whose vocabulary is divided over devices stay so."""
    normalizer_BS = jax.nn.logsumexp(logits_BSV, axis=-1)
    vocabulary_V = jnp.arange(logits_BSV.shape[-1])
    return normalizer_BS - jnp.sum(jnp.where(vocabulary_V == labels_BS[..., None], logits_BSV, 0), axis=-1)
