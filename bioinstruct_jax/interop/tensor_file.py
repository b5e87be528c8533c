"""Safetensors files, read by rows and written tensor by tensor, on local disk or in a bucket.

The layout (https://github.com/huggingface/safetensors#format) is eight bytes of header length, a JSON header, and the
tensors' bytes without gaps. Nothing is mapped into memory, and nobody holds more than one tensor.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import ml_dtypes
import numpy as np
from upath import UPath

_DTYPES = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype(ml_dtypes.bfloat16),
}
_LONGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors library
BLOCK = 1 << 25  # bytes read and checked at a time


@dataclass(frozen=True)
class Tensor:
    """Where one tensor lies.

    Attributes:
        file, name: of the tensor.
        dtype, shape: of its numbers.
        start: its first byte in the file.
    """

    file: UPath
    name: str
    dtype: np.dtype
    shape: tuple[int, ...]
    start: int

    @property
    def row_bytes(self) -> int:
        return math.prod(self.shape[1:]) * self.dtype.itemsize

    @property
    def stop(self) -> int:
        return self.start + math.prod(self.shape) * self.dtype.itemsize


def read_header(file: UPath) -> dict[str, Tensor]:
    """Every tensor of a file, by name; reads no numbers.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: naming the file, if it is cut off, no safetensors file, or holds a type that is no float.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file}: there is no such file; the download or copy of the folder is not complete")
    size = file.stat().st_size
    with file.open("rb") as stream:
        first = stream.read(8)
        length = int.from_bytes(first, "little")
        if len(first) < 8 or length > _LONGEST_HEADER:
            raise ValueError(f"{file}: no safetensors file ({size} bytes, header of {length} bytes); download it again")
        text = stream.read(length)
    if len(text) < length:
        raise ValueError(f"{file}: cut off inside the header ({size} of {8 + length} bytes and more); copy it again")
    try:
        header = json.loads(text)
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        tensors = {name: _tensor(file, name, entry, 8 + length) for name, entry in entries.items()}
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{file}: the safetensors header is damaged ({error!r}); download the file again") from error
    end = 8 + length
    for tensor in sorted(tensors.values(), key=lambda tensor: (tensor.start, tensor.stop)):
        if tensor.start != end:
            raise ValueError(
                f"{file}: tensor {tensor.name} begins at byte {tensor.start}, but the one before it ends at {end}: the "
                "header is damaged; download the file again"
            )
        end = tensor.stop
    if size != end:
        what = "cut off" if size < end else "longer than its header says"
        cut = next((name for name, tensor in tensors.items() if tensor.stop > size), None)
        at = f", so tensor {cut} is not whole" if cut else ""
        raise ValueError(f"{file}: {what} ({size} bytes, the header says {end}){at}; download or copy it again")
    return tensors


def _tensor(file: UPath, name: str, entry: dict[str, Any], base: int) -> Tensor:
    shape, offsets, dtype = entry["shape"], entry["data_offsets"], _DTYPES.get(entry["dtype"])
    numbers = [*shape, *offsets]
    if len(offsets) != 2 or any(type(number) is not int or number < 0 for number in numbers):
        raise TypeError(f"tensor {name}: shape {shape}, data_offsets {offsets}")
    if dtype is None:
        raise ValueError(
            f"{file}: tensor {name} has type {entry['dtype']}; only {', '.join(_DTYPES)} can be read. "
            "Quantised weights cannot be used: take the model's original ones"
        )
    start, stop = offsets
    if stop - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(
            f"{file}: tensor {name} of shape {shape} and type {entry['dtype']} needs "
            f"{math.prod(shape) * dtype.itemsize} bytes, the header gives it {stop - start}; download the file again"
        )
    return Tensor(file, name, dtype, tuple(shape), base + start)


def read_rows(stream: BinaryIO, tensor: Tensor, rows: slice, dtype: np.dtype) -> np.ndarray:
    """Rows (along the first dimension) of a tensor, cast to `dtype`; beyond the result, holds 32 MiB at a time.

    Raises:
        ValueError: naming file and tensor, if the file ends early or a number is NaN or infinite.
    """
    start, stop, _ = rows.indices(tensor.shape[0])
    out = np.empty((stop - start, *tensor.shape[1:]), dtype)
    step = max(1, BLOCK // max(1, tensor.row_bytes))
    stream.seek(tensor.start + start * tensor.row_bytes)
    for first in range(start, stop, step):
        count = min(step, stop - first)
        data = stream.read(count * tensor.row_bytes)
        if len(data) < count * tensor.row_bytes:
            raise ValueError(f"{tensor.file}: ends inside tensor {tensor.name}; download or copy the file again")
        block = np.frombuffer(data, tensor.dtype).reshape(count, *tensor.shape[1:])
        with np.errstate(over="ignore"):
            out[first - start : first - start + count] = block
        if not np.isfinite(out[first - start : first - start + count]).all():
            if np.isfinite(block).all():
                raise ValueError(
                    f"{tensor.file}: tensor {tensor.name} holds {np.abs(block).max():.4g}, more than {dtype} can hold"
                )
            row = first + int(np.argmin(np.isfinite(block.reshape(count, -1)).all(axis=1)))
            raise ValueError(
                f"{tensor.file}: tensor {tensor.name} holds NaN or infinity in row {row}; its numbers are lost"
            )
    return out


def write(file: UPath, entries: Sequence[tuple[str, np.dtype, tuple[int, ...]]], arrays: Iterable[np.ndarray]) -> None:
    """A safetensors file of `entries` (name, type, shape), whose `arrays` are taken one by one, in the same order."""
    codes = {dtype: code for code, dtype in _DTYPES.items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}  # what transformers looks for; the bytes are the same
    end = 0
    for name, dtype, shape in entries:
        start, end = end, end + math.prod(shape) * np.dtype(dtype).itemsize
        header[name] = {"dtype": codes[np.dtype(dtype)], "shape": list(shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for (name, dtype, shape), array in zip(entries, arrays, strict=True):
            if array.shape != shape or array.dtype != dtype:
                raise ValueError(f"{file}: tensor {name} is {array.dtype}{list(array.shape)}, not {dtype}{list(shape)}")
            stream.write(np.ascontiguousarray(array).view(np.uint8).data)
