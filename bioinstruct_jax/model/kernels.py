"""Attention kernels for packed rows: which one a mesh gets, and how each is called. All equal `attention.attend`.

splash is the block-sparse flash attention for TPU that ships with JAX, triton its flash attention for NVIDIA GPUs; both
take segment ids and never hold the scores of a whole row. On a CPU they run interpreted: slowly, to be compared.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import P
from jax.ad_checkpoint import checkpoint_name

from bioinstruct_jax.config import Shape
from bioinstruct_jax.model.attention import attend
from bioinstruct_jax.model.weights import BATCH, AnyMesh

NAME = "attention"  # under which a policy of rematerialisation finds the output, and what belongs to it

# Rows of queries and of keys that splash holds at a time, by the beginning of the device kind; the second is the rest.
_SPLASH_BLOCKS = {"TPU v6": (1024, 2048)}
_SPLASH_OTHERS = (512, 512)
_SPLASH_PRODUCT = 512  # keys in one product within such a block
_TRITON_FORWARD, _TRITON_BACKWARD = 128, 32  # rows of queries, and of keys
_UNITS = {"splash": 128, "triton": 16}  # a row is a multiple of: a TPU's vector width, the least product of triton
_HOMES = {"splash": "tpu", "triton": "gpu"}


@dataclass(frozen=True)
class Kernel:
    """An implementation of attention, called as `attention.attend` is; static to XLA.

    Attributes:
        name: which one.
        blocks: rows of queries and of keys that splash holds at a time, or the nearest below that divide a row.
        interpret: run it as ordinary operations, which every device has.
    """

    name: Literal["reference", "splash", "triton"] = "reference"
    blocks: tuple[int, int] = _SPLASH_OTHERS
    interpret: bool = False

    def __call__(self, q_BSKGH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array, segments_BS: jax.Array) -> jax.Array:
        if self.name == "reference":
            return checkpoint_name(attend(q_BSKGH, k_BTKH, v_BTKH, segments_BS), NAME)
        # A kernel does not say over which mesh axes its output differs, so JAX cannot check it; nothing depends on
        # that: every axis divides all operands but the segments, which have no gradient.
        heads, rows = P(BATCH, None, "tensor"), P(BATCH, None)
        part = partial(_splash if self.name == "splash" else _triton, self)
        mapped = jax.shard_map(part, in_specs=(heads, heads, heads, rows), out_specs=heads, check_vma=False)
        return mapped(q_BSKGH, k_BTKH, v_BTKH, segments_BS)


REFERENCE = Kernel()


def choose(name: str, mesh: AnyMesh, shape: Shape, length: int) -> Kernel:
    """The implementation for a job's devices; see `choose_for`. Raises ValueError as it does.

    Args:
        mesh: of real devices, of those of a described slice, or abstract, which may not say what its devices are.
    """
    return choose_for(name, *_device(mesh), shape, length)


def choose_for(name: str, platform: str, kind: str, shape: Shape, length: int) -> Kernel:
    """The implementation for one kind of device.

    Args:
        name: ``model.attention``. ``auto``: splash on a TPU, triton on a GPU, the reference elsewhere.
        platform, kind: tpu, gpu or cpu, and as JAX names it; empty where they are not known.
        length: tokens in a row.

    Raises:
        ValueError: for a kernel of other devices than these, or one that cannot take such rows or heads; never is
            another put in its place.
    """
    chosen = {home: kernel for kernel, home in _HOMES.items()}.get(platform, "reference") if name == "auto" else name
    if chosen == "reference":
        return REFERENCE
    if platform not in (_HOMES[chosen], "cpu", ""):
        raise ValueError(
            f"model.attention {chosen} is a kernel for a {_HOMES[chosen].upper()}, and these devices are {kind!r}: "
            "set model.attention auto"
        )
    other = "or set model.attention reference, whose memory grows with the square of the row"
    if length % _UNITS[chosen]:
        nearest = -(-length // _UNITS[chosen]) * _UNITS[chosen]
        raise ValueError(
            f"model.attention {name}: {chosen} takes rows of a multiple of {_UNITS[chosen]} tokens, and data.length is "
            f"{length}: set data.length {nearest}, {other}"
        )
    if chosen == "triton" and shape.head_size < _UNITS["triton"]:
        raise ValueError(
            f"model.attention {name}: triton takes heads of at least {_UNITS['triton']} elements, and these have "
            f"{shape.head_size}: set model.attention reference"
        )
    blocks = next((blocks for start, blocks in _SPLASH_BLOCKS.items() if kind.startswith(start)), _SPLASH_OTHERS)
    return Kernel(chosen, blocks, interpret=platform == "cpu")  # type: ignore[arg-type]


def _device(mesh: AnyMesh) -> tuple[str, str]:
    """Platform (cpu, gpu, tpu) and kind of a mesh's devices; empty where an abstract mesh does not say."""
    device = mesh.devices.flat[0] if isinstance(mesh, jax.sharding.Mesh) else mesh.abstract_device
    return (device.platform, device.device_kind) if device else ("", "")


