"""How large a difference is, what a score is to be held against, and what the items at hand could show at all."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

ENOUGH = 0.5  # of its items the base must have answered before a relative gain is told


def cohen_h(first: float, second: float) -> float:
    """The size of a difference of two shares, second less first, apart from where on the scale they lie.

    2 asin sqrt(second) - 2 asin sqrt(first): 0.2 is called small, 0.5 medium, 0.8 large (Cohen, Statistical Power
    Analysis for the Behavioral Sciences, 2nd ed. 1988, section 6.2).
    """
    for share in (first, second):
        if not 0 <= share <= 1:
            raise ValueError(f"{share} is no share: needs a number from 0 to 1")
    return 2 * math.asin(math.sqrt(second)) - 2 * math.asin(math.sqrt(first))


def smallest_difference(error: float, *, level: float = 0.95, power: float = 0.8) -> float:
    """The smallest true difference that is found significant with this power, of any score.

    (z of 1 - (1 - level)/2, and z of power) times the standard error of the difference: 2.80 errors (Bloom, Evaluation
    Review 19:547, 1995).
    """
    return (NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(power)) * error


def smallest_paired_difference(
    items: int, discordant: float, *, level: float = 0.95, power: float = 0.8
) -> float | None:
    """The smallest true difference of two accuracies on the same items that McNemar's test finds with this power.

    The difference d that solves items = (a sqrt(discordant) + b sqrt(discordant - d^2))^2 / d^2 with a and b the normal
    quantiles of 1 - (1 - level)/2 and of power (Connor, Biometrics 43:207, 1987).

    Args:
        discordant: share of items that exactly one of the models answers right.

    Returns:
        None where even items that all go one way would be too few.
    """
    if items < 0 or not 0 <= discordant <= 1:
        raise ValueError(f"{items} items, {discordant} of them discordant: needs 0 or more, and a share from 0 to 1")
    if not items or not discordant:
        return None
    a, b = NormalDist().inv_cdf((1 + level) / 2), NormalDist().inv_cdf(power)
    a_root, slope = a * math.sqrt(discordant), 1 + b * b / items
    root = a_root**2 - slope * (a_root**2 - b * b * discordant)
    found = (a_root + math.sqrt(max(root, 0.0))) / slope / math.sqrt(items)
    return found if found <= discordant else None


def majority(labels: Sequence[str]) -> tuple[str, float]:
    """The commonest label and its share: what answering it always scores; of equals the first by alphabet.

    Raises ValueError without labels.
    """
    if not labels:
        raise ValueError("no label: there is no majority of nothing")
    label, count = min(Counter(labels).items(), key=lambda pair: (-pair[1], pair[0]))
    return label, count / len(labels)


def chance(options: Sequence[int]) -> float:
    """The accuracy of guessing evenly among each item's number of options; raises ValueError without items."""
    if not options or min(options) < 1:
        raise ValueError(f"options {list(options[:5])}: needs items with at least one option each")
    return fmean(1 / count for count in options)


@dataclass(frozen=True)
class Gain:
    """From base to tuned.

    Attributes:
        absolute: the difference, in the scores' own units.
        relative: as a share of the base's score; None where it is withheld.
        withheld: why; empty where it is not.
    """

    absolute: float
    relative: float | None
    withheld: str = ""


def gain(base: Sequence[float], tuned: Sequence[float], answered: Sequence[float]) -> Gain:
    """The gain of the mean of a group's scores, as the papers report it; a single task is a group of one.

    Withheld where the base answered fewer than half of any task's items: that gain is mostly one of answering in the
    form asked for; and where its score is 0 or below.

    Args:
        base, tuned: a score of each task.
        answered: share of its items that the base answered, each task.

    Raises:
        ValueError: without tasks, or not the same number of each.
    """
    if not len(base) == len(tuned) == len(answered) or not len(base):
        raise ValueError(
            f"{len(base)} scores of the base, {len(tuned)} of the tuned, {len(answered)} shares answered: "
            "needs one of each a task"
        )
    before, after = fmean(base), fmean(tuned)
    of_one = " of one task" if len(answered) > 1 else ""
    if (least := min(answered)) < ENOUGH:
        return Gain(after - before, None, f"the base answered {least:.1%} of the items{of_one}, fewer than half")
    if before <= 0:
        return Gain(after - before, None, f"the base scored {before:.3g}: nothing to relate to")
    return Gain(after - before, (after - before) / before)
