"""Which held-out text has whole n-grams that a given one has too: exact, by hashes that are verified token by token.

Two texts meet if a run of k tokens stands in both, k being n or, where a text is shorter, that text's own length; a
text of fewer tokens than `least` meets nothing. So a short text counts as one n-gram, wherever the other has it. How
much of the held-out text lies in such runs may be asked for as well, or every stock phrase is a match.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bioinstruct_jax.similarity.tokens import UNKNOWN, Vocabulary, words

_FACTOR = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Run:
    """Tokens that a text shares with a held-out one.

    Attributes:
        id: of the held-out text.
        start: of the first such run in the tokens of the text.
        size: tokens of the run.
        share: of the tokens of the held-out text, that lie in such runs.
    """

    id: str
    start: int
    size: int
    share: float


@dataclass(frozen=True)
class _Windows:
    """The runs of one size: hashes in ascending order, uint64 [runs], and where each begins."""

    hashes: np.ndarray
    starts: np.ndarray


class Ngrams:
    """Held-out texts to be met by their n-grams.

    Add all, then find: tables are made at the first `find` after an `add`, from all texts, in about a second for a
    million tokens. It pickles, so that worker processes can be given a copy. Memory: 12 bytes a token, 12 bytes an
    n-gram, 24 bytes and the id a row, 110 bytes a distinct token. A query leaves nothing.
    """

    def __init__(self, n: int = 13, least: int = 8, share: float = 0.0):
        """
        Args:
            n: tokens of an n-gram. 13 is what GPT-3 (Brown et al., 2020) looked for in its training data.
            least: tokens of the shortest text that counts, as one n-gram, 1 to n.
            share: of the tokens of a held-out text, that have to lie in shared n-grams, 0 to 1. Llama 2 (Touvron et
                al., 2023) draws lines at 0.2 and 0.8; with 0 any n-gram is enough.

        Raises:
            ValueError: `least` is not 1 to `n`, or `share` is not 0 to 1.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"the share of a text that lies in shared n-grams is {share}; give 0 to 1")
        if not 1 <= least <= n:
            raise ValueError(f"n-grams of {n} tokens, and of texts of at least {least}: least has to be 1 to n")
        self.n, self.least, self.share = n, least, share
        self._vocabulary = Vocabulary()
        self._ids: list[str] = []
        self._tokens = array("i")  # of all texts, one after another
        self._ends = array("q")  # of every text, in the above
        self._made: _Tables | None = None

    def __len__(self) -> int:
        """Texts that are long enough to count."""
        return len(self._ids)

    def add(self, id: str, text: str) -> None:
        """One more text to be met, unless it has fewer than `least` tokens."""
        tokens = words(text)
        if len(tokens) < self.least:
            return  # and its tokens stay unknown: `_Tables` has a place for every known one
        self._ids.append(id)
        self._tokens.frombytes(self._vocabulary.add(tokens).astype("i").tobytes())
        self._ends.append(len(self._tokens))
        self._made = None

    def find(self, text: str) -> Run | None:
        """The first held-out text, in the order in which they were added, that shares enough; None: none does."""
        return next(self.all(text), None)

    def all(self, text: str) -> Iterator[Run]:
        """Every held-out text that shares enough, in the order in which they were added."""
        tokens = self._vocabulary.find(words(text))
        if len(tokens) < self.least or not self._ids:
            return
        if self._made is None:
            self._made = _Tables(np.array(self._tokens, np.int32), np.array(self._ends, np.int64), self.n, self.least)
        for row, start, size, share in self._made.find(tokens, self.share):
            yield Run(self._ids[row], start, size, share)


