import json
import shutil
from dataclasses import replace

import pytest
import yaml

from bioinstruct_jax.studies import cells, commands, folder
from tests.studies import grids

TUNED = grids.TUNED


@pytest.fixture
def study(tmp_path):
    made = grids.job(tmp_path)
    folder.begin(made)
    grids.arm(made)
    return made


def verbs(study, cell=TUNED):
    return [one.verb for one in cells.ahead(study, cell)]


def test_what_nobody_began_waits(study):
    state = cells.state(study, TUNED)
    assert (state.status, state.seconds, state.run, state.scores, state.log) == ("waiting", None, "", "", "")
    assert verbs(study) == ["train", "evaluate"]
    assert verbs(study, grids.BASE) == ["evaluate"]


def test_a_cell_is_finished_when_both_folders_are(study):
    # Mutations: `finished` not asked of the run; exit code of the evaluation not looked at.
    run = grids.trained(study, finished=False)
    grids.scored(study)
    assert cells.state(study, TUNED).status == "stopped"
    assert verbs(study) == ["train", "evaluate"]
    (run / "finished.json").write_text("{}")
    state = cells.state(study, TUNED)
    assert (state.status, state.seconds) == ("finished", 1.5 + 0.5 + 4.0)
    assert (state.run, state.scores) == (f"runs/{TUNED.name}", f"scores/{TUNED.name}")
    grids.scored(study, code=4)
    assert verbs(study) == ["evaluate"]


def test_a_base_needs_no_run(study):
    grids.scored(study, grids.BASE)
    assert cells.state(study, grids.BASE).status == "finished"


def test_an_evaluation_that_was_begun_again_is_not_finished(study):
    # Mutation: the mark read without the date of the evaluation that it belongs to.
    from bioinstruct_jax.evaluation.runner import folder as scores

    grids.scored(study, grids.BASE)
    scores.begin(commands.evaluation(study, grids.BASE))
    assert verbs(study, grids.BASE) == ["evaluate"]


@pytest.mark.parametrize("name", ["started.json", "finished.json"])
def test_a_torn_mark_is_none(study, name):
    out = grids.scored(study, grids.BASE)
    (out / name).write_text((out / name).read_text()[:9])
    assert verbs(study, grids.BASE) == ["evaluate"]


def test_other_settings_of_the_evaluation_score_again(study):
    # Mutation: `_scored` looks at the mark alone.
    grids.scored(study, grids.BASE)
    other = replace(study, evaluation={**study.evaluation, "limit": 1})
    assert verbs(other, grids.BASE) == ["evaluate"]
    assert cells.state(other, grids.BASE).status == "stopped"


def test_a_run_of_other_settings_is_not_run_over(study):
    # Mutation: RunError not raised, so that `train` is started and refuses.
    grids.trained(study)
    other = replace(study, models=(replace(study.models[0], set={"optimizer.learning_rate": 0.5}),))
    state = cells.state(other, TUNED)
    assert state.status == "failed"
    assert "optimizer.learning_rate: 0.01 -> 0.5" in state.why


def test_a_run_of_other_rows_is_told(study):
    # Mutation: the digest in data.json not compared: `train` would say that the run is finished.
    grids.trained(study)
    grids.scored(study)
    grids.arm(study, text='{"instruction": "Another"}\n')
    state = cells.state(study, TUNED)
    assert state.status == "failed"
    assert "tuned on other rows" in state.why


def test_what_a_run_may_change_on_the_way_is_free(study):
    grids.trained(study)
    grids.scored(study)
    other = replace(study, models=(replace(study.models[0], set={"mesh.data": 2, "training.keep_checkpoints": 9}),))
    assert cells.state(other, TUNED).status == "finished"


def test_a_finished_study_may_be_moved(study, tmp_path):
    # Mutation: runs_dir compared for a finished run: results of a cluster could not be gathered elsewhere.
    grids.trained(study)
    grids.scored(study)
    shutil.move(tmp_path / "study", tmp_path / "moved")
    moved = replace(study, out=str(tmp_path / "moved"), corpora="elsewhere")
    assert cells.state(moved, TUNED).status == "finished"


def test_a_new_run_forgets_old_scores(study):
    # Mutation: `begin` does nothing: scores of a run that was deleted would count for the next.
    grids.scored(study)
    cells.begin(study, TUNED, cells.ahead(study, TUNED))
    grids.trained(study)
    assert verbs(study) == ["evaluate"]


@pytest.mark.parametrize(("code", "status"), [(2, "failed"), (-9, "failed"), (75, "stopped"), (130, "stopped")])
def test_how_the_last_command_ended(study, code, status):
    out = folder.place(study)
    grids.trained(study, finished=False)
    cells.note(out, TUNED, code)
    (out / "logs" / f"{TUNED.name}.log").write_text(
        "$ python -m bioinstruct_jax.train\nerror: old\nloading ...\nerror: rows.jsonl: not there.\nPut it there\n"
    )
    state = cells.state(study, TUNED)
    assert state.status == status
    assert state.why == ("error: rows.jsonl: not there.\nPut it there" if status == "failed" else "")
    assert json.loads((out / "logs" / f"{TUNED.name}.json").read_text()) == {"code": code}


def test_hypotheses_stand_before_scores(study):
    # Mutations: `_declared` not called; scores that do not count any more, and were seen, not counted.
    other = replace(study, hypotheses=(replace(study.hypotheses[0], on="QA"),))
    folder.begin(other)  # nothing is scored yet
    scores = grids.scored(study, grids.BASE)
    with pytest.raises(ValueError, match="hypotheses are declared before that"):
        folder.begin(study)
    (scores / "finished.json").unlink()
    with pytest.raises(ValueError, match="hypotheses are declared before that"):
        folder.begin(study)
    folder.begin(replace(other, seeds=(0, 1, 2, 3)))


def test_a_foreign_folder_is_left_alone(tmp_path):
    study = grids.job(tmp_path)
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is no study and not empty"):
        folder.begin(study)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="is a file"):
        folder.begin(replace(study, out=str(tmp_path / "file")))
    with pytest.raises(ValueError, match="local folder"):
        folder.place(replace(study, out="gs://bucket/study"))


def test_what_evaluation_yaml_holds(study):
    written = yaml.safe_load((folder.place(study) / folder.EVALUATION).read_text())
    assert written["tasks"] == ["medqa"]
    assert written["corpora"] == study.corpora
    assert not {"models", "out"} & written.keys()


def test_a_study_begun_with_relative_paths_is_the_same_with_full_ones(tmp_path, monkeypatch):
    # Mutation: `run_folder.changes` compares paths as they are written.
    monkeypatch.chdir(tmp_path)
    near = grids.job(tmp_path, out="study", corpora="corpora")
    far = replace(near, out=str(tmp_path / "study"), corpora=str(tmp_path / "corpora"))
    folder.begin(near)
    grids.arm(near)
    run = grids.trained(near, finished=False)
    assert cells.state(far, TUNED).status == "stopped"
    (run / "finished.json").write_text("{}")
    grids.scored(near)
    assert cells.state(far, TUNED).status == "finished"
