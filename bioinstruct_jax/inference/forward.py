"""The forward passes of inference, as XLA compiles them: a cached one for completing, an uncached one for scoring.

Letters beside those of `model.weights`: B slots or rows, T columns of the cache, C targets of a row.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import P

from bioinstruct_jax.config import Shape
from bioinstruct_jax.inference.sampling import likeliest
from bioinstruct_jax.model import rope
from bioinstruct_jax.model.attention import masked
from bioinstruct_jax.model.llama import Llama
from bioinstruct_jax.model.loss import cross_entropy
from bioinstruct_jax.model.weights import BATCH

CACHE = P(None, BATCH, "tensor", None, None)
_LOGITS_BYTES = 2**26  # of scores over the vocabulary that scoring holds at a time


class Cache(NamedTuple):
    """Keys and values of the tokens seen so far.

    A sequence may begin at any column and goes on in the next one, the first after the last: all slots write the same
    column at the same time, so that writing is one slice and never a scatter.

    Attributes:
        keys, values: [L, B, K, T, H], so that a head's products need no transposed copy.
        positions: int32 [B, T], place of the token within its own sequence; -1 where a column holds none.
    """

    keys: jax.Array
    values: jax.Array
    positions: jax.Array


def empty_cache(shape: Shape, rows: int, columns: int, dtype: Any) -> Cache:
    """A cache that holds nothing; call under `jax.set_mesh`."""
    size = (shape.num_hidden_layers, rows, shape.key_value_heads, columns, shape.head_size)
    keys, values = (jnp.zeros(size, dtype, out_sharding=CACHE) for _ in range(2))
    return Cache(keys, values, jnp.full((rows, columns), -1, jnp.int32, out_sharding=P(BATCH, None)))


def extend(
    model: Llama, cache: Cache, tokens_BS: jax.Array, positions_BS: jax.Array, column: jax.Array | int
) -> tuple[jax.Array, Cache]:
    """The last layer's output [B, S, D] of new tokens, and the cache with them in it, from `column` on.

    Args:
        positions_BS: within each row's sequence; -1 for padding, which nothing sees. The columns must not pass the
            cache's end, and under ``dynamic`` scaling what the cache holds must not be longer than the original
            context: beyond it every new token changes how all others are read.
    """
    kept_BT = jax.lax.dynamic_update_slice(cache.positions, positions_BS, (0, column))
    mask_BST = (kept_BT[:, None, :] >= 0) & (kept_BT[:, None, :] <= positions_BS[:, :, None])
    turns = rope.angles(positions_BS, _frequencies(model.shape, positions_BS))

    def mix(q: jax.Array, k: jax.Array, v: jax.Array, kept: Any, layer: jax.Array) -> tuple[jax.Array, Any]:
        keys, values = (
            jax.lax.dynamic_update_slice(old, new.swapaxes(1, 2)[None].astype(old.dtype), (layer, 0, 0, column, 0))
            for old, new in zip(kept, (rope.rotate(k, *turns), v), strict=True)
        )
        k_BTKH, v_BTKH = (
            jax.lax.dynamic_index_in_dim(all_, layer, keepdims=False).swapaxes(1, 2) for all_ in (keys, values)
        )
        return masked(rope.rotate(q, *turns), k_BTKH, v_BTKH, mask_BST), (keys, values)

    x_BSD, (keys, values) = model.through_layers(tokens_BS, mix, (cache.keys, cache.values))
    return x_BSD, Cache(keys, values, kept_BT)


def _frequencies(shape: Shape, positions_BS: jax.Array) -> np.ndarray | jax.Array:
    """Of rows that are as long as their last position says: [H / 2] or, where the length matters, [B, 1, H / 2]."""
    if rope.by_length(shape):
        return rope.dynamic_frequencies(shape, jnp.max(positions_BS, axis=1) + 1)
    return rope.inverse_frequencies(shape, 0)


class Rows(NamedTuple):
    """Texts to score, one a row: a context, then its continuations, each of which sees the context and itself.

    Attributes:
        tokens, positions: int32 [B, S]; positions run on from the context in each continuation.
        branches: int32 [B, S]: 0 context, 1, 2, ... continuations, -1 padding.
        at: int32 [B, C]: column whose output predicts a target.
        targets: int32 [B, C]: the token to be predicted.
    """

    tokens: Any
    positions: Any
    branches: Any
    at: Any
    targets: Any


def score(model: Llama, rows: Rows) -> tuple[jax.Array, jax.Array]:
    """log p of each target in nats [B, C] float32, and whether it is the likeliest token [B, C].

    Logits are formed for targets alone, some at a time. Under ``dynamic`` scaling a row must hold one continuation.
    """
    shape, length = model.shape, rows.tokens.shape[1]
    turns = rope.angles(rows.positions, _frequencies(shape, rows.positions))
    key_B1T, query_BS1 = rows.branches[:, None, :], rows.branches[:, :, None]
    causal_ST = jnp.tril(jnp.ones((length, length), bool))
    mask_BST = causal_ST & ((key_B1T == query_BS1) | ((key_B1T == 0) & (query_BS1 > 0)))

    def mix(q: jax.Array, k: jax.Array, v: jax.Array, kept: None, _: jax.Array) -> tuple[jax.Array, None]:
        return masked(rope.rotate(q, *turns), rope.rotate(k, *turns), v, mask_BST), kept

    x_BSD, _ = model.through_layers(rows.tokens, mix, None)
    chosen_BCS = (rows.at[:, :, None] == jnp.arange(length)).astype(x_BSD.dtype)
    x_BCD = jnp.einsum("BCS,BSD->BCD", chosen_BCS, x_BSD)  # 0 and 1: exact, and no gather over devices

    def some(x_BcD: jax.Array, targets_Bc: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits_BcV = model.logits(x_BcD)
        return -cross_entropy(logits_BcV, targets_Bc), likeliest(logits_BcV) == targets_Bc

    count, each = rows.at.shape[1], 4 * rows.at.shape[0] * (shape.vocab_size or 1)
    size = max(1, min(count, _LOGITS_BYTES // each))
    parts = [some(x_BCD[:, i : i + size], rows.targets[:, i : i + size]) for i in range(0, count, size)]
    return jnp.concatenate([part[0] for part in parts], axis=1), jnp.concatenate([part[1] for part in parts], axis=1)
