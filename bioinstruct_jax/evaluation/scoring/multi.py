"""Generated answers that name several labels of a closed set; labels of sentences are united over their document."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bioinstruct_jax.evaluation import classification, extraction, label_answers
from bioinstruct_jax.evaluation.bootstrap import by_document, ratio
from bioinstruct_jax.evaluation.extraction import Extracted
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring import given
from bioinstruct_jax.evaluation.scoring.macro import macro_f1
from bioinstruct_jax.evaluation.scoring.scored import Metric, Reading
from bioinstruct_jax.tasks.labels import NONE
from bioinstruct_jax.tasks.task import Task

UNKNOWN = "unknown label"


def united(counts: np.ndarray, documents: Sequence[str]) -> np.ndarray:
    """Counts of sentences [N, 3 C + 2] as those of their documents, as if `classification.united` had come first."""
    sums = by_document(counts, documents)
    labels = (sums.shape[1] - 2) // 3
    flags = np.minimum(sums, 1.0)  # a label that any sentence has is the document's
    flags[:, :labels] = flags[:, labels : 2 * labels] * flags[:, 2 * labels : 3 * labels]
    return flags


class SeveralLabels:
    """Scores texts by the labels that are read out of them. A text without an answer names none.

    `version` is raised whenever a score changes for the same texts, so whenever `extraction.VERSION` is.
    """

    version = 1
    headline = "micro_f1"
    reasons: Mapping[str, str] = {**extraction.WHY, **given.REASONS}
    labels: tuple[str, ...] = ()

    def __init__(self, task: Task[Any, Any]):
        self._labels = task.labels

    def read(self, question: Question, output: Output) -> Reading:
        """The labels that a text gives; a label made elsewhere is read as a text, and may be a list."""
        gold, why = question.item.labels, given.absent(output)
        text = output.text if output.label is None else output.label
        found = Extracted[tuple[str, ...]](None, why) if why else label_answers.several(text or "", self._labels)
        row = classification.counts([gold], [found.value], self._labels)[0]
        right = 1.0 if found.value == () and not gold else float(classification.micro_f1(row))
        answered = float(found.value is not None)
        problems = given.unfinished(output) | ({UNKNOWN: found.unknown} if found.unknown else {})
        return Reading(
            None if found.value is None else _shown(found.value),
            _shown(gold),
            found.why,
            right,
            {"f1": right, "extraction_rate": answered},
            {"labels": row.tolist(), "extraction": (answered, 1.0)},
            problems,
            found.span,
        )

    def metrics(self) -> tuple[Metric, ...]:
        """Micro-F1 over documents first."""
        micro = classification.micro_f1
        return (
            Metric("micro_f1", "Micro-F1, labels united over each document", "labels", micro, united),
            Metric("macro_f1", "Macro-F1, labels united over each document", "labels", macro_f1, united),
            Metric("precision", "Precision, by document", "labels", classification.precision, united),
            Metric("recall", "Recall, by document", "labels", classification.recall, united),
            Metric("micro_f1_sentences", "Micro-F1 by sentence", "labels", micro),
            Metric("extraction_rate", "Answers that could be read, by sentence", "extraction", ratio, of_items=True),
        )

    def baselines(self, golds: Sequence[str], options: Sequence[int]) -> dict[str, dict[str, float]]:
        """None: there is no one answer to give always, nor one number of options to guess among."""
        return {}


def _shown(labels: Sequence[str]) -> str:
    return ", ".join(labels) or NONE
