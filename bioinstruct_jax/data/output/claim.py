"""Whose folder it is: an output goes into a new or empty one, or over an unfinished output, and over nothing else."""

import json
import re

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.output import index
from bioinstruct_jax.data.output.errors import OutputError

MARKER = "unfinished.json"  # there from before the first byte until after the index
_SPLIT = "(train|dev|validation|test)"
_VERSION = r"\w+/\d+\.\d+\.\d+/"  # a folder of tfds
_SHARD = re.compile(rf"(data/)?{_SPLIT}-\d{{5,}}\.(jsonl|json|parquet)|{_VERSION}\w+-{_SPLIT}\.array_record-\d{{5,}}")
_REST = re.compile(rf"{MARKER}|{index.INDEX}|README\.md|{_VERSION}(dataset_info\.json|features\.json|LICENSE)")


def claim(folder: UPath) -> None:
    """Makes an output folder ready: new or empty, or with an unfinished output, which is removed.

    Raises:
      OutputError: it is a file, holds a finished output, or anything that is not ours: that is named.
    """
    if folder.is_file():
        raise OutputError(f"{folder}: this is a file; give a new folder")
    found = contents(folder)
    if index.INDEX in found and _reads(folder):
        raise OutputError(f"{folder}: a finished output is here already; give a new folder, or remove this one first")
    foreign = [name for name in found if MARKER not in found or not (is_shard(name) or _REST.fullmatch(name))]
    if foreign:
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise OutputError(
            f"{folder}: {', '.join(foreign[:3])}{more} is in it and was not written here; nothing is overwritten. "
            "Give a new or an empty folder"
        )
    clear(folder)
    files.write_text(folder / MARKER, json.dumps({"unfinished": "prepare has not written index.json yet"}) + "\n")


def release(folder: UPath) -> None:
    """The output is finished."""
    (folder / MARKER).unlink()


def clear(folder: UPath) -> None:
    """Removes the files of an unfinished output, the sign that they are ours last."""
    for name in sorted(contents(folder), key=lambda name: name == MARKER):
        (folder / name).unlink()


def is_shard(name: str) -> bool:
    """Whether a file of this name, within the folder, would be a shard of ours."""
    return bool(_SHARD.fullmatch(name))


def contents(folder: UPath) -> list[str]:
    """The names of all files under a folder, sorted; none if it is not there."""
    if not folder.exists():
        return []
    return sorted(place.relative_to(folder).as_posix() for place in folder.rglob("*") if place.is_file())


def _reads(folder: UPath) -> bool:
    try:
        index.read(folder)
    except OutputError:  # torn while it was written
        return False
    return True
