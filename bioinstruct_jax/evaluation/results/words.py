"""How a report says scores, differences and what came out, in words for a stranger."""

from collections.abc import Mapping, Sequence

from bioinstruct_jax.evaluation.bootstrap import Estimate
from bioinstruct_jax.evaluation.results.comparison import Comparison
from bioinstruct_jax.evaluation.scoring.scored import Metric, TaskResult

TO = "\u00a0to\u00a0"  # between the ends of an interval, which stay on one line
LEVEL = 0.05  # below which a Holm-adjusted p counts
PROTOCOLS = {
    "generated": "written",
    "likelihood": "log-likelihood",
    "harness": "log-likelihood, harness",
}
GUIDE = (
    "Each task is put to a model in up to three ways. Written: the model writes its answer, which is then read from "
    "its text. Log-likelihood: how likely it holds each of the possible answers, behind its own prompt template; the "
    "likeliest counts. Log-likelihood, harness: the same behind the prompt of lm-evaluation-harness, as most "
    "published figures are made.",
    "A score says how a model did on these items; on other items of the same kind it would differ a little. The "
    "interval behind it says by how much: it is made by drawing the documents again, thousands of times, and about "
    "95 of 100 such scores lie in it. A short interval comes of many items.",
    "Intervals of two models that overlap do not mean that the models are equal: both met the same items, so the "
    "difference is tested item by item, and its own interval is what counts. p says how often a difference at least "
    "as large would come about if it did not matter which model answered. As many tests find something by luck, "
    "Holm's p is raised for the number of tasks; below 0.05 a difference is told as one.",
    "A difference that is not found is not a difference that is not there: the smallest that these items would "
    "show, four times in five, stands beside it.",
    "Extraction rate is the share of items from whose text an answer could be read. A model that talks past the "
    "question is counted as wrong, so its score says less of what it knows than of whether it answers in the form "
    "asked for. Where the rate differs between two models, part of their difference is form; scores by log-likelihood, "
    "which need no writing, tell the two apart.",
    "Majority is the score of always giving the commonest answer, chance that of guessing: a score near them shows "
    "nothing learnt. Both need no model.",
)


def of_protocol(name: str) -> str:
    """A protocol in words; one that is not known by its name."""
    return PROTOCOLS.get(name, name)


def place(protocol: str) -> int:
    """In which order protocols are told: written answers first."""
    kinds = list(PROTOCOLS)
    return kinds.index(protocol) if protocol in kinds else len(kinds)


def score(value: float | None, unit: str) -> str:
    """31.9%, 23.4 of points, 0.123 of anything else."""
    if value is None:
        return "none"
    if unit == "share":
        return f"{100 * value:.1f}%"
    return f"{value:.1f}" if unit == "points" else f"{value:.3f}"


def interval(estimate: Estimate, unit: str) -> str:
    """29.4 to 34.5; empty where there is none."""
    if estimate.low is None or estimate.high is None:
        return ""
    return TO.join(score(end, unit).rstrip("%") for end in (estimate.low, estimate.high))


def change(value: float | None, unit: str, *, named: bool = True) -> str:
    """A difference with its sign: +4.1 points of a share, which is no percentage of the score before."""
    if value is None:
        return "none"
    digits, scaled = (1, 100 * value) if unit == "share" else (1 if unit == "points" else 3, value)
    rounded = round(scaled, digits) or 0.0
    sign = "\u2212" if rounded < 0 else "+" if rounded else ""
    behind = " nats" if unit == "nats" else " points" if named and unit in ("share", "points") else ""
    return f"{sign}{abs(rounded):.{digits}f}{behind}"


def p_value(p: float | None) -> str:
    """A p-value with three decimals, or ``<0.001``; empty where there is none."""
    if p is None:
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def verdict(one: Comparison, metric: Metric) -> str:
    """``better``, ``worse``, or ``not shown``."""
    value = one.difference.estimate.value
    if one.holm is None or one.holm >= LEVEL or not value:
        return "not shown"
    return "better" if (value > 0) == metric.higher_is_better else "worse"


