"""The local classifier: what it was measured to be worth, and that nothing leaks from one fold to another."""

import re

import pytest
from sklearn.metrics import cohen_kappa_score
from upath import UPath

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.seeds import seed_records
from bioinstruct_jax.generation.classifier import (
    MEASURED,
    Classifier,
    Example,
    agreement,
    cross_validated,
    examples,
)
from bioinstruct_jax.generation.item import CATEGORIES
from bioinstruct_jax.resources import resource

SEEDS = [record for _, record in seed_records(UPath(resource("seeds")), "seeds") if isinstance(record, Record)]


def test_what_was_measured_is_what_is_said():
    # Another release of scikit-learn may move a task or two.
    found = cross_validated(examples(SEEDS))
    right, rows = map(int, re.search(r"(\d+) of (\d+) tasks", MEASURED).groups())
    assert found.rows == rows == 80
    assert abs(found.accuracy * rows - right) <= 2
    assert found.majority == 27 / 80
    assert found.low < found.accuracy < found.high
    assert [sum(row) for row in found.table] == [18, 27, 27, 8]
    assert found.kappa > 0.4


def test_instances_of_a_task_are_on_one_side():
    # Mutation: leaving out one row instead of one task, after which the twin gives each answer away.
    rows = [
        Example(f"task{place}", f"word{place} thing{place}", CATEGORIES[place % 4])
        for place in range(24)
        for _ in range(2)
    ]
    assert Classifier.train(rows).predict([row.instruction for row in rows]) == [row.category for row in rows]
    assert cross_validated(rows).accuracy < 0.5


def test_the_same_rows_give_the_same_answers():
    rows = examples(SEEDS)
    texts = ["List the drugs.", "Write a letter to the patient.", "Which option is right?", "", "zzz"]
    first = Classifier.train(rows).predict(texts)
    assert first == Classifier.train(rows).predict(texts)
    assert set(first) <= set(CATEGORIES)
    assert Classifier.train(rows).predict([]) == []


def test_examples_are_of_known_categories():
    records = [*SEEDS[:2], Record("own_1", "Do it.", "", "x", category="haiku"), Record("own_2", "Do it.", "", "x")]
    assert [example.task for example in examples(records)] == ["ext_001", "ext_002"]
    assert [example.task for example in examples(SEEDS)].count("ext_005") == 2


@pytest.mark.parametrize("categories", [[], ["other"], ["other", "other"], ["other", "haiku"]])
def test_what_cannot_be_learned_is_said(categories):
    rows = [Example(str(place), f"text {place}", category) for place, category in enumerate(categories)]
    with pytest.raises(ValueError, match="seed tasks of"):
        Classifier.train(rows)


def test_agreement_with_a_teacher():
    # Mutation: rows without a label left out of the accuracy.
    right = {"1": "other", "2": "other", "3": "extraction", "4": "generation", "5": "generation"}
    said = {"1": "other", "2": "extraction", "3": "extraction", "4": "generation", "6": "other"}
    found = agreement(right, said)
    assert (found.rows, found.unknown, found.accuracy, found.majority) == (5, 1, 0.6, 0.4)
    assert found.table == ((0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 1, 0, 1))
    assert found.kappa == pytest.approx(
        cohen_kappa_score(
            ["other", "other", "extraction", "generation"], ["other", "extraction", "extraction", "generation"]
        )
    )
    with pytest.raises(ValueError, match="no row"):
        agreement({}, said)
    assert agreement({"1": "other"}, {}).kappa is None
