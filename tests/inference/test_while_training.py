"""A run that scores tasks on its way: on the weights of the step, as `evaluate` would, and the same when resumed."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
import yaml

from bioinstruct_jax import settings, train
from bioinstruct_jax.config import Train
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.ready import Local
from bioinstruct_jax.inference import while_training
from bioinstruct_jax.inference.load import load
from bioinstruct_jax.inference.while_training import highest, notes, read, scores
from bioinstruct_jax.training.recorder import Recorder
from tests.evaluation import choice_corpora
from tests.tiny_run import metric_rows, write

WEIGHTS = "adapter/adapter_model.safetensors"


HOC = (
    ("1_0", "The cells did not undergo apoptosis when they were treated with cisplatin.", 7),
    ("1_1", "Microvessel density was higher in the tumours of treated animals.", 6),
    ("2_0", "Patients were seen every three months.", None),
)


def _flags(label: int | None) -> str:
    return ",".join(f"{place}_{int(place == label)}" for place in range(10))


def _write(folder: Path, *, name: str = "run", training: dict | None = None, **evaluation: object) -> Path:
    choice_corpora.write(folder / "corpora")
    (folder / "corpora" / "HoC").mkdir(exist_ok=True)
    lines = ["labels\tsentence\tindex", *(f"{_flags(label)}\t{text}\t{index}" for index, text, label in HOC)]
    (folder / "corpora" / "HoC" / "dev.tsv").write_text("\n".join(lines) + "\n")
    asked = {"tasks": ["medmcqa"], "corpora": str(folder / "corpora"), "every_steps": 3} | evaluation
    return write(folder, name=name, evaluation=asked, training=training or {})


def _job(folder: Path, **changes: object) -> Train:
    file = _write(folder, **changes)
    return settings.loads(file.read_text(), job=Train, where=str(file))


def _scored(run: Path) -> list[dict]:
    return [row for row in metric_rows(run) if "medmcqa/acc" in row]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("scored")
    assert train.main([str(_write(folder))]) == 0
    return folder / "runs" / "run"


# -------------------------------------------------------------------- what a run notes


def test_scores_are_noted_before_training_at_the_chosen_steps_and_at_the_end(run, finished):
    # Mutations: scores at the steps of held-out losses; none at the end; the first after the first step.
    assert [row["step"] for row in _scored(run)] == [0, 3, 6]
    assert [row["step"] for row in metric_rows(run) if "held_out_loss" in row] == [0, 2, 4, 6]
    for row in _scored(run):
        assert row["medmcqa/acc_low"] <= row["medmcqa/acc"] <= row["medmcqa/acc_high"]
        assert (row["medmcqa/items"], row["medmcqa/unfit"]) == (3, 0)
        assert all(isinstance(value, int | float) for value in row.values())
    others = [row for row in metric_rows(run) if "medmcqa/acc" not in row]
    assert others == metric_rows(finished)  # who is asked learns nothing by it
    assert (run / WEIGHTS).read_bytes() == (finished / WEIGHTS).read_bytes()


def test_the_last_scores_are_those_of_the_finished_adapter(run):
    # Mutations: the adapter left out; dropout on; the weights of another step; the letters asked behind another
    # template.
    file = run.parent.parent / "job.yaml"
    (asked,) = read(settings.loads(file.read_text(), job=Train, where=str(file)))
    loaded = load(None, str(run))
    assert loaded.words.template is not None
    outputs: dict[int, Output] = {}
    model = Local("run", "", loaded.language_model, loaded.words.template)
    requests = [(one, model.requests(asked.task, asked.protocol, one, asked.most)) for one in asked.questions]
    model.answer(asked.task, asked.protocol, requests, outputs.__setitem__)
    found = scores(asked, [outputs[place] for place in range(3)], 0)
    first, _, last = _scored(run)
    assert found == {name: pytest.approx(last[name], abs=1e-4) for name in found}
    moved = [name for name in found if abs(first[name] - last[name]) > 1e-3]
    assert moved, "nothing was learned that these scores could show"


def test_no_text_of_an_item_is_left_in_the_run_folder(run):
    # Mutation: the questions kept beside the metrics.
    said = [question for question, *_ in choice_corpora.MEDMCQA]
    for file in run.rglob("*"):
        if file.is_file():
            assert not [text for text in said if text.encode() in file.read_bytes()], file


def test_the_report_shows_how_they_moved(run):
    report = (run / "report.html").read_text(encoding="utf-8")
    assert "Scores while training" in report
    assert "medmcqa/acc by step" in report


def test_a_run_that_is_resumed_notes_the_same_and_asks_nothing_twice(run, tmp_path, monkeypatch):
    # Mutations: scores after the checkpoint is saved, and so lost; asked again at the step gone on from.
    file, asked = _write(tmp_path), []
    at, note = while_training.Scored.at, Recorder.step

    def counted(self, step, trained, frozen):
        asked.append(step)
        return at(self, step, trained, frozen)

    def noted(self, step, measured):
        if step == 2:  # noted while step 3 is under way, after which the run stops: scored, saved and stopped at once
            monkeypatch.setattr(Recorder, "step", note)
            os.kill(os.getpid(), signal.SIGTERM)
        note(self, step, measured)

    monkeypatch.setattr(while_training.Scored, "at", counted)
    monkeypatch.setattr(Recorder, "step", noted)
    assert train.main([str(file)]) == 75
    assert {place.name for place in (tmp_path / "runs" / "run" / "checkpoints").iterdir()} == {"2", "3"}
    assert train.main([str(file)]) == 0
    assert asked == [0, 3, 6]
    for name in ("metrics.jsonl", WEIGHTS):
        assert (tmp_path / "runs" / "run" / name).read_bytes() == (run / name).read_bytes(), name


def test_the_best_checkpoint_may_be_that_of_a_score(run, tmp_path, monkeypatch):
    # The held-out loss is lowest at the last step. Mutations: the lowest score taken for the best; the one before
    # training counted; the later of two equal ones; no checkpoint at a step that is the best.
    made = {0: 0.9, 1: 0.2, 2: 0.2, 3: 0.7, 4: 0.7, 5: 0.1, 6: 0.3}

    def at(self, step, trained, frozen):
        return {"medmcqa/acc": made[step]}

    monkeypatch.setattr(while_training.Scored, "at", at)
    training = {"best": "medmcqa/acc", "checkpoint_every": 0, "keep_checkpoints": 1}
    assert train.main([str(_write(tmp_path, training=training, every_steps=1))]) == 0
    best = tmp_path / "runs" / "run"
    losses = {row["step"]: row["held_out_loss"] for row in metric_rows(run) if "held_out_loss" in row}
    assert min(losses, key=losses.__getitem__) == 6
    assert json.loads((best / "finished.json").read_text())["step"] == 3
    assert (best / WEIGHTS).read_bytes() != (run / WEIGHTS).read_bytes()
    assert {place.name for place in (best / "checkpoints").iterdir()} == {"3", "6"}


@pytest.mark.slow
def test_generated_answers_are_scored_too_and_a_fully_tuned_model_as_well(tmp_path):
    # Mutation: the engine's slots no multiple of the devices that share a batch.
    file = _write(tmp_path, tasks=["medmcqa", "hoc"], protocol="generated", every_steps=0)
    tuned = yaml.safe_load(file.read_text()) | {"trainable": "all", "lora": {}}
    file.write_text(yaml.safe_dump(tuned))
    assert train.main([str(file)]) == 0
    rows = _scored(tmp_path / "runs" / "run")
    assert [row["step"] for row in rows] == [0, 6]
    assert all(0 <= row["medmcqa/acc"] <= 1 for row in rows)
    assert all(row["hoc/items"] == 3 for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("quantize", ["int8", "nf4"])
def test_a_quantised_base_is_asked_as_it_lies_there(tmp_path, quantize):
    file = _write(tmp_path)
    changed = yaml.safe_load(file.read_text())
    changed["model"] |= {"quantize": quantize, "shape": changed["model"]["shape"] | {"hidden_size": 64}}
    changed["model"]["shape"] |= {"intermediate_size": 128}
    changed["mesh"] = {"data": -1, "fsdp": 1}
    file.write_text(yaml.safe_dump(changed))
    assert train.main([str(file)]) == 0
    assert [row["step"] for row in _scored(tmp_path / "runs" / "run")] == [0, 3, 6]


# -------------------------------------------------------------------- the weights


def test_nothing_of_the_weights_is_copied(tmp_path, this, monkeypatch):
    # Mutation: `jax.tree.map(jnp.copy, weights)`: a copy of the base beside the one that trains.
    seen = []

    class SeenError(Exception):
        pass

    def engine(graph, weights, *_):
        seen.extend(jax.tree.leaves(weights))
        raise SeenError

    made = while_training.Scored.__new__(while_training.Scored)
    made.mesh, made.graph, made.shape, made.dtype = this.mesh, None, None, "float32"
    monkeypatch.setattr(while_training, "Engine", engine)
    with pytest.raises(SeenError):
        made.at(0, this.now.trained, this.frozen)
    wanted = [*jax.tree.leaves(this.now.trained), *jax.tree.leaves(this.frozen)]
    assert len(seen) == len(wanted)
    assert {id(one) for one in seen} == {id(one) for one in wanted}


# -------------------------------------------------------------------- items


def test_what_does_not_fit_is_wrong_and_counted(tmp_path):
    # Mutation: left out, which would make the score higher.
    (asked,) = read(_job(tmp_path))
    golds = ["ABCD".index(question.record.output.strip()[0]) for question in asked.questions]
    outputs = [
        Output(loglikelihoods=tuple(-1.0 if place == gold else -3.0 for place in range(4)), greedy=(False,) * 4)
        for gold in golds
    ]
    assert scores(asked, outputs, 0)["medmcqa/acc"] == 1
    found = scores(asked, [*outputs[:2], Output(unfit=(300, 256))], 0)
    assert found["medmcqa/acc"] == pytest.approx(2 / 3)
    assert (found["medmcqa/items"], found["medmcqa/unfit"]) == (3, 1)
    assert "1 of them longer than the context" in while_training.sentence(asked, found)
    assert found == scores(asked, [*outputs[:2], Output(unfit=(300, 256))], 0)


def test_items_are_drawn_by_seed_and_the_same_each_time(tmp_path):
    job = _job(tmp_path, limit=1)
    ids = [[one.id for one in read(replace(job, seed=seed))[0].questions] for seed in (0, 0, *range(1, 9))]
    assert ids[0] == ids[1]
    assert len({one for (one,) in ids}) > 1


# -------------------------------------------------------------------- what is refused, before anything is computed


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"tasks": ["medmqa"]}, ValueError, r"no task 'medmqa'; did you mean med"),
        ({"corpora": "nowhere"}, FileNotFoundError, r"nowhere: no such folder.* with --evaluation\.corpora=FOLDER"),
        ({"tasks": ["pubmedqa"]}, ValueError, r"split dev: pubmedqa has no such split, only train, test"),
        ({"tasks": ["medqa"]}, FileNotFoundError, r"dev split of medqa \(of which test is there\)"),
        ({"training": {"best": "medmcqa/accuracy"}}, ValueError, r"the scores of medmcqa are medmcqa/acc"),
    ],
)
def test_what_is_not_there_is_named(tmp_path, changes, kind, message):
    # Mutation: the test split taken where there is no development split.
    with pytest.raises(kind, match=message):
        read(_job(tmp_path, **changes))


def test_a_split_of_no_item_is_refused(tmp_path):
    # Mutation: a score of nothing, when the model stands.
    job = _job(tmp_path)
    (tmp_path / "corpora" / "medmcqa" / "dev.json").write_text("\n")
    with pytest.raises(ValueError, match=r"medmcqa/dev: medmcqa/dev\.json: not one item in it"):
        read(job)


def test_a_protocol_that_a_task_does_not_know_is_refused_and_null_takes_what_it_knows(tmp_path):
    # Mutation: null as `generated` for every task.
    tasks = ["medmcqa", "hoc"]
    with pytest.raises(ValueError, match=r"evaluation\.protocol likelihood: hoc can be asked by generated alone"):
        read(_job(tmp_path, tasks=tasks, protocol="likelihood"))
    found = {protocol: read(_job(tmp_path, tasks=tasks, protocol=protocol)) for protocol in ("generated", None)}
    assert [one.protocol for one in found["generated"]] == ["generated", "generated"]
    assert [one.protocol for one in found[None]] == ["likelihood", "generated"]


def test_a_wrong_name_ends_the_run_before_its_first_step(tmp_path, capsys):
    assert train.main([str(_write(tmp_path, tasks=["medmqa"]))]) == 2
    assert "no task 'medmqa'" in capsys.readouterr().err
    assert not (tmp_path / "runs" / "run" / "metrics.jsonl").exists()


def test_several_processes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="by one process alone, and this job has 2"):
        read(_job(tmp_path))
    assert read(_job(tmp_path, tasks=[])) == ()


def test_the_test_split_is_scored_only_by_name_and_not_without_a_word(tmp_path):
    job = _job(tmp_path, tasks=["medqa"], split="test")
    (line,) = [line for line in notes(job, read(job)) if "WARNING" in line]
    assert "no estimate any more" in line
    assert not [line for line in notes(_job(tmp_path), read(_job(tmp_path))) if "WARNING" in line]


def test_whether_more_is_better_is_the_metrics_own(tmp_path):
    tasks = read(_job(tmp_path))
    wanted = {f"medmcqa/{metric.name}": metric.higher_is_better for metric in tasks[0].scorer.metrics()}
    assert {name: highest(tasks, name) for name in wanted} == wanted
    assert set(wanted.values()) == {True, False}
    assert not highest(tasks, "held_out_loss")
    assert not highest(tasks, None)


def test_intervals_hold_their_scores(tmp_path):
    (asked,) = read(_job(tmp_path))
    outputs = [Output(loglikelihoods=(-1.0, -2.0, -3.0, -4.0), greedy=(False,) * 4)] * 3
    found = scores(asked, outputs, 0)
    for metric in asked.scorer.metrics():
        low, value, high = (found[f"medmcqa/{metric.name}{end}"] for end in ("_low", "", "_high"))
        assert np.isfinite(np.array([low, value, high], float)).all()
        assert low <= value <= high
