"""A data set of TensorFlow Datasets in ArrayRecord, written row by row without TensorFlow and without a network.

It lies in ``<folder>/<name>/<version>/``: ``tfds.data_source(name, data_dir=folder, split="train")`` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.output.errors import OutputError
from bioinstruct_jax.data.output.index import File
from bioinstruct_jax.data.output.shards import COLUMNS, columns
from bioinstruct_jax.data.sample import Sample

if TYPE_CHECKING:
    from tensorflow_datasets import features

_NAME = "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_INDEX}"  # how many there will be is not known while they are written


def need() -> None:
    """Raises OutputError where the package is missing that writes ArrayRecord."""
    try:
        import array_record.python.array_record_module  # noqa: F401
    except ImportError as error:
        raise OutputError(
            f"form tfds needs the package array-record, which is made for few systems but Linux ({error}): pip install "
            "array-record, or write parquet or hub here"
        ) from error


def name_of(dataset: str, split: str, place: int) -> str:
    """The name of a shard, as `_NAME` has it."""
    return f"{dataset}-{split}.array_record-{place:05d}"


def _features() -> features.FeaturesDict:
    import numpy as np
    from tensorflow_datasets import features

    kinds: dict[str, Any] = {"wording": np.int64, "labels": features.Sequence(features.Text())}
    return features.FeaturesDict({name: kinds.get(name) or features.Text() for name in COLUMNS})


class ArrayShard:
    """One ArrayRecord file of serialized ``tf.train.Example``; `payload`: their bytes together."""

    def __init__(self, file: UPath):
        import tensorflow_datasets as tfds
        from array_record.python.array_record_module import ArrayRecordWriter

        files.make_folder(file.parent)
        self._file = file
        self._features = _features()
        self._serializer = tfds.core.ExampleSerializer(self._features.get_serialized_info())
        self._writer = ArrayRecordWriter(str(file), "group_size:1")  # each row can be read by itself
        self.payload = 0

    def add(self, sample: Sample) -> None:
        example = self._serializer.get_tf_example(self._features.encode_example(columns(sample)))
        record = example.SerializeToString(deterministic=True)  # a map has another order in each process otherwise
        with _as_os_error():
            self._writer.write(record)
        self.payload += len(record)

    def close(self) -> None:
        with _as_os_error():
            self._writer.close()
        files.settle(self._file)


@contextmanager
def _as_os_error() -> Iterator[None]:
    """ArrayRecord has a RuntimeError for a full disk."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(str(error)) from error


def write_metadata(
    place: UPath,
    *,
    splits: Mapping[str, Sequence[int]],
    payload: Mapping[str, int],
    description: str,
    citation: str,
    licence: str,
) -> list[File]:
    """Writes ``dataset_info.json``, ``features.json`` and ``LICENSE``, and gives them with `place`-relative names.

    Args:
        place: ``<folder>/<name>/<version>``.
        splits: rows of each shard, by split.
        payload: bytes of the serialized rows, by split.
    """
    import tensorflow_datasets as tfds

    dataset = place.parent.name
    identity = tfds.core.DatasetIdentity(
        name=dataset, version=tfds.core.Version(place.name), data_dir=str(place), module_name=""
    )
    info = tfds.core.DatasetInfo(
        builder=identity,
        features=_features(),
        description=description,
        citation=citation,
        license=licence,
        disable_shuffling=True,
    )
    info.set_file_format("array_record")
    parts = [
        tfds.core.SplitInfo(
            name=split,
            shard_lengths=list(rows),
            num_bytes=payload[split],
            filename_template=tfds.core.ShardedFileTemplate(
                dataset_name=dataset, data_dir=str(place), split=split, filetype_suffix="array_record", template=_NAME
            ),
        )
        for split, rows in splits.items()
    ]
    info.set_splits(tfds.core.SplitDict(parts))
    info.write_to_directory(str(place))
    return [
        File(name, (place / name).stat().st_size, files.sha256(place / name))
        for name in ("LICENSE", "dataset_info.json", "features.json")
    ]
