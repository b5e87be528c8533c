"""The scores of the papers' groups of tasks, QA, IE and GEN, and what was gained there."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Generic, Protocol, TypeVar

import numpy as np

from bioinstruct_jax.evaluation import bootstrap, effects
from bioinstruct_jax.evaluation.results.comparison import GroupScore, by_cell
from bioinstruct_jax.evaluation.scoring.scored import Metric, TaskResult

MMLU = "mmlu"
SCALES = {"share": 1.0, "points": 0.01}  # from a metric's unit to a share
LEVEL = 0.95
ORDER = ("QA", "IE", "GEN")


class OfTask(Protocol):
    """What a group is to know of a task that was scored."""

    @property
    def task(self) -> str: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    @property
    def headline(self) -> Metric: ...
    @property
    def answered(self) -> float: ...


R = TypeVar("R", bound=OfTask)


@dataclass(frozen=True)
class Unit(Generic[R]):
    """What counts once in a group: a task, or all subjects of MMLU.

    Attributes:
        metric: the headline metric by name.
        results: of the task, or of each subject.
    """

    name: str
    metric: str
    results: tuple[R, ...]

    @property
    def answered(self) -> float:
        """Share of items with an answer."""
        items = [len(result.ids) for result in self.results]
        return sum(n * result.answered for n, result in zip(items, self.results, strict=True)) / sum(items)


_Scored = tuple[GroupScore, list[Unit[TaskResult]], list[float]]


def groups(
    results: Sequence[TaskResult], baseline: str, *, resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> list[GroupScore]:
    """The score of each group that has a task, by group, then by protocol and model in the order of `results`.

    Raises ValueError as `comparison.compare` does for results that are there twice, or not at all of the baseline.
    """
    cells = by_cell(results, baseline)
    found = []
    for group in ORDER:
        for protocol in dict.fromkeys(protocol for _, _, protocol in cells):
            made: dict[str, _Scored] = {}
            for model in dict.fromkeys((baseline, *(model for model, _, _ in cells))):
                own = [one for one in results if (one.group, one.protocol, one.model) == (group, protocol, model)]
                if own:
                    made[model] = _score(own, resamples, seed)
            for model in dict.fromkeys(result.model for result in results):
                if model in made:
                    score = made[model][0]
                    found.append(score if model == baseline else _with_gain(made[model], made.get(baseline)))
    return found


def _score(results: Sequence[TaskResult], resamples: int, seed: int) -> _Scored:
    entered, left_out = units(results)
    scores, mean, unknown = [], np.zeros(resamples), []
    for unit in entered:
        drawn = {result.task: _drawn(result, resamples, seed) for result in unit.results}
        scores.append(fmean(value for value, _ in drawn.values()))
        for task, (_, draws) in drawn.items():
            if draws is None:
                unknown.append(task)
            else:
                mean += draws / len(drawn) / len(entered)
    first = results[0]
    low = high = None
    if len(entered) == 1 and len(entered[0].results) == 1:
        low, high = _own(entered[0].results[0], resamples, seed)
    elif entered and not unknown:
        low, high = (float(end) for end in np.quantile(mean, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]))
    notes = [f"without {name}: {why}" for name, why in left_out]
    notes += [f"{', '.join(unknown)}: one document, its spread is unknown"] if unknown else []
    made = GroupScore(
        group=first.group,
        model=first.model,
        protocol=first.protocol,
        metric_names=tuple(unit.metric for unit in entered),
        score=fmean(scores) if scores else None,
        low=low,
        high=high,
        tasks=tuple(unit.name for unit in entered),
        gain=None,
        note="; ".join(notes),
    )
    return made, entered, scores


def units(results: Sequence[R]) -> tuple[list[Unit[R]], list[tuple[str, str]]]:
    """What enters a group's mean, in the order of the results; and what does not, with the reason."""
    kept: dict[str, list[R]] = {}
    left_out = []
    for result in results:
        metric = result.headline
        if not result.ids:
            left_out.append((result.task, "no item"))
        elif metric.unit not in SCALES or not metric.higher_is_better:
            left_out.append((result.task, f"{metric.name} is not a share of something good"))
        else:
            kept.setdefault(MMLU if result.task.startswith(f"{MMLU}_") else result.task, []).append(result)
    return [Unit(name, own[0].headline.name, tuple(own)) for name, own in kept.items()], left_out


def _drawn(result: TaskResult, resamples: int, seed: int) -> tuple[float, np.ndarray | None]:
    """The score of a task as a share, and of its resamples, [resamples]; None where its spread is unknown.

    Each task has its own seed.
    """
    own, metric = own_seed(seed, result.task), result.headline
    counts, scale = result.by_document(metric), SCALES[metric.unit]
    estimate, drawn = bootstrap.with_draws(counts, metric.score, resamples=resamples, seed=own, level=LEVEL)
    assert estimate.value is not None
    value = scale * estimate.value
    if estimate.low is None:
        return value, None
    return value, scale * drawn if len(drawn) else np.full(resamples, value)


def own_seed(seed: int, task: str) -> int:
    """The seed of a task's resamples: by one for all, the same places would be drawn of two tasks of one size."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{task}".encode()).digest()[:8], "big")


def _own(result: TaskResult, resamples: int, seed: int) -> tuple[float | None, float | None]:
    """The interval of a single task, as `estimates` has it."""
    metric = result.headline
    estimate = bootstrap.bootstrap(result.by_document(metric), metric.score, resamples=resamples, seed=seed)
    scale = SCALES[metric.unit]
    low, high = estimate.low, estimate.high
    return (None, None) if low is None or high is None else (scale * low, scale * high)


def _with_gain(tuned: _Scored, base: _Scored | None) -> GroupScore:
    score, entered, scores = tuned
    if base is None:
        return _noted(score, "the baseline has no score of this group")
    parts = [
        {(unit.name, one.task, unit.metric) for unit in side for one in unit.results} for side in (entered, base[1])
    ]
    if parts[0] != parts[1]:
        apart = sorted({task for _, task, _ in parts[0] ^ parts[1]})
        return _noted(score, f"no gain: the baseline was not scored alike in {', '.join(apart)}")
    if not entered:
        return score
    of_base = {unit.name: (value, unit.answered) for unit, value in zip(base[1], base[2], strict=True)}
    before, answered = zip(*(of_base[unit.name] for unit in entered), strict=True)
    return replace(score, gain=effects.gain(before, scores, answered))


def _noted(score: GroupScore, note: str) -> GroupScore:
    return replace(score, note="; ".join(filter(None, (score.note, note))))
