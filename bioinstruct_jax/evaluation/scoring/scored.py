"""What a scorer makes of an output, and the scores that follow from what it counted.

A `Scorer` reads one output at a time (`Reading`) and keeps nothing, so that texts need not stay in memory: what all
scores of a task need are rows of counts. A `Metric` says how documents' summed counts become a score; estimates, paired
tests and comparisons take it from there (`bootstrap`, `paired`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np

from bioinstruct_jax.evaluation import bootstrap
from bioinstruct_jax.evaluation.calibration import Bin
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question

Gather = Callable[[np.ndarray, Sequence[str]], np.ndarray]  # counts of items [N, K], documents [N] -> [D, K']


@dataclass(frozen=True)
class Reading:
    """What was made of one output.

    Attributes:
        answer: what was read, as text for people; None: nothing could be.
        gold: the right answer, likewise.
        why: how it was read, or why not; a key of the scorer's `reasons`.
        value: 0 to 1, how good the answer is: whether it is right, F1 of its mentions, ROUGE-L.
        scores: of this item, by name, as they stand in the samples file.
        counts: rows by name, which the metrics sum.
        problems: what was odd, by kind, counted.
        span: characters of the output that the answer was read from; None: not told.
        probabilities: of the choices among themselves, where there are any.
    """

    answer: str | None
    gold: str
    why: str
    value: float
    scores: Mapping[str, float]
    counts: Mapping[str, Sequence[float]]
    problems: Mapping[str, int] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True)
class Metric:
    """A score of a task.

    Attributes:
        name: as files have it: acc, acc_norm, f1, macro_f1, rouge_l, bleu, extraction_rate, ...
        title: as people read it.
        counts: name of the rows it is made of.
        score: of their sums.
        gather: how rows of items become rows of documents; summed unless said otherwise.
        unit: ``share``: 0 to 1; ``points``: 0 to 100; ``nats``; ``error``: 0 to 2, lower is better; ``ratio``: 0 and
            above, best at 1.
        higher_is_better: as it says.
        of_items: it is the mean of 0 and 1, one an item, so that McNemar's test and Cohen's h apply.
        note: what a reader must know: "paper-compatible, never to be reported alone".
    """

    name: str
    title: str
    counts: str
    score: bootstrap.Score
    gather: Gather = bootstrap.by_document
    unit: Literal["share", "points", "nats", "error", "ratio"] = "share"
    higher_is_better: bool = True
    of_items: bool = False
    note: str = ""


class Scorer(Protocol):
    """Scores one task under one protocol.

    Attributes:
        version: raised whenever a score changes for the same outputs.
        headline: name of the metric that comparisons and groups use.
        reasons: every `Reading.why`, with what it means in words.
        labels: in the order of a confusion matrix; empty where there is none.
    """

    version: int
    headline: str
    reasons: Mapping[str, str]
    labels: tuple[str, ...]

    def read(self, question: Question, output: Output) -> Reading:
        """What an output says, against the gold; never raises for what a model wrote."""
        ...

    def metrics(self) -> tuple[Metric, ...]:
        """The scores, the headline first."""
        ...

    def baselines(self, golds: Sequence[str], options: Sequence[int]) -> dict[str, dict[str, float]]:
        """What needs no model, by metric and then by kind (``majority``, ``chance``); from the gold texts and the
        number of options of every item."""
        ...


@dataclass(frozen=True, eq=False)
class TaskResult:
    """What one model reached in one task under one protocol. Texts stand in the samples file alone.

    Attributes:
        model, task, protocol, split: which.
        group: QA, IE or GEN.
        shots: solved items shown.
        ids: of items [N], in the order asked; `documents` [N] likewise.
        metrics: the headline first.
        counts: rows of items [N, K] by name.
        estimates: by metric.
        baselines: by metric, then kind.
        values: [N], `Reading.value`.
        whys, problems: counted over all items.
        unanswered: `whys` of the items without an answer.
        reasons: what each of `whys` means, as the scorer says it.
        golds, answers: texts [N] where `labels` are not empty, for a confusion matrix; else empty.
        labels: of that matrix.
        bins: calibration of choice probabilities; empty where there are none.
        unfit: items longer than the context; they count as wrong.
        answered: share of items with an answer.
        flagged: [N], items that stand in what the model was tuned on; None: not looked for.
        clean: estimates without the flagged items, by metric; empty where none are flagged.
        versions: of the scorer, the extraction, the prompt.
        samples: name of the file of its samples.
    """

    model: str
    task: str
    protocol: str
    split: str
    group: Literal["QA", "IE", "GEN"]
    shots: int
    ids: tuple[str, ...]
    documents: tuple[str, ...]
    metrics: tuple[Metric, ...]
    counts: Mapping[str, np.ndarray]
    estimates: Mapping[str, bootstrap.Estimate]
    baselines: Mapping[str, Mapping[str, float]]
    values: np.ndarray
    whys: Mapping[str, int]
    problems: Mapping[str, int]
    golds: tuple[str, ...] = ()
    answers: tuple[str | None, ...] = ()
    labels: tuple[str, ...] = ()
    bins: tuple[Bin, ...] = ()
    unfit: int = 0
    answered: float = 1.0
    flagged: np.ndarray | None = None
    clean: Mapping[str, bootstrap.Estimate] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    samples: str = ""
    unanswered: Mapping[str, int] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def headline(self) -> Metric:
        """The metric that comparisons use."""
        return self.metrics[0]

    def by_document(self, metric: Metric) -> np.ndarray:
        """Counts of a metric, [D, K]; documents in the order in which they are first named."""
        return metric.gather(self.counts[metric.counts], self.documents)
