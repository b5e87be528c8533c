"""Data sets in hub layout, from a local folder, a bucket folder or the hub itself, through ``datasets``."""

import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from upath import UPath

from bioinstruct_jax.data.records import Row, SourceError

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def folder_rows(folder: UPath, split: str) -> Iterator[Row]:
    """The rows of one split of a folder in hub layout (``README.md``, ``data/train-00000-of-00001.parquet``, ...).

    A folder in a bucket is copied to a temporary one first. Raises SourceError if ``datasets`` cannot read it.
    """
    with tempfile.TemporaryDirectory() as cache:  # the shared cache would answer for a folder that changed since
        if folder.protocol in ("", "file"):
            yield from _local_rows(folder.path, split, cache)
            return
        copy = Path(cache, "copy")
        for file in data_files(folder):
            target = copy / file.relative_to(folder).as_posix()
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
        yield from _local_rows(str(copy), split, cache)


def data_files(folder: UPath) -> list[UPath]:
    """Every file under a folder, in the order of its name; hidden files and folders are left out."""
    named = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    return [named[name] for name in sorted(named) if not re.search(r"(^|/)\.", name)]


def _local_rows(folder: str, split: str, cache: str) -> Iterator[Row]:
    import datasets

    try:
        table = datasets.load_dataset(folder, split=split, cache_dir=cache)  # streaming would import torch
    except Exception as error:  # the exceptions of datasets have no common base
        raise SourceError(
            f"datasets cannot read split {split!r} of this folder ({_said(error)}); "
            "set split, or give one of its files as path, or format seeds if these are seed tasks"
        ) from error
    yield from _rows(table)


def hub_rows(name: str, split: str) -> Iterator[Row]:
    """The rows of one split of a data set on the hub; it is downloaded once into the cache of ``datasets``.

    ``HF_HUB_OFFLINE=1`` allows only that cache. Raises SourceError, with the way to a local copy, if it cannot be read.
    """
    import datasets

    try:
        table = datasets.load_dataset(name, split=split)
    except Exception as error:  # network, permission, layout: the exceptions have no common base
        raise SourceError(
            f"there is no such local path, and as a data set of the hub (split {split!r}) it cannot be read "
            f"({_said(error)}). Without network access, fetch it elsewhere with 'hf download {name} "
            f"--repo-type dataset --local-dir {name.split('/')[1]}' and set path to that folder"
        ) from error
    yield from _rows(table)


def _rows(table: Iterable[dict[str, object]]) -> Iterator[Row]:
    line = 0
    try:
        for value in table:
            line += 1
            yield Row(line, value)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"invalid UTF-8 after row {line}; give the Parquet file itself as path, then only that row is lost"
        ) from error
    except Exception as error:  # as above
        raise SourceError(
            f"row {line + 1} cannot be read ({_said(error)}); give the file itself as path, then only that row is lost"
        ) from error


def _said(error: BaseException) -> str:
    error = error.__cause__ or error
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
