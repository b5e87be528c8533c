"""ROUGE-L (Lin, 2004): the F1 of the longest common subsequence of two texts, as a share of their tokens.

With L common tokens of n and m, precision L/n and recall L/m have the harmonic mean 2L/(n+m). That one division is
rounded once, so that equal scores are equal floats and a threshold such as 0.7 is met by 7 common tokens of 10 and 10.
"""

from __future__ import annotations

import math
from array import array
from typing import TYPE_CHECKING

from rapidfuzz.distance import LCSseq

from bioinstruct_jax.similarity.tokens import Vocabulary, words

if TYPE_CHECKING:
    import numpy as np

_CHARACTERS = 0x110000  # code points that a str can hold


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L F1 of two texts, 0 to 1; 0 where one has no token."""
    vocabulary = Vocabulary()
    a, b = (vocabulary.add(words(text)) for text in (first, second))
    return of_ids(a, b)


def of_ids(first: np.ndarray, second: np.ndarray) -> float:
    """ROUGE-L F1 of two texts' token ids, int32 [tokens] each."""
    return f1(common(sequence(first), sequence(second)), len(first), len(second))


def f1(shared: int, n: int, m: int) -> float:
    """The score of `shared` common tokens of `n` and `m`."""
    return 2 * shared / (n + m) if shared else 0.0


def least_common(n: int, m: int, score: float) -> int:
    """The fewest common tokens, at least one, whose `f1` is `score` or more; above `n` and `m` where none is."""
    fewest = max(1, math.ceil(score * (n + m) / 2))
    while fewest > 1 and f1(fewest - 1, n, m) >= score:
        fewest -= 1
    while f1(fewest, n, m) < score:
        fewest += 1
    return fewest


def sequence(ids: np.ndarray) -> str | array[int]:
    """Token ids, -1 and above, as what rapidfuzz compares fastest: characters, or numbers if one is too big.

    Both forms can be compared with each other. A str takes 2 bytes a token while the ids stay below 65,535.
    """
    if len(ids) and int(ids.max()) + 1 >= _CHARACTERS:
        return array("I", (ids + 1).astype("u4").tobytes())
    return (ids + 1).astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")


def common(first: str | array[int], second: str | array[int], *, least: int = 0) -> int:
    """Tokens in the longest common subsequence of two `sequence` results; 0 where they are fewer than `least`."""
    return LCSseq.similarity(first, second, score_cutoff=least)
