"""Seed tasks as records; their form is described in ``seeds/README.md``."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data import guard
from bioinstruct_jax.data.jsonlines import line_rows
from bioinstruct_jax.data.records import BadRow, Record, Row, RowError, from_fields


def seed_files(place: UPath) -> list[UPath]:
    """The ``*.jsonl`` of a folder in the order of their names, or the one file that ``place`` is."""
    return sorted(place.glob("*.jsonl"), key=lambda file: file.name) if place.is_dir() else [place]


def seed_records(place: UPath, source: str) -> Iterator[tuple[Row, Record | BadRow]]:
    """Each instance of each task is a record: ``ext_001``, and ``ext_001.2`` for a second instance."""
    for file in seed_files(place):
        where = source if source.endswith(file.name) else f"{source.rstrip('/')}/{file.name}"
        labelled = cache(partial(guard.labelled, file))
        with files.open_bytes(file) as stream:
            for row in line_rows(stream):
                for item in _instances(row, source, where, labelled):
                    yield row, item


def _instances(row: Row, source: str, where: str, labelled: Callable[[], bool]) -> Iterator[Record | BadRow]:
    task = row.value if isinstance(row.value, dict) else {}
    instances = task.get("instances")
    if row.reason or not isinstance(instances, list) or not instances:
        why = row.reason or "'instances' is missing, empty or not a list"
        yield row.bad(where, why, hidden=row.hidden("licence", labelled))
        return
    for place, instance in enumerate(instances, 1):
        try:
            if isinstance(instance, dict):
                instance = instance | {"id": task.get("id"), "category": task.get("category")}
                if "licence" in task:
                    instance["licence"] = task["licence"]
            record = from_fields(instance, {}, default_id="", source=source)
            if not record.id:
                raise RowError("the task has no id")
            yield replace(record, id=f"{record.id}.{place}") if place > 1 else record
        except RowError as error:
            told = RowError(f"instance {place}: {error}", f"instance {place}: {error.bare}")
            yield row.bad(where, told, hidden=row.hidden("licence", labelled))
