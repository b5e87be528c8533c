"""Rotary positions (Su et al., 2021), in the half-split layout of Hugging Face's LLaMA, and ways to stretch them."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from bioinstruct_jax.config import Shape


def by_length(shape: Shape) -> bool:
    """Whether the frequencies depend on how long the sequence is, so that they change while it grows."""
    return shape.rope_scaling is not None and shape.rope_scaling.rope_type == "dynamic"


def inverse_frequencies(shape: Shape, length: int) -> np.ndarray:
    """Angle per position of each pair of features, [H / 2] float32.

    Args:
        shape: ``rope_theta``, ``rope_scaling``, ``head_dim`` and ``max_position_embeddings`` are read.
        length: of the sequence in tokens; only ``dynamic`` scaling depends on it.

    The rules are those of transformers' ``ROPE_INIT_FUNCTIONS``: ``linear`` divides by the factor, ``dynamic`` raises
    theta with the length (NTK-aware), ``llama3`` divides low frequencies, keeps high ones and blends between.
    """
    scaling, theta = shape.rope_scaling, shape.rope_theta
    if scaling and scaling.rope_type == "dynamic":
        original = shape.max_position_embeddings  # as transformers: a field original_... changes nothing here
        stretch = scaling.factor * max(length, original) / original - (scaling.factor - 1)
        theta *= stretch ** (shape.head_size / (shape.head_size - 2))
    exponents = np.arange(0, shape.head_size, 2, dtype=np.float32) / np.float32(shape.head_size)
    frequencies = (1.0 / np.float32(theta) ** exponents).astype(np.float32)
    if scaling is None or scaling.rope_type == "dynamic":
        return frequencies
    if scaling.rope_type == "linear":
        return frequencies / np.float32(scaling.factor)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    trained = scaling.original_max_position_embeddings
    assert low is not None  # RopeScaling holds all three
    assert high is not None
    assert trained is not None
    turns = trained * frequencies / np.float32(2 * math.pi)  # full turns within the original context
    share = np.clip((turns - low) / (high - low), 0, 1).astype(np.float32)  # 0: scaled, 1: kept
    return (share + (1 - share) / np.float32(scaling.factor)) * frequencies


def dynamic_frequencies(shape: Shape, lengths_B: jax.Array) -> jax.Array:
    """`inverse_frequencies` under ``dynamic`` scaling for lengths known only to the running program, [B, 1, H / 2]."""
    scaling, original = shape.rope_scaling, shape.max_position_embeddings
    assert scaling is not None
    longest_B11 = jnp.maximum(lengths_B, original).astype(jnp.float32)[:, None, None]
    stretch_B11 = scaling.factor * longest_B11 / original - (scaling.factor - 1)
    theta_B11 = shape.rope_theta * stretch_B11 ** (shape.head_size / (shape.head_size - 2))
    return theta_B11 ** -(jnp.arange(0, shape.head_size, 2, dtype=jnp.float32) / shape.head_size)


def angles(positions_BS: jax.Array, inverse: np.ndarray | jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cosine and sine of each position, two of [B, S, H / 2] float32; `inverse` is [H / 2] or [B, 1, H / 2]."""
    angle_BSh = positions_BS.astype(jnp.float32)[..., None] * inverse
    return jnp.cos(angle_BSh), jnp.sin(angle_BSh)


def rotate(x: jax.Array, cos_BSh: jax.Array, sin_BSh: jax.Array) -> jax.Array:
    """Turn the heads of x [B, S, ..., H] by their positions' angles; computed in float32, returned in x's dtype."""
    heads = tuple(range(2, x.ndim - 1))
    cos, sin = jnp.expand_dims(cos_BSh, heads), jnp.expand_dims(sin_BSh, heads)
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)
