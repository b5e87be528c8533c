"""Comparisons with a baseline, against direct calls of the tests they are made of."""

import json
from dataclasses import replace

import numpy as np
import pytest

from bioinstruct_jax.evaluation import bootstrap, effects, paired
from bioinstruct_jax.evaluation.results.comparison import MCNEMAR, PERMUTATION, compare, told
from bioinstruct_jax.evaluation.scoring.scored import Metric
from tests.evaluation.results.made import ACC, ROUGE, result

RANDOM = np.random.default_rng(0)
BASE, TUNED = (RANDOM.random(80) < share for share in (0.5, 0.7))
WORDS = [f"d{place // 4}" for place in range(80)]


def test_right_and_wrong_items_are_compared_by_mcnemar():
    # Mutations: first and second swapped; the interval of items drawn apart; mid-p in place of p.
    (found,) = compare([result("base", BASE), result("tuned", TUNED)], "base", resamples=500, seed=3)
    counts = [bootstrap.of_items(scores) for scores in (BASE, TUNED)]
    exact = paired.mcnemar(BASE, TUNED)
    assert (found.first, found.second, found.task, found.metric, found.group) == ("base", "tuned", "medqa", "acc", "QA")
    assert found.difference == paired.difference(*counts, bootstrap.ratio, resamples=500, seed=3)
    assert found.difference.estimate.value > 0
    assert (found.mcnemar, found.permutation, found.p, found.p_name) == (exact, None, exact.p, MCNEMAR)
    assert found.effect == effects.cohen_h(BASE.mean(), TUNED.mean())
    apart = (exact.only_first + exact.only_second) / 80
    assert found.smallest == effects.smallest_paired_difference(80, apart)
    assert (found.holm, found.documents, found.items, found.note) == (found.p, 80, 80, "")


@pytest.mark.parametrize(("metric", "documents"), [(ACC, WORDS), (ROUGE, None), (ROUGE, WORDS)])
def test_anything_else_by_permutation_of_documents(metric, documents):
    # Mutations: McNemar's test where documents have several items; items swapped one by one.
    pair = [result(name, own, metric=metric, documents=documents) for name, own in (("base", BASE), ("tuned", TUNED))]
    (found,) = compare(pair, "base", resamples=500, seed=3)
    counts = [one.by_document(metric) for one in pair]
    exact = paired.permutation(*counts, bootstrap.ratio, resamples=500, seed=3)
    assert (found.mcnemar, found.permutation, found.p, found.p_name) == (None, exact, exact.p, PERMUTATION)
    assert found.difference == paired.difference(*counts, bootstrap.ratio, resamples=500, seed=3)
    assert found.smallest == effects.smallest_difference(found.difference.estimate.error)
    assert (found.effect is not None) == metric.of_items
    assert found.documents == (20 if documents else 80)


def test_the_order_of_the_items_is_nothing():
    # Mutation: rows of the second taken in its own order.
    order = np.random.default_rng(1).permutation(80)
    ids = [f"medqa/test/{place}" for place in order]
    for documents in (None, WORDS):
        own = documents and [documents[place] for place in order]
        first = result("base", BASE, documents=documents)
        straight, mixed = (
            compare([first, second], "base", resamples=200)
            for second in (
                result("tuned", TUNED, documents=documents),
                result("tuned", TUNED[order], ids=ids, documents=own),
            )
        )
        assert straight == mixed


def test_p_values_are_adjusted_within_a_model_and_protocol():
    # Mutations: one family for all; a family for each task.
    results = [
        result(model, np.roll(TUNED, shift) if model != "base" else BASE, task=task, protocol=protocol)
        for shift, (model, protocol) in enumerate(
            (model, protocol) for model in ("base", "tuned", "other") for protocol in ("harness", "generated")
        )
        for task in ("medqa", "medmcqa", "pubmedqa")
        if (model, task) != ("other", "pubmedqa")
    ]
    found = compare(results, "base", resamples=100)
    assert len(found) == 10
    for model in ("tuned", "other"):
        for protocol in ("harness", "generated"):
            family = [one for one in found if (one.second, one.protocol) == (model, protocol)]
            assert len(family) == (3 if model == "tuned" else 2)
            assert [one.holm for one in family] == paired.holm([one.p for one in family])
    assert [(one.second, one.protocol, one.task) for one in found] == [
        (one.model, one.protocol, one.task) for one in results if one.model != "base"
    ]


def test_what_only_one_model_did_is_not_compared():
    results = [result("base", BASE), result("tuned", TUNED, task="medmcqa"), result("tuned", TUNED, protocol="harness")]
    assert compare(results, "base") == []
    assert compare([], "base") == []


def test_odd_results_are_told():
    # Mutations: 0 in place of None for what cannot be said.
    (same,) = compare([result("base", BASE), result("tuned", BASE)], "base", resamples=100)
    assert (same.p, same.smallest, same.effect) == (1.0, None, 0.0)
    assert "too few items" in same.note
    (none,) = compare([result("base", []), result("tuned", [])], "base", resamples=100)
    assert (none.p, none.holm, none.p_name, none.effect, none.smallest) == (None, None, "", None, None)
    assert none.note == "no item"
    error = Metric("error", "error", "error", bootstrap.ratio, unit="error", higher_is_better=False)
    pair = [result(name, own, metric=error) for name, own in (("base", BASE), ("tuned", TUNED))]
    assert compare(pair, "base", resamples=100)[0].note == "lower is better"


def test_what_cannot_be_compared_is_refused_by_name():
    where = r"medqa, likelihood: base \(first\) and tuned \(second\)"
    base, tuned = result("base", BASE), result("tuned", TUNED)
    with pytest.raises(ValueError, match=rf"{where}: .*different items .*80 and 79, 1 only in the first.*test/79"):
        compare([base, result("tuned", TUNED[:-1])], "base")
    with pytest.raises(ValueError, match=rf"{where} have scores of two kinds, acc and rouge_l"):
        compare([base, result("tuned", TUNED, metric=ROUGE)], "base")
    with pytest.raises(ValueError, match=rf"{where}: acc of an item is 0\.5"):
        compare([base, result("tuned", TUNED * 0.5)], "base")
    with pytest.raises(ValueError, match="no result of the baseline 'mine'; there are those of base, tuned"):
        compare([base, tuned], "mine")
    with pytest.raises(ValueError, match="medqa and likelihood: two results of tuned"):
        compare([base, tuned, replace(tuned)], "base")


def test_it_is_told_as_plain_json():
    pair = [result("base", BASE), result("tuned", TUNED)]
    for metric, documents in ((ACC, None), (ROUGE, WORDS)):
        pair = [result(name, BASE, metric=metric, documents=documents) for name in ("base", "tuned")]
        (found,) = compare(pair, "base", resamples=100)
        back = json.loads(json.dumps(told(found), allow_nan=False))
        assert back["difference"]["estimate"]["value"] == found.difference.estimate.value
        assert back["p"] == found.p