class _Tables:
    """What the held-out texts are looked up in; arrays only."""

    def __init__(self, tokens: np.ndarray, ends: np.ndarray, n: int, least: int):
        """
        Args:
            tokens: of all texts, one after another, int32 [tokens].
            ends: of every text in `tokens`, int64 [texts], ascending.
        """
        self._tokens, self._ends, self._n, self._least = tokens, ends, n, least
        sizes = np.diff(ends, prepend=0)
        remaining = np.repeat(ends, sizes) - np.arange(len(tokens))  # tokens from here to the end of the text
        whole = np.minimum(np.repeat(sizes, sizes), n)  # the n-gram of the text that stands here
        self._windows = {}
        for size, hashes in _hashed(tokens, least, n):
            starts = np.flatnonzero((whole == size) & (remaining >= size))
            if len(starts):
                self._windows[size] = self._sorted(hashes[starts], starts, size)
        # For a text shorter than n inside a longer one: where each token stands.
        self._by_token = np.argsort(tokens, kind="stable").astype(np.int32 if len(tokens) < 2**31 else np.int64)
        self._first = np.concatenate([[0], np.cumsum(np.bincount(tokens))])

    def find(self, tokens: np.ndarray, least: float) -> Iterator[tuple[int, int, int, float]]:
        """The texts of which so large a share is met, in their order: the number of each; where the first run begins in
        `tokens`, and its size; the share."""
        met: defaultdict[int, list[tuple[int, int, int]]] = defaultdict(list)  # start in `tokens`, size, start here
        for size, hashes in _hashed(tokens, self._least, self._n):
            if size in self._windows:
                self._shared(tokens, hashes, size, met)
        if len(tokens) < self._n:
            self._holding(tokens, met)
        for row in sorted(met):
            covered = {place for _, size, here in met[row] for place in range(here, here + size)}
            before = int(self._ends[row - 1]) if row else 0
            share = len(covered) / (int(self._ends[row]) - before)
            if share >= least:
                start, size, _ = min(met[row])
                yield row, start, size, share

    def _sorted(self, hashes: np.ndarray, starts: np.ndarray, size: int) -> _Windows:
        """In the order of the hashes; equal ones in that of the texts."""
        order = np.argsort(hashes, kind="stable")
        return _Windows(hashes[order], starts[order].astype(np.int32 if len(self._tokens) < 2**31 else np.int64))

    def _shared(
        self, tokens: np.ndarray, hashes: np.ndarray, size: int, met: defaultdict[int, list[tuple[int, int, int]]]
    ) -> None:
        """Adds the texts whose n-grams of `size` tokens stand in `tokens`."""
        table = self._windows[size]
        at = np.searchsorted(table.hashes, hashes)
        here = np.arange(len(hashes))
        while True:
            inside = at < len(table.hashes)
            at, here = at[inside], here[inside]
            same = table.hashes[at] == hashes[here]
            at, here = at[same], here[same]
            if not len(at):
                return
            starts = table.starts[at].astype(np.int64)
            equal = (self._tokens_at(starts, size) == tokens[here[:, None] + np.arange(size)]).all(axis=1)
            rows = np.searchsorted(self._ends, starts[equal], side="right")
            for row, start, place in zip(rows.tolist(), here[equal].tolist(), starts[equal].tolist(), strict=True):
                met[row].append((start, size, place))
            at = at + 1  # the next run of the same hash

    def _holding(self, tokens: np.ndarray, met: defaultdict[int, list[tuple[int, int, int]]]) -> None:
        """Adds the texts in which all `tokens` stand in one run, looked for where their rarest one stands."""
        if tokens.min() == UNKNOWN:
            return
        counts = self._first[tokens + 1] - self._first[tokens]
        rarest = int(counts.argmin())
        token = tokens[rarest]
        starts = self._by_token[self._first[token] : self._first[token + 1]].astype(np.int64) - rarest
        starts = starts[(starts >= 0) & (starts + len(tokens) <= len(self._tokens))]
        starts = starts[(self._tokens_at(starts, len(tokens)) == tokens).all(axis=1)]
        rows = np.searchsorted(self._ends, starts, side="right")
        inside = starts + len(tokens) <= self._ends[rows]
        for row, place in zip(rows[inside].tolist(), starts[inside].tolist(), strict=True):
            met[row].append((0, len(tokens), place))

    def _tokens_at(self, starts: np.ndarray, size: int) -> np.ndarray:
        """Runs of tokens, int32 [starts, size]."""
        return self._tokens[starts[:, None] + np.arange(size)]


def _hashed(tokens: np.ndarray, least: int, most: int) -> Iterator[tuple[int, np.ndarray]]:
    """For each size from `least` to `most` that fits: the hash of every run of that many tokens, uint64 [runs]."""
    spread = _spread(tokens)
    hashes = spread
    for size in range(1, min(most, len(tokens)) + 1):
        if size > 1:
            hashes = hashes[:-1] * _FACTOR + spread[size - 1 :]
        if size >= least:
            yield size, hashes


def _spread(tokens: np.ndarray) -> np.ndarray:
    """A number of 64 bits for each token id, different for each."""
    mixed = (tokens.astype(np.int64) + 1).astype(np.uint64) * np.uint64(0xD6E8FEB86659FD93)
    return mixed ^ (mixed >> np.uint64(32))
