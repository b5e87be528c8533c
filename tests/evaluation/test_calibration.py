"""Calibration: by hand, under sums, and of a model that knows how sure it may be."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.evaluation import calibration
from bioinstruct_jax.evaluation.bootstrap import bootstrap


def _slow(confidence, right, bins):
    """Word for word the definition."""
    total = 0.0
    for place in range(bins):
        low, high = place / bins, (place + 1) / bins
        inside = [
            (sure, correct)
            for sure, correct in zip(confidence, right, strict=True)
            if low < sure <= high or (place == 0 and sure == 0)
        ]
        if inside:
            sure, correct = np.mean(inside, axis=0)
            total += len(inside) / len(confidence) * abs(sure - correct)
    return total


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40), st.sampled_from([1, 2, 4, 8, 16]))
@settings(max_examples=80)
def test_the_error_is_that_of_its_definition(pairs, bins):
    # Mutations: bins closed below, the mean over bins for that over items, differences not in their absolute values.
    confidence, right = zip(*pairs, strict=True)
    sums = calibration.counts(np.array(confidence), np.array(right), bins).sum(axis=0)
    assert calibration.error(sums) == pytest.approx(_slow(confidence, right, bins))


def test_bins_of_a_small_example():
    sums = calibration.counts(np.array([0.3, 0.5, 0.9, 1.0, 0.8]), np.array([0, 1, 1, 0, 1]), 2).sum(axis=0)
    low, high = calibration.reliability(sums)
    assert (low.low, low.high, low.items, low.confidence, low.accuracy) == (0, 0.5, 2, pytest.approx(0.4), 0.5)
    assert (high.low, high.high, high.items) == (0.5, 1, 3)
    assert (high.confidence, high.accuracy) == (pytest.approx(0.9), pytest.approx(2 / 3))
    assert calibration.error(sums) == pytest.approx((2 * 0.1 + 3 * (0.9 - 2 / 3)) / 5)
    empty = calibration.reliability(calibration.counts(np.array([0.9]), np.array([1]), 2).sum(axis=0))[0]
    assert (empty.items, empty.confidence, empty.accuracy) == (0, None, None)


def test_who_is_as_often_right_as_sure_has_next_to_no_error():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.25, 1, 20_000)
    known = calibration.counts(confidence, random.random(20_000) < confidence)
    boasting = calibration.counts(np.minimum(1, confidence + 0.2), random.random(20_000) < confidence)
    assert calibration.error(known.sum(axis=0)) < 0.02
    assert calibration.error(boasting.sum(axis=0)) > 0.14


def test_the_error_has_an_interval():
    random = np.random.default_rng(1)
    confidence = random.uniform(0.25, 1, 300)
    table = calibration.counts(confidence, random.random(300) < confidence - 0.2)
    made = bootstrap(table, calibration.error, resamples=300)
    assert made.low < made.value < made.high
    assert 0.1 < made.value < 0.35


@pytest.mark.parametrize("confidence", [[np.nan], [1.1], [-0.1]])
def test_items_without_a_confidence_are_refused(confidence):
    with pytest.raises(ValueError, match="not between 0 and 1; leave out items that did not fit"):
        calibration.counts(np.array(confidence), np.array([1]))


def test_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"confidence \[2\], right \[1\], 15 bins: needs \[N\], \[N\] and 1 or more"):
        calibration.counts(np.array([0.1, 0.2]), np.array([1]))


def test_without_items_there_is_no_error():
    assert calibration.error(calibration.counts(np.zeros(0), np.zeros(0)).sum(axis=0)) == 0
