"""The second pass: who is asked what, and which of several answers stands."""

import json

import pytest

from bioinstruct_jax.api.request import Reply
from bioinstruct_jax.generation import answers
from bioinstruct_jax.generation.draw import draw
from bioinstruct_jax.generation.pool import Pool
from tests.generation.jobs import TEACHER, item, job, reply, seeds

QUESTION = "Why does the patient take ramipril?"


def made(*teachers, agreement=0.3):
    named = tuple({**TEACHER, "name": name} for name in ("one", "two", "three"))
    return job(teachers=named, answers={"by": "second_pass", "teachers": teachers, "agreement": agreement})


def candidate(settings, *, closed=False):
    pool = Pool(settings, seeds(), prompt="p", held_out=None)
    return pool.take(draw(settings, seeds(), 0), "k", reply(item(QUESTION, "He takes ramipril.", "", closed)))[0]


def settled(settings, *outputs, closed=False):
    one = candidate(settings, closed=closed)
    asked = answers.requests(settings, one)
    replies = [
        output if isinstance(output, Reply) else Reply(request.key, json.dumps({"output": output}), "stop")
        for request, output in zip(asked, outputs, strict=True)
    ]
    return answers.settled(settings, one, asked, replies)


def test_the_teacher_that_wrote_it_answers_unless_others_are_named():
    one = candidate(made())
    (asked,) = answers.requests(made(), one)
    assert asked.endpoint == one.row.teacher
    assert asked.key == f"answer/{one.row.id}/{one.row.teacher}"
    assert [other.endpoint for other in answers.requests(made("two", "three"), one)] == ["two", "three"]


def test_labels_come_first_of_one_teacher_and_never_for_a_consensus():
    # Self-Instruct's output-first for classification. Mutation: the flag ignored.
    (asked,) = answers.requests(made(), candidate(made(), closed=True))
    assert asked.key.startswith("label/")
    one = answers.settled(
        made(), candidate(made(), closed=True), [asked], [Reply("k", '{"label": "yes", "input": "x"}')]
    )
    assert (one.input, one.output) == ("x", "yes")
    several = made("two", "three")
    assert all(one.key.startswith("answer/") for one in answers.requests(several, candidate(several, closed=True)))


def test_the_answer_that_agrees_most_stands():
    # Means of ROUGE-L: the second shares most. Mutation: the first, or the longest, taken.
    found = settled(
        made("one", "two", "three"),
        "for high blood pressure in the morning",
        "for high blood pressure",
        "high blood pressure",
    )
    assert (found.output, found.by) == ("for high blood pressure", "two")


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        (("for high blood pressure", "gout", "sleep"), "no_consensus"),
        (("gout", Reply("k", "", problem="given up"), Reply("k", "", problem="given up")), "no_consensus"),
        ((Reply("k", "", problem="given up"),) * 3, "no_answer"),
    ],
)
def test_what_none_agrees_on_is_dropped(outputs, reason):
    assert settled(made("one", "two", "three"), *outputs).reason == reason


@pytest.mark.parametrize(
    "answer",
    [
        Reply("k", "", "stop"),
        Reply("k", "no JSON here", "stop"),
        Reply("k", '{"output": "half of an', "length"),
        Reply("k", '{"output": "   "}', "stop"),
        Reply("k", "", problem="content filter"),
    ],
)
def test_an_answer_that_is_none_is_told(answer):
    found = settled(made(), answer)
    assert found.reason == "no_answer"
    assert found.detail


def test_agreement_at_its_threshold_is_enough():
    assert settled(made("one", "two", agreement=1.0), "Gout.", "gout").output == "Gout."
