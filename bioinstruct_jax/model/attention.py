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
    """`attend` with any mask: query s sees key t where it is true. A query that sees nothing sees all alike."""
    scores_BKGST = jnp.einsum("BSKGH,BTKH->BKGST", q_BSKGH, k_BTKH, preferred_element_type=jnp.float32)
    scores_BKGST = jnp.where(mask_BST[:, None, None], scores_BKGST * q_BSKGH.shape[-1] ** -0.5, _MASKED)
    weights_BKGST = jax.nn.softmax(scores_BKGST, axis=-1)
    return jnp.einsum("BKGST,BTKH->BSKGH", weights_BKGST.astype(v_BTKH.dtype), v_BTKH)
