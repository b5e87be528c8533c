"""Categories for rows of others: every row once and in order, nothing asked twice, nothing of a generation touched."""

import json

import pytest

from bioinstruct_jax import generate
from bioinstruct_jax.config import Source
from bioinstruct_jax.data.readers import read
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation import scripted_teacher
from bioinstruct_jax.generation.classifier import Classifier, examples
from bioinstruct_jax.generation.item import CATEGORIES

ROWS = [
    {"instruction": "List every drug that the note names.", "input": "He takes aspirin.", "output": "aspirin"},
    {"instruction": "Which vitamin prevents scurvy?", "input": "", "output": "Vitamin C."},
    {
        "instruction": "Write a letter that explains the result to the patient.",
        "input": "Normal.",
        "output": "Dear ...",
    },
]


@pytest.fixture
def source(tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(ROWS), encoding="utf-8")
    return file


def seed_rows():
    return [row for row in read(Source(path="seeds")) if isinstance(row, Record)]


def run(source, out, *more):
    return generate.main(["scripted", f"--out={out}", f"--categorise={source}", *more])


def made(out):
    rows = [json.loads(line) for line in (out / "categorised.jsonl").read_text(encoding="utf-8").splitlines()]
    return rows, json.loads((out / "categorised.json").read_text())


def test_the_classifier_gives_each_row_a_category_and_says_how_often_it_is_right(source, tmp_path, capsys):
    # Mutation: rows written in the order of their categories.
    assert run(source, tmp_path / "out", "--categories.by=classifier") == 0
    rows, told = made(tmp_path / "out")
    assert [{name: row[name] for name in ROWS[0]} for row in rows] == ROWS
    given = [row["category"] for row in rows]
    assert given == Classifier.train(examples(seed_rows())).predict([row["instruction"] for row in ROWS])
    assert told["categories"] == {name: given.count(name) for name in CATEGORIES}
    assert told["rows"] == 3
    assert 0.5 < told["agreement"]["low"] < told["agreement"]["accuracy"] < told["agreement"]["high"] < 0.9
    assert "of the seed tasks" in capsys.readouterr().out


def test_a_teacher_is_asked_once(source, tmp_path):
    # Mutation: the journal left out; ids of the source, of which two may be the same.
    twice = [{**row, "id": "same"} for row in ROWS]
    source.write_text(json.dumps(twice), encoding="utf-8")
    server = scripted_teacher.serve()
    words = ["--categories.by=teacher", f"--teachers.0.base_url=http://127.0.0.1:{server.server_address[1]}/v1"]
    assert run(source, tmp_path / "out", *words) == 0
    first, told = made(tmp_path / "out")
    assert {row["category"] for row in first} <= set(CATEGORIES)
    assert [row["id"] for row in first] == ["same"] * 3
    assert told["agreement"]["by"].startswith("teacher")
    server.shutdown()
    server.server_close()
    assert run(source, tmp_path / "out", *words) == 0  # nobody is there to be asked
    assert made(tmp_path / "out")[0] == first


def test_rows_of_a_generation_stay_as_they_are(source, tmp_path):
    # Mutation: the name instructions.jsonl.
    server = scripted_teacher.serve()
    url = f"--teachers.0.base_url=http://127.0.0.1:{server.server_address[1]}/v1"
    assert generate.main(["scripted", f"--out={tmp_path}/out", url, "--target=5"]) == 0
    before = (tmp_path / "out" / "instructions.jsonl").read_bytes()
    assert run(source, tmp_path / "out", url, "--categories.by=teacher") == 0
    server.shutdown()
    assert (tmp_path / "out" / "instructions.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("more", "words", "said"),
    [
        ({"licence": "restricted"}, [], "restricted rows"),
        ({"system": "You are terse."}, [], "has other turns or a system text"),
        ({}, ["--categories.by=off"], "set it to classifier or teacher"),
        ({}, ["--replay"], "one at a time"),
    ],
)
def test_what_cannot_be_categorised(source, tmp_path, capsys, more, words, said):
    source.write_text(json.dumps([{**row, **more} for row in ROWS]), encoding="utf-8")
    assert run(source, tmp_path / "out", *words) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "aspirin" not in told
    assert not (tmp_path / "out" / "categorised.jsonl").exists()
