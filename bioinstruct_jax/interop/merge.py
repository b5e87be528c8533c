"""An adapter merged into its base: W + s A B in float32, tensor by tensor, then cast to the type of the files."""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import P
from upath import UPath

from bioinstruct_jax.config import Lora, Mesh, Shape
from bioinstruct_jax.interop.hub_folder import HubTensor, check, check_tied, find, hub_tensors
from bioinstruct_jax.interop.hub_weights import Hashes, load, save_tensors, to_host
from bioinstruct_jax.interop.tensor_file import Tensor, read_rows
from bioinstruct_jax.model.llama import Llama
from bioinstruct_jax.model.lora import scale
from bioinstruct_jax.model.weights import BATCH, Weight, base_weights, lora_weights
from bioinstruct_jax.training.sharding import make_mesh

_FLOAT32 = np.dtype(np.float32)


@dataclass(frozen=True)
class Merge:
    """An adapter and the base it is merged into, whose weights stay in their files.

    Attributes:
        base: folder of the base, in Hugging Face layout.
        shape: of the base.
        lora, adapter: settings and weights by path, as `peft_adapter.load` gives them.
    """

    base: UPath
    shape: Shape
    lora: Lora
    adapter: dict[str, np.ndarray] = field(repr=False)


def usual_dtype(base: UPath) -> np.dtype:
    """The type of most numbers in a folder's files; float32 for float64. Raises as `hub_weights.load` does."""
    counts: dict[np.dtype, int] = {}
    for tensor in find(base).values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + math.prod(tensor.shape)
    usual = max(counts, key=lambda dtype: counts[dtype], default=_FLOAT32)
    return _FLOAT32 if usual.itemsize > 4 else usual


def save(folder: UPath, merge: Merge, dtype: np.dtype, *, max_shard_bytes: int) -> Hashes:
    """Write the merged weights as `hub_weights.save_tensors` does; the host holds one tensor at a time.

    Args:
        dtype: of the files; products and sums are float32 whatever it is.

    Returns:
        The hashes of what was to be written.

    Raises:
        FileNotFoundError, ValueError: as `hub_weights.load`, for the base's files; a number too large for `dtype`.
        OSError: the folder cannot be written.
    """
    table, found, hashes = base_weights(merge.shape), find(merge.base), Hashes()
    check(merge.base, found, table)
    tensors = hub_tensors(table)
    with contextlib.ExitStack() as stack:
        files = {tensor.file for tensor in found.values()}
        streams = {file: stack.enter_context(file.open("rb")) for file in files}
        check_tied(streams, found, table)

        def numbers() -> Iterator[np.ndarray]:
            for tensor in tensors:
                stored = found[tensor.name]
                array = read_rows(streams[stored.file], stored, slice(None), _FLOAT32)
                change = _change(merge, tensor)
                array = _cast(array if change is None else array + change, dtype, stored)
                hashes.add(tensor.name, array)
                yield array

        entries = [(tensor.name, dtype, table[tensor.path].hub_shape) for tensor in tensors]
        save_tensors(folder, entries, numbers(), max_shard_bytes=max_shard_bytes)
    return hashes


def _change(merge: Merge, tensor: HubTensor) -> np.ndarray | None:
    """s B A [out, in] of one layer of one projection, as the file has it; None where nothing is adapted."""
    table = lora_weights(merge.shape, merge.lora)
    stem = tensor.path.removesuffix(".kernel")
    if f"{stem}.lora_a" not in table:
        return None
    a_RI, b_OR = (
        table[path].to_hub(merge.adapter[path][tensor.layer]) for path in (f"{stem}.lora_a", f"{stem}.lora_b")
    )
    return (b_OR @ a_RI) * np.float32(scale(merge.lora))


def _cast(array: np.ndarray, dtype: np.dtype, origin: Tensor) -> np.ndarray:
    with np.errstate(over="ignore"):
        cast = array.astype(dtype)
    if not np.isfinite(cast).all():
        raise ValueError(
            f"{origin.file}: tensor {origin.name}, merged, reaches {np.abs(array).max():g}, which {dtype.name} cannot "
            "hold; export with --dtype=bfloat16 or --dtype=float32"
        )
    return cast


# -------------------------------------------------------------------- on the devices, to compare


def device_mesh(shape: Shape) -> jax.sharding.Mesh:
    """The default devices, or as many of them as divide the model's width."""
    return make_mesh(Mesh(), jax.devices()[: math.gcd(shape.hidden_size, len(jax.devices()))])


def load_base(merge: Merge, mesh: jax.sharding.Mesh) -> dict[str, jax.Array]:
    """The base's weights by path, each in the type that its file has (float32 for float64 or several types)."""
    found, table = find(merge.base), base_weights(merge.shape)
    check(merge.base, found, table)
    kinds: dict[str, set[np.dtype]] = {path: set() for path in table}
    for name, path, _ in hub_tensors(table):
        kinds[path].add(found[name].dtype)
    dtypes = {path: one if len(of) == 1 and (one := min(of)).itemsize <= 4 else _FLOAT32 for path, of in kinds.items()}
    return load(merge.base, {path: weight.abstract(dtypes[path], mesh) for path, weight in table.items()}, table)