def weak(one: Comparison, metric: Metric) -> bool:
    """A difference was found that is smaller than what these items would show four times in five."""
    value = one.difference.estimate.value
    found = verdict(one, metric) != "not shown"
    return found and value is not None and one.smallest is not None and abs(value) < one.smallest


def headlines(results: Sequence[TaskResult], comparisons: Sequence[Comparison]) -> list[str]:
    """What came out, a sentence or two for each model and protocol that was compared, written answers first."""
    by_key = {(one.task, one.protocol, one.model): one for one in results}
    pairs = dict.fromkeys((one.second, one.first, one.protocol) for one in comparisons)
    order = sorted(pairs, key=lambda pair: place(pair[2]))
    said = []
    for second, first, protocol in order:
        these = [one for one in comparisons if (one.second, one.first, one.protocol) == (second, first, protocol)]
        metrics = {one.task: by_key[one.task, protocol, second].headline for one in these}
        said.append(_headline(these, metrics, by_key))
    if not said:
        models = list(dict.fromkeys(one.model for one in results))
        tasks = len({one.task for one in results})
        count = f"{tasks} task{'s' if tasks != 1 else ''}"
        said.append(
            f"{' and '.join(models) or 'No model'} scored in {count}; nothing was compared, so no gain is told."
        )
    return said


def _headline(
    these: Sequence[Comparison],
    metrics: Mapping[str, Metric],
    by_key: Mapping[tuple[str, str, str], TaskResult],
) -> str:
    second, first, protocol = these[0].second, these[0].first, these[0].protocol
    who = f"{second} against {first} ({of_protocol(protocol)}): "
    if len(these) == 1:
        return who + _single(these[0], metrics[these[0].task], by_key)
    found: dict[str, list[Comparison]] = {"better": [], "worse": [], "not shown": []}
    for one in these:
        found[verdict(one, metrics[one.task])].append(one)
    clear = found["better"] + found["worse"]
    if not clear:
        text = f"no difference is shown in any of {len(these)} tasks. "
    else:
        text = f"better in {len(found['better'])} of {len(these)} tasks, worse in {len(found['worse'])}"
        text += f"; in {len(found['not shown'])} no difference is shown. " if found["not shown"] else ". "
    by_size = [one for one in clear or these if one.difference.estimate.value is not None]
    if by_size:
        largest = max(by_size, key=lambda one: _size(one, metrics[one.task]))
        text += f"The largest: {_single(largest, metrics[largest.task], by_key)}"
    return who + text


def _size(one: Comparison, metric: Metric) -> float:
    return abs(one.difference.estimate.value or 0.0) / (100 if metric.unit == "points" else 1)


def _single(one: Comparison, metric: Metric, by_key: Mapping[tuple[str, str, str], TaskResult]) -> str:
    unit = metric.unit
    before, after = (
        by_key[one.task, one.protocol, name].estimates[one.metric].value for name in (one.first, one.second)
    )
    estimate = one.difference.estimate
    text = f"{one.task}, {metric.title} {score(before, unit)} to {score(after, unit)}, {change(estimate.value, unit)}"
    if estimate.low is not None and estimate.high is not None:
        ends = TO.join(change(end, unit, named=False) for end in (estimate.low, estimate.high))
        text += f" ({estimate.level:.0%} interval {ends}; Holm's p {p_value(one.holm) or 'none'})"
    if verdict(one, metric) == "not shown":
        text += ", which chance could explain"
        text += (
            "; these items could not show any difference"
            if one.smallest is None
            else (f"; these items show {change(one.smallest, unit).lstrip('+')} or more, four times in five")
        )
    elif weak(one, metric):
        text += (
            f"; smaller than the {change(one.smallest, unit).lstrip('+')} that these items show four times in five, "
            "so it may well be overstated"
        )
    return f"{text}."
