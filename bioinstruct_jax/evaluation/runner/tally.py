"""What is counted while the outputs of a task go by; the texts themselves go to the samples file."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bioinstruct_jax.evaluation import calibration, extraction
from bioinstruct_jax.evaluation.results import estimates
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring.scored import Reading, Scorer, TaskResult


@dataclass
class Tally:
    """Counts of one model, task and protocol, an item at a time."""

    planned: Planned
    protocol: str
    scorer: Scorer
    looked: bool = False  # whether items were looked up in what the model was tuned on
    ids: list[str] = field(default_factory=list)
    documents: list[str] = field(default_factory=list)
    counts: dict[str, list[Any]] = field(default_factory=dict)
    values: list[float] = field(default_factory=list)
    golds: list[str] = field(default_factory=list)
    answers: list[str | None] = field(default_factory=list)
    options: list[int] = field(default_factory=list)
    sure: list[float] = field(default_factory=list)
    right: list[float] = field(default_factory=list)
    flags: list[bool] = field(default_factory=list)
    whys: Counter[str] = field(default_factory=Counter)
    unanswered: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    unfit: int = 0

    def add(self, question: Question, output: Output, reading: Reading, flagged: bool) -> None:
        """Count one item."""
        self.ids.append(question.id)
        self.documents.append(question.document)
        for name, row in reading.counts.items():
            self.counts.setdefault(name, []).append(np.asarray(row, float))
        self.values.append(reading.value)
        self.flags.append(flagged)
        self.whys[reading.why] += 1
        self.problems.update(reading.problems)
        self.unfit += output.unfit is not None
        self.unanswered[reading.why] += reading.answer is None
        if self.planned.task.labels and self.planned.task.family.name != "entities":
            self.golds.append(reading.gold)
            self.answers.append(reading.answer)
            self.options.append(_options(self.planned, question))
        if reading.probabilities:
            self.sure.append(max(reading.probabilities))
            self.right.append(reading.value)

    def result(self, model: str, samples: str, versions: dict[str, Any]) -> TaskResult:
        """The scores of all that was counted."""
        job, task = self.planned.job, self.planned.task
        counts = {name: np.stack(rows) for name, rows in self.counts.items()}
        metrics = self.scorer.metrics()
        flagged = np.array(self.flags, bool) if self.looked else None
        drawn = {"resamples": job.resamples, "seed": job.seed}
        whole = estimates.estimates(metrics, counts, self.documents, **drawn)
        clean = {} if flagged is None else estimates.clean(metrics, counts, self.documents, flagged, **drawn)
        bins: tuple[calibration.Bin, ...] = ()
        if self.sure:
            sums = calibration.counts(np.array(self.sure), np.array(self.right)).sum(axis=0)
            bins = tuple(calibration.reliability(sums))
        labels = self.scorer.labels
        if task.family.name == "choice":  # letters: no more than the longest of the items has
            labels = labels[: max(self.options, default=0)]
        return TaskResult(
            model=model,
            task=task.name,
            protocol=self.protocol,
            split=self.planned.split,
            group=task.family.category,
            shots=job.shots.count,
            ids=tuple(self.ids),
            documents=tuple(self.documents),
            metrics=metrics,
            counts=counts,
            estimates=whole,
            baselines=self.scorer.baselines(self.golds, self.options),
            values=np.array(self.values),
            whys=dict(self.whys.most_common()),
            problems=dict(self.problems.most_common()),
            unanswered={why: count for why, count in self.unanswered.most_common() if count},
            reasons=dict(self.scorer.reasons),
            golds=tuple(self.golds) if labels else (),
            answers=tuple(self.answers) if labels else (),
            labels=labels,
            bins=bins,
            unfit=self.unfit,
            answered=(len(self.ids) - self.unanswered.total()) / max(1, len(self.ids)),
            flagged=flagged,
            clean=clean,
            versions={"scorer": self.scorer.version, "extraction": extraction.VERSION, **versions},
            samples=samples,
        )


def _options(planned: Planned, question: Question) -> int:
    return len(question.item.options) if planned.task.family.name == "choice" else len(planned.task.labels)
