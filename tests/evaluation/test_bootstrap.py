"""Errors and intervals: scipy's on the same draws, closed forms, coverage, and what must not matter."""

import multiprocessing
import os
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from bioinstruct_jax.evaluation import bootstrap as module
from bioinstruct_jax.evaluation.bootstrap import bootstrap, by_document, of_items, ratio, resampled


def f1(sums):
    return ratio(np.stack([2 * sums[..., 0], sums[..., 1] + sums[..., 2]], -1))


def mentions(seed, documents):
    random = np.random.default_rng(seed)
    gold = random.poisson(3, documents)
    hits = random.binomial(gold, 0.8)
    return np.stack([hits, hits + random.poisson(0.5, documents), gold], 1).astype(float)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_that_of_scipy_on_the_same_draws(method, seed):
    # Mutations: `<` for `<=` in `below`, 5 for 6 in the skew, the sign of `apart`, level for (1 - level) / 2.
    counts = mentions(seed, 25)
    rows, times = np.unique(counts, axis=0, return_counts=True)
    (drawn,) = resampled(rows, times, [f1], 2000, seed)

    def of_documents(places, axis):
        return f1(counts[places.astype(int)].sum(axis=-2))

    known = stats.bootstrap(
        (np.arange(25),), of_documents, n_resamples=0, method=method, vectorized=True, confidence_level=0.9,
        bootstrap_result=SimpleNamespace(bootstrap_distribution=drawn),
    )  # fmt: skip
    found = bootstrap(counts, f1, resamples=2000, seed=seed, level=0.9, method=method)
    assert (found.low, found.high) == pytest.approx(tuple(known.confidence_interval), abs=1e-12)
    assert found.method == method
    assert found.value == pytest.approx(float(f1(counts.sum(0))))


def test_the_draws_are_those_of_documents_with_replacement():
    # Both ways of drawing, against scipy's own draws: quantiles of the resampled scores.
    # Mutations: `size` for `documents` in multinomial, `integers(kinds)`, weights without `times`.
    for counts in (mentions(1, 60), np.repeat(mentions(1, 3), [10, 20, 30], axis=0)):
        rows, times = np.unique(counts, axis=0, return_counts=True)
        (ours,) = resampled(rows, times, [f1], 20_000, 0)
        places = np.random.default_rng(9).integers(60, size=(20_000, 60))
        theirs = f1(counts[places].sum(1))
        shares = np.linspace(0.02, 0.98, 25)
        assert np.abs(np.quantile(ours, shares) - np.quantile(theirs, shares)).max() < 0.06 * theirs.std() + 1e-3


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
@example([0.0, 1e-130])  # its square is a number, the cube of that is none
@settings(max_examples=30)
def test_the_error_of_a_mean_is_the_textbook_one(values):
    # Mutation: the factor (n - 1) / n left out.
    found = bootstrap(of_items(values), ratio, resamples=20)
    assert found.error == pytest.approx(np.std(values, ddof=1) / len(values) ** 0.5, abs=1e-9)


def test_the_error_of_a_share_is_that_which_is_published():
    # Llama-2-7B on MedQA: 31.97 +- 1.31; on MedMCQA 34.38 +- 0.73.
    for items_, right, error in ((1273, 407, 0.0131), (4183, 1438, 0.0073)):
        found = bootstrap(of_items(np.arange(items_) < right), ratio, resamples=2000)
        assert found.error == pytest.approx(error, abs=5e-5)
        assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=0.06)


def test_the_error_of_clustered_items_is_that_of_their_documents():
    # Every item four times within its document says no more than once. Mutation: rows not summed by document.
    right = np.random.default_rng(0).random(50) < 0.6
    names = [f"document {place}" for place in range(50) for _ in range(4)]
    once = bootstrap(of_items(right), ratio)
    clustered = bootstrap(by_document(of_items(np.repeat(right, 4)), names), ratio)
    apart = bootstrap(of_items(np.repeat(right, 4)), ratio)
    assert (clustered.error, clustered.low, clustered.high) == pytest.approx((once.error, once.low, once.high))
    assert apart.error == pytest.approx(once.error * (49 / 199) ** 0.5)
    assert clustered.documents == 50


def test_documents_are_summed_wherever_their_items_stand():
    counts = np.array([[1, 2], [10, 20], [100, 200]])
    assert by_document(counts, ["b", "a", "b"]).tolist() == [[101, 202], [10, 20]]
    with pytest.raises(ValueError, match="3 rows of counts, but 2 names"):
        by_document(counts, ["b", "a"])


