"""``index.json``: every file of an output folder with its size and digest. It is written last."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.output.errors import OutputError

INDEX = "index.json"


@dataclass(frozen=True, slots=True)
class File:
    """A file as it was written. ``file``: its name within the folder; ``sha256``: hex."""

    file: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Shard(File):
    """A file of rows."""

    rows: int


@dataclass(frozen=True)
class Index:
    """A finished folder.

    Attributes:
        form: of its rows, one of `folder.FORMS`.
        splits: the shards of each split, in the order of their rows.
        files: what else was written: data card, metadata.
    """

    form: str
    splits: dict[str, tuple[Shard, ...]]
    files: tuple[File, ...] = ()

    def rows(self, split: str) -> int:
        """Rows of a split; 0 if there is none of that name."""
        return sum(shard.rows for shard in self.splits.get(split, ()))

    def all_files(self) -> Iterator[File]:
        """Every file but the index itself."""
        for shards in self.splits.values():
            yield from shards
        yield from self.files


def write(folder: UPath, index: Index) -> None:
    """Writes the index: from here on the folder is finished."""
    files.write_text(folder / INDEX, json.dumps(asdict(index), indent=1) + "\n")
    files.settle(folder / INDEX)


def read(folder: UPath) -> Index:
    """The index of a finished folder. Raises OutputError if there is none, or if it is not what `write` wrote."""
    file = folder / INDEX
    try:
        tree = json.loads(files.read_text(file))
        splits = {split: tuple(Shard(**shard) for shard in shards) for split, shards in tree["splits"].items()}
        return Index(form=tree["form"], splits=splits, files=tuple(File(**one) for one in tree["files"]))
    except FileNotFoundError as error:
        raise OutputError(f"{folder}: no {INDEX}: nothing was prepared here, or not to its end. Prepare it") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OutputError(f"{file}: damaged ({type(error).__name__}: {error}); prepare the folder again") from error
