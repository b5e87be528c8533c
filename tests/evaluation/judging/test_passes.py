"""Agreement of passes, against scikit-learn and by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from bioinstruct_jax.evaluation.judging.passes import agreement

GRADE = st.integers(1, 5)


@given(st.lists(st.tuples(GRADE, GRADE), min_size=2, max_size=30))
def test_kappa_is_that_of_scikit_learn(rows):
    # Mutation: linear weights.
    found = agreement(rows)
    both = rows + [(second, first) for first, second in rows]
    if len({grade for row in rows for grade in row}) == 1:
        assert found.kappa is None
    else:
        wanted = cohen_kappa_score(*zip(*both, strict=True), weights="quadratic", labels=[1, 2, 3, 4, 5])
        assert found.kappa == pytest.approx(wanted, abs=1e-12)
    assert found.exact == sum(first == second for first, second in rows) / len(rows)


def test_by_hand():
    found = agreement([(1, 1), (2, 3), (5,), (), (4, 4, 2)])
    assert (found.pairs, found.exact, found.within_one) == (5, 2 / 5, 3 / 5)
    assert agreement([(5,), ()]) == agreement([])
    assert agreement([]).exact is None
