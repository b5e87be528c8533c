"""What needs no model: the score of the commonest label as every answer, and of guessing evenly."""

from collections.abc import Sequence

from bioinstruct_jax.evaluation import classification, effects
from bioinstruct_jax.evaluation.bootstrap import Score


def accuracy(golds: Sequence[str], options: Sequence[int]) -> dict[str, float]:
    """``majority`` and ``chance`` of an accuracy; empty without items."""
    if not golds:
        return {}
    return {"majority": effects.majority(golds)[1], "chance": effects.chance(options)}


def majority(golds: Sequence[str], labels: Sequence[str], score: Score) -> dict[str, float]:
    """``majority`` of a score of `classification.counts`; empty without items."""
    if not golds:
        return {}
    answer = effects.majority(golds)[0]
    rows = classification.counts([(gold,) for gold in golds], [(answer,)] * len(golds), labels)
    return {"majority": float(score(rows.sum(0)))}
