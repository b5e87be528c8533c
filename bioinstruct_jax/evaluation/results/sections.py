"""The tables of an evaluation's report."""

from collections import Counter
from collections.abc import Mapping, Sequence

from bioinstruct_jax.evaluation.classification import NO_ANSWER, confusion
from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.evaluation.results.comparison import Comparison, GroupScore
from bioinstruct_jax.evaluation.results.words import change, interval, of_protocol, p_value, score
from bioinstruct_jax.evaluation.scoring.scored import Metric, TaskResult
from bioinstruct_jax.reporting import page
from bioinstruct_jax.tasks.table import TASKS

Rows = list[list[object]]


def groups(scores: Sequence[GroupScore]) -> list[str]:
    """The means of each group, and the gains as the papers report them."""
    rows: Rows = []
    for one in scores:
        ends = "" if one.low is None or one.high is None else f"{100 * one.low:.1f}{words.TO}{100 * one.high:.1f}"
        gain, relative, note = "", "", one.note
        if one.gain is not None:
            gain = change(one.gain.absolute, "share", named=False)
            relative = (
                "withheld" if one.gain.relative is None else f"{100 * one.gain.relative:+.1f}%".replace("-", "\u2212")
            )
            note = "; ".join(filter(None, (one.gain.withheld, note)))
        rows.append(
            [
                one.group,
                of_protocol(one.protocol),
                one.model,
                score(one.score, "share"),
                ends,
                gain,
                relative,
                ", ".join(one.tasks),
                note,
            ]
        )
    head = [
        "group",
        "protocol",
        "model",
        "mean score",
        "95% interval",
        "gain, points",
        "gain, of the base's score",
        "tasks",
        "note",
    ]
    return [page.folded("The same in numbers, with gains", page.table(head, rows, broad=True))] if rows else []


def scores(results: Sequence[TaskResult], comparisons: Sequence[Comparison]) -> list[str]:
    """The headline score of each task, protocol and model; and every score there is, folded."""
    smallest = {(one.task, one.protocol, one.second): one for one in comparisons}
    rows: Rows = []
    for one in results:
        compared = smallest.get((one.task, one.protocol, one.model))
        shows = "" if compared is None else _smallest(compared, one.headline)
        rows.append(
            [*_score(one, one.headline), f"{one.answered:.1%}", *_baselines(one, one.headline), len(one.ids), shows]
        )
    head = [*_SCORE, "extraction rate", "majority", "chance", "items", _SMALLEST]
    every: Rows = [
        [
            *_score(one, metric),
            _error(one, metric),
            *_baselines(one, metric),
            *_counts(one),
            metric.note or one.estimates[metric.name].note,
        ]
        for one in results
        for metric in one.metrics
    ]
    every_head = [*_SCORE, "standard error", "majority", "chance", "items", "documents", "shots", "too long", "note"]
    return [
        page.table(head, rows, broad=True),
        page.folded("Every score of every task", page.table(every_head, every, broad=True)),
    ]


_SMALLEST = "smallest difference shown, points"
_SCORE = ["task", "protocol", "model", "metric", "score", "95% interval"]


def _score(one: TaskResult, metric: Metric) -> list[object]:
    estimate = one.estimates[metric.name]
    title = metric.title if metric.higher_is_better else f"{metric.title} (lower is better)"
    named = f"{one.task} ({one.split})"
    return [
        named,
        of_protocol(one.protocol),
        one.model,
        title,
        score(estimate.value, metric.unit),
        interval(estimate, metric.unit),
    ]


def _smallest(one: Comparison, metric: Metric) -> str:
    return "none" if one.smallest is None else change(one.smallest, metric.unit, named=False).lstrip("+")


def _error(one: TaskResult, metric: Metric) -> str:
    error = one.estimates[metric.name].error
    return "" if error is None else change(error, metric.unit, named=False).lstrip("+")


def _baselines(one: TaskResult, metric: Metric) -> list[object]:
    known = one.baselines.get(metric.name, {})
    return [score(known[kind], metric.unit) if kind in known else "" for kind in ("majority", "chance")]


