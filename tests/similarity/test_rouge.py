"""ROUGE-L, against the package that defines it."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from bioinstruct_jax.similarity import rouge

SCORER = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(["the", "of", "TNF", "β", "p53", "3.5"])).map(" ".join))


def theirs(first: str, second: str) -> float:
    return SCORER.score(first, second)["rougeL"].fmeasure


@given(TEXTS, TEXTS)
@example("", "")
@example("the of", "")
@example("β β", "β β")
def test_scores_are_those_of_rouge_score(first, second):
    # Mutations: shared / max(n, m); the longest common substring; 1 for two texts without tokens.
    assert rouge.rouge_l(first, second) == pytest.approx(theirs(first, second), abs=1e-12)


@pytest.mark.parametrize(
    ("first", "second", "score"),
    [
        ("The patient denies chest pain.", "the patient, denies: CHEST pain", 1.0),
        ("The patient denies chest pain.", "Chest pain is denied by the patient.", 2 * 2 / 12),
        ("aspirin 81 mg daily", "aspirin 325 mg daily", 2 * 3 / 8),
        ("pain pain pain", "pain", 2 * 1 / 4),
        ("fever", "cough", 0.0),
    ],
)
def test_scores_of_texts_written_by_hand(first, second, score):
    assert rouge.rouge_l(first, second) == score
    assert theirs(first, second) == pytest.approx(score, abs=1e-12)


@given(st.integers(1, 60), st.integers(1, 60), st.floats(0.01, 1))
@example(10, 10, 0.7)
@example(20, 20, 0.7)
@example(3, 3, 1.0)
@example(12, 13, 0.56)  # 7 of 25, whose product is above 7
@example(1, 2, 0.6666666666666667)  # the next above 1 of 3, whose product is 1
def test_the_fewest_common_tokens_are_the_fewest(n, m, score):
    # Mutations: without either of the loops, which undo what the product was rounded by.
    fewest = rouge.least_common(n, m, score)
    assert rouge.f1(fewest, n, m) >= score
    assert fewest == 1 or rouge.f1(fewest - 1, n, m) < score


IDS = st.lists(st.sampled_from([0, 1, 2, 0xD7FF, 0xDFFF, 0x10FFFE, 0x10FFFF, 0x110000, 2**31 - 1]), max_size=12)


@given(IDS, IDS)
def test_any_id_can_be_compared(first, second):
    # Mutations: _CHARACTERS one more; without "surrogatepass"; ids & 0xFFFF.
    a, b = (np.array(ids, np.int32) for ids in (first, second))
    assert rouge.common(rouge.sequence(a), rouge.sequence(b)) == _table(first, second)


@given(st.lists(st.integers(0, 5), max_size=20), st.lists(st.integers(-1, 5), max_size=20), st.integers(0, 20))
def test_fewer_than_the_least_are_none(first, second, least):
    shared = _table(first, [None if one < 0 else one for one in second])  # an unknown token is like no other
    a, b = (rouge.sequence(np.array(ids, np.int32)) for ids in (first, second))
    assert rouge.common(a, b, least=least) == (shared if shared >= least else 0)


def _table(first: list, second: list) -> int:
    """The longest common subsequence by the textbook's table."""
    row = [0] * (len(second) + 1)
    for one in first:
        before, row = row, [0]
        for j, other in enumerate(second):
            row.append(before[j] + 1 if one == other else max(row[-1], before[j + 1]))
    return row[-1]
