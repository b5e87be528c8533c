"""What of an item is compared, against the rows that are made of it."""

import json

import pytest
from upath import UPath

from bioinstruct_jax.preparation.rows import rendered
from bioinstruct_jax.tasks.compared import texts
from bioinstruct_jax.tasks.table import TASKS
from tests.preparation import corpora


@pytest.mark.parametrize(("task", "split"), [("ncbi_disease", "dev"), ("medquad", "train")])
def test_the_texts_of_an_item_are_those_of_its_row(tmp_path, task, split):
    # Mutations: items numbered from 0; the answer of a closed set taken for free text.
    place = UPath(corpora.write(tmp_path))
    made = [(row.sample.id, row.about, row.free) for row in rendered(TASKS[task], place, split, seed=0, format=None)]
    assert made
    assert [(one.id, one.about, one.free) for one in texts(TASKS[task], place, split)] == made


def test_a_choice_has_a_question_of_its_own(tmp_path):
    row = {"question": "Which vitamin is lacking in scurvy?", "options": dict(zip("ABCD", "CDEK", strict=True))}
    row |= {"answer_idx": "A", "answer": "C"}
    corpora.put(tmp_path, "medqa/phrases_no_exclude_test.jsonl", json.dumps(row) + "\n")
    (one,) = texts(TASKS["medqa"], UPath(tmp_path), "test")
    assert (one.question, one.about, one.free) == (row["question"], f"{row['question']}\nC\nD\nE\nK", "")
