"""What is told of an evaluation before any score."""

from dataclasses import replace

from bioinstruct_jax.evaluation.runner import outcome
from bioinstruct_jax.evaluation.runner.evaluating import Evaluated
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model
from bioinstruct_jax.evaluation.scoring.given import NO_SERVER
from tests.evaluation.results.made import result

JOB = Evaluate(out="o", models=(Model(name="base", model="b"), Model(name="tuned", adapter="a")))
GOOD = result("base", [1, 0, 1, 1], protocol="generated")


def _notes(first, second=None, told=({}, {})):
    second = second or replace(GOOD, model="tuned")
    pairs = zip((first, second), told, strict=True)
    return outcome.notes(JOB, [Evaluated(one.model, [one], {}, 0.0, said, {}) for one, said in pairs])


def test_where_all_is_well_nothing_is_told():
    assert _notes(GOOD) == []


def test_a_server_that_failed_comes_before_what_follows_from_it():
    # Mutation: answers that are missing are told as answers that could not be read.
    (note,) = _notes(replace(GOOD, whys={NO_SERVER: 3}, answered=0.25))
    assert "base: medqa, generated: 3 of 4 items have no answer, as the server failed" in note


def test_items_that_do_not_fit_and_answers_that_cannot_be_read_are_told():
    (note,) = _notes(replace(GOOD, unfit=4, answered=0.0))
    assert "4 of 4 items are longer than its context" in note
    (note,) = _notes(replace(GOOD, answered=0.25))
    assert "only 25.0% of the items have an answer that could be read" in note
    assert _notes(replace(GOOD, answered=0.5)) == []
    assert _notes(replace(GOOD, answered=0.25, protocol="likelihood")) == []


def test_models_that_were_asked_in_different_templates_are_told_by_name():
    # Mutation: names compared, which say nothing of the tokenizer's own.
    alpaca, medtuned = ({"template": name, "template_hash": name * 2} for name in ("alpaca", "medtuned"))
    (note,) = _notes(GOOD, told=(alpaca, medtuned))
    assert "base and tuned were asked in different templates (alpaca, medtuned)" in note
    assert _notes(GOOD, told=(alpaca, dict(alpaca))) == []
    assert _notes(GOOD, told=(alpaca, {"template": "the server's own"})) == []


def test_the_exit_code_knows_of_answers_that_a_server_did_not_give():
    assert Evaluated("m", [replace(GOOD, whys={NO_SERVER: 3}), GOOD], {}, 0.0, {}, {}).failed == 3
