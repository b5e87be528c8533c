"""BERTScore (Zhang et al., ICLR 2020) of tokens that an encoder has turned into vectors; neither idf nor rescaling.

Every token of a text is held against the token of the other that is most like it, by cosine. Scores of different
encoders, or of different layers of one, cannot be compared, so that `Encoder.note` stands beside each.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False)
class Encoded:
    """The tokens of a text.

    Attributes:
        vectors: [T, D], in context; those of the tokens that open and close a text are among them.
        counted: [T], the tokens of the text itself, which the means are over.
        cut: tokens that the encoder had no room for, and which are not there.
    """

    vectors: np.ndarray
    counted: np.ndarray
    cut: int = 0


class Encoder(Protocol):
    """Turns texts into vectors.

    Attributes:
        note: encoder, layer and versions, as they stand beside the scores.
    """

    note: str

    def encode(self, text: str) -> Encoded:
        """The tokens of a text; one that is too long loses its end, as with the bert-score package."""
        ...


@dataclass(frozen=True)
class Match:
    """How alike two texts are: 1 for the same."""

    precision: float
    recall: float
    f1: float


NONE = Match(0.0, 0.0, 0.0)


def match(reference: Encoded, output: Encoded) -> Match:
    """Precision is the mean over the tokens of the output, recall that over the reference's; 0 where one has none."""
    if not reference.counted.any() or not output.counted.any():
        return NONE
    truth, said = (one.vectors / np.linalg.norm(one.vectors, axis=-1, keepdims=True) for one in (reference, output))
    cosines = said @ truth.T
    precision = float(cosines.max(axis=1)[output.counted].mean())
    recall = float(cosines.max(axis=0)[reference.counted].mean())
    if precision <= 0 or recall <= 0:
        return Match(precision, recall, 0.0)
    return Match(precision, recall, 2 * precision * recall / (precision + recall))
