"""Questions and sums of counts for the tests of scorers."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question, document
from bioinstruct_jax.evaluation.scoring.scored import Reading, Scorer
from bioinstruct_jax.tasks.task import Task


def question(task: Task[Any, Any], item: Any, form: str | None = None) -> Question:
    """An item as it is asked, zero-shot."""
    form = form or task.family.formats[0]
    asked, output = task.family.render(item, task, form)
    row = f"{task.name}/test/{item.id}"
    record = Record(id=row, instruction="Do it.", input=asked, output=output, source=task.name)
    return Question(row, document(item, task, "test", row, {}), item, record, (), form)


def gold(asked: Question) -> Output:
    return Output(text=asked.record.output, finish="end")


def scored(
    scorer: Scorer, questions: Sequence[Question], outputs: Sequence[Output]
) -> tuple[dict[str, float], list[Reading]]:
    """Every metric, and what was read; what a reading says of itself is held against what the scorer promises."""
    readings = [scorer.read(*pair) for pair in zip(questions, outputs, strict=True)]
    for one in readings:
        assert one.why in scorer.reasons
        assert 0 <= one.value <= 1
        assert all(count > 0 for count in one.problems.values())
    documents = [one.document for one in questions]
    found = {}
    for metric in scorer.metrics():
        rows = np.array([one.counts[metric.counts] for one in readings], float)
        found[metric.name] = float(metric.score(metric.gather(rows, documents).sum(0)))
    assert next(iter(found)) == scorer.headline
    return found, readings