def _counts(one: TaskResult) -> list[object]:
    return [len(one.ids), len(set(one.documents)), one.shots, one.unfit]


def protocols(results: Sequence[TaskResult]) -> list[str]:
    """The same model and task by each protocol side by side; none where no task was scored by two."""
    known = [name for name in words.PROTOCOLS if any(one.protocol == name for one in results)]
    by_key = {(one.task, one.model, one.protocol): one for one in results}
    rows: Rows = []
    for task, model in dict.fromkeys((one.task, one.model) for one in results):
        these = [by_key.get((task, model, name)) for name in known]
        there = [one for one in these if one is not None]
        if len(there) < 2:
            continue
        cells = ["" if one is None else _short(one) for one in these]
        written = by_key.get((task, model, "generated"))
        rate = "" if written is None else f"{written.answered:.1%}"
        marks = next((_baselines(one, one.headline) for one in there if one.baselines.get(one.headline.name)), ["", ""])
        rows.append([task, model, *cells, rate, *marks])
    head = ["task", "model", *map(of_protocol, known), "extraction rate of written answers", "majority", "chance"]
    return [page.table(head, rows)] if rows else [page.paragraph("No task was scored by two protocols.")]


def _short(one: TaskResult) -> str:
    estimate, unit = one.estimates[one.headline.name], one.headline.unit
    ends = interval(estimate, unit)
    return score(estimate.value, unit) + (f" ({ends})" if ends else "") + f" {one.headline.name}"


def compared(comparisons: Sequence[Comparison], results: Sequence[TaskResult]) -> list[str]:
    """Every comparison with its tests, and what they say."""
    metrics = {(one.task, one.protocol, one.model): one.headline for one in results}
    rows: Rows = []
    for one in comparisons:
        metric = metrics[one.task, one.protocol, one.second]
        estimate, unit = one.difference.estimate, metric.unit
        ends = ""
        if estimate.low is not None and estimate.high is not None:
            ends = words.TO.join(change(end, unit, named=False) for end in (estimate.low, estimate.high))
        only = "" if one.mcnemar is None else f"{one.mcnemar.only_first:,} / {one.mcnemar.only_second:,}"
        found = words.verdict(one, metric)
        if words.weak(one, metric):
            found += ", size uncertain: below the smallest shown"
        rows.append(
            [
                *(one.task, of_protocol(one.protocol), f"{one.second} against {one.first}", metric.title, found),
                *(change(estimate.value, unit, named=False), ends, p_value(one.holm)),
                *(f"{one.p_name}, p {p_value(one.p)}" if one.p_name else "", only),
                "" if one.effect is None else f"{one.effect:+.2f}".replace("-", "\u2212"),
                _smallest(one, metric),
                one.note,
            ]
        )
    if not rows:
        return [page.paragraph("Nothing was compared: that needs two models on the same items.")]
    head = ["task", "protocol", "models", "metric", "what is shown", "difference, points", "95% interval", "Holm's p"]
    head += ["test", "right only: first / second", "Cohen's h", _SMALLEST, "note"]
    said = (
        "Not shown: chance could explain what was seen. Right only: items that one of the two models alone answered "
        "right, the baseline's first; all others say nothing of a difference. Cohen's h is the size of a "
        "difference of two shares: 0.2 is called small, 0.5 medium, 0.8 large."
    )
    return [page.paragraph(said), page.table(head, rows, broad=True)]


def matrices(results: Sequence[TaskResult]) -> list[str]:
    """Right labels against given ones, each folded."""
    parts = []
    for one in results:
        if not one.labels:
            continue
        counts = confusion(one.golds, one.answers, one.labels)
        where = f"{one.task}, {of_protocol(one.protocol)}, {one.model}"
        rows = [(label, row) for label, row in zip(one.labels, counts.tolist(), strict=True)]
        right = int(counts.diagonal().sum())
        table = page.matrix(
            f"{where}: items by right and given answer", "right \\ given", [*one.labels, NO_ANSWER], rows
        )
        parts.append(page.folded(f"{where}: {right:,} of {int(counts.sum()):,} right", table))
    return parts or [page.paragraph("No task here has one answer of a closed set.")]


