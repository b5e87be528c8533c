"""Macro-F1 of a whole split, whose labels need not be all that the task has."""

import numpy as np

from bioinstruct_jax.evaluation import classification
from bioinstruct_jax.evaluation.bootstrap import ratio


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """The mean F1 of the labels that gold has, of sums of `classification.counts` [..., 3 C + 2]; 0 without any."""
    labels = (sums.shape[-1] - 2) // 3
    there = (sums[..., 2 * labels : 3 * labels] > 0).astype(float)
    return ratio(np.stack([(classification.f1_of_labels(sums) * there).sum(-1), there.sum(-1)], -1))
