import json
from collections import Counter

import pytest
from upath import UPath

from bioinstruct_jax.preparation import rows
from bioinstruct_jax.tasks.own_instructions import OWN_INSTRUCTION as OWN
from bioinstruct_jax.tasks.table import TASKS
from tests.preparation import corpora


def made(folder, task, split="train", seed=0, format=None):
    return list(rows.rendered(TASKS[task], UPath(folder), split, seed=seed, format=format))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return corpora.write(tmp_path_factory.mktemp("corpora"))


def test_a_row_says_what_it_is_made_of(folder):
    # Mutations: the item's id alone; the split left out of it; the licence of another task.
    first, *_, last = made(folder, "ncbi_disease")
    assert first.sample.id == "ncbi_disease/train/train:1"
    assert (first.sample.source, first.sample.family, first.sample.split) == ("ncbi_disease", "entities", "train")
    assert (first.sample.licence, first.sample.format, first.sample.category) == ("open", "iob", "IE")
    assert first.sample.labels == ("Disease",)
    assert last.sample.labels == ("Disease", "Disease")
    assert first.about == first.sample.input
    assert first.free == ""  # its answer holds no text of its own
    assert made(folder, "medquad")[0].free == corpora.QUESTIONS[0][1]


def test_the_instruction_is_a_wording_filled_and_the_form_of_the_answer(folder):
    task = TASKS["ncbi_disease"]
    for row in made(folder, "ncbi_disease", format="json"):
        words = task.family.wordings[row.sample.wording].format(subject="diseases")
        assert row.sample.instruction == f"{words} {task.family.form(task, 'json')}"
    assert "{" not in made(folder, "medquad")[0].sample.instruction


def test_a_wording_is_a_function_of_seed_and_row_alone(folder, tmp_path):
    # Mutations: a generator drawn from in the order of the rows; the seed left out.
    all_of_them = {row.sample.id: row.sample.wording for row in made(folder, "ncbi_disease")}
    corpora.put(tmp_path, "ncbi-disease/train.tsv", corpora.columns(corpora.SENTENCES[:2]))
    fewer = {row.sample.id: row.sample.wording for row in made(tmp_path, "ncbi_disease")}
    assert fewer == {name: all_of_them[name] for name in fewer}
    drawn = [tuple(row.sample.wording for row in made(folder, "ncbi_disease", seed=seed)) for seed in range(8)]
    assert len(set(drawn)) == 8


@pytest.mark.parametrize("task", [one for one in TASKS.values() if one.family is not OWN], ids=lambda task: task.name)
def test_every_wording_of_every_task_becomes_an_instruction(task):
    # Mutation: a subject with a brace, which would be taken for a place to fill.
    for format in task.family.formats:
        said = [rows.instruction(task, place, format) for place in range(len(task.family.wordings))]
        assert len(set(said)) == len(said) >= 8
        for text in said:
            assert "{subject}" not in text
            assert "  " not in text
            assert text == text.strip()


def test_a_format_that_the_family_does_not_have(folder):
    with pytest.raises(ValueError, match=r"gad: there is no answer format 'iob' for relations; it is class or json"):
        rows.answer_format(TASKS["gad"], "iob")


def test_wordings_are_drawn_evenly():
    family = TASKS["medquad"].family
    drawn = Counter(family.wording(3, str(number)) for number in range(2000))
    assert min(drawn.values()) > 2000 / len(family.wordings) / 2


def test_a_restricted_corpus_that_is_damaged_is_told_without_its_words(tmp_path):
    # Mutations: the error as the reader made it; the cause kept, which a traceback would show.
    row = {"pairID": "1", "sentence1": "Oedema.", "sentence2": "She swells.", "gold_label": "Quill'feather"}
    corpora.put(tmp_path, "mednli/mli_train_v1.jsonl", json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=r"mli_train_v1\.jsonl, line 1: .*\(restricted, not shown\)") as caught:
        made(tmp_path, "mednli")
    assert "feather" not in str(caught.value)
    assert caught.value.__suppress_context__
