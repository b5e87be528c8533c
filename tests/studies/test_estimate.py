import json
import re
import subprocess
from dataclasses import replace
from types import SimpleNamespace

import pytest

from bioinstruct_jax.studies import arms, estimate, folder, grid
from bioinstruct_jax.studies.estimate import Speed
from bioinstruct_jax.studies.found import Rows
from tests.studies import grids

ALL = Rows("all", "natural", None, "arms/all-natural.jsonl", "", 12, 200, {})
PART = Rows("all", "0.1", 0, "arms/all-0.1-s0.jsonl", "", 1, 20, {})
FITS = {"outcome": "fits", "slice": "h100-1", "chips": 1, "steps": 90, "step_seconds": 4.0, "reason": None}


@pytest.fixture
def study(tmp_path):
    made = grids.job(tmp_path, curve={"shares": [0.1]})
    return replace(made, models=(replace(made.models[0], set={"training": {"steps": None, "epochs": 3.0}}),))


@pytest.fixture
def known(study, monkeypatch):
    """A study whose arms are known, and all that it needs is there."""
    monkeypatch.setattr(arms, "read", lambda out: ([ALL, PART], {}))
    folder.begin(study)
    index = folder.place(study) / arms.ARMS / arms.INDEX
    index.parent.mkdir()
    index.write_text("{}")
    return study


def lines(text: str) -> dict[str, list[str]]:
    """The cells of each row by the name of its first."""
    return {words[0]: words[1:] for line in text.splitlines()[2:] if (words := re.split(r"\s{2,}", line.strip()))}


def test_what_is_missing_is_told_and_the_grid_is_printed(study, tmp_path):
    # Mutations: arms made although rows are missing; a hub id taken for a folder that is there; the folder of
    # corpora not looked for.
    (tmp_path / "rows.jsonl").unlink()
    far = replace(study, slice=None, models=(replace(study.models[0], set={"model.weights": "org/llama"}),))
    said = estimate.said(far, grid.cells(far))
    assert f"missing: rows of the pool: {tmp_path / 'rows.jsonl'}" in said
    assert "missing: weights of small: org/llama" in said
    assert "missing: medqa, which is scored: " in said
    assert f"missing: corpora {tmp_path / 'corpora'}: no such folder" in said
    assert "hours are unknown: give --slice=NAME, or run one cell" in said
    assert lines(said)["small-all-natural-s0"][:2] == ["?", "?"]
    assert "7 cells, 7 to be run, hours unknown" in said
    assert not (tmp_path / "study").exists()


def test_tasks_of_a_group_that_are_not_there_are_left_out(study):
    lost, notes = estimate.missing(replace(study, evaluation={**study.evaluation, "tasks": ["QA"]}))
    assert not [one for one in lost if "scored" in one]
    assert any("medqa" in note and "not scored" in note for note in notes)


def test_a_task_of_no_item_is_missing_where_it_is_named_and_left_out_of_a_group(study, tmp_path):
    # Mutation: its file is there, so nothing is missing, until every cell of the study is refused.
    file = tmp_path / "corpora" / "medqa" / "phrases_no_exclude_test.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("\n")
    lost, _ = estimate.missing(study)
    assert any("medqa/phrases_no_exclude_test.jsonl: not one item in it" in one for one in lost)
    lost, notes = estimate.missing(replace(study, evaluation={**study.evaluation, "tasks": ["QA"]}))
    assert not any("medqa" in one for one in lost)
    assert any(note.startswith("not scored: medqa/test: ") for note in notes)


def test_steps_hours_and_cost_follow_from_the_plan(known, monkeypatch):
    # Mutations: target tokens in place of rows; chips or price left out; seconds taken for hours.
    asked = []

    def run(command, **_):
        asked.append(command)
        return SimpleNamespace(returncode=0, stdout=json.dumps({"rows": [{**FITS, "chips": 8}]}), stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    said = estimate.said(replace(known, slice="v5e-8", price=2.0), grid.cells(known))
    whole, part = (lines(said)[f"small-all-{size}-s0"] for size in ("natural", "0.1"))
    assert whole[:3] == ["12", "200", "90"]
    assert part[:3] == ["1", "20", "8"]
    assert (float(whole[3]), float(whole[4])) == (0.1, 1.6)  # 90 steps of 4 s, 8 chips at 2 USD
    assert (float(part[3]), float(part[4])) == (0.009, 0.14)
    assert "hours 0.31 and 3 unknown, USD 4.94 and 3 unknown" in said
    assert "the time of evaluation is not included" in said
    (command,) = asked
    assert command[1:4] == ["-m", "bioinstruct_jax.plan", known.models[0].settings]
    assert {"--slice=v5e-8", "--json", "--training.epochs=3.0", "--training.steps=null"} <= set(command)
    assert any(word.startswith("--data.sources=") and "all-natural" in word for word in command)


@pytest.mark.parametrize(
    ("row", "said"),
    [({**FITS, "outcome": "out of memory"}, "out of memory on h100-1"),
     ({**FITS, "outcome": "impossible", "reason": "too wide"}, "impossible on h100-1 (too wide)")],
)  # fmt: skip
def test_what_does_not_fit_has_no_hours(known, row, said):
    found = estimate.planned(row, ALL, SimpleNamespace())
    assert found.seconds is None
    assert said in found.why


def test_a_plan_that_cannot_be_made_is_told(known, monkeypatch):
    failed = SimpleNamespace(returncode=2, stdout="", stderr="looking ...\nerror: no compiler; pip install x\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    assert estimate.speed(replace(known, slice="v5e-8"), "small", [], folder.place(known)) == Speed(
        why="`plan` says: no compiler; pip install x"
    )


def test_without_a_slice_it_takes_as_long_as_finished_cells(known):
    # Mutations: time of the evaluation left out; the measured cell's own steps given to every arm.
    grids.arm(known)
    grids.trained(known)  # 2 steps of 1 s
    grids.scored(known)  # 4 s
    said = estimate.said(known, grid.cells(known))
    assert lines(said)["small-all-natural-s0"][2:] == ["2", "0.002", "?", "finished"]  # 2 s and 4 s
    assert lines(said)["small-all-natural-s1"][2:] == ["2", "0.002", "?", "waiting"]
    assert lines(said)["small-all-0.1-s0"][2:] == ["1", "0.001", "?", "waiting"]  # 1 s and 4 s
    assert lines(said)["small-base"][0] == "0.001"
    assert "unknown: give" not in said.replace("cost is unknown", "")


@pytest.mark.slow
def test_the_plan_of_a_gpu(tmp_path):
    # The command itself, without a compiler: the size of the base stands in its config.json.
    study = grids.job(tmp_path)
    (tmp_path / "base").mkdir()
    shape = {"vocab_size": 2048, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 2, "max_position_embeddings": 256, "architectures": ["LlamaForCausalLM"]}
    (tmp_path / "base/config.json").write_text(json.dumps({**shape, "model_type": "llama", "rms_norm_eps": 1e-5}))
    found = estimate.speed(replace(study, slice="h100-1"), "small", [], tmp_path)
    assert (found.why, found.chips, found.steps) == ("", 1, 3)
    assert found.seconds is not None
    assert found.seconds > 0
