"""The implementations of attention that `tests.benchmarks.attention` compares, all called as `attention.attend` is."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from bioinstruct_jax.model.kernels import REFERENCE, Kernel

Attention = Callable[[jax.Array, jax.Array, jax.Array, jax.Array], jax.Array]

# Queries and keys at a time forward; backward, rows that a program owns (keys for dk and dv, queries for dq) and those
# that it walks over. `triton` itself has 128, 128, 32, 32.
_BLOCKS = [(64, 64, 64, 32), (128, 64, 32, 32), (128, 64, 64, 64), (128, 32, 64, 32), (128, 128, 128, 64)]


def candidates(tiny: bool) -> dict[str, Attention]:
    """All of them by name; `tiny` has what a CPU can run: kernels interpreted, XLA's implementation for cuDNN's."""
    nn = "xla" if tiny else "cudnn"
    found: dict[str, Attention] = {
        "reference": REFERENCE,
        "triton": Kernel("triton", interpret=tiny),
        nn: partial(_nn, nn, causal=False),
        f"{nn}-causal": partial(_nn, nn, causal=True),  # which may skip half of the blocks
        f"{nn}-unsegmented": partial(_nn, nn, causal=True, segmented=False),  # what segments cost; packed, it is wrong
    }
    for name in ("xla",) if tiny else ("mosaic", "triton", "cudnn"):
        found[f"tokamax-{name}"] = partial(_tokamax, name)
    for sizes in _BLOCKS[:1] if tiny else _BLOCKS:
        found["triton-" + "x".join(map(str, sizes))] = partial(_mha, sizes, interpret=tiny)
    return found


def _nn(
    implementation: str,
    q_BSKGH: jax.Array,
    k_BTKH: jax.Array,
    v_BTKH: jax.Array,
    segments_BS: jax.Array,
    *,
    causal: bool,
    segmented: bool = True,
) -> jax.Array:
    """`jax.nn.dot_product_attention` with a dense mask."""
    mask_BNST = mask(segments_BS, causal=not causal) if segmented else None
    mixed = partial(jax.nn.dot_product_attention, implementation=implementation)  # type: ignore[arg-type]
    return mixed(_flat(q_BSKGH), k_BTKH, v_BTKH, mask=mask_BNST, is_causal=causal).reshape(q_BSKGH.shape)


def _tokamax(
    implementation: str, q_BSKGH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array, segments_BS: jax.Array
) -> jax.Array:
    import tokamax

    mixed_BSNH = tokamax.dot_product_attention(
        _flat(q_BSKGH),
        k_BTKH,
        v_BTKH,
        mask=mask(segments_BS, causal=False),
        is_causal=True,
        implementation=implementation,
    )
    return mixed_BSNH.reshape(q_BSKGH.shape)


def _mha(
    sizes: tuple[int, int, int, int],
    q_BSKGH: jax.Array,
    k_BTKH: jax.Array,
    v_BTKH: jax.Array,
    segments_BS: jax.Array,
    *,
    interpret: bool,
) -> jax.Array:
    """The kernel of `triton` in other blocks. It knows no groups: each query head gets its own keys and values."""
    from jax.experimental.pallas.ops.gpu.attention import BlockSizes, mha

    queries, keys, owned, walked = sizes
    blocks = BlockSizes(queries, keys, walked, owned, owned, walked)
    G, H = q_BSKGH.shape[3:]
    k_BTNH, v_BTNH = (jnp.repeat(array, G, axis=2) for array in (k_BTKH, v_BTKH))
    scale = {"sm_scale": H**-0.5, "causal": True}
    return mha(_flat(q_BSKGH), k_BTNH, v_BTNH, segments_BS, block_sizes=blocks, interpret=interpret, **scale).reshape(
        q_BSKGH.shape
    )


def _flat(q_BSKGH: jax.Array) -> jax.Array:
    B, S, K, G, H = q_BSKGH.shape
    return q_BSKGH.reshape(B, S, K * G, H)


def mask(segments_BS: jax.Array, *, causal: bool) -> jax.Array:
    """[B, 1, S, T]: the same segment, and not later where `causal`."""
    same_BNST = segments_BS[:, None, :, None] == segments_BS[:, None, None, :]
    return same_BNST & jnp.tril(jnp.ones((segments_BS.shape[1],) * 2, bool)) if causal else same_BNST
