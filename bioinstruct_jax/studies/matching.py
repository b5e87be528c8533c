"""Arms with as many rows, and as many target tokens, as one another.

The mean length of N rows of an arm is at least that of its N shortest and at most that of its N longest. A smaller N
widens the range of every arm, so the largest N at which all ranges meet is found by bisection, and nine tenths of it
leave room to draw in. The target is the number next to the mean of the arms' natural means in the inner half of what is
common to all ranges: at an end of it some arm would be its N longest or shortest rows, the same ones with every seed.

Rows are drawn without replacement, each with a weight exp(tilt * length): a row's key is tilt * length plus Gumbel
noise, and the N highest keys are taken (Yellott, 1977; Kool et al., 2019). With the noise held fixed the tokens drawn
grow with the tilt, for the rows taken are those S that maximise tilt * length(S) + noise(S), which is convex in the
tilt; so bisection finds the tilt whose draw comes nearest to the target. It is 0, and the sample a uniform one, where
that already meets it. What is still missing is made up by swaps, each the one that comes nearest. The noise is a hash
of seed, arm, seed of training and id, so neither the other rows nor their order matter.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

LEAST = 2  # rows of a matched arm
ROOM = 0.9  # of the most rows that can be matched
STEEP = 64.0  # a tilt at which length alone decides: noise made of 52 bits spans less than 41
HALVINGS = 60


@dataclass(frozen=True)
class Target:
    """What every matched arm has.

    Attributes:
        rows: of each arm, exactly.
        tokens: target tokens of each arm, up to `within`.
        within: how far from it an arm may be.
        most: rows of the largest arms that can be matched.
    """

    rows: int
    tokens: int
    within: float
    most: int


@dataclass(frozen=True)
class Drawn:
    """Rows of an arm.

    Attributes:
        places: of the rows in the order that they were given in, ascending, int64 [rows].
        tilt: per target token; 0: a uniform sample.
        swaps: rows exchanged after the draw.
    """

    places: np.ndarray
    tilt: float
    swaps: int


def target(arms: Mapping[str, np.ndarray], rows: int | None, tolerance: float) -> Target:
    """What all arms can reach.

    Args:
        arms: target tokens of each row of each arm, int64 [rows of the arm].
        rows: of each arm; None: nine tenths of the most.
        tolerance: largest difference between two arms in target tokens, as a share of their mean.

    Raises:
        ValueError: an arm has no row, no number of rows can be matched, or not so many as are asked for; says the
            ranges of the arms and what to do.
    """
    if empty := [name for name, lengths in arms.items() if not len(lengths)]:
        raise ValueError(f"match: arm {empty[0]} has no row; give it other categories, or leave it out")
    sums = {name: np.concatenate([[0], np.cumsum(np.sort(lengths))]) for name, lengths in arms.items()}
    low, high = 0, min(len(lengths) for lengths in arms.values())
    while low < high:  # the largest number at which all ranges meet
        middle = (low + high + 1) // 2
        low, high = (middle, high) if _meet(sums, middle) else (low, middle - 1)
    most = low
    if most < LEAST:
        raise ValueError(
            f"match: no number of rows from {LEAST} on gives the arms equal target tokens: {_ranges(sums, LEAST)}. "
            "Leave out the arm that is too small or whose answers are all longer or shorter than those of others, give "
            "the pool more rows, or set sizes to [natural]"
        )
    if rows is not None and rows > most:
        raise ValueError(
            f"match.rows {rows:,}: the arms can have equal target tokens with {most:,} rows at most. "
            f"{_ranges(sums, rows)}. Give {most:,} or fewer, or null"
        )
    if rows is None:
        rows = max(LEAST, int(ROOM * most))
    shortest, longest = _common(sums, rows)
    kept = (longest - shortest) // 4  # from either end
    natural = float(np.mean([lengths.mean() for lengths in arms.values()]))
    tokens = min(max(round(natural * rows), shortest + kept), longest - kept)
    return Target(rows, tokens, tokens * tolerance / (2 + tolerance), most)


def draw(ids: Sequence[str], lengths: np.ndarray, wanted: Target, *, seed: int, arm: str, training: int) -> Drawn:
    """Rows of an arm that meet a target: a pure function of the seeds, the arm's name and its rows.

    Args:
        ids: of the rows, each once.
        lengths: target tokens of each, int64 [rows].
        seed: of the study; `training`: of the run.

    Raises:
        ValueError: swaps do not bring the rows near enough: they are few, and their lengths far apart.
    """
    order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
    own = lengths[order].astype(np.int64)
    gumbel = -np.log(-np.log(uniform([ids[place] for place in order], f"{seed}/matched/{arm}/{training}")))
    taken, tilt = _tilted(own, gumbel, wanted)
    chosen = np.zeros(len(own), bool)
    chosen[taken] = True
    swaps = 0
    while abs(missing := wanted.tokens - int(own[chosen].sum())) > wanted.within:
        inside, outside = np.flatnonzero(chosen), np.flatnonzero(~chosen)
        pair = _swap(own[inside], own[outside], missing)
        if pair is None:
            raise ValueError(
                f"match: {wanted.rows:,} rows of arm {arm} come no nearer than {abs(missing):,} to "
                f"{wanted.tokens:,} target tokens, and {wanted.within:,.1f} are allowed: too few rows of too different "
                "lengths. Raise match.tolerance, give the pool more rows, or set match.rows"
            )
        chosen[inside[pair[0]]], chosen[outside[pair[1]]] = False, True
        swaps += 1
    return Drawn(np.sort(order[chosen]), tilt, swaps)


def part(ids: Sequence[str], share: float, *, seed: int, arm: str, training: int) -> np.ndarray:
    """Places of a share of an arm's rows, ascending, int64 [rows]; at least one row.

    A pure function of the seeds, the arm's name and the ids. With one seed a smaller share stands within a larger one.
    """
    order = np.argsort(uniform(ids, f"{seed}/part/{arm}/{training}"), kind="stable")
    return np.sort(order[: max(1, round(share * len(ids)))])


def uniform(ids: Sequence[str], purpose: str) -> np.ndarray:
    """A number for each id, float64 [ids], above 0 and below 1: a hash of the purpose and the id."""
    hashed = b"".join(hashlib.blake2b(f"{purpose}\n{name}".encode(), digest_size=8).digest() for name in ids)
    return ((np.frombuffer(hashed, ">u8") >> 12) + 0.5) / 2.0**52


def _tilted(lengths: np.ndarray, gumbel: np.ndarray, wanted: Target) -> tuple[np.ndarray, float]:
    """Places of the rows drawn, and the tilt."""

    def drawn(tilt: float) -> np.ndarray:
        return np.argsort(-(tilt * lengths + gumbel), kind="stable")[: wanted.rows]

    def off(taken: np.ndarray) -> int:
        return int(lengths[taken].sum()) - wanted.tokens

    best, tilt = drawn(0.0), 0.0
    if abs(off(best)) <= wanted.within:
        return best, tilt
    low, high = (-STEEP, 0.0) if off(best) > 0 else (0.0, STEEP)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        taken = drawn(middle)
        if abs(off(taken)) < abs(off(best)):
            best, tilt = taken, middle
        if abs(off(taken)) <= wanted.within:
            break
        low, high = (low, middle) if off(taken) > 0 else (middle, high)
    return best, tilt


def _swap(inside: np.ndarray, outside: np.ndarray, missing: int) -> tuple[int, int] | None:
    """Which row to give for which, so that the sum grows by the number nearest to `missing`; None: none comes nearer.

    Of equals the first, in the order of the ids.
    """
    if not len(outside):
        return None
    lengths, first = np.unique(outside, return_index=True)
    due = inside + missing
    above = np.clip(np.searchsorted(lengths, due), 0, len(lengths) - 1)
    below = np.clip(above - 1, 0, None)
    left = np.minimum(np.abs(lengths[above] - due), np.abs(lengths[below] - due))
    giving = int(left.argmin())
    if left[giving] >= abs(missing):
        return None
    nearer = above if abs(lengths[above[giving]] - due[giving]) == left[giving] else below
    return giving, int(first[nearer[giving]])


def _common(sums: Mapping[str, np.ndarray], rows: int) -> tuple[int, int]:
    """Fewest and most target tokens that so many rows of every arm can have."""
    shortest = max(int(one[rows]) for one in sums.values())
    longest = min(int(one[-1] - one[len(one) - 1 - rows]) for one in sums.values())
    return shortest, longest


def _meet(sums: Mapping[str, np.ndarray], rows: int) -> bool:
    shortest, longest = _common(sums, rows)
    return shortest <= longest


def _ranges(sums: Mapping[str, np.ndarray], rows: int) -> str:
    """For people: the range of every arm."""
    told = []
    for name, one in sums.items():
        size = len(one) - 1
        if size < rows:
            told.append(f"{name} has {size:,} in all")
        else:
            low, high = one[rows] / rows, (one[-1] - one[size - rows]) / rows
            told.append(f"{name} (of {size:,}) has {low:,.1f} to {high:,.1f} a row")
    return f"with {rows:,} rows " + ", ".join(told)
