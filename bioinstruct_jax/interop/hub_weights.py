"""LLaMA weights in Hugging Face layout: read by slices straight into shards, written layer by layer, hashed."""

import contextlib
import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO

import jax
import jax.numpy as jnp
import numpy as np
from jax import P
from upath import UPath

from bioinstruct_jax.files import make_folder
from bioinstruct_jax.interop.hub_folder import INDEX, SINGLE, check, check_tied, find, hub_tensors
from bioinstruct_jax.interop.tensor_file import BLOCK, Tensor, read_rows, write
from bioinstruct_jax.model.quantize import Quantized, quantize
from bioinstruct_jax.model.weights import Weight

# -------------------------------------------------------------------- reading


def load(
    folder: UPath, abstract: Mapping[str, jax.ShapeDtypeStruct | jax.Array], table: dict[str, Weight]
) -> dict[str, jax.Array]:
    """The weights named in `abstract`, each in its dtype and sharding, as every process needs its own slices.

    Beyond the arrays themselves the host holds one layer of one weight; embedding and head are read by blocks of rows.
    Kernels whose codes and scales are named are read in float32 and quantised layer by layer, on the devices: no more
    than one layer of one of them is ever there unquantised.

    Args:
        folder: with ``model.safetensors``, or ``model.safetensors.index.json`` and its shards.
        abstract: weights by path, with NamedShardings; stacked weights are whole along the layers. Arrays will do.
        table: describes them; further entries (adapters) do not matter.

    Raises:
        FileNotFoundError: no safetensors files, or a shard of the index is missing.
        ValueError: naming file and tensor: a damaged file, a missing, unexpected or misshapen tensor, NaN or infinity,
            a head that is not the embedding it should be tied to.
    """
    table = {path: weight for path, weight in table.items() if path in abstract}
    found = find(folder)
    in_files = {path: weight.of or weight for path, weight in table.items() if weight.kind != "scales"}
    check(folder, found, in_files)
    whole_first = sorted(in_files, key=lambda path: (in_files[path].stacked, -in_files[path].size))
    with contextlib.ExitStack() as stack:
        files = {tensor.file for tensor in found.values()}
        streams = {file: stack.enter_context(file.open("rb")) for file in files}
        check_tied(streams, found, table)
        loaded: dict[str, jax.Array] = {}
        for path in whole_first:
            if (kernel := table[path].of) is None:
                loaded[path] = _load_weight(streams, found, table[path], abstract[path])
            else:
                scales = path.removesuffix("codes") + "scales"
                like = Quantized(abstract[path], abstract[scales])  # type: ignore[arg-type]
                loaded[path], loaded[scales] = _load_quantized(streams, found, kernel, like)
        return loaded


def _load_weight(
    streams: dict[UPath, BinaryIO], found: dict[str, Tensor], weight: Weight, like: jax.ShapeDtypeStruct | jax.Array
) -> jax.Array:
    sharding, mesh = _where(weight, like)
    if not weight.stacked:
        in_blocks = len(weight.shape) == 2 and found[weight.hub].row_bytes * weight.hub_shape[0] > 2 * BLOCK
        return (_in_blocks if in_blocks else _place)(streams, found[weight.hub], weight, like.dtype, sharding)
    one = replace(weight, dims=weight.dims[1:], shape=weight.shape[1:])
    one_sharding = jax.NamedSharding(mesh, P(*sharding.spec[1:]))
    with jax.set_mesh(mesh):
        stacked = jnp.zeros(like.shape, like.dtype, device=sharding)
        for i in range(weight.shape[0]):
            layer = _place(streams, found[weight.hub.format(i=i)], one, like.dtype, one_sharding)
            stacked = jax.block_until_ready(_with_layer(stacked, layer, i))  # or many layers would wait in memory
    return stacked


def _where(weight: Weight, like: Any) -> tuple[jax.NamedSharding, jax.sharding.Mesh]:
    sharding = like.sharding
    if not isinstance(sharding, jax.NamedSharding) or not isinstance(sharding.mesh, jax.sharding.Mesh):
        raise TypeError(f"{weight.hub}: a NamedSharding on real devices says where it shall lie, not {sharding!r}")
    return sharding, sharding.mesh


