"""Choices by log-likelihood, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
from sklearn import metrics
from upath import UPath

from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.given import NO_SERVER, TOO_LONG
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.scoring.asked import question, scored
from tests.evaluation.scoring.made import CHOICES, DECISIONS

MEDQA, PUBMEDQA = TASKS["medqa"], TASKS["pubmedqa"]


def test_scores_of_real_items_are_those_of_scikit_learn(data_folder):
    # Mutations: acc_norm not divided; unfit items left out of F1; probabilities of logits unshifted.
    items = list(PUBMEDQA.items(UPath(data_folder), "test"))
    table = np.random.default_rng(0).normal(size=(len(items), 3)) * 3 - 20
    outputs = [Output(loglikelihoods=tuple(row)) for row in table.tolist()]
    for place in (3, 30):
        outputs[place] = Output(unfit=(5000, 4096))
    asked = [question(PUBMEDQA, item) for item in items]
    found, readings = scored(scorer(PUBMEDQA, "harness", "word"), asked, outputs)
    said = [PUBMEDQA.labels[place] for place in table.argmax(1)]
    norm = [PUBMEDQA.labels[place] for place in (table / [3, 2, 5]).argmax(1)]
    for place in (3, 30):
        said[place] = norm[place] = "too long"
    gold = [item.answer for item in items]
    assert [one.answer or "too long" for one in readings] == said
    assert found["acc"] == pytest.approx(metrics.accuracy_score(gold, said))
    assert found["acc_norm"] == pytest.approx(metrics.accuracy_score(gold, norm))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(gold, said, labels=PUBMEDQA.labels, average="macro"))
    assert [one.why for one in readings].count("too long") == 2
    fit = [place for place in range(len(items)) if place not in (3, 30)]
    shares = np.exp(table) / np.exp(table).sum(1, keepdims=True)
    flags = np.array([[label == answer for label in PUBMEDQA.labels] for answer in gold])
    assert found["brier"] == pytest.approx(((shares - flags) ** 2).sum(1)[fit].mean())
    sure = shares.max(1)[fit]
    right = np.array([said[place] == gold[place] for place in fit])
    known = sum(abs((right - sure)[np.ceil(sure * 15) == place + 1].sum()) for place in range(15)) / len(fit)
    assert found["ece"] == pytest.approx(known)
    assert readings[0].probabilities == pytest.approx(tuple(shares[0]))
    assert readings[3].probabilities == ()


def test_items_have_as_many_choices_as_they_have():
    # Mutation: choices of the task in place of the item's.
    asked = [question(MEDQA, item) for item in CHOICES]
    rows = [[-1.0 if n == item.answer else -2.0 for n in range(len(item.options))] for item in CHOICES]
    outputs = [Output(loglikelihoods=tuple(row)) for row in rows]
    found, readings = scored(scorer(MEDQA, "likelihood", "letter"), asked, outputs)
    assert found["acc"] == 1
    assert [len(one.probabilities) for one in readings] == [4, 4, 3, 2]
    assert "acc_norm" not in found
    with pytest.raises(ValueError, match="1 results for 1 prompts of 4 choices"):
        scorer(MEDQA, "likelihood", "letter").read(asked[0], Output(loglikelihoods=(-1.0,)))


def test_what_is_impossible_and_what_is_no_number():
    one, asked = scorer(PUBMEDQA, "likelihood", "word"), question(PUBMEDQA, DECISIONS[1])
    low = one.read(asked, Output(loglikelihoods=(-math.inf,) * 3))
    assert (low.answer, low.probabilities) == ("yes", pytest.approx((1 / 3,) * 3))
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="look at the model's weights and dtype"):
            one.read(asked, Output(loglikelihoods=(value, -1.0, -2.0)))


def test_baselines_and_no_answer():
    one = scorer(PUBMEDQA, "harness", "word")
    asked = [question(PUBMEDQA, item) for item in DECISIONS]
    found, readings = scored(one, asked, [Output(problem="timeout"), Output(unfit=(9, 8)), Output(problem="HTTP 500")])
    assert [reading.why for reading in readings] == [NO_SERVER, TOO_LONG, NO_SERVER]
    assert set(found.values()) == {0.0}
    golds = ["yes", "yes", "no", "maybe"]
    told = one.baselines(golds, [3] * 4)
    assert told["acc"] == told["acc_norm"] == {"majority": 0.5, "chance": pytest.approx(1 / 3)}
    assert told["macro_f1"]["majority"] == pytest.approx(metrics.f1_score(golds, ["yes"] * 4, average="macro"))
