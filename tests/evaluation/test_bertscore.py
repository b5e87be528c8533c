"""BERTScore of vectors, against the sums of the paper worked out by hand."""

import numpy as np
import pytest

from bioinstruct_jax.evaluation.bertscore import Encoded, match

OPENING, FEVER, COUGH, RASH = np.eye(4)


def encoded(*vectors, counted=None) -> Encoded:
    return Encoded(np.stack(vectors), np.array([True] * len(vectors) if counted is None else counted))


def test_each_token_is_held_against_the_most_similar_one():
    # Mutations: precision and recall exchanged; the mean of the two as F1; cosines without their lengths.
    reference = encoded(3 * FEVER, COUGH)
    output = encoded(FEVER + COUGH, 5 * FEVER, RASH)
    found = match(reference, output)
    half = np.sqrt(0.5)
    precision, recall = (half + 1 + 0) / 3, (1 + half) / 2
    assert (found.precision, found.recall) == pytest.approx((precision, recall))
    assert found.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_opening_tokens_may_be_met_but_are_not_counted():
    # Mutations: they are left out of the table; they are counted.
    reference = encoded(OPENING, FEVER, counted=[False, True])
    output = encoded(OPENING, OPENING + FEVER, OPENING, counted=[False, True, True])
    found = match(reference, output)
    assert found.precision == pytest.approx((np.sqrt(0.5) + 1) / 2)
    assert found.recall == pytest.approx(np.sqrt(0.5))


def test_a_text_against_itself_is_1_and_exchanging_texts_exchanges_precision_and_recall():
    draw = np.random.default_rng(0)
    first, second = (encoded(*draw.normal(size=(size, 16))) for size in (5, 9))
    assert match(first, first).f1 == pytest.approx(1)
    there, back = match(first, second), match(second, first)
    assert (there.precision, there.recall, there.f1) == pytest.approx((back.recall, back.precision, back.f1))


def test_without_tokens_of_its_own_or_of_anything_alike_a_text_scores_zero():
    # Mutation: the check for counted tokens is gone.
    blank = encoded(FEVER, counted=[False])
    for pair in ((blank, encoded(FEVER)), (encoded(FEVER), blank), (encoded(FEVER), encoded(-FEVER))):
        assert match(*pair).f1 == 0
