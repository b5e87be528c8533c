"""Apache Beam's direct runner writes the bytes that one machine writes."""

import hashlib
import json
import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from apache_beam.runners.direct.direct_runner import SwitchingDirectRunner

from bioinstruct_jax import prepare
from bioinstruct_jax.data.output import check
from bioinstruct_jax.preparation import beam_steps
from tests.outputs import ROW
from tests.preparation import corpora

BEAM = "--beam=--runner=DirectRunner"
SOURCES = [{"task": "ncbi_disease"}, {"task": "bc5cdr_disease"}, {"task": "medquad"}]
WORDS = [
    f"{first}{last}" for first in ("brady", "tachy", "hypo", "hyper", "dys") for last in ("pnoea", "cardia", "uria")
]


@pytest.fixture
def folder(tmp_path) -> Path:
    """The small corpora, and in two of them many sentences that repeat each other and those of their evaluation."""
    folder = corpora.write(tmp_path / "corpora")
    random.seed(5)
    pool = [[f"{random.choice(WORDS)}:{random.choice('OOB')}" for _ in range(8)] for _ in range(50)]
    for name, size in {"train": 60, "devel": 9, "test": 5}.items():
        for corpus in ("ncbi-disease", "bc5cdr-disease"):
            some = random.choices(pool if name == "train" else pool[:10], k=size)
            for sentence in random.choices(some, k=size // 3):
                some.append([*sentence[:7], "anyway:O"])  # nearly the same
            corpora.put(folder, f"{corpus}/{name}.tsv", corpora.columns(map(" ".join, some)))
    return folder


@pytest.fixture
def words(tmp_path, folder):
    """Writes a recipe and returns a command line."""

    def write(**given) -> list[str]:
        job = {"corpora": str(folder), "workers": 1, "sources": SOURCES, "shard_rows": 7} | given
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(job))
        return [str(tmp_path / "recipe.yaml")]

    return write


def digests(out: Path) -> dict[str, str]:
    files = [file for file in out.rglob("*") if file.is_file() and file.name != "config.yaml"]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def made(tmp_path, command) -> list[dict[str, str]]:
    """What one machine writes, and what the runner does."""
    assert prepare.main([*command, f"--out={tmp_path / 'one'}"]) == 0
    assert prepare.main([*command, f"--out={tmp_path / 'beam'}", BEAM]) == 0
    return [digests(tmp_path / "one"), digests(tmp_path / "beam")]


def ids(out: Path) -> list[str]:
    files = sorted((out / "rows").glob("train-*.jsonl"))
    return [json.loads(line)["id"] for file in files for line in file.read_text().splitlines()]


