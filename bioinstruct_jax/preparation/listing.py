"""What `prepare --list` says: every task, which of its files are there, and where they are to be had."""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upath import UPath

from bioinstruct_jax.reporting.terminal import columns
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import Task

HEAD = ("task", "family", "licence", "here")
WIDTH = 80


@dataclass(frozen=True)
class Availability:
    """Which splits of a task can be read from a folder, and which files of the others are missing."""

    there: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def word(self) -> str:
        """'yes', 'no', or the splits that are there."""
        if not self.missing:
            return "yes"
        return " ".join(self.there) if self.there else "no"


def availability(task: Task[Any, Any], corpora: UPath) -> Availability:
    """Raises OSError where the folder cannot be looked into."""
    lost = {split.name: task.missing(corpora, split.name) for split in task.splits}
    there = tuple(split for split, names in lost.items() if not names)
    return Availability(there, tuple(dict.fromkeys(name for names in lost.values() for name in names)))


def text(corpora: UPath) -> str:
    """A row for each task; below it the files of each split, the licence, where it is to be had, and what was read."""
    rows = [
        (task.name, task.family.name, task.licence.kind, availability(task, corpora).word) for task in TASKS.values()
    ]
    head, rule, *lines = columns(HEAD, rows).splitlines()
    blocks = ["\n".join([line, *_below(task, corpora)]) for line, task in zip(lines, TASKS.values(), strict=True)]
    return "\n".join([head, rule, "\n\n".join(blocks)])


def _below(task: Task[Any, Any], corpora: UPath) -> Iterator[str]:
    for split in task.splits:
        yield f" {split.name}" if split.count is None else f" {split.name}, {split.count:,} rows"
        lost = task.missing(corpora, split.name)
        for name in (f"{task.folder}/{one}" for one in split.files):
            yield f"  {'missing' if name in lost else 'there':<7}  {name}"
    yield from _wrapped("licence", task.licence.name)
    yield from _wrapped("from", task.licence.obtain)
    yield from _wrapped("reader", "tried on the real file" if task.tried else "not yet tried on the real file")


def _wrapped(name: str, said: str) -> list[str]:
    first = f" {name:<9}"
    return textwrap.wrap(
        said,
        WIDTH,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
