"""Paired tests: scipy's figures, exact enumeration, their size where nothing differs, and runs that do not match."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bioinstruct_jax.evaluation.bootstrap import of_items, ratio
from bioinstruct_jax.evaluation.paired import difference, holm, mcnemar, permutation, places_of_same


def answers(seed, count, both=0.3, only_first=0.1, only_second=0.1):
    drawn = np.random.default_rng(seed).random(count)
    first = drawn < both + only_first
    second = (drawn < both) | ((drawn >= both + only_first) & (drawn < both + only_first + only_second))
    return first, second


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_test(only_first, only_second):
    # Mutations: `fewer` for `fewer + 1` in the range, 2 ** (both - 1), term for 2 * term in mid_p.
    first = np.array([True] * only_first + [False] * only_second + [True, False], bool)
    second = np.array([False] * only_first + [True] * only_second + [True, False], bool)
    found = mcnemar(first, second)
    both, fewer = only_first + only_second, min(only_first, only_second)
    assert (found.only_first, found.only_second) == (only_first, only_second)
    assert found.p == pytest.approx(stats.binomtest(fewer, both).pvalue if both else 1.0, rel=1e-10)
    if both:
        half = stats.binom.pmf(fewer, both, 0.5) * (0.5 if only_first == only_second else 1)
        assert found.mid_p == pytest.approx(found.p - half, rel=1e-10, abs=1e-15)


def test_mcnemar_of_thousands_is_not_rounded_away():
    first, second = np.zeros(9000, bool), np.zeros(9000, bool)
    first[:4000], second[4000:] = True, True
    assert mcnemar(first, second).p == pytest.approx(2 * stats.binom.cdf(4000, 9000, 0.5), rel=1e-9)
    assert mcnemar(first[:0], second[:0]).p == 1.0


@pytest.mark.parametrize("seed", range(4))
def test_the_exact_permutation_test_is_that_of_scipy(seed):
    # Mutations: > for >= (the arrangement that was seen no longer counts), one-sided, `sums[1] + moved`.
    random = np.random.default_rng(seed)
    first, second = random.random((2, 9))
    known = stats.permutation_test(
        (first, second), lambda a, b, axis: b.mean(axis) - a.mean(axis), permutation_type="samples", vectorized=True
    )
    found = permutation(of_items(first), of_items(second), ratio)
    assert found.exact
    assert found.arrangements == 512
    assert found.p == pytest.approx(known.pvalue, abs=1e-12)
    assert found.difference == pytest.approx(known.statistic)


def test_a_permutation_test_of_f1_tries_every_swap():
    def f1(sums):
        return ratio(np.stack([2 * sums[..., 0], sums[..., 1] + sums[..., 2]], -1))

    random = np.random.default_rng(2)
    gold = random.integers(1, 5, 7)
    hits = random.binomial(gold, [[0.9], [0.5]])
    first, second = (np.stack([hit, hit + random.integers(0, 2, 7), gold], 1) for hit in hits)
    found = permutation(first, second, f1)
    seen = f1(second.sum(0)) - f1(first.sum(0))
    far = 0
    for swaps in product([False, True], repeat=7):
        mask = np.array(swaps)[:, None]
        apart = f1(np.where(mask, first, second).sum(0)) - f1(np.where(mask, second, first).sum(0))
        far += abs(apart) >= abs(seen) - 1e-12
    assert found.p == pytest.approx(far / 128)
    # Documents that both models treat alike change nothing.
    alike = np.full((50, 3), 2.0)
    less = permutation(np.vstack([first, alike]), np.vstack([second, alike]), f1)
    assert less.exact
    assert less.arrangements <= 128


def test_the_drawn_permutation_test_is_near_mcnemar_and_never_zero():
    # Mutation: the one that was seen is not counted: p of 0.
    first, second = answers(0, 400)
    found = permutation(of_items(first), of_items(second), ratio)
    assert not found.exact
    assert found.p == pytest.approx(mcnemar(first, second).p, abs=0.03)
    apart = permutation(of_items(np.zeros(200)), of_items(np.ones(200)), ratio, resamples=999)
    assert apart.p == pytest.approx(1 / 1000)
    assert permutation(of_items(first)[::-1], of_items(second)[::-1], ratio).p == pytest.approx(found.p, abs=0.02)


def test_tests_reject_as_often_as_they_say_where_nothing_differs():
    # Mutations: one-sided tests (10 %), `first` drawn apart from `second`.
    rejected = {"mcnemar": 0, "mid": 0, "permutation": 0, "difference": 0}
    for seed in range(400):
        first, second = answers(seed, 150)
        test = mcnemar(first, second)
        rejected["mcnemar"] += test.p < 0.05
        rejected["mid"] += test.mid_p < 0.05
        rejected["permutation"] += (
            permutation(of_items(first), of_items(second), ratio, resamples=300, seed=seed).p < 0.05
        )
        rejected["difference"] += (
            difference(of_items(first), of_items(second), ratio, resamples=300, seed=seed).p < 0.05
        )
    assert 4 <= rejected["mcnemar"] <= 30  # cautious
    for name in ("mid", "permutation", "difference"):
        assert 8 <= rejected[name] <= 30, name


def test_a_difference_is_that_of_the_items():
    # Mutation: models drawn apart, each with documents of its own: an error three times as large.
    random = np.random.default_rng(0)
    first = random.random(200)
    second = first + random.normal(0.03, 0.1, 200)
    found = difference(of_items(first), of_items(second), ratio)
    error = np.std(second - first, ddof=1) / 200**0.5
    assert found.estimate.value == pytest.approx((second - first).mean())
    assert found.estimate.error == pytest.approx(error)
    assert found.in_errors == pytest.approx((second - first).mean() / error)
    assert found.p == pytest.approx(stats.ttest_rel(second, first).pvalue, rel=0.6)
    swapped = difference(of_items(second), of_items(first), ratio)
    assert swapped.estimate.value == pytest.approx(-found.estimate.value)
    assert swapped.p == pytest.approx(found.p, abs=4e-3)


def test_the_interval_of_a_difference_holds_it_as_often_as_it_says():
    inside = []
    for seed in range(300):
        first, second = answers(seed, 100, 0.4, 0.1, 0.2)
        found = difference(of_items(first), of_items(second), ratio, resamples=300, seed=seed).estimate
        inside.append(found.low <= 0.1 <= found.high)
    assert 0.90 <= np.mean(inside) <= 0.98


def test_models_that_do_the_same_do_not_differ():
    right = np.array([1, 0, 1, 1])
    for same in (right, right[:1], right[:0], np.zeros(3)):
        found = difference(of_items(same), of_items(same), ratio)
        assert found.estimate.value in (0.0, None)
        assert found.p in (1.0, None)
        assert found.in_errors is None
        assert permutation(of_items(same), of_items(same), ratio).p == 1.0
    always = difference(of_items(np.zeros(9)), of_items(np.ones(9)), ratio, resamples=199)
    assert (always.estimate.value, always.p, always.in_errors) == (1.0, 0.01, None)
    one = permutation(of_items([0]), of_items([1]), ratio)
    assert (one.difference, one.p, one.exact, one.arrangements) == (1.0, 1.0, True, 2)


def test_runs_on_different_items_are_refused_by_name():
    # Mutations: only lengths compared, only one direction looked at, order taken for identity.
    assert places_of_same(["a", "b", "c"], ["c", "a", "b"]).tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match=r"3 only in the first, such as 'b', 'c', 'd'; 1 only in the second.*'z'"):
        places_of_same(["a", "b", "c", "d"], ["a", "z"])
    with pytest.raises(ValueError, match="1 only in the second, such as 'z'"):
        places_of_same(["a"], ["a", "z"])
    with pytest.raises(ValueError, match="second run has item 'a' twice"):
        places_of_same(["a", "b"], ["a", "b", "a"])
    assert places_of_same([], []).tolist() == []
    for test in (lambda a, b: difference(a, b, ratio), lambda a, b: permutation(a, b, ratio), mcnemar):
        with pytest.raises(ValueError, match="on the same items"):
            test(np.ones((3, 2)), np.ones((4, 2)))


def test_holm_by_hand_and_against_a_second_writing():
    # 0.01, 0.04, 0.03, 0.005 -> 3 x 0.01, 1 x 0.04 raised to 2 x 0.03, 2 x 0.03, 4 x 0.005: as statsmodels 0.15 has it.
    # Mutations: no running maximum, len(p) - rank - 1.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6, 1.0]) == [1.0, 1.0, 1.0]
    assert holm([]) == []
    with pytest.raises(ValueError, match="nan is no p value"):
        holm([0.1, float("nan")])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
@settings(max_examples=50)
def test_holm_rejects_step_by_step(p):
    adjusted = holm(p)
    for alpha in (0.01, 0.05, 0.2):
        remaining, rejected = len(p), set()
        for place in sorted(range(len(p)), key=lambda place: p[place]):
            if p[place] * remaining > alpha:
                break
            rejected.add(place)
            remaining -= 1
        assert {place for place, value in enumerate(adjusted) if value <= alpha} == rejected
