"""What a judge's reply says, and that nothing is made of what it does not say."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.evaluation.judging import verdicts
from bioinstruct_jax.evaluation.judging.prompts import CRITERIA
from bioinstruct_jax.evaluation.judging.verdicts import Grades

WHOLE = dict(zip(CRITERIA, (5, 4, 3, 2, 1), strict=True))


@given(st.tuples(*[st.integers(1, 5)] * 5), st.text())
def test_a_verdict_in_the_form_of_the_schema_is_read(numbers, reason):
    assert verdicts.grades(json.dumps({"reason": reason, **dict(zip(CRITERIA, numbers, strict=True))})) == Grades(
        *numbers
    )


@pytest.mark.parametrize(
    "text",
    [
        f"Here it is:\n```json\n{json.dumps(WHOLE)}\n```\nThat is all.",
        json.dumps({"grades": WHOLE}),
        json.dumps({name.title(): str(value) for name, value in WHOLE.items()}),
        json.dumps({name: f"{value}/5" for name, value in WHOLE.items()}),
        json.dumps({name: float(value) for name, value in WHOLE.items()}),
        f'<think>Perhaps {{"overall": 2}}?</think>{json.dumps(WHOLE)}',
        json.dumps(WHOLE) * 2,
    ],
)
def test_what_surely_is_a_verdict_is_read(text):
    assert verdicts.grades(text) == Grades(5, 4, 3, 2, 1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "coherence: 5, accuracy: 4, completeness: 3, safety: 2, overall: 1",
        json.dumps({**WHOLE, "overall": 6}),
        json.dumps({**WHOLE, "overall": 0}),
        json.dumps({**WHOLE, "overall": -1}),
        json.dumps({**WHOLE, "overall": 3.5}),
        json.dumps({**WHOLE, "overall": "4/10"}),
        json.dumps({**WHOLE, "overall": True}),
        json.dumps({**WHOLE, "overall": None}),
        json.dumps({**WHOLE, "overall": [1]}),
        json.dumps({name: WHOLE[name] for name in CRITERIA[:4]}),
        json.dumps(WHOLE)[:-1],
        json.dumps(WHOLE) + json.dumps({**WHOLE, "overall": 5}),
        json.dumps(WHOLE) + '{"overall": 5}',
        json.dumps(WHOLE)[:-1] + ', "overall": 5}',
        json.dumps(WHOLE)[:-1] + ', "Overall": 5}',
    ],
)
def test_nothing_is_guessed(text):
    # Mutation: the last of several verdicts counts; a cut object counts; a key that stands twice counts once.
    assert verdicts.grades(text) is None


@given(st.text() | st.text(alphabet='{}[]",: 1overall', max_size=60))
def test_any_text_can_be_read(text):
    assert verdicts.grades(text) is None
    verdicts.winner(text)


@pytest.mark.parametrize(
    ("text", "winner"),
    [
        ('{"reason": "x", "winner": "first"}', "first"),
        ('{"winner": "Second"}', "second"),
        ('{"winner": "tie"}', "tie"),
        ('{"winner": "A"}', None),
        ('{"winner": "first"} {"winner": "second"}', None),
        ("first", None),
        ('{"winner": "first"', None),
        ('{"winner": 1}', None),
    ],
)
def test_winners(text, winner):
    assert verdicts.winner(text) == winner