def _splash(
    kernel: Kernel, q_BSKGH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array, segments_BS: jax.Array
) -> jax.Array:
    """One device's rows and heads. Of N = K G query heads, head n reads key head n // G, as in the layout [K, G]."""
    from jax.experimental.pallas.ops.tpu import splash_attention as splash

    B, S, K, G, H = q_BSKGH.shape
    rows, columns = (_part(S, wanted, _UNITS["splash"]) for wanted in kernel.blocks)
    product = _part(columns, _SPLASH_PRODUCT, _UNITS["splash"])
    blocks = splash.BlockSizes(
        block_q=rows,
        block_kv=columns,
        block_kv_compute=product,
        block_q_dkv=rows,
        block_kv_dkv=columns,
        block_kv_dkv_compute=product,
        block_q_dq=rows,
        block_kv_dq=columns,
    )
    attention = splash.make_splash_mha_single_device(
        splash.MultiHeadMask([splash.CausalMask((S, S))] * (K * G)),
        block_sizes=blocks,
        residual_checkpoint_name=NAME,  # names its output and the logarithms of its sums
        interpret=kernel.interpret,
    )
    q_BNSH = (q_BSKGH * H**-0.5).reshape(B, S, K * G, H).swapaxes(1, 2)  # it leaves scaling to its caller
    ids = splash.SegmentIds(segments_BS, segments_BS)
    mixed_BNSH = jax.vmap(attention)(q_BNSH, k_BTKH.swapaxes(1, 2), v_BTKH.swapaxes(1, 2), ids)
    return mixed_BNSH.swapaxes(1, 2).reshape(B, S, K, G, H)


def _triton(
    kernel: Kernel, q_BSKGH: jax.Array, k_BTKH: jax.Array, v_BTKH: jax.Array, segments_BS: jax.Array
) -> jax.Array:
    """One device's rows and heads. It knows no groups: each query head gets its key head's keys and values."""
    from jax.experimental.pallas.ops.gpu.attention import BlockSizes, mha

    B, S, K, G, H = q_BSKGH.shape
    forward, backward = (
        max(size for size in (16, 32, 64, 128) if size <= most and S % size == 0)
        for most in (_TRITON_FORWARD, _TRITON_BACKWARD)
    )
    blocks = BlockSizes(forward, forward, backward, backward, backward, backward)
    settings = {"sm_scale": H**-0.5, "causal": True, "block_sizes": blocks, "interpret": kernel.interpret}

    # Its own rule of differentiation, with the residuals named: otherwise a policy could keep the output, but the
    # kernel would run again for the logarithms of its sums.
    @jax.custom_vjp
    def mixed(*inputs: jax.Array) -> jax.Array:
        return mha(*inputs, **settings)

    def kept(*inputs: jax.Array) -> tuple[jax.Array, Any]:
        out_BSNH, pullback = jax.vjp(partial(mha, segment_ids=inputs[3], **settings), *inputs[:3])
        named_BSNH = checkpoint_name(out_BSNH, NAME)

        def name(leaf: jax.Array) -> jax.Array:
            if leaf is out_BSNH:
                return named_BSNH
            return leaf if any(leaf is given for given in inputs) else checkpoint_name(leaf, NAME)

        return named_BSNH, jax.tree.map(name, pullback)

    mixed.defvjp(kept, lambda pullback, out_BSNH: (*pullback(out_BSNH), None))
    q_BSNH, k_BTNH, v_BTNH = (
        jnp.broadcast_to(array, q_BSKGH.shape).reshape(B, S, K * G, H)
        for array in (q_BSKGH, k_BTKH[:, :, :, None], v_BTKH[:, :, :, None])
    )
    return mixed(q_BSNH, k_BTNH, v_BTNH, segments_BS).reshape(q_BSKGH.shape)


def _part(size: int, wanted: int, unit: int) -> int:
    """The largest multiple of `unit` that divides `size` and is not above `wanted`."""
    return max(part for part in range(unit, min(size, wanted) + 1, unit) if size % part == 0)
