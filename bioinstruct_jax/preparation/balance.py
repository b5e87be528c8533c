"""How many training rows each source gives, and which."""

from collections.abc import Mapping

import numpy as np

from bioinstruct_jax.preparation.job import Balance, Corpus


def wanted(counts: Mapping[str, int], corpora: Mapping[str, Corpus], balance: Balance) -> dict[str, int]:
    """Training rows of each source.

    Its share is its count, to the power 1/T where there is a temperature T, of the total (Raffel et al., 2020,
    section 3.5.2), with at most `most_copies` of each row; times its weight; at most its cap.

    Args:
        counts: rows that are there, by task.
        corpora: their settings, by task.
    """
    power = 1 / (balance.temperature or 1)
    mass = sum(count**power for count in counts.values())
    total = balance.total or sum(counts.values())
    rows = {}
    for name, count in counts.items():
        share = total * count**power / mass if mass else 0.0
        made = round(min(share, count * balance.most_copies) * corpora[name].weight)
        rows[name] = min(made, corpora[name].cap or made)
    return rows


def copies(draws: np.ndarray, rows: int) -> np.ndarray:
    """How often each row is taken so that they are `rows` in all: the same for all, once more for the lowest draws.

    Args:
        draws: [n] uint64, a number drawn for each row by seed and id.

    Returns:
        [n] int64; its sum is `rows`, or 0 where there is none to take.
    """
    if not len(draws):
        return np.zeros(0, np.int64)
    taken = np.full(len(draws), rows // len(draws), np.int64)
    taken[np.argsort(draws, kind="stable")[: rows % len(draws)]] += 1
    return taken
