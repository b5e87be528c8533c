"""A source of instructions, read as a stream of records and bad rows."""

import hashlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import PurePosixPath

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import Source
from bioinstruct_jax.data import formats, guard, hub
from bioinstruct_jax.data.jsonlines import json_rows
from bioinstruct_jax.data.records import (
    FIELDS,
    BadRow,
    Record,
    Row,
    RowError,
    SourceError,
    from_fields,
    from_messages,
    from_text,
)
from bioinstruct_jax.data.seeds import seed_files, seed_records
from bioinstruct_jax.data.tables import csv_rows, parquet_rows
from bioinstruct_jax.resources import resource

ADVICE = "Rows of two versions must not be mixed: wait until nothing writes there, or give a copy, then start again"


def read(source: Source) -> Iterator[Record | BadRow]:
    """Streams a source: every row is either a record or a bad row with its line number (from 1) and the reason.

    A record's id is the row's own or ``<name of the file>:<line>``; ids may repeat, `mixture.mix` makes them unique.
    Raises FileNotFoundError, or SourceError (a ValueError) if the source cannot be read as a whole, has no rows, has
    only bad rows, or if ``columns`` names a field that no row has.
    """
    with _named(source):
        yield from _read(source)


@contextmanager
def _named(source: Source) -> Iterator[None]:
    """Lets errors say which source cannot be read."""
    try:
        yield
    except SourceError as error:
        raise SourceError(f"{source.path}: {error}") from error
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{source.path}: cannot be read: {error}") from error


def _read(source: Source) -> Iterator[Record | BadRow]:
    form = formats.format_of(source)
    if form == "seeds":
        if source.columns:
            raise SourceError("columns mean nothing for seeds, whose form is fixed; leave them out")
        found = seed_records(_seeds(source), source.path)
    else:
        found = _converted(_rows(source, form), source, form)
    unseen = set(source.columns.values())
    first: Row | None = None
    bad: list[BadRow] = []
    good = 0
    for row, item in found:
        if isinstance(item, Record):
            good += 1
        elif len(bad) < 3:
            bad.append(item)
        if unseen and isinstance(row.value, dict):
            unseen -= row.value.keys()
            first = first or row
        yield item
    if not good and not bad:
        raise SourceError("no rows: the source is empty")
    if not good:
        reasons = "; ".join(f"line {row.line}: {row.reason}" for row in bad)
        raise SourceError(f"every row is bad, read as {form}; the first: {reasons}. Check format and columns")
    if unseen:
        names = ", ".join(map(repr, sorted(unseen)))
        has = "; no row has any"
        if first and isinstance(first.value, dict):
            hidden = first.hidden(source.columns.get("licence", "licence"), _labelled(source, form))
            keys = guard.shown(", ".join(repr(key)[:40] for key in list(first.value)[:12]), hidden)
            has = f"; the first row has {keys or 'none'}"
        raise SourceError(f"columns: no row has a field {names}{has}")


def _rows(source: Source, form: str) -> Iterator[Row]:
    place = formats.path(source)
    if form == "hub":
        folder = formats.kind(source) == "folder"
        yield from hub.folder_rows(place, source.split) if folder else hub.hub_rows(source.path, source.split)
        return
    formats.start(source)
    keys = [source.columns.get(field, field) for field in FIELDS]
    with files.open_bytes(place) as file:
        match form:
            case "csv":
                yield from csv_rows(file)
            case "parquet":
                yield from parquet_rows(file, keys)
            case _:
                yield from json_rows(file, lines=formats.suffix(source) in (".jsonl", ".ndjson"), keys=keys)


def _converted(rows: Iterator[Row], source: Source, form: str) -> Iterator[tuple[Row, Record | BadRow]]:
    name = PurePosixPath(source.path).name
    instruction, messages = (source.columns.get(field, field) for field in ("instruction", "messages"))
    convert: Callable[..., Record]
    licence = source.columns.get("licence", "licence")
    labelled = _labelled(source, form)
    for row in rows:
        if row.reason:
            yield row, row.bad(source.path, row.reason, hidden=row.hidden(licence, labelled))
            continue
        match form:
            case "alpaca":
                convert = from_fields
            case "chat":
                convert = from_messages
            case "text":
                convert = from_text
            case _:  # a table tells by its columns
                fields = row.value if isinstance(row.value, dict) else {}
                convert = from_messages if messages in fields and instruction not in fields else from_fields
        try:
            yield row, convert(row.value, source.columns, default_id=f"{name}:{row.line}", source=source.path)
        except RowError as error:
            yield row, row.bad(source.path, error, hidden=row.hidden(licence, labelled))


def _labelled(source: Source, form: str) -> Callable[[], bool]:
    """Whether the file of a source has the label of restricted rows; a table has it in a column that each row shows."""
    if form in ("hub", "parquet"):
        return lambda: False
    return cache(lambda: guard.labelled(formats.path(source), csv=form == "csv"))


def _seeds(source: Source) -> UPath:
    return files.path(resource("seeds")) if source.path == "seeds" else formats.path(source)


def digest(source: Source) -> str:
    """Hex SHA-256 of the bytes of a source's file; of the names and digests of its files if it is a folder.

    Empty for a data set of the hub, which is known by its name and rows only. Raises what `read` raises.
    """
    return _together(source, _digests(source))


@contextmanager
def unchanged(source: Source) -> Iterator[str]:
    """Around the reading of a source: gives its `digest`, and refuses what was read if a file is another one after it.

    Raises SourceError that names the file, whatever error the reading itself ended with; else what `read` raises.
    """
    before = _digests(source)
    try:
        yield _together(source, before)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        if told := _change(source, before):
            raise SourceError(told) from error
        raise
    if told := _change(source, before):
        raise SourceError(told)


def _change(source: Source, before: dict[UPath, str]) -> str:
    """What became of the files of a source meanwhile; empty if they are what they were."""
    try:
        after = _digests(source)
    except (SourceError, OSError) as error:
        return f"{source.path}: could be read before, and now no longer ({error}). {ADVICE}"
    for place in [*before, *(place for place in after if place not in before)]:
        if before.get(place) != after.get(place):
            kinds = [f"sha256 {found[place][:12]}" if place in found else "no such file" for found in (before, after)]
            return f"{place}: the file changed while it was read ({kinds[0]} before, {kinds[1]} after). {ADVICE}"
    return ""


def _digests(source: Source) -> dict[UPath, str]:
    """Hex SHA-256 of each file of a source, in the order it is read; none for a data set of the hub."""
    with _named(source):
        form = formats.format_of(source)
        if form == "seeds":
            places = seed_files(_seeds(source))
        else:
            place = formats.path(source)
            match formats.kind(source):
                case "file":
                    places = [place]
                case "folder":
                    places = hub.data_files(place)
                case _:
                    places = []
        return {place: files.sha256(place) for place in places}


def _together(source: Source, digests: dict[UPath, str]) -> str:
    if not digests or list(digests) == [formats.path(source)]:
        return "".join(digests.values())
    lines = "".join(f"{place.name} {sha256}\n" for place, sha256 in digests.items())
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