def _load_quantized(
    streams: dict[UPath, BinaryIO], found: dict[str, Tensor], kernel: Weight, like: Quantized
) -> Quantized:
    """As `_load_weight`, for a stacked kernel that is to be quantised like `like`."""
    codes, mesh = _where(kernel, like.codes)
    shardings = Quantized(codes, _where(kernel, like.scales)[0])  # type: ignore[arg-type]
    one = replace(kernel, dims=kernel.dims[1:], shape=kernel.shape[1:])
    where = jax.NamedSharding(mesh, P(*kernel.spec[1:]))
    with jax.set_mesh(mesh):
        parts = zip(like, shardings, strict=True)
        stacked = Quantized(*(jnp.zeros(part.shape, part.dtype, device=sharding) for part, sharding in parts))
        with_layer = jax.jit(_with_quantized, donate_argnums=0, out_shardings=shardings)
        for i in range(kernel.shape[0]):
            layer = _place(streams, found[kernel.hub.format(i=i)], one, np.dtype(np.float32), where)
            stacked = jax.block_until_ready(with_layer(stacked, layer, i))
    return stacked


def _with_quantized(stacked: Quantized, layer: jax.Array, index: int) -> Quantized:
    made = quantize(layer, stacked.codes.dtype)
    return jax.tree.map(lambda all_, one: jax.lax.dynamic_update_slice_in_dim(all_, one[None], index, 0), stacked, made)


@partial(jax.jit, donate_argnums=0)
def _with_layer(stacked: jax.Array, layer: jax.Array, index: int) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(stacked, layer[None], index, axis=0)


