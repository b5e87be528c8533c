"""Which tasks are scored: those that are named must be there, groups take what is."""

import json
import re

import pytest
from upath import UPath

from bioinstruct_jax.evaluation.runner.job import Evaluate, Model, Shots
from bioinstruct_jax.evaluation.runner.planned import names, planned
from tests.evaluation.runner.test_questions import QUESTIONS


@pytest.fixture
def corpora(tmp_path):
    (tmp_path / "mmlu").mkdir()
    (tmp_path / "mmlu" / "anatomy_test.csv").write_text(QUESTIONS)
    (tmp_path / "medquad").mkdir()
    row = {"id": "1", "question": "What is a fever?", "answer": "A raised temperature.", "focus": "fever"}
    (tmp_path / "medquad" / "medquad.jsonl").write_text(json.dumps(row) + "\n")
    return UPath(tmp_path)


def _planned(corpora, **changed):
    return planned(Evaluate(**{"out": "o", "models": (Model(model="m"),), **changed}), corpora)


def test_a_group_takes_what_is_there_and_says_what_is_not(corpora):
    # Mutation: training splits are taken for a group.
    found, notes = _planned(corpora, tasks=("QA",))
    assert [(one.task.name, one.split, one.items, one.whole) for one in found] == [("mmlu_anatomy", "test", 5, 5)]
    assert any("medquad has a training split alone" in note for note in notes)
    assert any("not there, so not scored: " in note and "medqa" in note for note in notes)


def test_a_named_task_is_scored_on_its_training_split_if_it_has_no_other(corpora):
    (one,), _ = _planned(corpora, tasks=("medquad",))
    assert (one.split, one.protocols, one.items) == ("train", ("generated",), 1)


def test_a_named_task_that_is_not_there_says_where_to_get_it(corpora):
    # Mutation: it is left out like one of a group.
    with pytest.raises(FileNotFoundError, match=r"pubmedqa: .* is missing.*github.com/pubmedqa"):
        _planned(corpora, tasks=("pubmedqa", "mmlu_anatomy"))


@pytest.mark.parametrize("name", ["nowhere", "mmlu/anatomy_test.csv"])
@pytest.mark.parametrize("tasks", [("mmlu_anatomy",), ("QA",)])
def test_a_folder_of_corpora_that_is_none_is_told_before_any_file(corpora, name, tasks):
    # Mutation: the first file of a task is said to be missing, and where to get it.
    with pytest.raises(FileNotFoundError, match=rf"corpora \S+{name}: no such folder\. .* with --corpora=FOLDER"):
        _planned(corpora / name, tasks=tasks)


def test_nothing_at_all_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file of any task of GEN is to be scored there"):
        _planned(UPath(tmp_path), tasks=("GEN",))


def test_a_split_that_is_asked_for_is_taken_or_refused(corpora):
    # Mutation: another split stands in for it.
    with pytest.raises(FileNotFoundError, match=r"anatomy_dev\.csv is missing"):
        _planned(corpora, tasks=("mmlu_anatomy",), split="dev")
    with pytest.raises(ValueError, match="medquad has no split 'dev'; it has train"):
        _planned(corpora, tasks=("medquad",), split="dev")


def test_a_limit_counts_both_what_is_asked_and_what_is_there(corpora):
    (one,), _ = _planned(corpora, tasks=("mmlu_anatomy",), limit=2)
    assert (one.items, one.whole) == (2, 5)
    assert [question.id for question in one.questions()] == [question.id for question in one.questions()]


def test_shots_beyond_the_pool_end_it_before_a_model_is_loaded(corpora):
    with pytest.raises(ValueError, match="5 shots are wanted, but the pool of 5 has no other item after 4"):
        _planned(corpora, tasks=("mmlu_anatomy",), shots=Shots(count=5))


def test_shots_from_the_scored_split_are_said(corpora):
    # Mutation: said of every task that shows shots.
    shots = {"tasks": ("mmlu_anatomy",), "shots": Shots(count=2)}
    _, notes = _planned(corpora, **shots)
    assert notes == ["mmlu_anatomy: shots come from the split that is scored, test; answers of it are shown"]
    (corpora / "mmlu" / "anatomy_dev.csv").write_text(QUESTIONS.replace("?", " of both?"))
    assert _planned(corpora, **shots)[1] == []


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_a_task_of_no_item_is_refused_where_it_is_named_and_left_out_of_a_group(corpora, text):
    # A KeyError of its headline score, when the model had answered all others. Mutations: planned with no items; a
    # group refused for one file; `names` has what `planned` leaves out, so that a study is refused.
    (corpora / "own-instructions").mkdir()
    (corpora / "own-instructions" / "test.jsonl").write_text(text)
    said = r"own_instructions/test: own-instructions/test\.jsonl: not one item in it\. Fetch or write it anew"
    with pytest.raises(ValueError, match=said):
        _planned(corpora, tasks=("own_instructions", "mmlu_anatomy"))
    found, notes = _planned(corpora, tasks=("GEN", "mmlu_anatomy"))
    assert [one.task.name for one in found] == ["mmlu_anatomy"]
    assert any(re.match(f"not scored: {said}", note) for note in notes)
    assert names(Evaluate(out="o", models=(Model(model="m"),), tasks=("GEN", "QA")), corpora) == ("mmlu_anatomy",)
    with pytest.raises(FileNotFoundError, match=f"no file of any task of GEN .*{said}"):
        _planned(corpora, tasks=("GEN",))


def test_a_damaged_file_is_not_taken_for_an_empty_one(corpora):
    # Mutation: `names` leaves a damaged corpus of a group out, which `planned` would tell.
    (corpora / "mmlu" / "anatomy_test.csv").write_text("Which?,a,b,c,d,F\n")
    assert names(Evaluate(out="o", models=(Model(model="m"),), tasks=("QA",)), corpora) == ("mmlu_anatomy",)
    with pytest.raises(ValueError, match=r"anatomy_test\.csv, line 1"):
        _planned(corpora, tasks=("QA",))


def test_a_task_that_no_protocol_suits_is_said(corpora):
    found, notes = _planned(corpora, tasks=("mmlu_anatomy", "medquad"), protocols=("harness",))
    assert [one.task.name for one in found] == ["mmlu_anatomy"]
    assert any("medquad is not asked: none of the protocols harness suits it" in note for note in notes)
