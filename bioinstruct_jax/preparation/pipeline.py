"""From a recipe to its rows in order: read, compared, shared out. `prepare.py` writes what comes out."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from bioinstruct_jax.data.sample import Sample
from bioinstruct_jax.preparation import balance, overlaps, spool
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.preparation.sources import Missing, find
from bioinstruct_jax.preparation.spool import Part
from bioinstruct_jax.reporting.progress import Progress
from bioinstruct_jax.tasks.table import TASKS


@dataclass(frozen=True)
class Findings:
    """What was seen on the way from a recipe to its rows.

    Attributes:
        read: rows of each part by name, ``task/split``.
        reasons: overlaps of training rows, by task and reason.
        found: file of the overlaps, a JSON object a line.
    """

    read: dict[str, int]
    missing: list[Missing]
    reasons: dict[str, dict[str, int]]
    found: Path


@dataclass(frozen=True)
class Rows(Findings):
    """The rows of a recipe.

    Attributes:
        parts: in order; `times` says of each how often its rows are taken, [rows] int64.
    """

    parts: list[Part]
    times: list[np.ndarray]

    def __iter__(self) -> Iterator[Sample]:
        """Every row in the order of the recipe."""
        for part, times in zip(self.parts, self.times, strict=True):
            for row, count in zip(part.rows(), times.tolist(), strict=True):
                yield from copies(row.sample, count)

    def distinct(self, split: str, *, task: str | None = None) -> Iterator[Sample]:
        """The rows of a split, or of one task's, that are taken, each once."""
        for part, times in zip(self.parts, self.times, strict=True):
            if part.split == split and task in (None, part.task):
                yield from (row.sample for row, count in zip(part.rows(), times, strict=True) if count)


@contextmanager
def rows(job: Prepare, workers: int, progress: Progress) -> Iterator[Rows]:
    """The rows of a recipe, which lie in a temporary folder until this is left.

    Args:
        workers: processes that read; the rows are the same for any number.

    Raises:
        FileNotFoundError: files of a source are missing; names them all and where they are to be had.
        ValueError: files are not what their publishers ship; names each with its line.
        OSError: they cannot be read, or the temporary folder cannot be written.
    """
    with TemporaryDirectory(prefix="bioinstruct-prepare-") as work:
        there = find(job, Path(work))
        progress.phase("reading")
        everything = there.parts + there.others
        counts, errors = spool.write_all(everything, workers, progress.update)
        if errors:
            raise ValueError(unreadable(errors))
        read = {part.name: count for part, count in zip(everything, counts, strict=True)}
        for part in there.parts:
            known = TASKS[part.task].split(part.split).count
            if known is not None and known != read[part.name]:
                progress.note(f"note: {part.name} has {read[part.name]:,} rows, and {known:,} are known; is it whole?")
        progress.phase("comparing")
        training = sum(read[part.name] for part in there.parts if part.split == "train")
        keep: dict[str, np.ndarray] = {}
        reasons: dict[str, dict[str, int]] = {}
        lines = Path(work) / "overlaps.jsonl"
        with lines.open("w", encoding="utf-8") as file:
            compared = overlaps.find(
                there.parts, there.others, job.overlap, lambda done: progress.update(done, training)
            )
            for part, kept, found in compared:
                keep[part.task] = kept
                reasons[part.task] = dict(Counter(one.reason for one in found))
                file.writelines(one.line() + "\n" for one in found)
        shares = wanted(job, {task: int(kept.sum()) for task, kept in keep.items()})
        times = [
            taken(keep[part.task], part.numbers[:, 2], shares[part.task])
            if part.split == "train"
            else np.ones(read[part.name], np.int64)  # evaluation rows once
            for part in there.parts
        ]
        seen = {part.name: read[part.name] for part in there.parts}
        yield Rows(seen, there.missing, reasons, lines, there.parts, times)


def wanted(job: Prepare, kept: dict[str, int]) -> dict[str, int]:
    """Training rows of each task.

    Args:
        kept: those that are there to be taken, by task in the order of the recipe.
    """
    return balance.wanted(kept, {source.task: source for source in job.sources}, job.balance)


def taken(keep: np.ndarray, draws: np.ndarray, wanted: int) -> np.ndarray:
    """How often each row of a training part is taken, [rows] int64.

    Args:
        keep: whether it may be, [rows] bool.
        draws: [rows] uint64.
        wanted: rows to take in all.
    """
    times = np.zeros(len(keep), np.int64)
    times[keep] = balance.copies(draws[keep], wanted)
    return times


def copies(sample: Sample, times: int) -> Iterator[Sample]:
    """A row so often; further copies carry their number behind its id."""
    for copy in range(times):
        yield replace(sample, id=f"{sample.id}#{copy + 1}") if copy else sample


def unreadable(errors: list[str]) -> str:
    """What is told of corpora that cannot be read, in the order of the recipe."""
    return "\n  ".join([f"{len(errors)} corpora cannot be read:", *errors] if errors[1:] else errors)
