"""Codes and scales as numbers, against the published table and against numpy, which knows no jax."""

from statistics import NormalDist

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from bioinstruct_jax.config import Mesh
from bioinstruct_jax.model.quantize import BLOCK, NF4, Quantized, dequantize, quantize
from bioinstruct_jax.training.sharding import make_mesh

INT8, UINT8 = jnp.dtype("int8"), jnp.dtype("uint8")
# Appendix E of QLoRA, as it is printed there.
PUBLISHED = """-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
-0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0"""
FINITE = st.floats(-1e4, 1e4, width=32).map(lambda x: x if abs(x) > 1e-30 else 0.0)  # less is zero to XLA
SIZES = [(64, 3), (128, 2), (192, 1, 2)]
kernels = st.sampled_from(SIZES).flatmap(lambda size: arrays(np.float32, size, elements=FINITE))


def _blocks(kernel: np.ndarray, inputs: int) -> np.ndarray:
    """[blocks, inputs of one, *outputs]."""
    return kernel.reshape(-1, inputs, *kernel.shape[1:])


def _nf4_by_numpy(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes [inputs, *outputs], one a number, and absmax [blocks, *outputs]: the nearest value by its distance."""
    blocks = _blocks(kernel, 64)
    absmax = np.abs(blocks).max(axis=1)
    shares = np.divide(blocks, absmax[:, None], out=np.zeros_like(blocks), where=absmax[:, None] != 0)
    distances = np.abs(shares[..., None].astype(np.float64) - np.array(NF4))
    return distances.argmin(axis=-1).reshape(kernel.shape), absmax


def test_the_table_is_the_published_one():
    # Mutation: any digit.
    assert [float(number) for number in PUBLISHED.split(",")] == list(NF4)
    assert BLOCK == 64


def test_the_table_follows_from_its_definition():
    # Quantiles of a normal distribution, eight above zero and seven below, from the published offset on.
    quantile, offset = NormalDist().inv_cdf, 0.9677083
    above = [quantile(share) for share in np.linspace(offset, 0.5, 9)[:-1]]
    below = [-quantile(share) for share in np.linspace(offset, 0.5, 8)[:-1]]
    table = np.array(sorted([*above, 0.0, *below]))
    np.testing.assert_allclose(np.array(NF4), table / table.max(), atol=3e-7)


@given(kernels)
def test_int8_is_off_by_half_a_step_at_most(kernel):
    # Mutations: floor for round; 128 for 127; the absmax over outputs.
    made = quantize(jnp.asarray(kernel), INT8)
    assert (made.codes.dtype, made.codes.shape) == (INT8, kernel.shape)
    assert made.scales.shape == (1, *kernel.shape[1:])
    absmax = np.abs(kernel).max(axis=0, keepdims=True)
    back = np.asarray(dequantize(made, jnp.dtype("float32")))
    assert np.all(np.abs(back - kernel) <= absmax / 127 / 2 * (1 + 1e-4))
    assert np.abs(np.asarray(made.codes, np.int32)).max() <= 127


@given(kernels)
def test_nf4_takes_the_nearest_value_as_numpy_does(kernel):
    # Mutations: a middle left out; blocks of 128; the low half of a byte first; blocks along the outputs.
    made = quantize(jnp.asarray(kernel), UINT8)
    assert (made.codes.dtype, made.codes.shape) == (UINT8, (kernel.shape[0] // 2, *kernel.shape[1:]))
    wanted, absmax = _nf4_by_numpy(kernel)
    np.testing.assert_array_equal(made.scales, absmax)
    packed = np.asarray(made.codes)
    found = np.stack([packed >> 4, packed & 15], axis=1).reshape(kernel.shape)
    table, scales = np.array(NF4), np.repeat(absmax, 64, axis=0)
    # In the middle between two values, rounding decides: then both are as near.
    off = np.abs(table[found] * scales - kernel) - np.abs(table[wanted] * scales - kernel)
    assert np.all(off <= 1e-6 * scales)
    back = np.asarray(dequantize(made, jnp.dtype("float32")))
    np.testing.assert_array_equal(back, table.astype(np.float32)[found] * scales)


@given(arrays(np.uint8, (64, 3), elements=st.integers(0, 15)), st.floats(2**-10, 2**10, width=32))
def test_values_of_the_table_come_back_as_they_are(codes, scale):
    # Mutations: two values of the table exchanged in the look-up; `>=` for `>` with a table shifted by one.
    codes[0] = 15  # so that the absmax is the scale
    kernel = np.array(NF4, np.float32)[codes] * np.float32(scale)
    made = quantize(jnp.asarray(kernel), UINT8)
    np.testing.assert_array_equal(np.asarray(made.codes), codes[0::2] << 4 | codes[1::2])
    np.testing.assert_array_equal(np.asarray(dequantize(made, jnp.dtype("float32"))), kernel)


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
def test_zeros_stay_zeros_and_the_smallest_numbers_finite(dtype):
    # Mutation: divided by the absmax of zero, or multiplied by the inverse of a tiny one.
    kernel = np.zeros((128, 2), np.float32)
    kernel[64:, 1] = 1e-38
    back = np.asarray(dequantize(quantize(jnp.asarray(kernel), dtype), jnp.dtype("float32")))
    assert np.all(back[:, 0] == 0)
    assert np.isfinite(back).all()


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
def test_what_comes_back_comes_back_again(dtype):
    # Quantised twice is quantised once.
    kernel = np.random.default_rng(0).normal(size=(128, 8)).astype(np.float32)
    once = dequantize(quantize(jnp.asarray(kernel), dtype), jnp.dtype("float32"))
    again = dequantize(quantize(once, dtype), jnp.dtype("float32"))
    np.testing.assert_allclose(np.asarray(again), np.asarray(once), rtol=1e-6)


@pytest.mark.parametrize("dtype", [INT8, UINT8], ids=str)
@pytest.mark.parametrize("spec", [jax.P("fsdp", "tensor"), jax.P("tensor", "fsdp")], ids=str)
@pytest.mark.parametrize(("inputs", "sizes"), [(256, (2, 2)), (64, (1, 1)), (64, (1, 2))])
def test_divided_over_devices_it_is_the_same(dtype, spec, inputs, sizes):
    # Mutations: the absmax of a device's own inputs for int8; the reshapes of one block left to JAX.
    if inputs == 64 and sizes == (1, 2) and spec[0] == "tensor":
        sizes = (2, 1)  # a single block is not cut
    kernel = np.random.default_rng(1).normal(size=(inputs, 8)).astype(np.float32)
    alone = quantize(jnp.asarray(kernel), dtype)
    mesh = make_mesh(Mesh(data=1, fsdp=sizes[0], tensor=sizes[1]), jax.devices()[: sizes[0] * sizes[1]])
    with jax.set_mesh(mesh):
        made = jax.jit(quantize, static_argnums=1)(jax.device_put(kernel, jax.NamedSharding(mesh, spec)), dtype)
        back = jax.jit(dequantize, static_argnums=1)(made, jnp.dtype("float32"))
    for one, other in zip(made, alone, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    np.testing.assert_array_equal(np.asarray(back), np.asarray(dequantize(alone, jnp.dtype("float32"))))


def test_in_bfloat16_it_is_the_product_rounded_once():
    kernel = np.random.default_rng(2).normal(size=(64, 4)).astype(np.float32)
    made: Quantized = quantize(jnp.asarray(kernel), INT8)
    exact = dequantize(made, jnp.dtype("float32"))
    np.testing.assert_array_equal(
        np.asarray(dequantize(made, jnp.dtype("bfloat16"))), np.asarray(exact.astype("bfloat16"))
    )
