"""The charts of a study's report; each number that is drawn stands in a table too."""

import math
from collections.abc import Sequence

from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.reporting import dots, page, shares, svg
from bioinstruct_jax.reporting.dots import Block, Dot
from bioinstruct_jax.studies.found import Found, Score
from bioinstruct_jax.studies.job import BASE
from bioinstruct_jax.studies.results import tables, verdicts
from bioinstruct_jax.studies.results.verdicts import in_points, scale, sized
from bioinstruct_jax.studies.results.views import Curve, Heat, known_arms

LEGEND = f"Blue: better, orange: worse (errors: coloured by hundredths); framed: primary. {tables.MARKED}."


def groups(found: Found, model: str, protocol: str) -> list[str]:
    """The base and the arms of natural size in each group, as dots; without them those of matched size."""
    own = [
        one
        for one in found.scores
        if (one.model, one.protocol) == (model, protocol) and one.on == one.group and math.isfinite(one.value)
    ]
    size = "natural" if any(one.size == "natural" for one in own) else "matched"
    order = [BASE, *known_arms(found)]
    own = sorted((one for one in own if one.arm == BASE or one.size == size), key=lambda one: order.index(one.arm))
    series = list(dict.fromkeys(sized(one.arm, one.size) for one in own))
    blocks = [
        Block(group, [_dot(one) for one in own if one.on == group], _majority([one for one in own if one.on == group]))
        for group in dict.fromkeys(one.on for one in own)
    ]
    if not blocks:
        return []
    name = f"{model}: mean score of each group of tasks ({words.of_protocol(protocol)})"
    most = max(10.0, *(100 * (one.high if one.high is not None else one.value) for one in own))
    chart = dots.dots(name, blocks, series, most=most, unit="%")
    return [svg.figure(f"{name}, with 95% intervals over seeds and documents.", chart, large=True)]


def heat(one: Heat) -> str:
    """The matrix as a table whose cells are coloured."""
    rows = []
    for arm in one.arms:
        squares = [one.squares.get((arm, on)) for on in one.columns]
        rows.append((arm, [("", 0, False) if it is None else (it.text, _strength(it.good, one.most), it.primary)
                           for it in squares]))  # fmt: skip
    caption = f"{one.title}; full colour from {one.most:.3g} on"
    return page.differences(caption, "tuned on", one.names, rows)


def curves(these: Sequence[Curve]) -> list[str]:
    """Charts of the groups, and folded those of the tasks of each group, up to four lines in one."""
    groups = [one for one in these if one.on == one.group]
    parts = _charts(groups, "groups of tasks")
    for group in dict.fromkeys(one.group for one in these):
        tasks = [one for one in these if one.group == group != one.on]
        if charts := _charts(tasks, f"tasks of {group}"):
            parts.append(page.folded(f"Tasks of {group}", *charts))
    return parts


def _charts(these: Sequence[Curve], what: str) -> list[str]:
    drawn = [one for one in these if in_points(one.points[0][1].unit)]
    parts = []
    for start in range(0, len(drawn), dots.SERIES):
        part = drawn[start : start + dots.SERIES]
        where = f"{part[0].model}, {what}: {', '.join(one.on for one in part)} ({words.of_protocol(part[0].protocol)})"
        chart = shares.shares(
            where, [_series(one) for one in part], across=f"share of the rows of {part[0].arm}", up="score, %"
        )
        said = "Upright: 95% intervals; faint dots: each seed; dashed: the untuned base. The axis need not begin at 0."
        parts.append(svg.figure(f"{where}. {said}", chart, large=True))
    return parts


def _series(one: Curve) -> shares.Series:
    times = scale(one.points[0][1].unit)
    lower = "" if one.points[0][1].higher_is_better else " (lower is better)"
    points = [
        shares.Point(share, times * it.value, _told(it), _span(it), [times * value for value in it.seeds])
        for share, it in one.points
    ]
    level = times * one.base.value if one.base is not None and math.isfinite(one.base.value) else None
    return shares.Series(f"{one.on}{lower}", points, level)


def _dot(one: Score) -> Dot:
    return Dot(sized(one.arm, one.size), scale(one.unit) * one.value, _told(one), _span(one))


def _majority(these: Sequence[Score]) -> list[tuple[str, float]]:
    known = [scale(one.unit) * one.majority for one in these if one.majority is not None]
    return [("majority", known[0])] if known else []


def _told(one: Score) -> str:
    ends = verdicts.span(one.low, one.high, one.unit)
    return verdicts.score(one.value, one.unit) + (f" ({ends})" if ends else "")


def _span(one: Score) -> tuple[float, float] | None:
    if one.low is None or one.high is None or not math.isfinite(one.low + one.high):
        return None
    return scale(one.unit) * one.low, scale(one.unit) * one.high


def _strength(good: float | None, most: float) -> int:
    """-5 to 5."""
    if not good:
        return 0
    return int(math.copysign(min(5, math.ceil(5 * abs(good) / most)), good))
