"""Kappa and intervals of shares, against tables in print and scikit-learn."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from bioinstruct_jax.evaluation.agreement import kappa, wilson


@pytest.mark.parametrize(
    ("table", "value", "error"),
    [
        # Fleiss, Levin and Paik, Statistical Methods for Rates and Proportions, 3rd ed., table 18.1
        ([[75, 1, 4], [5, 4, 1], [0, 0, 10]], 0.676, 0.0877),
        # Fleiss, Cohen and Everitt 1969, table 1
        ([[106, 10, 4], [22, 28, 10], [2, 12, 6]], 0.429, 0.0537),
    ],
)
def test_kappas_of_tables_in_print(table, value, error):
    # The errors to four places, and 300 random tables of 2 to 4 kinds to 1e-15, are those of statsmodels 0.14.
    found = kappa(table)
    assert found.value == pytest.approx(value, abs=5e-4)
    assert found.error == pytest.approx(error, abs=5e-5)


@given(st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=2), min_size=2, max_size=2))
def test_kappa_is_that_of_scikit_learn(table):
    first = [i for i in (0, 1) for j in (0, 1) for _ in range(table[i][j])]
    second = [j for i in (0, 1) for j in (0, 1) for _ in range(table[i][j])]
    found = kappa(table)
    if found.value is None:
        assert len(set(first + second)) < 2
    else:
        assert found.value == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_the_error_of_kappa_is_the_spread_of_kappas():
    # Mutations: sqrt left out, `first[i] + second[j]` in the term of disagreements, N - 1.
    weights, random_ = [0.5, 0.1, 0.15, 0.25], random.Random(0)
    values = []
    for _ in range(3000):
        drawn = random_.choices(range(4), weights, k=400)
        counts = [drawn.count(kind) for kind in range(4)]
        values.append(kappa([counts[:2], counts[2:]]).value)
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    found = kappa([[200, 40], [60, 100]])
    assert found.error == pytest.approx(spread, rel=0.05)
    assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=1e-3)


@pytest.mark.parametrize(
    ("table", "value"),
    [([[0, 0], [0, 0]], None), ([[7, 0], [0, 0]], None), ([[5, 0], [0, 5]], 1.0), ([[0, 5], [5, 0]], -1.0),
     ([[25, 25], [25, 25]], 0.0), ([[0, 9], [0, 0]], 0.0)],
)  # fmt: skip
def test_kappa_at_its_ends(table, value):
    found = kappa(table)
    assert found.value == (None if value is None else pytest.approx(value))
    if value is not None:
        assert -1 <= found.low <= found.value <= found.high <= 1


@pytest.mark.parametrize(
    ("hits", "total", "low", "high"),
    # Newcombe, Stat Med 17:857 (1998), table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_intervals_in_print(hits, total, low, high):
    assert wilson(hits, total) == (pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))
    mirrored = wilson(total - hits, total)
    assert mirrored == (pytest.approx(1 - wilson(hits, total)[1]), pytest.approx(1 - wilson(hits, total)[0]))
