"""Rendered rows on disk, part by part: a part is one split of one task, so that any number of processes makes the same.

A part is read when it is compared and when it is written, and nothing of it stays in memory but 24 bytes a row. Its
lines are JSON arrays: the columns of a Sample in order, then what is compared.
"""

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import astuple, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from bioinstruct_jax import files
from bioinstruct_jax.data.sample import Sample
from bioinstruct_jax.preparation.rows import Rendered, rendered
from bioinstruct_jax.tasks.reading import NO_TEXT
from bioinstruct_jax.tasks.table import TASKS


@dataclass(frozen=True)
class Part:
    """One split of one task, to be rendered.

    Attributes:
        file: where its rows go; local.
        corpora: the user's folder of corpora.
        text: what an item is about stands as its input, without what the prompt adds: for the form of that name.
    """

    task: str
    split: str
    format: str | None
    seed: int
    corpora: str
    file: Path
    text: bool = False

    @property
    def name(self) -> str:
        return f"{self.task}/{self.split}"

    @property
    def numbers(self) -> np.ndarray:
        """[rows, 3] uint64: what the row asks and answers as a digest of two numbers; one drawn by seed and id."""
        return np.load(self.file.with_suffix(".npy"), mmap_mode="r", allow_pickle=False)

    def rows(self) -> Iterator[Rendered]:
        """What `write` wrote."""
        with self.file.open(encoding="utf-8") as lines:
            for line in lines:
                *columns, about, free = json.loads(line)
                columns[-1] = tuple(columns[-1])  # the labels
                yield Rendered(Sample(*columns), about, free)


def write(part: Part) -> int:
    """Render a part into its file; returns the number of rows.

    Raises:
        ValueError: what `rendered` raises; there is no row, one has what is no text, or two have one id.
        OSError: as `rendered`.
    """
    numbers = array("Q")
    found = rendered(TASKS[part.task], files.path(part.corpora), part.split, seed=part.seed, format=part.format)
    with part.file.open("w", encoding="utf-8") as lines:
        for row in found:
            sample = replace(row.sample, input=row.about) if part.text else row.sample
            if NO_TEXT.search(f"{sample.id}{sample.input}{sample.output}"):
                raise ValueError(
                    f"{part.name}, item {len(numbers) // 3 + 1}: it has a NUL character or half a character (a lone "
                    "surrogate), which is no text. Mend the corpus, or fetch it again"
                )
            lines.write(json.dumps([*astuple(sample), row.about, row.free]) + "\n")
            numbers.frombytes(hashlib.blake2b(f"{sample.input}\0{sample.output}".encode(), digest_size=16).digest())
            numbers.frombytes(hashlib.blake2b(f"{part.seed}\0{sample.id}".encode(), digest_size=8).digest())
    made = np.frombuffer(numbers, "<u8").reshape(-1, 3)
    if not len(made):
        raise ValueError(TASKS[part.task].empty(part.split))
    _, first = np.unique(made[:, 2], return_index=True)
    if len(first) < len(made):
        again = int(np.setdiff1d(np.arange(len(made)), first)[0])
        raise ValueError(
            f"{part.name}, item {again + 1}: its id is that of an item before it, so results could not be told apart. "
            "Is a file there twice, or joined to itself?"
        )
    np.save(part.file.with_suffix(".npy"), made, allow_pickle=False)
    return len(made)


def write_all(parts: list[Part], workers: int, told: Callable[[int, int], None]) -> tuple[list[int], list[str]]:
    """Render all parts.

    Args:
        workers: processes at most; 1: this one alone.
        told: called with how many parts are done, and of how many.

    Raises:
        OSError: a process was ended from outside.

    Returns:
        Rows of each part (0 for one that could not be made), and the errors of those, in the order of the parts.
    """
    counts, errors = [0] * len(parts), [""] * len(parts)
    told(0, len(parts))
    if workers == 1 or len(parts) < 2:
        for place, part in enumerate(parts):
            counts[place], errors[place] = attempt(part)
            told(place + 1, len(parts))
    else:
        with ProcessPoolExecutor(min(workers, len(parts)), mp_context=get_context("spawn")) as pool:
            # The largest files take longest: they are begun first, so that none is left for the end.
            order = sorted(range(len(parts)), key=lambda place: -_size(parts[place]))
            waiting = {pool.submit(attempt, parts[place]): place for place in order}
            left = set(waiting)
            while left:
                done, left = wait(left, return_when=FIRST_COMPLETED)
                try:
                    for one in done:
                        counts[waiting[one]], errors[waiting[one]] = one.result()
                except BrokenProcessPool as error:
                    raise OSError(
                        "a process that read corpora was ended from outside, for want of memory as a rule; start again "
                        "with --workers=1"
                    ) from error
                told(len(parts) - len(left), len(parts))
    return counts, [error for error in errors if error]


def attempt(part: Part) -> tuple[int, str]:
    """`write`, and 0 rows and the error where they cannot be made."""
    try:
        return write(part), ""
    except (ValueError, FileNotFoundError) as error:
        return 0, str(error)
    except OSError as error:
        return 0, f"{part.name}: {error.filename or part.corpora} cannot be read: {error.strerror or error}"


def _size(part: Part) -> int:
    """Bytes of the files of a part, as far as they can be told."""
    task = TASKS[part.task]
    place = files.path(part.corpora) / task.folder
    try:
        return sum((place / name).stat().st_size for name in task.split(part.split).files)
    except OSError:
        return 0
