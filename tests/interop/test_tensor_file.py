import json
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.numpy import load_file, save_file
from upath import UPath

from bioinstruct_jax.interop import tensor_file

DTYPES = ["float32", "float16", "float64", "bfloat16"]


def _numbers(dtype, shape):
    return arrays(np.float32, shape, elements=st.floats(-100, 100, width=16)).map(lambda a: a.astype(np.dtype(dtype)))


TENSORS = st.dictionaries(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8).filter(
        lambda name: name != "__metadata__"
    ),
    st.tuples(st.sampled_from(DTYPES), array_shapes(max_dims=3, max_side=5)).flatmap(lambda d: _numbers(*d)),
    min_size=1,
    max_size=4,
)


def _write(file: Path, tensors: dict[str, np.ndarray]) -> None:
    entries = [(name, array.dtype, array.shape) for name, array in tensors.items()]
    tensor_file.write(UPath(file), entries, iter(tensors.values()))


def _read(file: Path, dtype=None) -> dict[str, np.ndarray]:
    found = tensor_file.read_header(UPath(file))
    with file.open("rb") as stream:
        return {n: tensor_file.read_rows(stream, t, slice(None), np.dtype(dtype or t.dtype)) for n, t in found.items()}


@settings(max_examples=25)
@given(TENSORS)
def test_reads_and_writes_what_the_safetensors_library_does(tensors):
    # Mutation: data_offsets counted in numbers instead of bytes.
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        _write(ours, tensors)
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, theirs)
        for back in (load_file(ours), _read(theirs), _read(ours)):
            assert back.keys() == tensors.keys()
            for name, array in tensors.items():
                assert back[name].dtype == array.dtype
                np.testing.assert_array_equal(back[name], array)


@settings(max_examples=25)
@given(st.integers(1, 40), st.integers(0, 40), st.integers(0, 40), st.integers(1, 200))
def test_rows_are_the_rows_whatever_the_block(rows, start, stop, block):
    # Mutation: seeking to the tensor's first row instead of the slice's.
    array = np.arange(rows * 3, dtype=np.float32).reshape(rows, 3)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensor_file, "BLOCK", block)
        file = Path(folder, "x")
        _write(file, {"before": array, "x": array})
        with file.open("rb") as stream:
            tensor = tensor_file.read_header(UPath(file))["x"]
            read = tensor_file.read_rows(stream, tensor, slice(start, max(start, stop)), np.dtype(ml_dtypes.bfloat16))
    np.testing.assert_array_equal(read, array[start : max(start, stop)].astype(ml_dtypes.bfloat16))


@settings(max_examples=60)
@given(st.data())
def test_a_damaged_file_is_a_value_error_that_names_it(data):
    # Mutation: catching only JSONDecodeError in read_header.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "x.safetensors")
        _write(file, {"a": np.ones((2, 3), np.float32), "b": np.ones(2, np.float32)})
        content = bytearray(file.read_bytes())
        if data.draw(st.booleans()):
            content = content[: data.draw(st.integers(0, len(content) - 1))]
        else:
            place = data.draw(st.integers(0, 8 + int.from_bytes(content[:8], "little") - 1))
            content[place] = data.draw(st.integers(0, 255))
        file.write_bytes(content)
        try:
            tensor_file.read_header(UPath(file))
            message = str(file)  # a changed byte may leave a name or a shape that makes sense
        except ValueError as error:
            message = str(error)
        assert str(file) in message


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [2], "data_offsets": [0, 8, 9]},
        {"dtype": "F32", "shape": [2], "data_offsets": 8},
        {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
        {"dtype": "F32", "shape": "2", "data_offsets": [0, 8]},
        {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]},
        {"dtype": "I8", "shape": [8], "data_offsets": [0, 8]},
        {"shape": [2], "data_offsets": [0, 8]},
        [1],
        None,
    ],
)
def test_a_hostile_header_is_a_value_error(entry, tmp_path):
    text = json.dumps({"x": entry}).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(8))
    with pytest.raises(ValueError, match=r"x\.safetensors"):
        tensor_file.read_header(UPath(file))


@pytest.mark.parametrize("second", [[0, 8], [4, 12], [9, 17]])
def test_tensors_that_overlap_or_leave_a_gap_are_refused(second, tmp_path):
    # As the safetensors library does. Mutation: only the last byte compared with the size of the file.
    entries = {"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    entries["y"] = {"dtype": "F32", "shape": [2], "data_offsets": second}
    text = json.dumps(entries).encode()
    file = tmp_path / "x.safetensors"
    file.write_bytes(len(text).to_bytes(8, "little") + text + bytes(max(8, second[1])))
    with pytest.raises(ValueError, match=r"x\.safetensors: tensor (x|y) begins at byte"):
        tensor_file.read_header(UPath(file))
    with pytest.raises(safetensors.SafetensorError):
        load_file(file)


def test_a_number_too_large_for_the_target_is_refused(tmp_path):
    # Mutation: infinity looked for before the cast alone.
    _write(tmp_path / "x", {"weight": np.array([1.0, 1e300])})
    tensor = tensor_file.read_header(UPath(tmp_path / "x"))["weight"]
    with (
        (tmp_path / "x").open("rb") as stream,
        pytest.raises(ValueError, match=r"x: tensor weight holds 1e\+300, more than float32 can hold"),
    ):
        tensor_file.read_rows(stream, tensor, slice(None), np.dtype(np.float32))


def test_not_a_number_is_refused_with_file_tensor_and_row(tmp_path, monkeypatch):
    # Mutation: checking only the first block of a tensor.
    array = np.ones((300, 4), np.float32)
    array[257, 2] = np.inf
    _write(tmp_path / "x", {"weight": array.astype(ml_dtypes.bfloat16)})
    monkeypatch.setattr(tensor_file, "BLOCK", 64)
    with pytest.raises(ValueError, match=r"x: tensor weight .* row 257"):
        _read(tmp_path / "x")


def test_a_folder_in_a_bucket():
    file = UPath("memory://bucket/x.safetensors")
    tensor_file.write(file, [("x", np.dtype(np.float32), (2, 2))], [np.eye(2, dtype=np.float32)])
    with file.open("rb") as stream:
        tensor = tensor_file.read_header(file)["x"]
        np.testing.assert_array_equal(
            tensor_file.read_rows(stream, tensor, slice(1, 2), np.dtype(np.float32)), [[0, 1]]
        )
