"""For which learners matched arms are not equal, and by how much."""

from pathlib import Path

import pytest

from bioinstruct_jax.studies import arms, unmatched
from tests.studies.small_study import study

SET = {"data.held_out": 0.0, "training.eval_every": 0}


def _notes(folder, *more, **keys):
    models = [{"name": f"m{place}", "settings": "tiny", "set": SET | own} for place, own in enumerate(({}, *more))]
    job, told = study(folder, models=models, **keys), list[str]()
    rows = arms.make(job, told.append)
    said = unmatched.notes(job, rows, Path(job.out))
    assert [line for line in told if line.startswith("models:")] == said  # on screen as in the results
    return said


def test_learners_that_read_alike_are_not_noted(tmp_path):
    # Mutations: a note for each learner; one for what the rows do not depend on.
    assert _notes(tmp_path, {}, {"optimizer.learning_rate": 0.5}) == []


def test_natural_arms_are_not_matched_for_anyone(tmp_path):
    assert _notes(tmp_path, {"data.template": "medtuned"}, sizes=["natural"], curve=None) == []


def test_what_differs_is_named_with_how_far_arms_are_apart(tmp_path):
    # Mutations: the first alone looked at; a key less; the tokens of the first counted for all.
    said = _notes(tmp_path, {"data.template": "medtuned"}, {"data.length": 64}, {"data.over_length": "truncate_input"})
    start = "arms are matched for m0, not for"
    assert said[0].startswith(f"models: m1: {start} data.template medtuned: with seed 0 their target tokens are ")
    assert said[1].startswith(f"models: m2: {start} data.length 64: with seed 0 their target tokens are ")
    assert "of their rows are too long for it" in said[1]  # which leaves other tokens in each arm
    assert said[2].startswith(f"models: m3: {start} data.over_length truncate_input: with seed 0 ")
    assert len(said) == 3


def test_any_learner_that_holds_rows_out_is_named(tmp_path):
    said = _notes(tmp_path, {"data.held_out": 0.25})
    assert said == [
        "models: m1: data.held_out 0.25 keeps that share of an arm's rows from being learned, so matched arms differ "
        "by what it keeps"
    ]


@pytest.mark.parametrize("alike", [True, False])
def test_tokenizers_are_compared_by_what_they_are(tmp_path, monkeypatch, alike):
    # Mutation: by their names. The last is not there, as on a machine that only gathers.
    own = {"tokenizer.path": str(tmp_path / "mine")}
    load = unmatched.tokenizers.load
    monkeypatch.setattr(unmatched.tokenizers, "load", lambda path, *rest: load("tiny"))
    marks = iter(range(100))
    if not alike:
        monkeypatch.setattr(unmatched.tokenizers, "fingerprint", lambda one: str(next(marks)))
    models = [{"name": "a", "settings": "tiny", "set": SET}, {"name": "b", "settings": "tiny", "set": SET | own}]
    said = unmatched.notes(study(tmp_path, models=models), [], tmp_path)
    assert said == ([] if alike else ["models: b: arms are matched for a, not for its tokenizer"])
    monkeypatch.setattr(unmatched.tokenizers, "load", load)
    (lost,) = unmatched.notes(study(tmp_path, models=models), [], tmp_path)
    assert lost.startswith("models: b: whether arms are matched for it is not known: tokenizer")
