"""What of a pool is left to tune on: every reason planted, counted and named."""

import json
from pathlib import Path

import pytest

from bioinstruct_jax import files
from bioinstruct_jax.data import tokenizer as tokenizers
from bioinstruct_jax.data.prompts import template
from bioinstruct_jax.data.tokens import encode
from bioinstruct_jax.evaluation.runner.planned import planned
from bioinstruct_jax.studies import pool
from bioinstruct_jax.studies.job import Arm, Study
from bioinstruct_jax.studies.learners import train_settings
from tests.preparation import corpora
from tests.studies.small_study import rows, study, write

TOKENIZER = tokenizers.load("tiny")
HELD_OUT = " ".join(word.partition(":")[0] for word in corpora.HELD_OUT.split())
SECRET = {"instruction": "Was she transfused?", "output": "Yes.", "licence": "restricted", "category": "Mrs Example"}


def read(job: Study, said: list[str] | None = None) -> pool.Pool:
    train = train_settings(job.models[0])
    plan, _ = planned(job.scored(), files.path(job.corpora))
    told = said.append if said is not None else lambda line: None
    return pool.read(job, train, template(train.data.template, TOKENIZER), TOKENIZER, plan, told)


def test_every_reason_is_counted_and_named(tmp_path):
    # Mutation: any of the steps left out.
    planted = [
        {"id": "bad", "instruction": "", "output": "Nothing was asked."},
        {"id": "again"} | {key: value for key, value in rows()[0].items() if key != "id"},
        {"id": "long", "instruction": "Say it.", "output": "haemoglobin " * 1200, "category": "QA"},
        {"id": "leak", "instruction": "What is told here?", "input": HELD_OUT, "output": "A course.", "category": "QA"},
        SECRET,
        SECRET,
    ]
    chat = write(tmp_path / "chat.jsonl", [{"messages": [{"role": role, "content": "Go on."} for role in TURNS]}])
    text = write(tmp_path / "text.jsonl", [{"id": "prose", "text": "Fever is a rise of the temperature."}])
    job = study(tmp_path, [*rows(), *planted])
    sources = [{"path": job.pool[0].path}, {"path": str(chat)}, {"path": str(text), "format": "text"}]
    said: list[str] = []
    found = read(study(tmp_path, [*rows(), *planted], pool=sources), said)
    assert found.removed == {
        pool.UNREADABLE: 1,
        pool.EQUAL: 2,
        pool.TURNS: 1,
        pool.TEXT: 1,
        "too long (more than 1024 tokens)": 1,
        pool.MET: 1,
    }
    assert [one.id for one in found.records] == [*(row["id"] for row in rows()), "pool.jsonl:29"]
    named = {(line["row"].rpartition("/")[2], line["reason"]) for line in found.told}
    assert named == {
        ("pool.jsonl:25", pool.UNREADABLE),
        ("again", pool.EQUAL),
        ("", pool.EQUAL),  # restricted
        ("chat.jsonl:1", pool.TURNS),
        ("prose", pool.TEXT),
        ("long", "too long (more than 1024 tokens)"),
        ("leak", pool.MET),
    }
    (leak,) = [line for line in found.told if line["row"] == "leak"]
    assert {(one["task"], one["test"]) for one in leak["met"]} == {
        ("ncbi_disease", "13-gram"),
        ("ncbi_disease", "ROUGE-L"),
    }
    (again,) = [line for line in found.told if line["row"] == "again"]
    assert again["equals"] == rows()[0]["id"]
    everything = json.dumps([found.told, said])
    assert not any(word in everything for word in ("transfused", "Example", "otitis"))


TURNS = ("user", "assistant", "user", "assistant")


def test_items_beyond_the_limit_are_met_too(tmp_path):
    # The settings ask for one item alone. Mutation: `planned(job.scored(), ...)` with its limit.
    from bioinstruct_jax.studies import arms

    place = corpora.write(tmp_path / "corpora")
    corpora.put(place, "ncbi-disease/test.tsv", corpora.columns([corpora.HELD_OUT, *corpora.SENTENCES]))
    met = [
        {"instruction": "Read.", "input": " ".join(w.partition(":")[0] for w in one.split()), "output": "Read."}
        for one in (corpora.HELD_OUT, *corpora.SENTENCES)
    ]
    job = study(tmp_path, [*rows(), *met])
    arms.make(job, lambda line: None)
    assert arms.read(Path(job.out))[1] == {pool.MET: len(met)}


@pytest.mark.parametrize("name", ["alpaca", "medtuned"])
def test_target_tokens_are_those_that_training_learns(tmp_path, name):
    job = study(tmp_path)
    job.models[0].set["data.template"] = name
    found = read(job)
    form = template(name, TOKENIZER)
    assert found.target_tokens.tolist() == [int(encode(one, form, TOKENIZER).weights.sum()) for one in found.records]


def test_what_is_shortened_is_counted_and_what_is_refused_ends_it(tmp_path):
    long = {"id": "long", "instruction": "Sum up.", "input": "Fever and cough. " * 300, "output": "Fever, cough."}
    job = study(tmp_path, [*rows(), long])
    job.models[0].set["data.over_length"] = "truncate_input"
    found = read(job)
    assert found.records[-1].id == "long"
    assert found.target_tokens[-1] == encode(found.records[-1], template("alpaca", TOKENIZER), TOKENIZER).weights.sum()
    job.models[0].set["data.over_length"] = "raise"
    with pytest.raises(ValueError, match=r"record long has .* more than data.length 1024"):
        read(job)


def test_arms_take_their_categories(tmp_path):
    found = read(study(tmp_path, [*rows(), SECRET]))
    assert {found.records[place].category for place in found.of(Arm(name="a", only=("qa", "IE")))} == {"QA", "IE"}
    assert {found.records[place].category for place in found.of(Arm(name="a", without=("QA",)))} == {
        "IE",
        "GEN",
        "Mrs Example",
    }
    assert len(found.of(Arm(name="a"))) == 25
    with pytest.raises(
        ValueError, match=r"arm a: only: no row has the category 'QU'. .*QA \(8\).*\(restricted\) \(1\)"
    ):
        found.of(Arm(name="a", only=("QU",)))
    with pytest.raises(ValueError, match="arm a: not a row is left"):
        found.of(Arm(name="a", without=("QA", "IE", "GEN", "mrs example")))


def test_unusable_pools_say_what_to_do(tmp_path):
    job = study(tmp_path)
    twice = study(tmp_path, pool=[{"path": job.pool[0].path, "weight": 2.0}])
    with pytest.raises(ValueError, match=r"pool.0.weight 2 .*an arm has a row once; give 1"):
        read(twice)
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        read(study(tmp_path, pool=[{"path": str(tmp_path / "nowhere.jsonl")}]))
    leak = {"instruction": "What is told here?", "input": HELD_OUT, "output": "A course."}
    with pytest.raises(ValueError, match=r"pool: not a row is left. Left out: 1 x meets an evaluated item"):
        read(study(tmp_path, [leak]))
    job = study(tmp_path, [*rows(), "{"])
    job.models[0].set["data.on_bad_row"] = "raise"
    with pytest.raises(ValueError, match=r"pool\.jsonl, line 25: broken JSON"):
        read(job)
