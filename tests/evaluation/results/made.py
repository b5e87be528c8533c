"""Results of models that nobody ran."""

from collections.abc import Sequence

import numpy as np

from bioinstruct_jax.evaluation import bootstrap, classification
from bioinstruct_jax.evaluation.scoring.scored import Metric, TaskResult

ACC = Metric("acc", "accuracy", "right", bootstrap.ratio, of_items=True)
ROUGE = Metric("rouge_l", "ROUGE-L", "rouge", bootstrap.ratio, unit="points")
F1 = Metric("f1", "micro-F1", "mentions", classification.micro_f1)


def result(
    model: str,
    scores: Sequence[float],
    *,
    task: str = "medqa",
    protocol: str = "likelihood",
    group: str = "QA",
    metric: Metric = ACC,
    ids: Sequence[str] | None = None,
    documents: Sequence[str] | None = None,
    answered: float = 1.0,
) -> TaskResult:
    """Of items with these scores, each a document unless said otherwise; no estimates."""
    ids = tuple(ids or (f"{task}/test/{place}" for place in range(len(scores))))
    counts = {metric.counts: bootstrap.of_items(scores)}
    return TaskResult(
        model, task, protocol, "test", group, 0, ids, tuple(documents or ids), (metric,), counts, {}, {},
        np.asarray(scores, float), {}, {}, answered=answered,
    )  # fmt: skip