def readings(results: Sequence[TaskResult]) -> list[str]:
    """From how many outputs an answer was read, why not from the others, and what was odd."""
    rows: Rows = []
    meanings: dict[str, str] = {}
    for one in results:
        meanings |= {why: one.reasons.get(why, "") for why in one.whys}
        rows.append(
            [
                one.task,
                of_protocol(one.protocol),
                one.model,
                f"{one.answered:.1%}",
                _told(one.unanswered),
                _told(one.whys),
                _told(one.problems),
            ]
        )
    head = ["task", "protocol", "model", "extraction rate", "no answer, because", "how all were read", "problems"]
    parts = [page.table(head, rows, broad=True)]
    known: Rows = [[why, meaning] for why, meaning in meanings.items() if meaning]
    return parts + ([page.folded("What the reasons mean", page.table(["reason", "meaning"], known))] if known else [])


def _told(counted: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in Counter(counted).most_common() if count)


def contamination(results: Sequence[TaskResult]) -> list[str]:
    """Scores with and without the items that stand in what the model was tuned on."""
    looked = [one for one in results if one.flagged is not None]
    if not looked:
        return [page.paragraph("Nobody looked whether items stand in what the models were tuned on.")]
    met = [one for one in looked if one.flagged is not None and one.flagged.any()]
    names = dict.fromkeys(f"{one.model} in {one.task}" for one in looked)
    said = f"Looked for: {', '.join(names)}. "
    if not met:
        return [page.paragraph(f"{said}No item stands in what its model was tuned on.")]
    rows: Rows = []
    for one in met:
        unit, name = one.headline.unit, one.headline.name
        flagged = 0 if one.flagged is None else int(one.flagged.sum())
        whole, clean = one.estimates[name], one.clean.get(name)
        less = None if clean is None or clean.value is None or whole.value is None else clean.value - whole.value
        rows.append(
            [
                *(one.task, of_protocol(one.protocol), one.model, flagged, len(one.ids), one.headline.title),
                *(score(whole.value, unit), interval(whole, unit)),
                *(("none", "") if clean is None else (score(clean.value, unit), interval(clean, unit))),
                "" if less is None else change(less, unit),
            ]
        )
    head = ["task", "protocol", "model", "flagged items", "of", "metric", "score", "95% interval"]
    head += ["without flagged", "95% interval", "change"]
    said += "A model may have learnt the flagged items by heart; where the score without them is lower, trust that one."
    return [page.note(said), page.table(head, rows, broad=True)]


def published(tasks: Sequence[str]) -> list[str]:
    """Scores that others published for these tasks; a name that is no task's has none."""
    rows: Rows = [
        [task, figure.model, figure.value, figure.metric, figure.split, figure.source]
        for task in dict.fromkeys(tasks)
        if task in TASKS
        for figure in TASKS[task].figures
    ]
    if not rows:
        return [page.paragraph("None is known for these tasks.")]
    said = (
        "These are others' figures, as their authors published them; nothing here was measured by us. "
        "Prompts, splits, shots and metrics differ, so they give the order of size and no comparison."
    )
    return [page.note(said), page.table(["task", "model", "their score", "metric", "split", "source"], rows)]


def versions(results: Sequence[TaskResult]) -> list[str]:
    """Of scorers, extraction and prompts."""
    names = list(dict.fromkeys(name for one in results for name in one.versions))
    rows: Rows = [
        [
            one.task,
            of_protocol(one.protocol),
            one.model,
            one.samples,
            *(str(one.versions.get(name, "")) for name in names),
        ]
        for one in results
    ]
    return [page.folded("Versions and files", page.table(["task", "protocol", "model", "samples", *names], rows))]
