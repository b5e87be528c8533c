"""What a judge found, as a stranger reads it."""

import pytest

from bioinstruct_jax.evaluation.results import judge_tables
from tests.evaluation.results.evaluated import judged


@pytest.mark.parametrize(
    ("trusted", "said"), [(True, "may be read"), (False, "not to be trusted"), (None, "not known")]
)
def test_whether_it_can_be_trusted_stands_first(trusted, said):
    # Mutation: one sentence whatever was found.
    first, *_ = judge_tables.tables(judged(trusted=trusted))
    assert said in first
    assert ('class="note"' in first) == (not trusted)


def test_grades_pairs_and_warnings_are_told():
    made = "".join(judge_tables.tables(judged()))
    for text in ("2 of 30 requests", "3.25 (2.50 to 4.00)", "tuned against base", "75.00", "0.219", "0.7134"):
        assert text in made
    assert made.count("3.25 (2.50 to 4.00)") == 10


def test_nested_values_are_rows():
    assert judge_tables.flat({"a_b": {"c": 0.12345}, "d": None}) == [["a b: c", 0.1235], ["d", ""]]
