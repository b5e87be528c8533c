"""Scores of labels, against scikit-learn on made data; items without an answer; labels united over documents."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bioinstruct_jax.evaluation import classification as scores
from bioinstruct_jax.evaluation.bootstrap import bootstrap
from bioinstruct_jax.evaluation.classification import confusion, counts, one_each, united

LABELS = ("no", "yes", "maybe", "other")
PAIRS = st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from((*LABELS, None))), min_size=1, max_size=40)
SETS = st.sets(st.sampled_from(LABELS))


@given(PAIRS)
@settings(max_examples=80)
def test_scores_of_one_label_are_those_of_scikit_learn(pairs):
    # Mutations: items without an answer left out, micro-F1 over the answered, macro over the labels met, answered**2
    # without the column of no answer.
    gold, answers = zip(*pairs, strict=True)
    rows = counts(one_each(gold), one_each(answers), LABELS)
    sums = rows.sum(0)
    said = [answer or "none" for answer in answers]
    assert scores.accuracy(sums) == pytest.approx(metrics.accuracy_score(gold, said))
    assert scores.extraction_rate(sums) == pytest.approx(np.mean([answer is not None for answer in answers]))
    options = {"labels": list(LABELS), "zero_division": 0}
    assert scores.macro_f1(sums) == pytest.approx(metrics.f1_score(gold, said, average="macro", **options))
    assert scores.f1_of_labels(sums) == pytest.approx(metrics.f1_score(gold, said, average=None, **options))
    assert scores.matthews(sums) == pytest.approx(metrics.matthews_corrcoef(gold, said), abs=1e-12)
    for without in (None, 0, 3):
        options["labels"] = [label for place, label in enumerate(LABELS) if place != without]
        known = metrics.precision_recall_fscore_support(gold, said, average="micro", **options)[:3]
        found = [score(sums, without) for score in (scores.precision, scores.recall, scores.micro_f1)]
        assert found == pytest.approx(list(known))
    table = metrics.confusion_matrix(gold, said, labels=[*LABELS, "none"])
    assert confusion(gold, answers, LABELS).tolist() == table[:-1].tolist()


@given(st.lists(st.tuples(SETS, SETS), min_size=1, max_size=20))
@settings(max_examples=40)
def test_scores_of_several_labels_are_those_of_scikit_learn(pairs):
    gold, answers = zip(*pairs, strict=True)
    sums = counts(gold, answers, LABELS).sum(0)
    flags = [[[label in named for label in LABELS] for named in side] for side in (gold, answers)]
    for average, score in (("micro", scores.micro_f1), ("macro", scores.macro_f1)):
        assert score(sums) == pytest.approx(metrics.f1_score(*flags, average=average, zero_division=0))


def test_with_the_negative_class_micro_f1_is_accuracy_and_without_it_is_not():
    # Defect 6 of the papers' pipelines: nothing but negatives scores 0.8 in the one and 0 in the other.
    sums = counts(one_each(["no"] * 8 + ["yes"] * 2), one_each(["no"] * 10), LABELS).sum(0)
    assert scores.micro_f1(sums) == scores.accuracy(sums) == 0.8
    assert scores.micro_f1(sums, without=0) == 0.0


def test_labels_are_united_over_an_abstract():
    # Two sentences of one abstract: what the one misses the other says. Mutations: scored by
    # sentence, the labels of the last sentence alone.
    gold = [("inducing angiogenesis",), ("resisting cell death",), (), ()]
    answers = [None, ("resisting cell death", "inducing angiogenesis"), (), None]
    documents = ["101", "101", "102", "103"]
    assert united(gold, documents) == [("inducing angiogenesis", "resisting cell death"), (), ()]
    assert united(answers, documents) == [("inducing angiogenesis", "resisting cell death"), (), None]
    labels = ("inducing angiogenesis", "resisting cell death")
    sums = counts(united(gold, documents), united(answers, documents), labels).sum(0)
    assert scores.micro_f1(sums) == 1.0
    assert scores.extraction_rate(sums) == pytest.approx(2 / 3)
    assert scores.micro_f1(counts(gold, answers, labels).sum(0)) == 0.5
    with pytest.raises(ValueError, match="2 items, but 1 names"):
        united([(), ()], ["101"])


def test_scores_go_through_the_bootstrap():
    random = np.random.default_rng(0)
    gold = random.choice(LABELS, 200, p=[0.4, 0.3, 0.2, 0.1])
    answers = [label if random.random() < 0.7 else None for label in gold]
    rows = counts(one_each(gold), one_each(answers), LABELS)
    for score in (scores.accuracy, scores.macro_f1, scores.matthews, partial(scores.micro_f1, without=0)):
        found = bootstrap(rows, score, resamples=300)
        assert found.low < found.value < found.high
        assert found.high - found.low < 0.25
    rate = bootstrap(rows, scores.extraction_rate, resamples=300)
    assert rate == bootstrap(rows, scores.accuracy, resamples=300)  # as every answer here is right


def test_nothing_at_all_scores_zero_without_a_warning():
    with np.errstate(all="raise"):
        for rows in (counts([], [], LABELS), counts([("no",)], [None], LABELS)):
            for score in (scores.accuracy, scores.micro_f1, scores.macro_f1,
                          scores.precision, scores.recall, scores.matthews, scores.extraction_rate):  # fmt: skip
                assert score(rows.sum(0)) == 0.0
    assert confusion([], [], LABELS).shape == (4, 5)


def test_what_is_no_label_is_refused():
    with pytest.raises(ValueError, match="item 1: label 'perhaps' is none of no, yes, maybe, other"):
        counts(one_each(["no", "yes"]), one_each(["no", "perhaps"]), LABELS)
    with pytest.raises(ValueError, match="1 items, but 2 answers"):
        counts(one_each(["no"]), one_each(["no", "yes"]), LABELS)