def _in_blocks(
    streams: dict[UPath, BinaryIO], tensor: Tensor, weight: Weight, dtype: np.dtype, sharding: jax.NamedSharding
) -> jax.Array:
    """As `_place`, for an embedding or a head: filled block by block where it shall lie."""
    rows_at = int(weight.multiplies)
    shards: dict[jax.Device, jax.Array] = {}
    places: dict[jax.Device, tuple[jax.sharding.Mesh, jax.NamedSharding]] = {}
    pieces: dict[jax.Device, tuple[Weight, slice, slice]] = {}
    for device, index in sharding.addressable_devices_indices_map(weight.shape).items():
        pieces[device] = _piece(weight, index or (slice(None),) * len(weight.shape))
        mesh = jax.make_mesh((1,), ("one",), devices=[device])
        places[device] = mesh, (here := jax.NamedSharding(mesh, P()))
        with jax.set_mesh(mesh):
            shards[device] = jnp.zeros(pieces[device][0].shape, dtype, device=here)
    step = max(1, BLOCK // tensor.row_bytes)
    for first in range(0, tensor.shape[0], step):
        last = min(first + step, tensor.shape[0])
        reaching = [device for device, (_, rows, _) in pieces.items() if rows.start < last and rows.stop > first]
        block = read_rows(streams[tensor.file], tensor, slice(first, last), dtype) if reaching else np.empty(0)
        for device in reaching:
            piece, rows, columns = pieces[device]
            low, high = max(first, rows.start), min(last, rows.stop)
            size = tuple(high - low if i == rows_at else n for i, n in enumerate(piece.shape))
            part = replace(piece, shape=size).from_hub(block[low - first : high - first, columns])
            mesh, here = places[device]
            with jax.set_mesh(mesh):
                filled = _with_part(shards[device], jax.device_put(part, here), low - rows.start, rows_at)
                shards[device] = jax.block_until_ready(filled)
    arrays = [jax.device_put(shard, device) for device, shard in shards.items()]
    return jax.make_array_from_single_device_arrays(weight.shape, sharding, arrays)


@partial(jax.jit, donate_argnums=0, static_argnames="axis")
def _with_part(array: jax.Array, part: jax.Array, at: int, axis: int) -> jax.Array:
    return jax.lax.dynamic_update_slice_in_dim(array, part, at, axis)


def _place(
    streams: dict[UPath, BinaryIO], tensor: Tensor, weight: Weight, dtype: np.dtype, sharding: jax.NamedSharding
) -> jax.Array:
    """One tensor as a sharded array, from the rows that this process's devices need."""
    blocks: dict[tuple[int, int], np.ndarray] = {}  # devices that differ in columns share rows

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        piece, rows, columns = _piece(weight, index or (slice(None),) * len(weight.shape))
        key = (rows.start, rows.stop)
        if key not in blocks:
            blocks[key] = read_rows(streams[tensor.file], tensor, rows, dtype)
        block = blocks[key]
        return piece.from_hub(block[:, columns] if block.ndim == 2 else block)

    return jax.make_array_from_callback(weight.shape, sharding, part)


def _piece(weight: Weight, index: tuple[slice, ...]) -> tuple[Weight, slice, slice]:
    """A slice of a weight, as a smaller weight, and the rows and columns of the file that hold it."""
    bounds = [slice(*part.indices(size)[:2]) for part, size in zip(index, weight.shape, strict=True)]
    piece = replace(weight, shape=tuple(bound.stop - bound.start for bound in bounds))
    rows, *columns = bounds[::-1] if weight.multiplies else bounds
    return piece, rows, columns[0] if columns else slice(None)


# -------------------------------------------------------------------- writing and hashing


def save(folder: UPath, arrays: dict[str, Any], table: dict[str, Weight], *, max_shard_bytes: int) -> list[UPath]:
    """The arrays as a model in Hugging Face layout; `save_tensors` says how.

    Args:
        arrays: weights by path, in the type they shall have in the file; no other paths than the table's.
    """
    tensors = hub_tensors(table)
    entries = [(t.name, np.dtype(arrays[t.path].dtype), table[t.path].hub_shape) for t in tensors]
    numbers = (to_host(arrays[t.path], table[t.path], t.layer) for t in tensors)
    return save_tensors(folder, entries, numbers, max_shard_bytes=max_shard_bytes)


def save_tensors(
    folder: UPath,
    entries: Sequence[tuple[str, np.dtype, tuple[int, ...]]],
    numbers: Iterator[np.ndarray],
    *,
    max_shard_bytes: int,
) -> list[UPath]:
    """Tensors as safetensors files in Hugging Face layout, with an index if there is more than one file.

    A model that stands in the folder is replaced. Its config.json and index go first, the new index comes after all
    shards, and `hub_config.write_config` after that: no tool takes an interrupted folder for a model. Every process
    calls this; the first one writes, holding one tensor at a time.

    Args:
        entries: name, type and shape of each tensor, in the order of the files.
        numbers: the tensors themselves, taken one by one.
        max_shard_bytes: of one file; a tensor that is larger has a file of its own.

    Returns:
        The files written.
    """
    shards: list[list[tuple[str, np.dtype, tuple[int, ...]]]] = [[]]
    size = total = 0
    for entry in entries:
        bytes_ = math.prod(entry[2]) * np.dtype(entry[1]).itemsize
        if shards[-1] and size + bytes_ > max_shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(entry)
        size, total = size + bytes_, total + bytes_
    count = len(shards)
    names = [SINGLE] if count == 1 else [f"model-{i:05}-of-{count:05}.safetensors" for i in range(1, count + 1)]
    first = jax.process_index() == 0
    if first:
        make_folder(folder)
        for old in (folder / "config.json", folder / INDEX, *folder.glob("model*.safetensors")):
            old.unlink(missing_ok=True)
    for name, shard in zip(names, shards, strict=True):
        of_shard = itertools.islice(numbers, len(shard))
        if first:
            write(folder / name, shard, of_shard)
        else:
            for _ in of_shard:
                pass  # the gathering of a shard is a joint effort
    files = [folder / name for name in names]
    if count > 1:
        placed = {entry[0]: name for name, shard in zip(names, shards, strict=True) for entry in shard}
        if first:
            index = {"metadata": {"total_size": total}, "weight_map": placed}
            (folder / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        files.append(folder / INDEX)
    return files


def to_host(array: Any, weight: Weight, layer: int | None) -> np.ndarray:
    """One tensor as the file has it, from a jax array in any sharding or a numpy array."""
    if isinstance(array, jax.Array):
        sharding = array.sharding
        everywhere = jax.NamedSharding(sharding.mesh, P()) if isinstance(sharding, jax.NamedSharding) else None
        array = jax.device_get(_layer(array, layer or 0, layer is not None, everywhere))
    elif layer is not None:
        array = array[layer]
    return weight.to_hub(array)


@partial(jax.jit, static_argnames=("stacked", "everywhere"))
def _layer(array: jax.Array, index: int, stacked: bool, everywhere: jax.NamedSharding | None) -> jax.Array:
    one = jax.lax.dynamic_index_in_dim(array, index, keepdims=False) if stacked else array
    return one if everywhere is None else jax.reshard(one, everywhere)


def base_hash(arrays: dict[str, Any], table: dict[str, Weight]) -> str:
    """sha256 (hex) of weights: for each tensor in hub order its name, type, shape and bytes as in a safetensors file.

    The same for any mesh; another for another dtype. Serves bases and adapters alike.
    """
    hashes = Hashes()
    for name, path, layer in hub_tensors(table):
        hashes.add(name, to_host(arrays[path], table[path], layer))
    return hashes.so_far[-1][1]


class Hashes:
    """`base_hash`, tensor by tensor.

    Attributes:
        so_far: name of each tensor added, and the hash of all up to it; where two lists part, the tensors differ.
    """

    def __init__(self) -> None:
        self.so_far: list[tuple[str, str]] = []
        self._digest = hashlib.sha256()

    def add(self, name: str, array: np.ndarray) -> None:
        """The next tensor, as the file has it."""
        array = np.ascontiguousarray(array)
        self._digest.update(f"{name} {array.dtype.name} {list(array.shape)}\n".encode())
        self._digest.update(array.view(np.uint8).data)
        self.so_far.append((name, self._digest.hexdigest()))