def test_neither_order_nor_block_matters(monkeypatch):
    # Mutation: np.unique left out (the draws then fall on other documents).
    counts = mentions(3, 40)
    found = bootstrap(counts, f1, resamples=500, seed=5)
    assert bootstrap(counts[::-1], f1, resamples=500, seed=5) == found
    assert bootstrap(counts, f1, resamples=500, seed=6) != found
    monkeypatch.setattr(module, "BLOCK", 100)
    assert bootstrap(counts, f1, resamples=500, seed=5) == found


def test_resamples_are_scored_by_the_block_and_in_this_process(monkeypatch):
    # lm-eval#3135: hung in a pool of processes. Mutation: a score of each resample by itself.
    def started(*_, **__):
        raise AssertionError("a process was started")

    for place, name in ((os, "fork"), (subprocess, "Popen"), (multiprocessing.Process, "start")):
        monkeypatch.setattr(place, name, started)
    calls = []

    def scored(sums):
        calls.append(len(np.atleast_2d(sums)))
        return f1(sums)

    bootstrap(mentions(1, 60), scored, resamples=20_000)
    assert sum(calls) >= 20_000
    assert len(calls) < 20


def test_twice_the_documents_are_surer_by_the_root_of_two():
    counts = mentions(3, 100)
    once, twice = bootstrap(counts, f1), bootstrap(np.repeat(counts, 2, axis=0), f1)
    assert twice.value == once.value
    assert twice.error == pytest.approx(once.error / 2**0.5, rel=0.02)
    assert twice.high - twice.low == pytest.approx((once.high - once.low) / 2**0.5, rel=0.06)


@pytest.mark.parametrize("method", ["BCa", "percentile"])
def test_intervals_hold_the_truth_as_often_as_they_say(method):
    # Mutations: `resamples` drawn of half the documents (0.99), of twice as many (0.82).
    truth = float(f1(mentions(99, 200_000).sum(0)))
    inside = []
    for seed in range(300):
        found = bootstrap(mentions(seed, 60), f1, resamples=400, seed=seed, method=method)
        inside.append(found.low <= truth <= found.high)
    assert 0.90 <= np.mean(inside) <= 0.98


def test_bca_leans_as_a_skewed_share_does():
    # 58 of 60. Mutation: the sign of `bias`.
    bca, percentile = (bootstrap(of_items(np.arange(60) < 58), ratio, method=m) for m in ("BCa", "percentile"))
    assert bca.low < percentile.low - 0.01
    assert bca.high <= percentile.high


def test_what_cannot_be_said_is_not_said():
    # No NaN and no warning (warnings are errors here), and a note wherever something is missing.
    with np.errstate(all="raise"):
        none = bootstrap(np.zeros((0, 2)), ratio)
        one = bootstrap(of_items([1]), ratio)
        equal = bootstrap(of_items([1, 1, 1]), ratio)
        nothing = bootstrap(np.zeros((5, 3)), f1)
    assert (none.value, none.error, none.low, none.note) == (None, None, None, "no item")
    assert (one.value, one.error, one.low, one.documents) == (1.0, None, None, 1)
    assert "spread is unknown" in one.note
    assert (equal.value, equal.error, equal.low, equal.high) == (1.0, 0.0, 1.0, 1.0)
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)
    assert "the same" in nothing.note


def test_bca_that_is_undefined_is_replaced_and_said_to_be():
    # Documents that differ while the score does not: hits without misses.
    counts = np.array([[1, 1, 1], [2, 2, 2], [5, 5, 5.0]])
    found = bootstrap(counts, f1)
    assert (found.value, found.low, found.high, found.error) == (1.0, 1.0, 1.0, 0.0)
    top = bootstrap(np.array([[0.0], [1], [2]]), lambda sums: (sums[..., 0] > 100).astype(float))
    assert (top.low, top.high) == (0.0, 0.0)
    # Every resample of three lies above what nobody reaches: the largest document counted against the rest.
    skewed = bootstrap(np.array([[0.0], [1], [2]]), lambda sums: np.where(sums[..., 0] == 3, -1.0, 0.0), resamples=1)
    assert skewed.method == "percentile"
    assert "undefined" in skewed.note


@pytest.mark.parametrize(
    ("counts", "score", "words"),
    [
        (np.zeros(3), ratio, r"counts of shape \[3\]"),
        (np.array([[np.nan, 1]]), ratio, "finite"),
        (np.ones((3, 2)), lambda sums: sums[..., 0] * np.nan, "1 values that are no number"),
        (np.ones((3, 2)), lambda sums: sums, r"has shape \[1, 2\]"),
    ],
)
def test_what_is_no_count_or_score_is_refused(counts, score, words):
    with pytest.raises(ValueError, match=words):
        bootstrap(counts, score)
    with pytest.raises(ValueError, match="resamples 0"):
        bootstrap(np.ones((3, 2)), ratio, resamples=0)
