"""Training rows that are there twice, and those that evaluation would meet again: found, told, and left out.

A duplicate says what an earlier row of the same source says, or is about the same text, or nearly, as a row that an
earlier source of the same family and subject kept. A leak is about a text that is near to one that an evaluation row is
about, or holds much of one, or of a free answer to one, in whole n-grams; its own free answer is searched for them too.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from bioinstruct_jax.preparation.job import Overlap
from bioinstruct_jax.preparation.rows import Rendered
from bioinstruct_jax.preparation.spool import Part
from bioinstruct_jax.similarity.duplicates import Exact
from bioinstruct_jax.similarity.join import Near
from bioinstruct_jax.similarity.ngrams import Ngrams
from bioinstruct_jax.tasks.table import TASKS

REASONS = DUPLICATE, NEAR, NGRAM, LEAK = ("duplicate", "near duplicate", "shared n-grams", "near an evaluation row")


@dataclass(frozen=True)
class Overlapping:
    """A training row, why it is told of, and the row that it overlaps with. Ids alone: texts may be restricted.

    Attributes:
        score: ROUGE-L (F1), or the share of the other row's words that lie in shared n-grams.
    """

    id: str
    reason: str
    other: str
    score: float

    def line(self) -> str:
        return json.dumps({"id": self.id, "reason": self.reason, "other": self.other, "score": self.score})


class HeldOut:
    """What evaluation rows are about, and their free answers, to be met by training rows."""

    def __init__(self, settings: Overlap) -> None:
        self._near = Near(settings.rouge_l)
        self._ngrams = Ngrams(settings.ngram, min(settings.ngram, 8), settings.ngram_share)
        self._seen = Exact()

    def add(self, id: str, about: str, free: str) -> None:
        """Take in what an evaluation row is about, and its free text, under `id`."""
        if self._seen.find(about) is None:  # several tasks are made of one corpus
            for index in (self._seen, self._near, self._ngrams):
                index.add(id, about)
        if free:
            self._ngrams.add(id, free)

    def find(self, row: Rendered) -> Overlapping | None:
        """What a row has in common with an evaluation row, or None: the same text, a near one, a shared n-gram."""
        if (same := self._seen.find(row.about)) is not None:
            return Overlapping(row.sample.id, LEAK, same, 1.0)
        if (match := self._near.find(row.about)) is not None:
            return Overlapping(row.sample.id, LEAK, match.id, round(match.score, 4))
        for text in (row.about, row.free):
            if (run := self._ngrams.find(text)) is not None:
                return Overlapping(row.sample.id, NGRAM, run.id, round(run.share, 4))
        return None


class Duplicates:
    """Rows met so far, in the order of the recipe; a text is remembered only where a later source may repeat it."""

    def __init__(self, parts: list[Part], settings: Overlap) -> None:
        self._settings = settings
        self._kept: dict[tuple[str, str], list[tuple[Exact, Near]]] = {}  # of each source, by family and subject
        self._left = sources(parts)

    def begin(self, part: Part, digests: np.ndarray) -> None:
        """The rows that follow are of this part: all, or those that may be equal to each other.

        Args:
            digests: of what they ask and answer, in their order, [rows, 2] uint64.
        """
        of = kind(part)
        self._left[of] -= 1
        self._earlier = self._kept.setdefault(of, []).copy()
        self._own = (Exact(), Near(self._settings.rouge_l)) if self._left[of] else None
        if self._own:
            self._kept[of].append(self._own)
        self._first = _first_equal(digests)
        self._again = set(self._first[self._first != np.arange(len(self._first))].tolist())
        self._ids: dict[int, str] = {}  # of the rows in `_again`, which others repeat
        self._place = -1

    def find(self, row: Rendered, *, kept: bool) -> Overlapping | None:
        """What the next row of the part repeats; else, if it is to be kept, remembers it."""
        sample, self._place = row.sample, self._place + 1
        first = int(self._first[self._place])
        if first != self._place:
            return Overlapping(sample.id, DUPLICATE, self._ids[first], 1.0)
        if first in self._again:
            self._ids[first] = sample.id
        for exact, near in self._earlier:
            if (same := exact.find(row.about)) is not None:
                return Overlapping(sample.id, DUPLICATE, same, 1.0)
            if (match := near.find(row.about)) is not None:
                return Overlapping(sample.id, NEAR, match.id, round(match.score, 4))
        for index in (self._own or ()) if kept else ():
            index.add(sample.id, row.about)
        return None


def kind(part: Part) -> tuple[str, str]:
    """What two sources must have in common for one to repeat the other: family and subject."""
    task = TASKS[part.task]
    return task.family.name, task.subject


def sources(parts: list[Part]) -> Counter[tuple[str, str]]:
    """Training parts of each kind."""
    return Counter(kind(part) for part in parts if part.split == "train")


def _first_equal(digests: np.ndarray) -> np.ndarray:
    """[rows] int64: the first row with the digest of this one, which may be itself.

    Args:
        digests: [rows, 2] uint64.
    """
    order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: equal ones in the order of the rows
    new = np.ones(len(order), bool)
    new[1:] = (digests[order[1:]] != digests[order[:-1]]).any(axis=1)
    first = np.empty(len(order), np.int64)
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return first


def held_out(texts: Iterable[tuple[str, str, str]], settings: Overlap) -> HeldOut:
    """Evaluation rows, each as its id, what it is about, and its free answer, in the order of the recipe."""
    found = HeldOut(settings)
    for id, about, free in texts:
        found.add(id, about, free)
    return found


def judged(
    row: Rendered, leak: Overlapping | None, duplicates: Duplicates | None, settings: Overlap
) -> tuple[bool, list[Overlapping]]:
    """Whether a training row is to be kept, as the settings have it, and what is told of it: one reason at most.

    Args:
        duplicates: the rows before it; None where they do not count.
    """
    clean = not (leak and settings.leaks == "remove")
    again = duplicates.find(row, kept=clean) if duplicates else None
    single = not (again and settings.duplicates == "remove")
    why = again if clean and not single else leak or again  # what it was left out for, if it was
    return clean and single, [why] if why else []


def find(
    parts: list[Part], others: list[Part], settings: Overlap, told: Callable[[int], None]
) -> Iterator[tuple[Part, np.ndarray, list[Overlapping]]]:
    """Compare each training part, in the order of the recipe.

    Args:
        others: evaluation parts of other tasks.
        told: called with how many rows were compared so far, now and then.

    Yields:
        The part; which of its rows are to be kept, [rows] bool, as the settings have it; and all that was found.
    """
    index = None
    if settings.leaks != "ignore":
        evaluation = [part for part in parts + others if part.split != "train"]
        index = held_out(((row.sample.id, row.about, row.free) for part in evaluation for row in part.rows()), settings)
    duplicates = Duplicates(parts, settings) if settings.duplicates != "ignore" else None
    done = 0
    for part in parts:
        if part.split != "train":
            continue
        if duplicates:
            duplicates.begin(part, part.numbers[:, :2])
        keep = bytearray()  # a byte a row
        found: list[Overlapping] = []
        for row in part.rows():
            kept, overlapping = judged(row, index.find(row) if index else None, duplicates, settings)
            keep.append(kept)
            found += overlapping
            done += 1
            if done % 1000 == 0:
                told(done)
        yield part, np.frombuffer(keep, bool), found
