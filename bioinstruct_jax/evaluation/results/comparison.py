"""Models held against a baseline, task by task on the same items; what is told of a group stands here too."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from bioinstruct_jax.evaluation import bootstrap, effects, paired
from bioinstruct_jax.evaluation.results import estimates
from bioinstruct_jax.evaluation.scoring.scored import Metric, TaskResult

MCNEMAR, PERMUTATION = "McNemar's exact test", "permutation test"


@dataclass(frozen=True)
class Comparison:
    """A model and the baseline in one task under one protocol, by the task's headline metric.

    Attributes:
        task, protocol, group, metric: which; the metric by name.
        first: the baseline.
        second: the model held against it; differences are its score less the first's, in the metric's own unit.
        documents, items: on which both were scored.
        difference: with its paired bootstrap interval.
        mcnemar: where items are right or wrong and each is a document of its own; else None.
        permutation: by document, where there is no `mcnemar`; else None.
        p: of whichever of the two there is; None without items.
        p_name: the test in words; empty where `p` is None.
        holm: `p` adjusted for all tasks of this second model and protocol; None where `p` is.
        effect: Cohen's h of two shares of items; None for other metrics, and without items.
        smallest: smallest true difference that these items show with a power of 0.8, whichever way it goes; None
            where they show none, or it cannot be said.
        note: what a reader must know; empty where nothing is odd.
        clean: the difference on documents of which neither model was tuned on an item; None where none was flagged.
    """

    task: str
    protocol: str
    group: str
    metric: str
    first: str
    second: str
    documents: int
    items: int
    difference: paired.Difference
    mcnemar: paired.McNemar | None
    permutation: paired.Permutation | None
    p: float | None
    p_name: str
    holm: float | None
    effect: float | None
    smallest: float | None
    note: str
    clean: paired.Difference | None = None


@dataclass(frozen=True)
class GroupScore:
    """The mean of a group's tasks, each by its headline metric, as the papers report it.

    Attributes:
        group: QA, IE or GEN.
        model, protocol: which.
        metric_names: of the tasks, in their order; an entry for each of `tasks`.
        score: the mean, a share; points are counted as hundredths. None without tasks that can be put on this scale.
        low, high: ends of its interval of 95 %: the tasks as they are, documents drawn again within each, percentiles
            of the mean; of a single task that task's own. None where a task's spread is unknown.
        tasks: that entered; the subjects of MMLU are one, ``mmlu``, the mean of theirs.
        gain: from the baseline's; None for the baseline itself, and where the two did not do the same tasks.
        note: why something is missing, or was left out; else empty.
    """

    group: str
    model: str
    protocol: str
    metric_names: tuple[str, ...]
    score: float | None
    low: float | None
    high: float | None
    tasks: tuple[str, ...]
    gain: effects.Gain | None
    note: str = ""


def compare(
    results: Sequence[TaskResult], baseline: str, *, resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> list[Comparison]:
    """The baseline against every other model in each task and protocol that both did, in the order of `results`.

    Raises:
        ValueError: no result of the baseline, two of a model for one task and protocol, two models on different items
            or by different metrics, or an item of an accuracy that is neither right nor wrong; names models and task.
    """
    cells = by_cell(results, baseline)
    found = []
    for (model, task, protocol), second in cells.items():
        first = cells.get((baseline, task, protocol))
        if model != baseline and first is not None:
            found.append(_compared(first, second, resamples, seed))
    return _adjusted(found)


def by_cell(results: Sequence[TaskResult], baseline: str) -> dict[tuple[str, str, str], TaskResult]:
    """Results by model, task and protocol; raises ValueError for two of one, and without any of the baseline."""
    cells: dict[tuple[str, str, str], TaskResult] = {}
    for result in results:
        if cells.setdefault(key := (result.model, result.task, result.protocol), result) is not result:
            raise ValueError(f"{' and '.join(key[1:])}: two results of {key[0]}; give one")
    models = dict.fromkeys(model for model, _, _ in cells)
    if cells and baseline not in models:
        raise ValueError(f"no result of the baseline {baseline!r}; there are those of {', '.join(models)}")
    return cells


def _compared(first: TaskResult, second: TaskResult, resamples: int, seed: int) -> Comparison:
    metric, where = first.headline, f"{first.task}, {first.protocol}: {first.model} (first) and {second.model} (second)"
    if second.headline.name != metric.name:
        raise ValueError(f"{where} have scores of two kinds, {metric.name} and {second.headline.name}")
    try:
        places = paired.places_of_same(first.ids, second.ids)
    except ValueError as unlike:
        raise ValueError(f"{where}: {unlike}") from None
    before = first.by_document(metric)
    after = metric.gather(np.asarray(second.counts[metric.counts])[places], first.documents)
    difference = paired.difference(before, after, metric.score, resamples=resamples, seed=seed)
    documents, items = len(before), len(first.ids)
    notes = [] if metric.higher_is_better else ["lower is better"]
    notes += [difference.estimate.note] if difference.estimate.note else []
    made = Comparison(
        task=first.task, protocol=first.protocol, group=first.group, metric=metric.name, first=first.model,
        second=second.model, documents=documents, items=items, difference=difference, mcnemar=None, permutation=None,
        p=None, p_name="", holm=None, effect=None, smallest=None, note="",
    )  # fmt: skip
    if not items:
        return replace(made, note="; ".join(notes))
    made = replace(made, clean=_clean(first, second, places, resamples, seed))
    if metric.of_items:
        shares = [float(metric.score(counts.sum(axis=0)[None])[0]) for counts in (before, after)]
        made = replace(made, effect=effects.cohen_h(*shares))
    if metric.of_items and documents == items:
        right = [_right(metric, counts, where) for counts in (before, after)]
        mcnemar = paired.mcnemar(*right)
        apart = (mcnemar.only_first + mcnemar.only_second) / items
        smallest = effects.smallest_paired_difference(items, apart)
        made = replace(made, mcnemar=mcnemar, p=mcnemar.p, p_name=MCNEMAR, smallest=smallest)
    else:
        permutation = paired.permutation(before, after, metric.score, resamples=resamples, seed=seed)
        error = difference.estimate.error
        smallest = effects.smallest_difference(error) if error else None
        made = replace(made, permutation=permutation, p=permutation.p, p_name=PERMUTATION, smallest=smallest)
    if made.smallest is None and difference.estimate.error is not None:
        notes.append("they differ on too few items to say which difference would show")
    return replace(made, note="; ".join(notes))


def _clean(
    first: TaskResult, second: TaskResult, places: np.ndarray, resamples: int, seed: int
) -> paired.Difference | None:
    """The difference without documents that hold an item which either model was tuned on."""
    flagged = np.zeros(len(first.ids), bool)
    if first.flagged is not None:
        flagged |= first.flagged
    if second.flagged is not None:
        flagged |= second.flagged[places]
    if not flagged.any():
        return None
    kept, metric = estimates.untouched(first.documents, flagged), first.headline
    documents = [document for document, whole in zip(first.documents, kept, strict=True) if whole]
    before = np.asarray(first.counts[metric.counts])[kept]
    after = np.asarray(second.counts[metric.counts])[places][kept]
    first_rows, second_rows = metric.gather(before, documents), metric.gather(after, documents)
    return paired.difference(first_rows, second_rows, metric.score, resamples=resamples, seed=seed)


def _right(metric: Metric, counts: np.ndarray, where: str) -> np.ndarray:
    """Which items [N] are right, of counts with one item a document."""
    scores = np.asarray(metric.score(counts), float)
    if odd := scores[(scores != 0) & (scores != 1)].tolist():
        raise ValueError(f"{where}: {metric.name} of an item is {odd[0]:g}, and McNemar's test needs 0 or 1")
    return scores == 1


def _adjusted(found: Sequence[Comparison]) -> list[Comparison]:
    """With p values adjusted for all tasks of one second model and protocol."""
    families: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(found):
        if one.p is not None:
            families.setdefault((one.second, one.protocol), []).append(place)
    made = list(found)
    for places in families.values():
        adjusted = paired.holm([one.p for one in (found[place] for place in places) if one.p is not None])
        for place, p in zip(places, adjusted, strict=True):
            made[place] = replace(found[place], holm=p)
    return made


def told(one: Comparison | GroupScore) -> dict[str, Any]:
    """As plain JSON."""
    return asdict(one)
