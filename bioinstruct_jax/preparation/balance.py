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
    total = balance.total or sum(counts.values())
    most = {name: count * balance.most_copies for name, count in counts.items()}
    shares = _shared({name: count**power for name, count in counts.items() if count}, most, total)
    rows = {}
    for name in counts:
        made = round(shares.get(name, 0) * corpora[name].weight)
        rows[name] = min(made, corpora[name].cap or made)
    return rows


def _shared(masses: dict[str, float], most: Mapping[str, int], total: int) -> dict[str, int]:
    """A total divided by masses, none above its most: what one cannot take goes to the others, as long as one can.

    Whole numbers by the largest remainder, of equals the first.
    """
    full: dict[str, int] = {}
    while True:
        left, mass = total - sum(full.values()), sum(masses[name] for name in masses if name not in full)
        exact = {name: left * masses[name] / mass for name in masses if name not in full}
        beyond = [name for name in exact if exact[name] >= most[name]]
        if not beyond:
            break
        full |= {name: most[name] for name in beyond}
    shares = {name: int(share) for name, share in exact.items()}
    short = total - sum(full.values()) - sum(shares.values()) if exact else 0
    for name in sorted(exact, key=lambda name: shares[name] - exact[name])[:short]:
        shares[name] += 1
    return {name: full.get(name, shares.get(name, 0)) for name in masses}


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
