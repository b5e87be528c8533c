"""Models held against a baseline on the same items: task by task, and by the groups of the papers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bioinstruct_jax.evaluation import bootstrap, effects, paired
from bioinstruct_jax.evaluation.scoring.scored import TaskResult


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


@dataclass(frozen=True)
class GroupScore:
    """The mean of a group's tasks, each by its headline metric, as the papers report it.

    Attributes:
        group: QA, IE or GEN.
        model, protocol: which.
        metric_names: of the tasks, in their order; an entry for each of `tasks`.
        score: the mean, a share; points are counted as hundredths. None without tasks that can be put on this scale.
        low, high: ends of its interval: the tasks as they are, documents drawn again within each; None where a task's
            spread is unknown.
        tasks: that entered; the subjects of MMLU are one, ``mmlu``.
        gain: from the baseline's; None for the baseline itself, and where it did other tasks.
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
    """The baseline against every other model in each task and protocol that both did, in the order of `results`."""
    raise NotImplementedError


def groups(
    results: Sequence[TaskResult], baseline: str, *, resamples: int = bootstrap.RESAMPLES, seed: int = 0
) -> list[GroupScore]:
    """The score of each group, protocol and model, in the order of `results`."""
    raise NotImplementedError


def told(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain JSON."""
    raise NotImplementedError


def told_group(score: GroupScore) -> dict[str, Any]:
    """A group's score as plain JSON."""
    raise NotImplementedError
