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


@dataclass(frozen=True)
class Rows:
    """The rows of a recipe.

    Attributes:
        parts: in order; `times` says of each how often its rows are taken, [rows] int64.
        read: rows of each part by name, ``task/split``.
        reasons: overlaps of training rows, by task and reason.
        found: file of the overlaps, a JSON object a line.
    """

    parts: list[Part]
    times: list[np.ndarray]
    read: dict[str, int]
    missing: list[Missing]
    reasons: dict[str, dict[str, int]]
    found: Path

    def __len__(self) -> int:
        return int(sum(times.sum() for times in self.times))

    def __iter__(self) -> Iterator[Sample]:
        """Every row in the order of the recipe; further copies of one carry their number behind its id."""
        for part, times in zip(self.parts, self.times, strict=True):
            for row, count in zip(part.rows(), times.tolist(), strict=True):
                for copy in range(count):
                    yield replace(row.sample, id=f"{row.sample.id}#{copy + 1}") if copy else row.sample


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
            raise ValueError("\n  ".join([f"{len(errors)} corpora cannot be read:", *errors] if errors[1:] else errors))
        read = {part.name: count for part, count in zip(everything, counts, strict=True)}
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
        times = _times(job, there.parts, keep, read)
        yield Rows(
            there.parts, times, {part.name: read[part.name] for part in there.parts}, there.missing, reasons, lines
        )


def _times(job: Prepare, parts: list[Part], keep: dict[str, np.ndarray], read: dict[str, int]) -> list[np.ndarray]:
    """How often each row of each part is taken: evaluation rows once, training rows by their shares."""
    settings = {source.task: source for source in job.sources}
    wanted = balance.wanted({task: int(kept.sum()) for task, kept in keep.items()}, settings, job.balance)
    taken = []
    for part in parts:
        if part.split != "train":
            taken.append(np.ones(read[part.name], np.int64))
            continue
        kept = keep[part.task]
        times = np.zeros(len(kept), np.int64)
        times[kept] = balance.copies(part.numbers[kept, 2], wanted[part.task])
        taken.append(times)
    return taken
