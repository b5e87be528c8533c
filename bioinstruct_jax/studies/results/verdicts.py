"""Which way a difference goes, what may be said of it, and how a study's parts are called."""

import math
from collections.abc import Sequence

from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.evaluation.results.groups import SCALES
from bioinstruct_jax.evaluation.results.words import LEVEL
from bioinstruct_jax.studies.found import Contrast, Found, Score
from bioinstruct_jax.studies.job import BASE, Hypothesis, Study

PRIMARY, EXPLORATORY = "*", "\u2020"  # marks: of a primary difference after Holm, and of an exploratory p
UNADJUSTED = "exploratory, not\u00a0adjusted"


def higher_is_better(found: Found) -> dict[tuple[str, str, str], bool]:
    """Whether more is better, by task or group, protocol and metric."""
    return {(one.on, one.protocol, one.metric): one.higher_is_better for one in found.scores}


def better(one: Contrast, higher: bool) -> bool | None:
    """Whether the arm is better than what it is held against; None: equal, or unknown."""
    if not math.isfinite(one.difference) or not one.difference:
        return None
    return (one.difference > 0) == higher


def shown(one: Contrast) -> bool:
    """Whether chance hardly explains the difference: by Holm's p where it is primary, else by its own."""
    p = one.holm if one.primary else one.p
    return p is not None and p < LEVEL and bool(one.difference)


def mark(one: Contrast) -> str:
    """The sign behind a difference that is shown; empty where none is."""
    return (PRIMARY if one.primary else EXPLORATORY) if shown(one) else ""


def verdict(one: Contrast, higher: bool) -> str:
    """``better``, ``worse``, ``not shown``, ``not tested``; of an exploratory difference no more than a hint."""
    if (one.holm if one.primary else one.p) is None:
        return "not tested"
    way = better(one, higher)
    if way is None or not shown(one):
        return "not shown"
    said = "better" if way else "worse"
    return said if one.primary else f"hint: {said}"


def good_points(one: Contrast, higher: bool) -> float | None:
    """The difference in points, above 0 where the arm is better; None: unknown, or of a metric on another scale.

    An error counts by its hundredths, as a share does.
    """
    if not (in_points(one.unit) or one.unit == "error") or not math.isfinite(one.difference):
        return None
    return (100 if one.unit == "error" else scale(one.unit)) * one.difference * (1 if higher else -1)


def in_points(unit: str) -> bool:
    """Whether scores in this unit are shown in points, from 0 to 100."""
    return unit in SCALES


def scale(unit: str) -> float:
    """What a score in this unit is multiplied by where it is shown: to points; 1 where it has a scale of its own."""
    return 100 * SCALES[unit] if in_points(unit) else 1.0


def sentence(one: Contrast, higher: bool) -> str:
    """A primary hypothesis and what came out, which claims no more than was tested."""
    unit, way = one.unit, "" if higher else " (lower is better)"
    text = (
        f"{question(one.model, one)}: {one.metric}{way} {score(one.first, unit)} to {score(one.second, unit)}, "
        f"{change(one.difference, unit)}"
    )
    ends = span(one.low, one.high, unit, signed=True)
    told = [f"95% interval {ends}"] if ends else ["no interval"]
    told.append(f"p after Holm {words.p_value(one.holm)}" if one.holm is not None else "no p")
    said = {
        "better": "Better.",
        "worse": "Worse.",
        "not shown": "Not shown: chance could explain it, and a real difference may have been missed."
        + (f" Note: {one.note}." if one.note else ""),
        "not tested": f"Not tested: {one.note}." if one.note else "Not tested.",
    }[verdict(one, higher)]
    return f"{text} ({'; '.join(told)}). {said}"


def question(model: str, one: Contrast | Hypothesis) -> str:
    """``tiny: all (natural) against base in QA, written``."""
    against = sized(one.against, one.size)
    return f"{model}: {sized(one.arm, one.size)} against {against} in {one.on}, {words.of_protocol(one.protocol)}"


def unanswered(found: Found, job: Study) -> list[str]:
    """Declared hypotheses for which there is no contrast, because scores are missing."""
    answered = {
        (one.model, one.on, one.arm, one.against, one.size, one.protocol) for one in found.contrasts if one.primary
    }
    return [
        f"{question(model.name, one)}: not answered, because scores are missing."
        for one in dict.fromkeys(job.hypotheses)
        for model in job.models
        if (model.name, one.on, one.arm, one.against, one.size, one.protocol) not in answered
    ]


def sized(arm: str, size: str) -> str:
    """An arm and its size: ``all (natural)``, ``all (5% of its rows)``, ``base``."""
    if arm == BASE or not size:
        return arm
    part = share(size)
    return f"{arm} ({size if part is None or size == 'natural' else f'{100 * part:g}% of its rows'})"


def share(size: str) -> float | None:
    """Of an arm's rows: 1 for natural, 0.05 for a part; None for matched ones, which are no part."""
    if size == "natural":
        return 1.0
    try:
        return float(size)
    except ValueError:
        return None


def order(scores: Sequence[Score]) -> list[str]:
    """Groups, then the tasks of each: all that are scored, in the order of the columns of a table."""
    groups = list(dict.fromkeys(one.group for one in scores))
    names = list(dict.fromkeys((one.group, one.on) for one in scores))
    first = [on for _, on in names if on in groups]
    return list(dict.fromkeys(first + [on for group in groups for of, on in names if of == group]))


def score(value: float | None, unit: str) -> str:
    """As `words.score`; empty where there is no finite value."""
    return "" if value is None or not math.isfinite(value) else words.score(value, unit)


def change(value: float | None, unit: str, *, named: bool = True) -> str:
    """As `words.change`; empty where there is no finite value."""
    return "" if value is None or not math.isfinite(value) else words.change(value, unit, named=named)


def span(low: float | None, high: float | None, unit: str, *, signed: bool = False) -> str:
    """The ends of an interval; empty where one is unknown."""
    if low is None or high is None or not math.isfinite(low + high):
        return ""
    if signed:
        return words.TO.join(change(end, unit, named=False) for end in (low, high))
    return words.TO.join(score(end, unit).rstrip("%") for end in (low, high))
