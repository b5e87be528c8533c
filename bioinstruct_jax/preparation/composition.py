"""What a preparation is made of: rows, words, lengths, labels and wordings, by source and by family."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bioinstruct_jax.data.sample import Sample

WORD = re.compile(r"\w+|[^\w\s]")  # a word or a sign; what a tokenizer makes of it is about a third more


@dataclass
class Share:
    """Rows of one kind.

    Attributes:
        rows: written, copies among them.
        input, output: words and signs of a row -> rows that have so many.
    """

    rows: int = 0
    input: Counter[int] = field(default_factory=Counter)
    output: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    wordings: Counter[int] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample, asked: int, answered: int) -> None:
        """One more row of so many words."""
        self.rows += 1
        self.input[asked] += 1
        self.output[answered] += 1
        self.wordings[sample.wording] += 1
        self.formats[sample.format] += 1
        self.labels.update(sample.labels)

    def merge(self, other: "Share") -> None:
        """The rows of another share, which stand behind those of this one."""
        self.rows += other.rows
        self.input.update(other.input)
        self.output.update(other.output)
        self.labels.update(other.labels)
        self.wordings.update(other.wordings)
        self.formats.update(other.formats)

    def summary(self) -> dict[str, Any]:
        """Counts, and medians, 95th percentiles and maxima of the lengths; for JSON."""
        return {
            "rows": self.rows,
            "words": {"input": total(self.input), "output": total(self.output)},
            "input_words": quantiles(self.input),
            "output_words": quantiles(self.output),
            "labels": dict(self.labels.most_common()),
            "wordings": [self.wordings[place] for place in range(max(self.wordings, default=-1) + 1)],
            "formats": dict(sorted(self.formats.items())),
        }


class Composition:
    """Counted row by row, in memory that does not grow with them."""

    def __init__(self) -> None:
        self.by_source: dict[tuple[str, str], Share] = {}  # of (task, split)
        self.by_family: dict[tuple[str, str], Share] = {}  # of (family, split)

    def add(self, sample: Sample) -> None:
        asked, answered = words(sample.input), words(sample.output)
        for shares, name in ((self.by_source, sample.source), (self.by_family, sample.family)):
            shares.setdefault((name, sample.split), Share()).add(sample, asked, answered)

    def merge(self, other: "Composition") -> None:
        """The rows of another one, which stand behind those of this one."""
        for mine, others in ((self.by_source, other.by_source), (self.by_family, other.by_family)):
            for name, share in others.items():
                mine.setdefault(name, Share()).merge(share)

    def summary(self) -> dict[str, Any]:
        return {"sources": _nested(self.by_source), "families": _nested(self.by_family)}


def in_order(whole: Composition, parts: Iterable[tuple[str, str, str]]) -> Composition:
    """The same, as if these parts had been counted one after another: each its task, its family and its split."""
    made = Composition()
    for task, family, split in parts:
        if (task, split) in whole.by_source:
            made.by_source[task, split] = whole.by_source[task, split]
            made.by_family[family, split] = whole.by_family[family, split]
    return made


def words(text: str) -> int:
    return sum(1 for _ in WORD.finditer(text))


def total(lengths: Counter[int]) -> int:
    return sum(length * rows for length, rows in lengths.items())


def quantiles(lengths: Counter[int]) -> dict[str, int]:
    """The least length that half, 95 % and all of the rows do not go beyond."""
    rows, seen, found = sum(lengths.values()), 0, {}
    due = [("median", 0.5), ("p95", 0.95), ("max", 1.0)]
    for length in sorted(lengths):
        seen += lengths[length]
        while due and seen >= due[0][1] * rows:
            found[due.pop(0)[0]] = length
    return found


def _nested(shares: dict[tuple[str, str], Share]) -> dict[str, dict[str, Any]]:
    made: dict[str, dict[str, Any]] = {}
    for (name, split), share in shares.items():
        made.setdefault(name, {})[split] = share.summary()
    return made
