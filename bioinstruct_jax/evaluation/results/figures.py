"""The charts of an evaluation's report; each number that is drawn stands in a table too."""

from collections.abc import Sequence

from bioinstruct_jax.evaluation.calibration import Bin
from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.evaluation.results.comparison import GroupScore
from bioinstruct_jax.evaluation.scoring.scored import TaskResult
from bioinstruct_jax.reporting import dots, page, svg
from bioinstruct_jax.reporting.dots import Block, Dot, Point

_CAPTION = (
    "Dots: scores, with 95% intervals. A line across: the score of always giving the commonest answer (majority), "
    "dashed: of guessing (chance)."
)


def groups(scores: Sequence[GroupScore], models: Sequence[str]) -> list[str]:
    """A chart for each protocol: the mean of each group's tasks, a bar for each model."""
    parts = []
    for protocol in sorted({one.protocol for one in scores}, key=words.place):
        these = [one for one in scores if one.protocol == protocol and one.score is not None]
        blocks = [
            Block(
                group,
                [
                    Dot(one.model, 100 * (one.score or 0.0), _said(one), _span(one.low, one.high, 100))
                    for one in sorted(these, key=lambda one: models.index(one.model))
                    if one.group == group
                ],
            )
            for group in dict.fromkeys(one.group for one in these)
        ]
        if blocks:
            name = f"Mean score of each group of tasks ({words.of_protocol(protocol)})"
            chart = dots.dots(name, blocks, models, most=100, unit="%", bars=True)
            parts.append(
                svg.figure(f"{name}. Bars: means of the tasks' scores, with 95% intervals.", chart, large=True)
            )
    return parts


def tasks(results: Sequence[TaskResult], models: Sequence[str]) -> list[str]:
    """A chart for each protocol: the headline score of each task, a dot for each model, beside what needs no model."""
    parts = []
    for protocol in sorted({one.protocol for one in results}, key=words.place):
        these = [one for one in results if one.protocol == protocol and one.headline.unit in ("share", "points")]
        blocks = [_block([one for one in these if one.task == task], models) for task in _tasks(these)]
        blocks = [one for one in blocks if one.dots]
        if blocks:
            name = f"Scores of each task ({words.of_protocol(protocol)})"
            parts.append(svg.figure(f"{name}. {_CAPTION}", dots.dots(name, blocks, models, most=100), large=True))
    return parts


def calibration(results: Sequence[TaskResult], models: Sequence[str]) -> list[str]:
    """A reliability diagram for each task and protocol that has choice probabilities, folded, with its numbers."""
    parts = []
    having = [one for one in results if one.bins]
    for task, protocol in dict.fromkeys((one.task, one.protocol) for one in having):
        these = [one for one in having if (one.task, one.protocol) == (task, protocol)]
        these.sort(key=lambda one: models.index(one.model))
        where = f"{task}, {words.of_protocol(protocol)}"
        chart = dots.reliability(f"Reliability, {where}", [(one.model, _points(one.bins)) for one in these])
        rows: list[list[object]] = [
            [
                one.model,
                f"{100 * bin.low:.0f} to {100 * bin.high:.0f}%",
                bin.items,
                *map(_percent, (bin.confidence, bin.accuracy)),
            ]
            for one in these
            for bin in one.bins
            if bin.items
        ]
        head = ["model", "probability", "items", "how sure (mean)", "how often right"]
        errors = "; ".join(f"{one.model} {error(one.bins):.3f}" for one in these)
        parts.append(
            page.folded(
                f"{where}: expected calibration error {errors}",
                svg.figure(
                    "The larger a dot, the more items; those below the dashed line are answered too surely.",
                    chart,
                    large=True,
                ),
                page.table(head, rows),
            )
        )
    return parts


def error(bins: Sequence[Bin]) -> float:
    """Expected calibration error of bins: the mean over items of what lies between sureness and rightness."""
    total = sum(one.items for one in bins)
    off = sum(one.items * abs((one.accuracy or 0.0) - (one.confidence or 0.0)) for one in bins if one.items)
    return off / total if total else 0.0


def _block(these: Sequence[TaskResult], models: Sequence[str]) -> Block:
    drawn: list[Dot] = []
    marks: dict[str, float] = {}
    for one in sorted(these, key=lambda one: models.index(one.model)):
        metric, estimate = one.headline, one.estimates[one.headline.name]
        scale = 100.0 if metric.unit == "share" else 1.0
        if estimate.value is None:
            continue
        said = f"{words.score(estimate.value, metric.unit)} ({words.interval(estimate, metric.unit)}) {metric.name}"
        drawn.append(Dot(one.model, scale * estimate.value, said, _span(estimate.low, estimate.high, scale)))
        marks |= {kind: scale * value for kind, value in one.baselines.get(metric.name, {}).items()}
    return Block(these[0].task, drawn, sorted(marks.items(), key=lambda mark: mark[0] != "majority"))


def _points(bins: Sequence[Bin]) -> list[Point]:
    return [
        Point(
            one.confidence,
            one.accuracy,
            one.items,
            f"{one.items:,} items, {one.confidence:.0%} sure, {one.accuracy:.0%} right",
        )
        for one in bins
        if one.confidence is not None and one.accuracy is not None
    ]


def _tasks(results: Sequence[TaskResult]) -> list[str]:
    return list(dict.fromkeys(one.task for one in results))


def _said(one: GroupScore) -> str:
    text = words.score(one.score, "share")
    if one.low is not None and one.high is not None:
        text += f" ({100 * one.low:.1f} to {100 * one.high:.1f})"
    return f"{text}, {len(one.tasks)} task{'s' if len(one.tasks) != 1 else ''}"


def _span(low: float | None, high: float | None, scale: float) -> tuple[float, float] | None:
    return None if low is None or high is None else (scale * low, scale * high)


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
