"""The user's own instructions: read, asked in their own words, and never shown where they are restricted."""

import json

import pytest
from upath import UPath

from bioinstruct_jax import settings
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.evaluation.runner.questions import questions
from bioinstruct_jax.preparation import rows
from bioinstruct_jax.tasks.own_instructions import Instruction
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import CorpusError

TASK, RESTRICTED = TASKS["own_instructions"], TASKS["own_instructions_restricted"]
SODIUM = {"instruction": "Is it low, normal or high?", "input": "Sodium: 129 mmol/L (133 to 146)", "output": "low"}
CROUP = {"instruction": "What is croup?", "output": "A viral infection of the larynx in small children."}


def put(folder, *given, task=TASK, split="test"):
    file = folder / task.folder / f"{split}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")


def test_rows_are_read_as_they_stand(tmp_path):
    # Mutations: the id from 0; a missing input refused; fields of `generate` refused.
    put(tmp_path, SODIUM | {"id": "000001.002", "category": "other"}, CROUP, CROUP | {"input": None})
    assert list(TASK.items(UPath(tmp_path), "test")) == [
        Instruction("test:1", SODIUM["instruction"], SODIUM["input"], "low"),
        Instruction("test:2", CROUP["instruction"], "", CROUP["output"]),
        Instruction("test:3", CROUP["instruction"], "", CROUP["output"]),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"instruction": "What is croup?"}, "line 2: there is no field 'output'"),
        (CROUP | {"output": " "}, "line 2: 'output' is blank"),
        (CROUP | {"instruction": ["What?"]}, "line 2: 'instruction' is a list, not text"),
        (CROUP | {"input": 7}, "line 2: 'input' is 7, not text"),
        (CROUP | {"licence": "restricted"}, r"line 2: 'licence' is 'restricted'.*own-instructions-restricted/"),
    ],
)
def test_what_is_no_row_is_named_with_its_line(tmp_path, row, problem):
    # Mutation: the licence of a row not looked at, so that its text would stand in samples and report.
    put(tmp_path, SODIUM, row)
    with pytest.raises(CorpusError, match=problem):
        list(TASK.items(UPath(tmp_path), "test"))


def test_restricted_rows_have_a_folder_of_their_own(tmp_path):
    put(tmp_path, CROUP | {"licence": "restricted"}, task=RESTRICTED)
    [row] = rows.rendered(RESTRICTED, UPath(tmp_path), "test", seed=0, format=None)
    assert row.sample.licence == "restricted"
    assert row.sample.id == "own_instructions_restricted/test/item 1"


@pytest.mark.parametrize("shots", [0, 1])
def test_every_row_is_asked_in_its_own_words(tmp_path, shots):
    # Mutations: a wording of the family in front; a shot shown without what it was asked.
    put(tmp_path, SODIUM, CROUP)
    words = f"out: x\nmodels: [{{model: x}}]\nshots: {{count: {shots}}}\n"
    job = settings.loads(words, job=Evaluate, where="here")
    pool = list(TASK.items(UPath(tmp_path), "test")) if shots else ()
    asked = [one.record for one in questions(job, TASK, "test", UPath(tmp_path), pool)]
    assert [one.instruction for one in asked] == [SODIUM["instruction"], CROUP["instruction"]]
    assert [one.output for one in asked] == ["low", CROUP["output"]]
    before = f"{CROUP['instruction']}\n\n{CROUP['output']}\n\n" if shots else ""
    assert asked[0].input == f"{before}{SODIUM['input']}"
    [first, _] = rows.rendered(TASK, UPath(tmp_path), "test", seed=0, format=None)
    assert first.sample.instruction == SODIUM["instruction"]
    assert first.about == f"{SODIUM['instruction']}\n{SODIUM['input']}"
