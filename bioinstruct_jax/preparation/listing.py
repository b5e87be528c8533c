"""What `prepare --list` says: every task, and which of its files are there."""

from dataclasses import dataclass
from typing import Any

from upath import UPath

from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import Task

HEAD = ("task", "family", "splits (rows known)", "licence", "here", "reader")


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


def rows(corpora: UPath) -> list[tuple[str, ...]]:
    """A row for each task, under `HEAD`."""
    listed: list[tuple[str, ...]] = []
    for task in TASKS.values():
        splits = " ".join(
            f"{split.name} {split.count:,}" if split.count is not None else split.name for split in task.splits
        )
        tried = "tried" if task.tried else "not yet tried on the real file"
        listed.append((task.name, task.family.name, splits, task.licence.kind, availability(task, corpora).word, tried))
    return listed