def load_adapter(merge: Merge, mesh: jax.sharding.Mesh) -> dict[str, jax.Array]:
    """The adapter's weights by path, float32."""
    table = lora_weights(merge.shape, merge.lora)
    return {path: jax.device_put(merge.adapter[path], _sharding(weight, mesh)) for path, weight in table.items()}


def _sharding(weight: Weight, mesh: jax.sharding.Mesh) -> jax.NamedSharding:
    return jax.NamedSharding(mesh, weight.placed(mesh))


def read_back(
    folder: UPath, merge: Merge, dtype: np.dtype, written: Hashes, mesh: jax.sharding.Mesh
) -> dict[str, jax.Array]:
    """The merged weights by path, as they stand in the files.

    Raises:
        ValueError: a file is damaged, or a tensor is not, bit for bit, what was to be written; names it.
    """
    table, hashes = base_weights(merge.shape), Hashes()
    arrays = load(folder, {path: weight.abstract(dtype, mesh) for path, weight in table.items()}, table)
    tensors = hub_tensors(table)
    for (name, path, layer), (expected, before) in zip(tensors, written.so_far, strict=True):
        hashes.add(name, to_host(arrays[path], table[path], layer))
        if (expected, before) != hashes.so_far[-1]:
            raise ValueError(
                f"{folder}: tensor {name} was read back with other values than were written; check the disk, and run "
                "the same command again"
            )
    return arrays


def logits(
    shape: Shape,
    arrays: dict[str, jax.Array],
    lora: Lora | None,
    rows: tuple[np.ndarray, np.ndarray],
    mesh: jax.sharding.Mesh,
) -> np.ndarray:
    """Logits [tokens, V] float32 of every real token of some rows, with float32 products whatever the weights are.

    Args:
        arrays: the model's weights by path; with `lora`, the adapter's among them.
        rows: tokens and segments, int32 [B, S]; segment 0 is padding.
    """
    tokens_BS, segments_BS = rows
    missing = -len(tokens_BS) % (mesh.shape["data"] * mesh.shape["fsdp"])
    positions_BS = np.broadcast_to(np.arange(tokens_BS.shape[1], dtype=np.int32), tokens_BS.shape)
    sharding = jax.NamedSharding(mesh, P(BATCH, None))
    batch = [
        jax.device_put(np.pad(array, ((0, missing), (0, 0))), sharding)
        for array in (tokens_BS, positions_BS, segments_BS)
    ]

    with jax.set_mesh(mesh), jax.default_matmul_precision("highest"):
        logits_BSV = jax.device_get(_forward(shape, lora)(arrays, *batch))
    return logits_BSV[: len(tokens_BS)][segments_BS > 0]


def _forward(shape: Shape, lora: Lora | None) -> Any:
    # Left to itself, XLA's CPU compiler casts the weights of all layers before their loop: a copy of the model.
    options = {"xla_disable_hlo_passes": "while-loop-invariant-code-motion"} if jax.default_backend() == "cpu" else None

    @partial(jax.jit, compiler_options=options)
    def forward(arrays: dict[str, jax.Array], *batch: jax.Array) -> jax.Array:
        return Llama(shape, lora, jnp.dtype("float32"), lambda path, _: arrays[path])(*batch)

    return forward


@dataclass(frozen=True)
class Gap:
    """How far the logits of a merged model are from those of base + adapter.

    Attributes:
        largest: absolute difference.
        reach: largest absolute logit of base + adapter.
        effect: largest absolute difference that the adapter makes to the base.
        dtype: of the merged weights.
        tokens: how many were compared.
    """

    largest: float
    reach: float
    effect: float
    dtype: np.dtype
    tokens: int

    def lines(self) -> list[str]:
        """For people."""
        rounding = 2 / float(jnp.finfo(self.dtype).eps)
        lines = [
            f"largest logit difference to base + adapter: {self.largest:.3g} on {self.tokens:,} tokens of prompts",
            f"logits reach {self.reach:.3g}, and the adapter moves them by up to {self.effect:.3g}; {self.dtype.name} "
            f"rounds each weight by up to 1 part in {rounding:,.0f}",
        ]
        if self.effect == 0:
            lines.append("the adapter changes nothing: this is the base")
        elif self.largest > self.effect / 2 and self.dtype != _FLOAT32:
            lines.append("rounding undoes much of what the adapter does: merge with --dtype=float32")
        return lines


def gap(merged_NV: np.ndarray, expected_NV: np.ndarray, plain_NV: np.ndarray, dtype: np.dtype) -> Gap:
    """From the logits [tokens, V] of the merged model, of base + adapter and of the base.

    Raises:
        ValueError: some of them are NaN or infinite.
    """
    largest, reach, effect = (
        float(np.abs(array).max()) for array in (merged_NV - expected_NV, expected_NV, expected_NV - plain_NV)
    )
    if not np.isfinite([largest, reach, effect]).all():
        raise ValueError("logits of base + adapter or of the merged model are NaN or infinite: the adapter is broken")
    return Gap(largest, reach, effect, dtype, len(merged_NV))
