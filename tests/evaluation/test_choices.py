"""From log-likelihoods to scores of items; items that do not fit; any language model's answers."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss

from bioinstruct_jax.evaluation import choices
from bioinstruct_jax.evaluation.bootstrap import bootstrap, of_items, ratio
from bioinstruct_jax.evaluation.choice_prompts import ChoicePrompt
from bioinstruct_jax.evaluation.choices import UnfitError, read
from bioinstruct_jax.evaluation.language_model import Score, TooLong

DECISIONS = ("yes", "no", "maybe")
VALUES = st.lists(st.tuples(*[st.floats(-60, 0)] * 3, st.integers(0, 2)), min_size=1, max_size=12)


def _asked(*gold: int, of: tuple[str, ...] = DECISIONS) -> list[ChoicePrompt]:
    return [ChoicePrompt(f"i{number}", "Answer:", of, answer) for number, answer in enumerate(gold)]


def _said(*rows: tuple[float, ...]) -> list[Score | TooLong]:
    return [Score(value, False, 1) for row in rows for value in row]


def test_acc_takes_the_likeliest_and_acc_norm_the_likeliest_by_character():
    # -6 / 5 characters is above -3 / 2 and -4 / 3. Mutations: no division; division by characters with the blank, where
    # -4 / 4 is the largest of the second row.
    made = read(_asked(1, 0, 2), _said((-4, -3, -6), (-4, -2.5, -5.9), (-9, -9, -9)))
    assert made.taken.tolist() == [1, 1, 0]
    assert made.taken_norm.tolist() == [2, 2, 2]
    assert made.acc.tolist() == [1, 0, 0]
    assert made.acc_norm.tolist() == [0, 0, 1]


def test_of_equals_the_first_is_taken():
    # Mutation: the last.
    made = read(_asked(0, 2), _said((-1, -1, -2), (-2, -1, -1)))
    assert made.taken.tolist() == [0, 1]


def test_characters_are_characters_not_bytes():
    assert choices.characters(("β", "no")).tolist() == [1, 2]


@given(VALUES)
@settings(max_examples=60)
def test_probabilities_and_brier_scores(rows):
    gold = [row[3] for row in rows]
    made = read(_asked(*gold), _said(*(row[:3] for row in rows)))
    for row, shares in zip(rows, made.probabilities, strict=True):
        weights = [math.exp(value - max(row[:3])) for value in row[:3]]
        assert shares == pytest.approx([weight / sum(weights) for weight in weights])
    known = brier_score_loss(gold, made.probabilities, labels=[0, 1, 2], scale_by_half=False)
    assert made.brier.mean() == pytest.approx(known)
    assert made.fits.all()


@given(VALUES, st.floats(-300, 0))
@settings(max_examples=40)
def test_very_unlikely_choices_still_have_probabilities(rows, shift):
    # Mutation: the largest not taken out of the softmax, which then divides by zero.
    gold = [row[3] for row in rows]
    one = read(_asked(*gold), _said(*(row[:3] for row in rows)))
    other = read(_asked(*gold), _said(*(tuple(value * 40 + shift * 40 for value in row[:3]) for row in rows)))
    assert np.isfinite(other.probabilities).all()
    assert np.allclose(other.probabilities.sum(axis=1), 1)
    near = np.sort(one.loglikelihoods, axis=1)
    clear = near[:, 2] - near[:, 1] > 1e-6
    assert (one.taken == other.taken)[clear].all()


def test_impossible_choices():
    made = read(_asked(0, 1), _said((-math.inf, -2, -math.inf), (-math.inf, -math.inf, -math.inf)))
    assert made.probabilities.tolist() == [[0, 1, 0], [pytest.approx(1 / 3)] * 3]
    assert made.taken.tolist() == [1, 0]
    assert made.fits.all()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_log_likelihood_that_is_none_is_refused(value):
    # Mutation: NaN taken for an item that did not fit.
    with pytest.raises(ValueError, match=f"item 'i1', choice 'no': the log-likelihood is {value}; look at"):
        read(_asked(0, 1), _said((-1, -2, -3), (-1, value, -3)))


def test_items_that_do_not_fit_are_named_and_refused():
    said = _said((-1, -2, -3), (-1, -2, -3), (-3, -2, -1))
    said[3:6], said[8] = [TooLong(90, 64), TooLong(90, 64), TooLong(91, 64)], TooLong(65, 64)
    with pytest.raises(UnfitError, match=r"2 of 3 items .* of 64 tokens \(the longest, i1, has 91\): i1, i2;"):
        read(_asked(0, 0, 1), said)
    many = [TooLong(90 + number, 64) for number in range(39)]
    with pytest.raises(UnfitError, match=r"13 of 13 items .* i9 and 3 more;") as caught:
        read(_asked(*[0] * 13), many)
    assert [one.item for one in caught.value.unfit] == [f"i{number}" for number in range(13)]


def test_items_that_do_not_fit_can_count_as_wrong():
    # Mutations: left out of the mean; argmax of a row of NaN, which is 0, taken for an answer; one fitting choice is
    # enough; they have a probability.
    said = _said((-1, -2, -3), (-1, -2, -3))
    said[5] = TooLong(70, 64)
    made = read(_asked(0, 0), said, unfit="wrong")
    assert made.acc.tolist() == [1, 0]
    assert made.acc_norm[1] == 0
    assert made.taken.tolist() == [0, -1]
    assert made.taken_norm[1] == -1
    assert made.fits.tolist() == [True, False]
    assert np.isnan(made.brier).tolist() == np.isnan(made.probabilities).all(axis=1).tolist() == [False, True]
    assert [(one.item, one.tokens, one.limit) for one in made.unfit] == [("i1", 70, 64)]
    assert bootstrap(of_items(made.acc), ratio, resamples=100).value == 0.5
    assert bootstrap(of_items(made.brier[made.fits]), ratio, resamples=100).value == pytest.approx(made.brier[0])


def test_results_of_other_requests_are_refused():
    with pytest.raises(ValueError, match="5 results for 2 prompts of 3 choices: needs one for each choice"):
        read(_asked(0, 1), _said((-1, -2, -3), (-1, -2)))
    with pytest.raises(ValueError, match="different choices: score each task by itself"):
        read([*_asked(0), *_asked(0, of=("A", "B", "C"))], _said((-1, -2, -3), (-1, -2, -3)))


def test_no_items():
    made = read([], [])
    assert made.acc.shape == made.brier.shape == (0,)
