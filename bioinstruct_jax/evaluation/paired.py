"""Two models on the same items: whether they differ, and by how much.

Every test here is two-sided, compares item by item (or document by document) and refuses runs on different items.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bioinstruct_jax.evaluation.bootstrap import BLOCK, RESAMPLES, Estimate, Score, with_draws

CLOSE = 1e-11  # differences of scores below this are rounding


def places_of_same(first: Sequence[str], second: Sequence[str]) -> np.ndarray:
    """Where each item of the first run stands in the second, int [N]; their order may differ.

    Raises ValueError naming the first items that only one run has, or that a run has twice.
    """
    for name, ids in (("first", first), ("second", second)):
        if len(set(ids)) < len(ids):
            seen: set[str] = set()
            twice = next(id for id in ids if id in seen or seen.add(id))  # type: ignore[func-returns-value]
            raise ValueError(f"the {name} run has item {twice!r} twice: score each item once")
    places = {id: place for place, id in enumerate(second)}
    have = set(first)
    only_first, only_second = [id for id in first if id not in places], [id for id in second if id not in have]
    if only_first or only_second:
        told = [
            f"{len(ids)} only in the {name}, such as {', '.join(map(repr, ids[:3]))}"
            for name, ids in (("first", only_first), ("second", only_second))
            if ids
        ]
        raise ValueError(
            f"two runs on different items cannot be compared: of {len(first)} and {len(second)}, {'; '.join(told)}. "
            "Evaluate both on the same task, split and limit"
        )
    return np.fromiter((places[id] for id in first), int, len(first))


@dataclass(frozen=True)
class McNemar:
    """The exact test of two shares of right answers on the same items.

    Attributes:
        only_first, only_second: items that only this model answered right; the others say nothing.
        p: 2 P(X <= the smaller) for X of Binomial(both, 1/2), at most 1 (McNemar, Psychometrika 12:153, 1947); 1
            without any such item.
        mid_p: the same with half the weight of what was seen: closer to its nominal size, where `p` is cautious
            (Fagerland, Lydersen and Laake, BMC Med Res Methodol 13:91, 2013).
    """

    only_first: int
    only_second: int
    p: float
    mid_p: float


def mcnemar(first: np.ndarray, second: np.ndarray) -> McNemar:
    """From which items [N] each model answered right. Items of a document count as independent: else `permutation`."""
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    _same_shape(first, second)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    both, fewer = only_first + only_second, min(only_first, only_second)
    ways = term = 1  # that lead to 0, 1, ... of `both`, in whole numbers: no rounding however many there are
    for count in range(1, fewer + 1):
        term = term * (both - count + 1) // count
        ways += term
    if only_first == only_second:
        return McNemar(only_first, only_second, 1.0, 1 - term / (2 * 2**both) if both else 1.0)
    return McNemar(only_first, only_second, 2 * ways / 2**both, (2 * ways - term) / 2**both)


@dataclass(frozen=True)
class Difference:
    """The second model's score less the first's.

    Attributes:
        estimate: with error and interval, each document drawn with what both models did there.
        p: of the paired bootstrap: twice the share of resamples on the other side of no difference, what was seen
            counted as one of them; None where there is no interval.
        in_errors: the difference in units of its standard error; None where that is 0 or unknown.
    """

    estimate: Estimate
    p: float | None
    in_errors: float | None


def difference(
    first: np.ndarray,
    second: np.ndarray,
    score: Score,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """How much better the second model is, by counts [D, K] on the same documents; `score` as in `bootstrap`."""
    first, second = np.asarray(first, float), np.asarray(second, float)
    _same_shape(first, second)
    both = np.concatenate([first, second], axis=1)

    def less(sums: np.ndarray) -> np.ndarray:
        return score(sums[..., first.shape[1] :]) - score(sums[..., : first.shape[1]])

    estimate, drawn = with_draws(both, less, resamples=resamples, seed=seed, level=level)
    if estimate.value is None or estimate.low is None:
        return Difference(estimate, None, None)
    if not len(drawn):
        return Difference(estimate, 1.0 if abs(estimate.value) <= CLOSE else 2 / (resamples + 1), None)
    in_errors = estimate.value / estimate.error if estimate.error else None
    return Difference(estimate, two_sided(drawn), in_errors)


def two_sided(drawn: np.ndarray) -> float:
    """p of no difference, of differences that were drawn, [R]: (fewer + 1) 2 / (R + 1), fewer: on the rarer side of 0.

    What was seen is counted as one of them, so that p is never 0 (Phipson and Smyth, as `Permutation`).
    """
    fewer = min(int((drawn <= CLOSE).sum()), int((drawn >= -CLOSE).sum()))
    return min(1.0, 2 * (fewer + 1) / (len(drawn) + 1))


@dataclass(frozen=True)
class Permutation:
    """A permutation test.

    Attributes:
        difference: the second model's score less the first's.
        p: share of the arrangements whose difference is at least as far from 0; where they were drawn by lot, the one
            seen is counted among them (Phipson and Smyth, Stat Appl Genet Mol Biol 9:39, 2010).
        exact: whether every arrangement was tried.
        arrangements: tried.
    """

    difference: float | None
    p: float
    exact: bool
    arrangements: int


def permutation(
    first: np.ndarray, second: np.ndarray, score: Score, *, resamples: int = RESAMPLES, seed: int = 0
) -> Permutation:
    """Whether it matters which model did what: counts [D, K] of both, swapped document by document.

    All arrangements are tried where there are at most `resamples`, as documents on which both count the same need no
    swapping; else so many are drawn. `score` as in `bootstrap`.
    """
    first, second = np.asarray(first, float), np.asarray(second, float)
    _same_shape(first, second)
    if not len(first):
        return Permutation(None, 1.0, True, 1)
    sums = np.stack([first.sum(0), second.sum(0)])
    seen = float(score(sums[1:])[0] - score(sums[:1])[0])
    apart = (second - first)[(first != second).any(axis=1)]
    apart = apart[np.lexsort(apart.T)]
    documents = len(apart)
    exact = documents < 63 and 2**documents <= resamples
    tried = 2**documents if exact else resamples
    random = np.random.default_rng(seed)
    block = max(1, BLOCK // max(documents, 1))
    far = 0
    for start in range(0, tried, block):
        size = min(block, tried - start)
        if exact:
            swapped = (np.arange(start, start + size)[:, None] >> np.arange(documents)) & 1
        else:
            swapped = random.integers(0, 2, size=(size, documents), dtype=np.int8)
        moved = swapped.astype(float) @ apart
        found = score(sums[1] - moved) - score(sums[0] + moved)
        far += int((np.abs(found) >= abs(seen) - CLOSE).sum())
    return Permutation(seen, far / tried if exact else (far + 1) / (tried + 1), exact, tried)


def holm(p: Sequence[float]) -> list[float]:
    """p values of several tests, each adjusted for all of them (Holm, Scand J Stat 6:65, 1979), in their order."""
    if bad := [value for value in p if not 0 <= value <= 1]:
        raise ValueError(f"{bad[0]} is no p value: needs a number from 0 to 1")
    order = sorted(range(len(p)), key=lambda place: p[place])
    adjusted = [min(1.0, (len(p) - rank) * p[place]) for rank, place in enumerate(order)]
    for rank, (before, after) in enumerate(pairwise(adjusted)):
        adjusted[rank + 1] = max(adjusted[rank], before, after)
    by_place = dict(zip(order, adjusted, strict=True))
    return [by_place[place] for place in range(len(p))]


def _same_shape(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape:
        raise ValueError(
            f"counts of shape {list(first.shape)} and {list(second.shape)}: two models are compared on the same items"
        )
