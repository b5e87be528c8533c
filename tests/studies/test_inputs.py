"""Weights, predictions and corpora that became others are noticed; what is not here is not."""

import shutil

from bioinstruct_jax.studies import cells, folder, grid
from bioinstruct_jax.tasks.table import TASKS
from tests.studies import grids


def finished(study, cell):
    folder.begin(study)
    cells.base(study, cell)
    grids.scored(study, cell)
    cells.note(folder.place(study), cell, 0)
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
    state = cells.state(study, grids.BASE)
    assert state.status == "stopped"
    assert state.why == "corpora/medqa/test: not what it was when the cell was scored"


def edited(tmp_path):
    task = TASKS["medqa"]
    file = tmp_path / "corpora" / task.folder / task.split("test").files[0]
    file.write_bytes(file.read_bytes() + b"\n")


def test_what_others_run_is_known_by_what_was_there_when_it_began(tmp_path):
    # Mutations: kept by the study's own commands alone, so that cells of `--commands` never go stale; kept when an
    # evaluation has ended, after it was read.
    grids.corpora(tmp_path)
    study = grids.job(tmp_path)
    folder.begin(study)
    grids.scored(study, grids.BASE)
    assert cells.state(study, grids.BASE).status == "finished"
    edited(tmp_path)
    assert cells.state(study, grids.BASE).status == "stopped"
    cells.begin(study, grids.BASE, cells.ahead(study, grids.BASE))
    assert "not what it was" in cells.state(study, grids.BASE).why  # mutation: what is only begun loses its scores
    grids.scored(study, grids.BASE)
    assert cells.state(study, grids.BASE).status == "finished"


def test_a_base_that_was_mended_before_a_run_began_is_its_base(tmp_path):
    # Mutation: the digest of a base kept when its cell is first tried, and never again.
    study = grids.job(tmp_path)
    (tmp_path / "base").mkdir()
    folder.begin(study)
    grids.arm(study)
    cells.begin(study, grids.TUNED, cells.ahead(study, grids.TUNED))
    (tmp_path / "base/config.json").write_text("{}")
    grids.trained(study)
    finished(study, grids.TUNED)


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
