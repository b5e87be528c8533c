"""What a source is: a file of which format, a folder, or a data set of the hub."""

from typing import Literal

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import Source
from bioinstruct_jax.data.hub import HUB_ID
from bioinstruct_jax.data.jsonlines import json_rows
from bioinstruct_jax.data.records import SourceError

FORMATS = "alpaca, chat, csv, parquet, hub, seeds, text"
SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv", ".parquet")


def path(source: Source) -> UPath:
    """The path of a source. Raises SourceError if it cannot be one."""
    try:
        return files.path(source.path)
    except ValueError as error:
        raise SourceError(str(error).removeprefix(f"{source.path}: ")) from error


def kind(source: Source) -> Literal["file", "folder", "hub id"]:
    """What stands at the path of a source; only what is no local path can be a hub id.

    Raises FileNotFoundError if there is nothing, and SourceError if it is neither file nor folder or cannot be asked.
    """
    place = path(source)
    try:
        if place.is_dir():
            return "folder"
        if place.is_file():
            return "file"
        exists = place.exists()
    except Exception as error:  # what a bucket's package raises has no common base
        raise SourceError(f"cannot be looked up ({type(error).__name__}: {error})") from error
    if exists:
        raise SourceError("neither a file nor a folder")
    if source.format in ("auto", "hub") and HUB_ID.fullmatch(source.path) and not suffix(source):
        return "hub id"
    raise FileNotFoundError(f"{source.path}: no such file or folder. A data set of the hub is written owner/name")


def suffix(source: Source) -> str:
    """The ending of a source's name that tells its format, before ``.gz``; empty if it has none of the known ones."""
    name = source.path.lower().removesuffix(".gz")
    return next((ending for ending in SUFFIXES if name.endswith(ending)), "")


def format_of(source: Source) -> str:
    """The format of a source, ``auto`` resolved by its name and first bytes.

    Raises FileNotFoundError, or SourceError if a folder is given for a file, or if the format cannot be told.
    """
    given = source.format
    if source.path == "seeds":
        if given not in ("auto", "seeds"):
            raise SourceError(f"format {given} does not fit the project's seeds; leave it out")
        return "seeds"
    match kind(source):
        case "hub id":
            return "hub"
        case "folder":
            if given not in ("auto", "hub", "seeds"):
                raise SourceError(f"this is a folder; format {given} reads a file. Give the file, or format hub")
            return "hub" if given == "auto" else given
    if given == "hub":
        raise SourceError("this is a file; format hub reads a folder or a hub id. Give the folder, or another format")
    return _told(source) if given == "auto" else given


def start(source: Source) -> bytes:
    """The first bytes of a file. Raises SourceError where no reader here can make sense of what follows."""
    with files.open_bytes(path(source)) as file:
        found = file.read(4096)
    if found.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise SourceError("this is UTF-16 text; save it as UTF-8")
    if found.startswith((b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"PK\x03\x04")):
        raise SourceError(
            "this is compressed; only gzip is read, and only if the name ends in .gz. Decompress it first"
        )
    return found


def _told(source: Source) -> str:
    ending, found = suffix(source), start(source)
    if ending in (".csv", ".parquet"):
        return ending[1:]
    if not ending and found.startswith(b"PAR1"):
        return "parquet"
    if not ending and found.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] not in (b"{", b"["):
        raise SourceError(f"its format cannot be told from its name or first bytes; set format to one of {FORMATS}")
    instruction, messages = (source.columns.get(field, field) for field in ("instruction", "messages"))
    with files.open_bytes(path(source)) as file:
        for row in json_rows(file, lines=ending in (".jsonl", ".ndjson"), keys=[instruction, messages]):
            if isinstance(row.value, dict):
                if "instances" in row.value:
                    return "seeds"
                return "chat" if messages in row.value and instruction not in row.value else "alpaca"
            if row.line > 1000:
                break
    return "alpaca"
