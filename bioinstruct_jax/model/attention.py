"""Causal attention that keeps the segments of a packed row apart: the reference that kernels are tested against."""

import jax
import jax.numpy as jnp

_MASKED = -1e30  # exp() of it is exactly zero in float32, so masked keys get exactly no weight and no gradient


def attend(q_BSKGH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array, segments_BS: jax.Array) -> jax.Array:
    """Scaled dot-product attention with grouped queries.

    Args:
        q_BSKGH, k_BTKH, v_BTKH: after rotary positions; S == T.
        segments_BS: int32; a token sees itself and earlier tokens of its own segment. Padding is segment 0, which sees
            only padding, so that no row of the softmax is empty.

    Returns:
        [B, S, K, G, H] in q's dtype. Scores and softmax are float32.
    """
    causal_ST = jnp.tril(jnp.ones((q_BSKGH.shape[1],) * 2, bool))
    return masked(q_BSKGH, k_BTKH, v_BTKH, causal_ST & (segments_BS[:, :, None] == segments_BS[:, None, :]))


def masked(q_BSKGH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array, mask_BST: jax.Array) -> jax.Array:
    """`attend` with any mask: query s sees key t where it is true. A query that sees nothing sees all alike.

    All queries of a key head are the rows of one matrix (M = S G), so that both products are plain batched ones.
    """
    B, S, K, G, H = q_BSKGH.shape
    q_BKMH = _reshaped(q_BSKGH.swapaxes(1, 2), (B, K, S * G, H))
    scores_BKMT = jnp.einsum("BKMH,BTKH->BKMT", q_BKMH, k_BTKH, preferred_element_type=jnp.float32)
    scores_BKSGT = _reshaped(scores_BKMT, (B, K, S, G, k_BTKH.shape[1])) * H**-0.5
    weights_BKSGT = jax.nn.softmax(jnp.where(mask_BST[:, None, :, None], scores_BKSGT, _MASKED), axis=-1)
    weights_BKMT = _reshaped(weights_BKSGT, scores_BKMT.shape).astype(v_BTKH.dtype)
    mixed_BKMH = jnp.einsum("BKMT,BTKH->BKMH", weights_BKMT, v_BTKH)
    return _reshaped(mixed_BKMH, (B, K, S, G, H)).swapaxes(1, 2)


def _reshaped(x: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """With other sizes behind the first two, which stay divided as they are: `reshape` forgets it for sizes of 1."""
    first, second = tuple(jax.typeof(x).sharding.spec)[:2] or (None, None)
    kept = jax.P(first, second, *(None,) * (len(shape) - 2)) if first or second else None
    return jax.lax.reshape(x, shape, out_sharding=kept)
