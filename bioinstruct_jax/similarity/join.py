"""Which indexed text is near to a given one by ROUGE-L: exact, without comparing all pairs.

A score of t or more over n and m tokens needs t(n+m)/2 common tokens in one order, so as many in any order. Repeated
tokens are numbered by occurrence, which makes multisets sets. Of the n elements of a text all but p can at most be
common, so whoever shares fewer than t(n+m)/2 - (n-p) with the p rarest is out: the prefix filter of PPJoin (Xiao et
al., 2008), counted over whole lists of the index instead of over prefixes of its texts, so that an element's rarity
may change while texts are added. Lengths bound the pairs as well: tn/(2-t) <= m <= n(2-t)/t. What is left is verified
by the longest common subsequence.
"""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass

import numpy as np

from bioinstruct_jax.similarity import rouge
from bioinstruct_jax.similarity.tokens import Vocabulary, words

THRESHOLD = 0.7
_SLACK = 1e-6  # tokens; a bound that is rounded lets through too much rather than too little
_NOTHING = array("i")


@dataclass(frozen=True)
class Match:
    """The id of a text that was met, and the ROUGE-L F1 with it."""

    id: str
    score: float


class Near:
    """Texts to be compared with by ROUGE-L; they can be added at any time.

    It pickles, so that worker processes can be given a copy. Memory: 7 to 9 bytes a token, 200 bytes and the id a row,
    110 bytes a distinct token and 150 for each distinct number of times it occurs in a text. A query leaves nothing.
    """

    def __init__(self, threshold: float = THRESHOLD):
        """
        Args:
            threshold: least ROUGE-L F1 of a match, above 0 to 1. The default is where Self-Instruct (Wang et al.,
                2023) and the data sets made after it, BioInstruct among them, draw the line of "too similar".

        Raises:
            ValueError: the threshold is outside.
        """
        if not 0 < threshold <= 1:
            raise ValueError(f"the threshold of ROUGE-L is {threshold}; give one above 0 and at most 1")
        self.threshold = threshold
        self._vocabulary = Vocabulary()
        self._ids: list[str] = []
        self._texts: list[str | array[int]] = []  # of `rouge.sequence`
        self._lengths = array("i")
        self._places: dict[str | bytes, int] = {}  # of every text, by itself
        self._holders: dict[int, array[int]] = {}  # of every element: who has it, in their order

    def __len__(self) -> int:
        """Distinct texts that have tokens."""
        return len(self._ids)

    def add(self, id: str, text: str) -> None:
        """One more text to be met. One without tokens is near to nothing; of equal ones only the first is met."""
        tokens = self._vocabulary.add(words(text))
        found = rouge.sequence(tokens)
        place = len(self._ids)
        if not len(tokens) or self._places.setdefault(_key(found), place) != place:
            return
        self._ids.append(id)
        self._texts.append(found)
        self._lengths.append(len(tokens))
        for element in _elements(tokens):
            holders = self._holders.get(element)
            if holders is None:
                self._holders[element] = holders = array("i")
            holders.append(place)

    def find(self, text: str) -> Match | None:
        """The nearest text at or above the threshold, of equals the first that was added; None where there is none."""
        tokens = self._vocabulary.find(words(text))
        n, query = len(tokens), rouge.sequence(tokens)
        if not n:
            return None
        same = self._places.get(_key(query))
        if same is not None:
            return Match(self._ids[same], 1.0)
        nearest, bar = None, self.threshold
        for place in self._candidates(tokens).tolist():
            m = self._lengths[place]
            least = rouge.least_common(n, m, bar)
            if least > min(n, m):
                continue
            score = rouge.f1(rouge.common(query, self._texts[place], least=least), n, m)
            if score > bar or (score == bar and nearest is None):
                nearest, bar = place, score
        return None if nearest is None else Match(self._ids[nearest], bar)

    def _candidates(self, tokens: np.ndarray) -> np.ndarray:
        """Places of texts that may reach the threshold, ascending."""
        n, t = len(tokens), self.threshold
        shortest = math.ceil(t * n / (2 - t) - _SLACK)
        longest = math.floor(n * (2 - t) / t + _SLACK)
        fewest = max(1, math.ceil(t * (n + shortest) / 2 - _SLACK))  # common tokens of any match
        counted = min(n, n - fewest + 1 + n // 8)  # an eighth more than needed leaves far fewer to verify
        rarest = sorted((self._holders.get(element, _NOTHING) for element in _elements(tokens)), key=len)[:counted]
        lists = [np.frombuffer(holders, np.int32) for holders in rarest if holders]
        if not lists:
            return np.zeros(0, np.int32)
        places, shared = _counted(np.concatenate(lists), len(self._ids), max(1, fewest - (n - counted)))
        lengths = np.frombuffer(self._lengths, np.int32)[places]
        most = shared + (n - counted)
        return places[
            (lengths >= shortest) & (lengths <= longest) & (most >= t * (n + lengths.astype(np.int64)) / 2 - _SLACK)
        ]


def _elements(tokens: np.ndarray) -> list[int]:
    """The multiset of ids as a set of numbers: how often the id came before, and the id."""
    seen: dict[int, int] = {}
    found = []
    for token in tokens.tolist():
        before = seen.get(token, 0)
        seen[token] = before + 1
        found.append(before << 32 | token & 0xFFFFFFFF)
    return found


def _counted(places: np.ndarray, size: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Numbers below `size` that occur `least` times or more, ascending, and how often, by whichever way is faster."""
    if size > 64 * len(places):
        found, counts = np.unique(places, return_counts=True)
        enough = counts >= least
        return found[enough], counts[enough]
    counts = np.bincount(places, minlength=size)
    found = np.flatnonzero(counts >= least)
    return found, counts[found]


def _key(found: str | array[int]) -> str | bytes:
    return found if isinstance(found, str) else found.tobytes()
