"""Several sources, filtered and weighted, as one list of records."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import astuple, dataclass, replace
from typing import Any, Literal

from bioinstruct_jax.config import Source
from bioinstruct_jax.data.formats import format_of
from bioinstruct_jax.data.readers import read, unchanged
from bioinstruct_jax.data.records import BadRow, Record, SourceError


@dataclass(frozen=True)
class Mixture:
    """What was read.

    ``sources`` has for each source its path, format, rows read = bad + filtered (by category) + kept, how many of the
    kept are restricted, the copies that the kept ones became by weight, and the sha256 of the file's bytes (of the
    records for a data set of the hub).
    """

    records: list[Record]
    bad_rows: list[BadRow]
    sources: list[dict[str, Any]]


def mix(sources: Iterable[Source], *, seed: int, on_bad_row: Literal["report", "raise"]) -> Mixture:
    """Reads all sources in order; ids are unique but for the copies of a row, which share one.

    A row of a source with weight w appears floor(w) times, and once more with probability w - floor(w); the draw
    depends on the seed and on the row alone. Raises FileNotFoundError, or ValueError: a source that cannot be
    read, or changes while it is read, a category that no row has, nothing left; with ``on_bad_row="raise"`` the first
    bad row, with file and line.
    """
    records: list[Record] = []
    bad_rows: list[BadRow] = []
    told: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    for source in sources:
        rows: list[Record] = []
        bad = 0
        with unchanged(source) as sha256:
            for row in read(source):
                if isinstance(row, Record):
                    rows.append(row)
                    continue
                if on_bad_row == "raise":
                    raise ValueError(f"{row.source}, line {row.line}: {row.reason}\n  {row.text}")
                bad_rows.append(row)
                bad += 1
            form = format_of(source)
        kept = _of_categories(rows, source)
        before = len(records)
        for row in kept:
            times = copies(row, source.weight, seed)
            unique = replace(row, id=_free(row.id, taken))
            records += [unique] * times
        told.append(
            {
                "path": source.path,
                "format": form,
                "read": len(rows) + bad,
                "bad": bad,
                "filtered": len(rows) - len(kept),
                "kept": len(kept),
                "restricted": sum(row.restricted for row in kept),
                "copies": len(records) - before,
                "sha256": sha256 or _digest(rows),
            }
        )
    if not records:
        raise SourceError("no rows left: every weight drew zero copies; use larger weights or more rows")
    return Mixture(records, bad_rows, told)


def copies(record: Record, weight: float, seed: int) -> int:
    """How often a row appears in an epoch. A pure function: neither the other rows nor their order matter.

    The text is hashed beside the id, so that rows of a file that gives one id to many are drawn one by one.
    """
    key = json.dumps([seed, record.id, record.instruction, record.input, record.output])
    draw = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "big") / 2**64
    whole = math.floor(weight)
    return whole + (draw < weight - whole)


def _of_categories(rows: list[Record], source: Source) -> list[Record]:
    wanted = {category.strip().casefold(): category for category in source.categories}
    found = {row.category.casefold() for row in rows}
    missing = [category for key, category in wanted.items() if key not in found]
    if missing:  # any column can be taken for the category's, so that of a restricted row is not shown either
        named = Counter("(restricted)" if row.restricted else row.category.casefold() for row in rows)
        names = ", ".join(f"{name[:40] or '(none)'} ({count})" for name, count in named.most_common(30))
        raise SourceError(f"{source.path}: categories: no row has {', '.join(missing)}; the file has {names}")
    return [row for row in rows if not wanted or row.category.casefold() in wanted]


def _free(name: str, taken: dict[str, int]) -> str:
    """`name`, or with a number that no row has; `taken` remembers the next number to try of each."""
    free, number = name, taken.get(name, 2)
    while free in taken:
        free, number = f"{name}#{number}", number + 1
    taken[name] = number
    taken.setdefault(free, 2)
    return free


def _digest(rows: list[Record]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps(astuple(row)).encode() + b"\n")
    return digest.hexdigest()
