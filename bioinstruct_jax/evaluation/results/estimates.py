"""How sure each score of a task is, with all its items and without those that the model was tuned on."""

from collections.abc import Mapping, Sequence

import numpy as np

from bioinstruct_jax.evaluation import bootstrap
from bioinstruct_jax.evaluation.bootstrap import Estimate
from bioinstruct_jax.evaluation.scoring.scored import Gather, Metric


def estimates(
    metrics: Sequence[Metric],
    counts: Mapping[str, np.ndarray],
    documents: Sequence[str],
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """Each metric's score with its interval, by name, in the order of `metrics`.

    Equal to `bootstrap.bootstrap` of each alone; metrics of the same rows share their resamples.

    Args:
        counts: rows of items [N, K] by name.
        documents: of the items, [N].

    Raises:
        ValueError: two metrics of one name, rows that do not fit the documents, or as `bootstrap.bootstrap`.
    """
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names):
        raise ValueError(f"metrics {', '.join(names)}: two have one name; give each its own")
    alike: dict[tuple[str, Gather], list[Metric]] = {}
    for metric in metrics:
        alike.setdefault((metric.counts, metric.gather), []).append(metric)
    found: dict[str, Estimate] = {}
    for (name, gather), group in alike.items():
        rows = gather(counts[name], documents)
        made = bootstrap.each(rows, [metric.score for metric in group], resamples=resamples, seed=seed)
        found |= {metric.name: estimate for metric, (estimate, _) in zip(group, made, strict=True)}
    return {name: found[name] for name in names}


def clean(
    metrics: Sequence[Metric],
    counts: Mapping[str, np.ndarray],
    documents: Sequence[str],
    flagged: np.ndarray,
    *,
    resamples: int = bootstrap.RESAMPLES,
    seed: int = 0,
) -> dict[str, Estimate]:
    """As `estimates`, without the documents that hold a flagged item, bool [N]; empty where none is flagged.

    Raises ValueError where there are not as many flags as items, too.
    """
    flagged = np.asarray(flagged, bool)
    if flagged.shape != (len(documents),):
        raise ValueError(f"flags of shape {list(flagged.shape)} for {len(documents)} items: needs one for each")
    if not flagged.any():
        return {}
    kept = untouched(documents, flagged)
    left = {name: np.asarray(rows)[kept] for name, rows in counts.items()}
    rest = [document for document, whole in zip(documents, kept, strict=True) if whole]
    return estimates(metrics, left, rest, resamples=resamples, seed=seed)


def untouched(documents: Sequence[str], flagged: np.ndarray) -> np.ndarray:
    """Which items, bool [N], are of documents without a flagged item: labels may be united over a document."""
    met = {document for document, out in zip(documents, flagged, strict=True) if out}
    return np.array([document not in met for document in documents], bool)
