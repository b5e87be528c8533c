"""What a preparation is made of: rows, tokens, lengths, labels and wordings, by source and by family."""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bioinstruct_jax.data.sample import Sample

WORD = re.compile(r"\w+|[^\w\s]")  # a word or a sign


@dataclass
class Share:
    """Rows of one kind.

    Attributes:
        rows: written, copies among them.
        input, output: tokens of a row -> rows that have so many.
    """

    rows: int = 0
    input: Counter[int] = field(default_factory=Counter)
    output: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    wordings: Counter[int] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample, asked: int, answered: int) -> None:
        """One more row of so many tokens."""
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
            "tokens": {"input": total(self.input), "output": total(self.output)},
            "input_tokens": quantiles(self.input),
            "output_tokens": quantiles(self.output),
            "labels": dict(self.labels.most_common()),
            "wordings": [self.wordings[place] for place in range(max(self.wordings, default=-1) + 1)],
            "formats": dict(sorted(self.formats.items())),
        }


class Composition:
    """Counted row by row, in memory that does not grow with them.

    Args:
        tokenizer: whose tokens are counted; None: words and signs.
    """

    def __init__(self, tokenizer: str | None = None) -> None:
        self.tokenizer = tokenizer
        self.by_source: dict[tuple[str, str], Share] = {}  # of (task, split)
        self.by_family: dict[tuple[str, str], Share] = {}  # of (family, split)

    def add(self, sample: Sample) -> None:
        """Count a row, and its texts' tokens."""
        count = counter(self.tokenizer)
        asked, answered = count(sample.input), count(sample.output)
        for shares, name in ((self.by_source, sample.source), (self.by_family, sample.family)):
            shares.setdefault((name, sample.split), Share()).add(sample, asked, answered)

    def merge(self, other: "Composition") -> None:
        """The rows of another one, which stand behind those of this one."""
        for mine, others in ((self.by_source, other.by_source), (self.by_family, other.by_family)):
            for name, share in others.items():
                mine.setdefault(name, Share()).merge(share)

    def summary(self) -> dict[str, Any]:
        unit = f"tokens of {self.tokenizer}" if self.tokenizer else "words and signs"
        return {"unit": unit, "sources": _nested(self.by_source), "families": _nested(self.by_family)}


def in_order(whole: Composition, parts: Iterable[tuple[str, str, str]]) -> Composition:
    """The same, as if these parts had been counted one after another: each its task, its family and its split."""
    made = Composition(whole.tokenizer)
    for task, family, split in parts:
        if (task, split) in whole.by_source:
            made.by_source[task, split] = whole.by_source[task, split]
            made.by_family[family, split] = whole.by_family[family, split]
    return made


@cache
def counter(tokenizer: str | None) -> Callable[[str], int]:
    """Counts the tokens of a text, without special ones; raises ValueError for a tokenizer that cannot be loaded."""
    if tokenizer is None:
        return lambda text: sum(1 for _ in WORD.finditer(text))
    from bioinstruct_jax.data import tokenizer as tokenizers

    loaded = tokenizers.load(tokenizer).backend_tokenizer
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def total(lengths: Counter[int]) -> int:
    """The sum of lengths that are counted by how many rows have each."""
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
