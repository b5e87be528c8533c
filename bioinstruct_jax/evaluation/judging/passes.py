"""How far passes of a judge over the same answers agree."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """Of every two grades that one answer was given in two passes.

    Attributes:
        pairs: of grades.
        exact: share that are the same; ``within_one``: at most one apart. None without a pair.
        kappa: Cohen's, quadratically weighted (Cohen, Psychol Bull 70:213, 1968); None where it is 0 / 0: one grade
            throughout, or no pair.
    """

    pairs: int
    exact: float | None
    within_one: float | None
    kappa: float | None


def agreement(grades: Sequence[Sequence[int]]) -> Agreement:
    """From the grades of each answer, pass by pass; passes without a verdict left out.

    Each two count once in either direction: which pass came first means nothing, and so both have the same margins.
    """
    apart = np.array([two for row in grades for two in combinations(row, 2)], float).reshape(-1, 2)
    if not len(apart):
        return Agreement(0, None, None, None)
    far = np.abs(apart[:, 0] - apart[:, 1])
    expected = 2 * apart.var()  # of the squared difference of two grades drawn from all
    kappa = None if expected == 0 else 1 - float((far**2).mean() / expected)
    return Agreement(len(apart), float((far == 0).mean()), float((far <= 1).mean()), kappa)
