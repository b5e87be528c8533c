"""The category of an instruction from its words, learned from the seed tasks each time anew; it costs nothing.

Eighty tasks are few. `cross_validated` says how often the classifier is right on tasks that it has not seen; a report
gives that figure beside every share of categories that comes from here. Needs scikit-learn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation.item import CATEGORIES
from bioinstruct_jax.generation.seeds import task

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

# Inverse of the L2 penalty of the logistic regression, and classes weighted by the inverse of their size.
INVERSE_PENALTY = 10.0
# Chosen among six sets of features (words, pairs of words, characters, with the root verb, with the output's shape),
# whose accuracies differ by less than chance does; the choice repeated within each of ten folds was right on 59 of 80.
MEASURED = (
    "Right on 57 of 80 tasks, each held out in turn (71 %, 95 % interval 61 to 80 %; always the commonest category: "
    "34 %; Cohen's kappa 0.57); of the eight tasks of the category other, on none."
)


class Example(NamedTuple):
    """An instruction whose category is known. ``task``: examples of one task are alike, and are never held apart."""

    task: str
    instruction: str
    category: str


@dataclass(frozen=True)
class Agreement:
    """Labels that somebody gave, beside those that are right.

    Attributes:
        table: ``table[i][j]`` rows are `CATEGORIES` i, and were said to be j.
        unknown: rows to which no category was given; they are not in the table, and count as wrong.
        accuracy: share of all rows that are right; ``low``, ``high``: its 95 % Wilson interval.
        majority: accuracy of always saying the commonest category.
        kappa: Cohen's, of the rows in the table; None where it is 0 / 0.
    """

    table: tuple[tuple[int, ...], ...]
    unknown: int
    rows: int
    accuracy: float
    low: float
    high: float
    majority: float
    kappa: float | None


class Classifier:
    """Logistic regression over TF-IDF of the instruction's words; the same rows give the same classifier."""

    def __init__(self, pipeline: "Pipeline") -> None:
        self._pipeline = pipeline

    @classmethod
    def train(cls, rows: Sequence[Example]) -> "Classifier":
        """Raises ValueError where the rows are of one category, or of one that is none of `CATEGORIES`."""
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline

        found = {row.category for row in rows}
        if unknown := sorted(found - set(CATEGORIES)):
            raise ValueError(f"seed tasks of unknown categories: {', '.join(map(repr, unknown))}; use {CATEGORIES}")
        if len(found) < 2:
            raise ValueError(
                f"{len(rows)} seed tasks of {len(found)} categories: a classifier needs two at least; "
                "set categories.by=teacher or off"
            )
        words = TfidfVectorizer(sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")
        regression = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=2000)
        pipeline = make_pipeline(words, regression)
        pipeline.fit([row.instruction for row in rows], [row.category for row in rows])
        return cls(pipeline)

    def predict(self, instructions: Sequence[str]) -> list[str]:
        """A category for each."""
        return [str(category) for category in self._pipeline.predict(list(instructions))] if instructions else []


def examples(seeds: Sequence[Record]) -> list[Example]:
    """Of seed records that have one of the categories; an instance's id is that of its task, a dot and a number."""
    return [Example(task(seed), seed.instruction, seed.category) for seed in seeds if seed.category in CATEGORIES]


def cross_validated(rows: Sequence[Example]) -> Agreement:
    """Each task's first example as a classifier sees it that was trained on all other tasks. About 2 s for 80."""
    from threadpoolctl import threadpool_limits

    first = {row.task: row for row in reversed(rows)}
    said = {}
    with threadpool_limits(1):  # products this small are slowed by threads, tenfold where others want the cores too
        for name, row in first.items():
            others = [other for other in rows if other.task != name]
            said[name] = Classifier.train(others).predict([row.instruction])[0]
    return agreement({name: row.category for name, row in first.items()}, said)


def agreement(right: dict[str, str], said: dict[str, str]) -> Agreement:
    """How labels by id agree with the right ones: a classifier's, or a teacher's with those of the seeds."""
    from bioinstruct_jax.evaluation.agreement import kappa, wilson

    if not right:
        raise ValueError("no row has a category that the labels could be compared with")
    pairs = [(category, said.get(name, "")) for name, category in right.items()]
    table = tuple(tuple(pairs.count((one, other)) for other in CATEGORIES) for one in CATEGORIES)
    hits = sum(table[place][place] for place in range(len(CATEGORIES)))
    low, high = wilson(hits, len(pairs))
    return Agreement(
        table=table,
        unknown=len(pairs) - sum(map(sum, table)),
        rows=len(pairs),
        accuracy=hits / len(pairs),
        low=low,
        high=high,
        majority=max(sum(one == category for one, _ in pairs) for category in CATEGORIES) / len(pairs),
        kappa=kappa(table).value,
    )
