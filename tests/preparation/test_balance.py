import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.preparation import balance
from bioinstruct_jax.preparation.job import Balance, Corpus

COUNTS = {"medquad": 9000, "gad": 900, "hoc": 90}


def wanted(**given):
    corpora = {name: Corpus(task=name) for name in COUNTS}
    corpora |= {name: Corpus(task=name, **given.pop(name)) for name in list(given) if name in COUNTS}
    return balance.wanted(COUNTS, corpora, Balance(**given))


def test_nothing_asked_takes_every_row_once():
    assert wanted() == COUNTS


def test_a_total_is_shared_by_counts():
    assert wanted(total=999) == {"medquad": 900, "gad": 90, "hoc": 9}


def test_a_temperature_takes_shares_of_roots():
    # Mutations: the power T rather than 1/T; the total of the counts rather than the one that is asked for.
    roots = np.sqrt(list(COUNTS.values()))
    expected = (1000 * roots / roots.sum()).round()
    assert list(wanted(temperature=2.0, total=1000).values()) == expected.tolist()


def test_a_small_source_is_repeated_so_often_at_most():
    # Mutation: the limit compared with the rows of all sources.
    assert wanted(temperature=1e6, total=9000, most_copies=3)["hoc"] == 270
    assert wanted(temperature=1e6, total=9000, most_copies=100)["hoc"] == 3000


@pytest.mark.parametrize(
    ("settings", "rows"), [({"weight": 2.5}, 225), ({"cap": 40}, 40), ({"weight": 2.5, "cap": 100}, 100)]
)
def test_weight_and_cap_are_of_one_source(settings, rows):
    found = wanted(hoc=settings)
    assert found["hoc"] == rows
    assert found["gad"] == COUNTS["gad"]


@given(st.lists(st.integers(0, 2**64 - 1), max_size=50), st.integers(0, 200))
def test_copies_are_as_many_as_asked_and_differ_by_one_at_most(draws, rows):
    found = balance.copies(np.array(draws, np.uint64), rows)
    assert found.sum() == (rows if draws else 0)
    assert len(found) == len(draws)
    if draws:
        assert found.max() - found.min() <= 1


@given(st.lists(st.integers(0, 2**64 - 1), min_size=2, max_size=50, unique=True), st.randoms())
def test_which_rows_are_taken_does_not_depend_on_their_order(draws, random):
    # Mutation: the first rows rather than those of the lowest draws.
    rows = len(draws) // 2
    taken = {draw for draw, times in zip(draws, balance.copies(np.array(draws, np.uint64), rows), strict=True) if times}
    assert taken == set(sorted(draws)[:rows])


@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=6),
    st.integers(1, 5000),
    st.floats(1, 50),
    st.integers(1, 4),
)
def test_a_total_is_reached_as_far_as_there_are_rows(counts, total, temperature, most):
    # Mutations: shares rounded one by one; what a small source cannot give is lost.
    names = [*COUNTS, "pubmedqa", "meqsum", "mts_dialog"]
    there = dict(zip(names, counts, strict=False))
    corpora = {name: Corpus(task=name) for name in there}
    made = balance.wanted(there, corpora, Balance(total=total, temperature=temperature, most_copies=most))
    assert sum(made.values()) == min(total, most * sum(there.values()))
    assert all(made[name] <= most * there[name] for name in there)
