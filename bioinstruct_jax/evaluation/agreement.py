"""How far two readers agree, and how sure a share is."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z = 1.959963984540054  # 0.975 quantile of the normal distribution


@dataclass(frozen=True)
class Kappa:
    """Cohen's kappa (Cohen, Educ Psychol Meas 20:37, 1960).

    Attributes:
        value: None where both readers gave one and the same answer throughout, or there is no row: 0 / 0.
        error: its large-sample standard error (Fleiss, Cohen and Everitt, Psychol Bull 72:323, 1969, formula 13).
        low, high: value -+ 1.96 errors, within -1 and 1; too narrow where few rows or few disagreements are behind it.
    """

    value: float | None
    error: float | None
    low: float | None
    high: float | None


def kappa(table: Sequence[Sequence[int]]) -> Kappa:
    """Cohen's kappa of a square table of counts: `table[i][j]` rows are i to the first reader and j to the second."""
    kinds, total = range(len(table)), sum(map(sum, table))
    if total in (0, *(table[i][i] for i in kinds)):
        return Kappa(None, None, None, None)
    p = [[count / total for count in row] for row in table]
    first, second = [sum(row) for row in p], [sum(row[j] for row in p) for j in kinds]
    observed, expected = sum(p[i][i] for i in kinds), sum(first[i] * second[i] for i in kinds)
    value = (observed - expected) / (1 - expected)
    same = sum(p[i][i] * (1 - (first[i] + second[i]) * (1 - value)) ** 2 for i in kinds)
    apart = sum(p[i][j] * (second[i] + first[j]) ** 2 for i in kinds for j in kinds if i != j)
    spread = same + (1 - value) ** 2 * apart - (value - expected * (1 - value)) ** 2
    error = math.sqrt(max(spread, 0.0) / total) / (1 - expected)
    return Kappa(value, error, max(value - Z * error, -1.0), min(value + Z * error, 1.0))


def wilson(hits: int, total: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, J Am Stat Assoc 22:209, 1927)."""
    share, z2 = hits / total, Z * Z
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total)) / (1 + z2 / total)
    return (middle - half if hits else 0.0), (middle + half if hits < total else 1.0)
