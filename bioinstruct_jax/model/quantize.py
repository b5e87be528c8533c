"""Kernels of a frozen base in int8 or nf4: one layer's [inputs, *outputs] as small codes and a scale for each block.

A block is a run of inputs of one output. ``int8`` is symmetric with one block an output, that is the absmax over all
inputs (vector-wise, Dettmers et al., 2022, arXiv:2208.07339). ``nf4`` is the data type of QLoRA (Dettmers et al., 2023,
arXiv:2305.14314, appendix E): 16 quantiles of a normal distribution, the absmax of each 64 inputs, two codes a byte,
the first in the high half. A file's kernel is [out, in], so blocks are runs of its flat numbers there, as in QLoRA.
Scales are float32: QLoRA's second quantisation, of the scales, is left out (0.5 bit a weight against 0.127).

The letter I stands for inputs laid flat, as codes or as blocks; O for all outputs, however many dimensions they have.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

BLOCK = 64  # inputs that share a scale in nf4
NF4 = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)


class Quantized(NamedTuple):
    """A kernel, quantised.

    Attributes:
        codes: int8 [I, *O], or for nf4 uint8 [I / 2, *O].
        scales: float32 [blocks, *O]; in int8 the value of code 1, in nf4 the absmax.
    """

    codes: jax.Array
    scales: jax.Array


def quantize(kernel_IO: jax.Array, dtype: jnp.dtype) -> Quantized:
    """The nearest that codes of `dtype` can stand for; a block of zeros (or below 1e-36) has scale 0 and comes back
    as zeros.

    The error of int8 is at most half a scale. Of nf4, a number in the middle between two values takes the lower one.

    Args:
        kernel_IO: finite; for nf4, the inputs on each device are a multiple of 64.
        dtype: of the codes: int8, or uint8 for nf4.
    """
    kernel_IO = kernel_IO.astype(jnp.float32)
    if dtype == jnp.int8:
        scales = jnp.max(jnp.abs(kernel_IO), axis=0, keepdims=True) / 127
        return Quantized(jnp.clip(jnp.round(kernel_IO / _divisor(scales)), -127, 127).astype(jnp.int8), scales)
    inputs, outputs = kernel_IO.shape[0], kernel_IO.ndim - 1
    blocks = _cut(kernel_IO, (inputs // BLOCK, BLOCK), outputs)
    scales = jnp.max(jnp.abs(blocks), axis=1)
    shares = blocks / _divisor(scales)[:, None]
    middles = [(low + high) / 2 for low, high in itertools.pairwise(NF4)]
    codes = sum(((shares > middle).astype(jnp.uint8) for middle in middles), jnp.zeros_like(shares, jnp.uint8))
    pairs = _cut(codes, (inputs // BLOCK, BLOCK // 2, 2), outputs)
    return Quantized(_cut(pairs[:, :, 0] << 4 | pairs[:, :, 1], (inputs // 2,), outputs), scales)


def dequantize(quantized: Quantized, dtype: jnp.dtype) -> jax.Array:
    """The kernel [I, *O]: code times scale in float32, then cast. Elementwise, so it needs no other device's blocks."""
    codes, scales = quantized
    if codes.dtype == jnp.int8:
        return (codes.astype(jnp.float32) * scales).astype(dtype)
    outputs = codes.ndim - 1
    numbers = _looked_up(jnp.stack([codes >> 4, codes & 15], axis=1))
    blocks = _cut(numbers, (scales.shape[0], BLOCK), outputs) * scales[:, None]
    return _cut(blocks.astype(dtype), (2 * codes.shape[0],), outputs)


def _divisor(scales: jax.Array) -> jax.Array:
    """What to divide by; not its inverse to multiply with, which of a tiny scale is infinite."""
    return jnp.where(scales == 0, 1, scales)


def _cut(array: jax.Array, inputs: tuple[int, ...], outputs: int) -> jax.Array:
    """[.., *O] as [*inputs, *O], where *O are so many dimensions: of the inputs' only the first is divided, as it was.

    Said to the compiler, since a single block, a first dimension of 1, could as well be divided inside.
    """
    last = array.ndim - outputs
    sharding, shape = jax.typeof(array).sharding, (*inputs, *array.shape[last:])
    if sharding.mesh.empty:
        return array.reshape(shape)
    spec = jax.P(sharding.spec[0], *[None] * (len(inputs) - 1), *sharding.spec[last:])
    return jax.lax.reshape(array, shape, out_sharding=jax.NamedSharding(sharding.mesh, spec))


def _looked_up(codes: jax.Array) -> jax.Array:
    """The values of nf4's codes by choices on their bits: a TPU looks tables up one number at a time."""

    def among(values: Sequence[float], bit: int) -> jax.Array | float:
        if bit < 0:
            return values[0]
        half = len(values) // 2
        return jnp.where(codes >> bit & 1, among(values[half:], bit - 1), among(values[:half], bit - 1))

    return jnp.asarray(among(NF4, 3), jnp.float32)