RECIPES = {
    "as it is": {},
    "another order": {"sources": SOURCES[::-1]},
    "a cap, a weight and a format": {
        "sources": [
            {"task": "ncbi_disease", "cap": 4},
            {"task": "medquad", "weight": 2.5},
            {**SOURCES[1], "format": "json"},
        ]
    },
    "a temperature": {"balance": {"temperature": 3, "total": 40}, "seed": 3},
    "few copies": {"balance": {"temperature": 100, "total": 90, "most_copies": 2}},
    "told and kept": {"overlap": {"duplicates": "report", "leaks": "report"}},
    "not compared": {"overlap": {"duplicates": "ignore", "leaks": "ignore"}},
    "with its sources alone": {"overlap": {"against": "sources", "rouge_l": 0.5, "ngram": 5}, "sources": SOURCES[:1]},
    "with other tasks": {"sources": [{"task": "bc5cdr_disease", "splits": ["train"]}]},
    "something missing": {"sources": [*SOURCES, {"task": "gad"}], "missing": "report"},
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_bytes_are_those_of_one_machine(words, tmp_path, recipe):
    # Mutations: the number of a copy, a part that begins where the one before it began, evaluation rows shared out,
    # kinds with several sources in buckets.
    one, beam = made(tmp_path, words(**RECIPES[recipe]))
    assert one == beam
    assert len(one) >= 7
    check.check(tmp_path / "beam/rows")


def test_the_recipes_do_what_they_are_there_for(words, tmp_path):
    assert prepare.main([*words(), f"--out={tmp_path / 'one'}"]) == 0
    told = json.loads((tmp_path / "one/report.json").read_text())
    assert told["overlap"]["found"]["bc5cdr_disease"].keys() == {
        "duplicate",
        "near duplicate",
        "near an evaluation row",
    }
    assert all(source["written"]["train"] for source in told["sources"])
    weighted = words(**RECIPES["a cap, a weight and a format"])
    assert prepare.main([*weighted, f"--out={tmp_path / 'two'}", BEAM]) == 0
    named = ids(tmp_path / "two")
    assert len([id for id in named if id.startswith("ncbi")]) == 4
    assert len([id for id in named if id.startswith("medquad") and id.endswith("#2")]) == 3


def test_the_order_in_which_rows_come_changes_nothing(words, tmp_path, monkeypatch):
    # Mutations: rows of a kind, of a part or of a shard not sorted, nor the evaluation rows; the first come of two
    # rows of one lowest draw.
    given = beam_steps.read
    monkeypatch.setattr(beam_steps, "read", lambda numbered: list(given(numbered))[::-1])
    one, beam = made(tmp_path, words(**RECIPES["a cap, a weight and a format"]))
    assert one == beam


@pytest.mark.parametrize("form", ["alpaca-json", "chat", "parquet"])
def test_every_form_without_a_card(words, tmp_path, form):
    one, beam = made(tmp_path, words(form=form))
    assert one == beam


@pytest.mark.parametrize("form", ["hub", "tfds"])
def test_a_form_with_a_card_is_refused(words, tmp_path, capsys, form):
    assert prepare.main([*words(form=form), f"--out={tmp_path / 'beam'}", BEAM]) == 2
    assert f"form {form} has a data card" in capsys.readouterr().err
    assert not (tmp_path / "beam").exists()


def test_every_corpus_that_cannot_be_read_is_told_and_no_row_written(words, tmp_path, folder, capsys):
    # Mutations: the first error alone; the rows of the other corpora written all the same.
    corpora.put(folder, "bc5cdr-disease/devel.tsv", "Warfarin\tO\ncan\n\n")
    corpora.put(folder, "ncbi-disease/train.tsv", "asthma\n")
    said = []
    for option in ("--workers=1", BEAM):
        assert prepare.main([*words(), f"--out={tmp_path / 'out'}", option]) == 2
        said.append(capsys.readouterr().err.partition("error: ")[2])
    assert said[0] == said[1]
    assert "bc5cdr-disease/devel.tsv, line 2: " in said[0]
    assert not [file for file in (tmp_path / "out").rglob("*") if file.is_file()]
    corpora.write(folder)
    assert made(tmp_path, words())[1] == digests(tmp_path / "one")
    assert prepare.main([*words(), f"--out={tmp_path / 'out'}", BEAM]) == 0  # the same folder, once they are mended


def test_what_was_cut_off_is_made_again(words, tmp_path):
    # Mutation: the problems of the call that was cut off told again.
    one, _ = made(tmp_path, words())
    (tmp_path / "beam/rows/index.json").unlink()
    (tmp_path / "beam/rows/unfinished.json").write_text("{}")
    (tmp_path / "beam/problems.txt").write_text("medquad.jsonl, line 1: no JSON")
    assert made(tmp_path, words())[1] == one


def test_no_shard_is_written_behind_an_error(tmp_path):
    group = (("train", 0), [(0, ROW)])
    assert not list(
        beam_steps.write(group, [(3, "medquad.jsonl, line 1: no JSON")], str(tmp_path / "rows"), "alpaca", None)
    )
    assert not any(tmp_path.iterdir())
    assert len(list(beam_steps.write(group, [], str(tmp_path / "rows"), "alpaca", None))) == 1


def test_a_row_that_cannot_be_written_is_told(words, tmp_path, monkeypatch, capsys):
    # Mutation: the runner's own words, or on other machines its traceback.
    def broken(numbered):
        for row in given(numbered):
            sample = replace(row.rendered.sample, output="\ud800")
            yield replace(row, rendered=row.rendered._replace(sample=sample)) if row.place == 1 else row

    given = beam_steps.read
    monkeypatch.setattr(beam_steps, "read", broken)
    assert prepare.main([*words(sources=[{"task": "medquad"}]), f"--out={tmp_path / 'out'}", BEAM]) == 2
    said = capsys.readouterr().err
    assert "error: row 'medquad/train/1:2' cannot be written" in said
    assert "while running" not in said


def test_without_the_package_it_is_named(words, tmp_path):
    code = (
        "import sys; sys.modules['apache_beam'] = None; from bioinstruct_jax import prepare; sys.exit(prepare.main())"
    )
    command = [sys.executable, "-c", code, *words(), f"--out={tmp_path / 'out'}", BEAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "pip install 'bioinstruct-jax[beam]'" in done.stderr


def test_a_recipe_that_gives_no_row_is_told(words, tmp_path, folder, capsys):
    corpora.put(folder, "medquad/medquad.jsonl", "")
    command = words(sources=[{"task": "medquad"}])
    said = []
    for option in ("--workers=1", BEAM):
        assert prepare.main([*command, f"--out={tmp_path / 'out'}", option]) == 2
        said.append(capsys.readouterr().err.partition("error: ")[2])
    assert said[0] == said[1]


def test_restricted_rows_go_to_no_other_machine(words, tmp_path, folder, capsys):
    # Mutations: any runner; sources alone looked at, not what they are compared with.
    pair = {"pairID": "a", "sentence1": "No fever.", "sentence2": "Afebrile.", "gold_label": "entailment"}
    for name in ("train", "dev", "test"):
        corpora.put(folder, f"mednli/mli_{name}_v1.jsonl", json.dumps(pair | {"pairID": name}) + "\n")
    out = f"--out={tmp_path / 'away'}"
    for recipe in ({"sources": [*SOURCES, {"task": "mednli"}]}, {"sources": SOURCES}):
        assert prepare.main([*words(**recipe), out, "--beam=--runner=FlinkRunner --flink_master=127.0.0.1:1"]) == 2
        assert "FlinkRunner: the text of mednli is restricted" in capsys.readouterr().err
    assert not (tmp_path / "away").exists()
    one, beam = made(tmp_path, words(sources=[*SOURCES, {"task": "mednli"}]))
    assert one == beam


def test_the_direct_runner_stays_in_this_process(words, tmp_path, monkeypatch):
    # Mutation: Beam's own choice, which may fetch a program and run it.
    monkeypatch.setattr(SwitchingDirectRunner, "run_pipeline", lambda *_: pytest.fail("it chooses"))
    assert prepare.main([*words(), f"--out={tmp_path / 'beam'}", BEAM]) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--beam=--runner=Nowhere"], "error: --beam=--runner=Nowhere: Unexpected pipeline runner"),
        (["--beam=--runner=no.such.Runner"], "error: --beam=--runner=no.such.Runner: No module named 'no'"),
        (["--beam=--job_name='one"], "error: --beam=--job_name='one: No closing quotation"),
        ([BEAM, "--preview=2"], "preview and --beam: one at a time"),
    ],
)
def test_what_cannot_be_asked_for(words, tmp_path, capsys, options, message):
    assert prepare.main([*words(), f"--out={tmp_path / 'beam'}", *options]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "beam").exists()
