"""Weights, predictions and corpora that became others are noticed; what is not here is not."""

import shutil
from dataclasses import replace

from bioinstruct_jax.studies import cells, folder, grid, inputs
from bioinstruct_jax.tasks.table import TASKS
from tests.studies import grids


def finished(study, cell):
    folder.begin(study)
    grids.scored(study, cell)
    cells.note(folder.place(study), cell, 0, inputs.inputs(study, cell))
    assert cells.state(study, cell).status == "finished"


def test_other_weights_or_corpora_are_scored_again(tmp_path):
    # Mutations: `_moved` not asked; the digest of the size alone; corpora left out.
    grids.corpora(tmp_path)
    study = grids.job(tmp_path)
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"one")
    finished(study, grids.BASE)
    (base / "model.safetensors").write_bytes(b"two")
    assert cells.state(study, grids.BASE).status == "stopped"
    (base / "model.safetensors").write_bytes(b"one")
    assert cells.state(study, grids.BASE).status == "finished"
    shutil.move(base, tmp_path / "away")  # results are gathered where no base is
    assert cells.state(study, grids.BASE).status == "finished"
    task = TASKS["medqa"]
    file = tmp_path / "corpora" / task.folder / task.split("test").files[0]
    file.write_bytes(file.read_bytes() + b"\n")
    assert cells.state(study, grids.BASE).status == "stopped"


def test_a_run_of_another_base_is_told(tmp_path):
    study = grids.job(tmp_path)
    (tmp_path / "base").mkdir()
    (tmp_path / "base/config.json").write_text("{}")
    folder.begin(study)
    grids.arm(study)
    grids.trained(study)
    finished(study, grids.TUNED)
    (tmp_path / "base/config.json").write_text("{ }")
    state = cells.state(study, grids.TUNED)
    assert state.status == "failed"
    assert "tuned on another base" in state.why


def test_other_predictions_are_scored_again(tmp_path):
    said = tmp_path / "said.jsonl"
    said.write_text("one\n")
    study = grids.job(tmp_path, comparators=[{"name": "o", "runs_on": "predictions", "predictions": str(said)}])
    cell = grid.cells(study)[-1]
    finished(study, cell)
    said.write_text("two\n")
    assert cells.state(study, cell).status == "stopped"


def test_a_large_file_is_known_by_its_blocks(tmp_path):
    file = tmp_path / "model.safetensors"
    file.write_bytes(bytes(2**25))
    study = grids.job(tmp_path)
    study = replace(study, models=(replace(study.models[0], set={"model.weights": str(tmp_path)}),))
    first = inputs.inputs(study, grids.BASE)["model"]
    made = bytearray(2**25)
    made[0:100] = b"x" * 100
    file.write_bytes(made)
    assert inputs.inputs(study, grids.BASE)["model"] != first


def test_a_corpus_that_comes_later_changes_no_cell(tmp_path):
    # Mutation: `evaluation.yaml` keeps the group's name.
    grids.corpora(tmp_path)
    study = grids.job(tmp_path, evaluation={"tasks": ["QA"], "protocols": ["generated"]}, hypotheses=[{"on": "QA"}])
    folder.begin(study)
    tasks = folder.scored(study).tasks
    assert "medqa" in tasks
    grids.scored(study, grids.BASE)
    place = tmp_path / "corpora/mmlu"
    place.mkdir(exist_ok=True)
    (place / "virology_test.csv").write_text("Which is a virus?,a,b,c,d,A\n")
    (place / "anatomy_test.csv").write_text("Which is a bone?,a,b,c,d,A\n")
    folder.begin(study)
    assert folder.scored(study).tasks == tasks
    assert cells.state(study, grids.BASE).status == "finished"
    assert any("have come since the study began" in one for one in folder.changes(study))
