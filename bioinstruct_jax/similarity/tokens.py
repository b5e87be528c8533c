"""Texts to tokens as the rouge-score package has them without stemming, and tokens to ids."""

import re
from collections.abc import Iterable

import numpy as np

UNKNOWN = -1
_TOKEN = re.compile(r"[a-z0-9]+")


def words(text: str) -> list[str]:
    """Runs of a-z and 0-9 of the text in lower case; all else separates, letters of other alphabets too."""
    return _TOKEN.findall(text.lower())


class Vocabulary:
    """Ids of tokens, from 0 in the order in which they are met. About 110 bytes a distinct token."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, tokens: Iterable[str]) -> np.ndarray:
        """Ids, int32 [tokens]; a new token gets a new id."""
        ids = self._ids
        return np.array([ids.setdefault(token, len(ids)) for token in tokens], np.int32)

    def find(self, tokens: Iterable[str]) -> np.ndarray:
        """Ids, int32 [tokens]; `UNKNOWN` for what was never added."""
        ids = self._ids
        return np.array([ids.get(token, UNKNOWN) for token in tokens], np.int32)
