"""Which indexed text is near to a given one by ROUGE-L: exact, without comparing all pairs.

A score of t or more over n and m tokens needs t(n+m)/2 common tokens in one order, so as many in any order. Repeated
tokens are numbered by occurrence, which makes multisets sets. Of the n elements of a text all but p can at most be
common, so whoever shares fewer than t(n+m)/2 - (n-p) with the p rarest is out: the prefix filter of PPJoin (Xiao et
al., 2008), counted over whole lists of the index instead of over prefixes of its texts, so that an element's rarity
may change while texts are added. Lengths bound the pairs as well: tn/(2-t) <= m <= n(2-t)/t. What is left is verified
by the longest common subsequence. Where no threshold is given, the score of one text that shares most with the query is
the first, and texts are verified from the highest bound down until no bound reaches the best score.
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
_FIRST = 32  # texts that are verified before the others are judged again
_LIKELY = 0.9  # of the highest bound: texts that are tried for a first score


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
        return self._same(tokens) or self._best(tokens, *self._candidates(tokens), self.threshold)

    def all(self, text: str) -> list[Match]:
        """Every text at or above the threshold, in the order in which they were added."""
        tokens = self._vocabulary.find(words(text))
        query, n, bar = rouge.sequence(tokens), len(tokens), self.threshold
        scores = ((place, self._score(query, n, place, bar)) for place in self._candidates(tokens)[0].tolist())
        return [Match(self._ids[place], score) for place, score in scores if score >= bar]

    def nearest(self, text: str) -> Match | None:
        """The nearest text at any score, of equals the first that was added; None where none shares a token.

        It counts over the whole lists of all tokens, which among hundreds of thousands of instructions takes two or
        three times as long as `find`: a millisecond.
        """
        tokens = self._vocabulary.find(words(text))
        if (same := self._same(tokens)) is not None or not (lists := self._rarest(tokens)):
            return same
        shared = np.bincount(np.concatenate(lists), minlength=len(self._ids))
        most = 2 * shared / (np.frombuffer(self._lengths, np.int32) + len(tokens))
        likely = np.flatnonzero(most >= _LIKELY * most.max())[:_FIRST]
        query = rouge.sequence(tokens)
        bar = max(self._score(query, len(tokens), place) for place in likely.tolist())  # that of one, so above 0
        places = np.flatnonzero(most >= bar)
        return self._best(tokens, places, most[places], bar)

    def _same(self, tokens: np.ndarray) -> Match | None:
        """The text of these tokens."""
        place = self._places.get(_key(rouge.sequence(tokens))) if len(tokens) else None
        return None if place is None else Match(self._ids[place], 1.0)

    def _rarest(self, tokens: np.ndarray) -> list[np.ndarray]:
        """Who has each element that some text has, int32 [texts] each, the rarest first."""
        lists = [self._holders[element] for element in _elements(tokens) if element in self._holders]
        return [np.frombuffer(holders, np.int32) for holders in sorted(lists, key=len)]

    def _score(self, query: str | array[int], n: int, place: int, bar: float = 0.0) -> float:
        """ROUGE-L of the query, of n tokens, with a text; 0 where it is below `bar`."""
        m = self._lengths[place]
        return rouge.f1(rouge.common(query, self._texts[place], least=rouge.least_common(n, m, bar)), n, m)

    def _best(self, tokens: np.ndarray, places: np.ndarray, most: np.ndarray, bar: float) -> Match | None:
        """The nearest of some texts with a score of `bar` or more, above 0; of equals the first.

        Args:
            places: of the texts, ascending.
            most: the score that each may have at most, [texts].
        """
        query, nearest = rouge.sequence(tokens), len(self._ids)
        order = np.argsort(-most, kind="stable")
        places, most = places[order], most[order]
        while len(places):
            for place, bound in zip(places[:_FIRST].tolist(), most[:_FIRST].tolist(), strict=True):
                if bound < bar:
                    break
                if bound > bar or place < nearest:
                    score = self._score(query, len(tokens), place, bar)
                    if score > bar or (score == bar and place < nearest):
                        nearest, bar = place, score
            places, most = places[_FIRST:], most[_FIRST:]
            left = (most > bar) | ((most == bar) & (places < nearest))
            places, most = places[left], most[left]
        return Match(self._ids[nearest], bar) if nearest < len(self._ids) else None

    def _candidates(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of texts that may reach the threshold, ascending, and what each may have at most, float64."""
        n, t, lists = len(tokens), self.threshold, self._rarest(tokens)
        shortest = math.ceil(t * n / (2 - t) - _SLACK)
        longest = math.floor(n * (2 - t) / t + _SLACK)
        fewest = max(1, math.ceil(t * (n + shortest) / 2 - _SLACK))  # common tokens of any match
        # Elements that no text has are the rarest. An eighth more than needed leaves far fewer to verify.
        counted = max(0, min(n, n - fewest + 1 + n // 8) - (n - len(lists)))
        if not counted:
            return np.zeros(0, np.int32), np.zeros(0)
        left = len(lists) - counted  # of them each may be common
        places, shared = _counted(np.concatenate(lists[:counted]), len(self._ids), max(1, fewest - left))
        lengths = np.frombuffer(self._lengths, np.int32)[places].astype(np.int64)
        most = 2 * np.minimum(shared + left, np.minimum(n, lengths)) / (n + lengths)
        enough = (lengths >= shortest) & (lengths <= longest) & (most >= t)
        return places[enough], most[enough]


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
