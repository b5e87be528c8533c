"""The verb: a tiny study through both commands, killed and gone on with, and what it says of what cannot be used."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from bioinstruct_jax import schema, study, train
from bioinstruct_jax.studies import arms, cells, folder
from bioinstruct_jax.studies.job import Study
from tests import tiny_run
from tests.evaluations import Said
from tests.studies import grids, scored

PLAIN = os.environ | {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # one device, and programs that soon are made
# The results have their own tests; here they only say that they were asked for.
WITHOUT_RESULTS = """
import sys
from bioinstruct_jax import study
study.results = lambda job, states: print("results of", sum(one.status == "finished" for one in states)) or states
sys.exit(study.main())
"""


def call(*words: object) -> Said:
    """`study` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = study.main([str(word) for word in words])
    return Said(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """Corpora, rows and a base, as a run that tunes all weights of a random one leaves it."""
    folder = tmp_path_factory.mktemp("home")
    grids.corpora(folder)
    random = tiny_run.write(
        folder, trainable="all", data={"held_out": 0.0}, training={"steps": 2, "eval_every": 0, "micro_batches": 1}
    )
    keys = yaml.safe_load(random.read_text())
    del keys["lora"]
    random.write_text(yaml.safe_dump(keys))
    assert train.main([str(random), "--name=random"]) == 0
    shutil.copytree(folder / "runs" / "random" / "model", folder / "base")
    return folder


def test_scores_that_cannot_be_used_cost_their_cell_alone(tmp_path, capsys):
    # Mutations: the study ends with the first of them; the mark stays, so that the cell is never scored again.
    grids.corpora(tmp_path)
    made = grids.job(tmp_path)
    folder.begin(made)
    arms.make(made, print)
    states = scored.states(made)
    for number, one in enumerate(states):
        place = tmp_path / "study" / one.scores
        scored.write(place, one.cell.name, {"medqa": scored.Marks([number % 2, 1.0, 0.0, 1.0])})
        (place / "finished.json").write_text("{}")
    torn = states[0]  # the base
    [samples] = (tmp_path / "study" / torn.scores / torn.cell.name).glob("samples_*.jsonl")
    samples.write_bytes(samples.read_bytes()[:300])
    after = {one.cell.name: one for one in study.results(made, states)}
    assert [name for name, one in after.items() if one.status != "finished"] == [torn.cell.name]
    assert "broken JSON" in after[torn.cell.name].why
    marked = sorted(file.parent.name for file in (tmp_path / "study").glob("scores/*/finished.json"))
    assert marked == sorted(name for name in after if name != torn.cell.name)
    assert "broken JSON" in cells.state(made, torn.cell).why  # told by the next look too
    assert "report.html" in capsys.readouterr().out
    told = json.loads((tmp_path / "study" / "study.json").read_text())
    assert any(torn.cell.name in note for note in told["notes"])


def process(*words: object, **more: object) -> subprocess.Popen:
    command = [sys.executable, "-c", WITHOUT_RESULTS, *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=PLAIN, **more)


def ran(*words: object) -> Said:
    started = process(*words)
    out, err = started.communicate(timeout=900)
    return Said(started.returncode, out, err)


def deterministic(out: Path) -> dict[str, bytes]:
    """What two studies of the same settings have in common, byte for byte."""
    patterns = ("runs/*/metrics.jsonl", "runs/*/adapter/adapter_model.safetensors", "arms/*.jsonl")
    found = {str(file.relative_to(out)): file.read_bytes() for one in patterns for file in out.glob(one)}
    samples = sorted(out.glob("scores/*/*/samples_*.jsonl"))
    return found | {f"{file.parent.name}/{file.name.rsplit('_', 1)[0]}": file.read_bytes() for file in samples}


@pytest.fixture(scope="module")
def whole(home) -> Path:
    """A study that nobody disturbed."""
    file = grids.file(home)
    said = ran(file, f"--out={home / 'whole'}")
    assert said.code == 0, said.err
    assert "results of 4" in said.out
    return home / "whole"


# -------------------------------------------------------------------- whole studies


@pytest.mark.slow
def test_a_finished_study_runs_nothing_again(whole, home):
    before = {file: file.stat().st_mtime_ns for place in ("runs", "scores") for file in (whole / place).rglob("*")}
    said = ran(grids.file(home), f"--out={whole}")
    assert said.code == 0, said.err
    assert "4 of 4 cells are finished" in said.out
    assert {file: file.stat().st_mtime_ns for file in before} == before


@pytest.mark.slow
def test_a_study_that_is_stopped_and_then_killed_goes_on_and_ends_the_same(whole, home):
    # Mutations: the run begun anew from its first step with other numbers; the last cell forgotten.
    file, out = grids.file(home), home / "killed"
    for number, cell in ((signal.SIGTERM, "small-all-natural-s0"), (signal.SIGKILL, "small-all-natural-s1")):
        steps = out / "runs" / cell / "metrics.jsonl"
        started = process(file, f"--out={out}", start_new_session=True)
        while started.poll() is None and not (steps.exists() and steps.read_bytes()):
            time.sleep(0.02)
        started.send_signal(number)
        _, err = started.communicate(timeout=300)
        assert started.returncode == (75 if number == signal.SIGTERM else -number), err
    said = ran(file, f"--out={out}")
    while "or a cell that it began" in said.err:  # which ends by itself
        time.sleep(1)
        said = ran(file, f"--out={out}")
    assert said.code == 0, said.err
    assert deterministic(out) == deterministic(whole)


@pytest.mark.slow
def test_the_lines_of_commands_do_the_same_in_a_shell(whole, home):
    # Mutations: a word that a shell would split; a line for a cell that is finished; notes on standard output.
    out, file = home / "shell", grids.file(home)
    said = ran(file, f"--out={out}", "--commands")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert len(lines) == 4
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for line in lines:
        subprocess.run(["bash", "-c", line], check=True, env=PLAIN | {"PATH": path}, capture_output=True, timeout=600)
    assert deterministic(out) | deterministic(whole) == deterministic(out)
    again = ran(file, f"--out={out}", "--commands")
    assert (again.code, again.out) == (0, "")
    assert "results of 4" in ran(file, f"--out={out}", "--gather").out


@pytest.mark.slow
def test_a_cell_that_fails_is_told_and_tried_again(home):
    # Mutations: exit code 0; the failed cell not run at the next call; results not written.
    far = home / "said.jsonl"
    keys = grids.keys(home, comparators=[{"name": "ghost", "runs_on": "predictions", "predictions": str(far)}])
    file = home / "failing.yaml"
    file.write_text(yaml.safe_dump(keys))
    words = (file, f"--out={home / 'failing'}", "--cells=[!s]*")
    said = ran(*words)
    assert said.code == 3
    assert "ghost: failed: error: " in said.err
    assert str(far) in said.err
    assert json.loads((home / "failing/logs/ghost.json").read_text()) == {"code": 2}
    rows = [{"task": "medqa", "id": f"test:{n}", "label": "A"} for n in (1, 2, 3)]
    far.write_text("".join(json.dumps(row) + "\n" for row in rows))
    said = ran(*words)
    assert (said.code, said.out.splitlines()[0]) == (0, "results of 1")
    assert "ghost" not in said.err.replace("ghost: finished", "")


@pytest.mark.slow
def test_the_report_says_what_the_samples_say(home):
    # Mutations: seeds of one cell taken for all; base and arm changed about; the group's mean over items.
    rows = [row | {"category": ("QA", "GEN")[number % 2]} for number, row in enumerate(tiny_run.ROWS * 4)]
    rows = [row | {"instruction": f"{row['instruction']} ({number})"} for number, row in enumerate(rows)]
    keys = grids.keys(
        home,
        arms=[{"name": "all"}, {"name": "QA", "only": ["QA"]}],
        sizes=["matched"],
        match={"tolerance": 0.1},
        evaluation={"tasks": ["QA"], "protocols": ["likelihood"], "limit": 2},
        hypotheses=[{"on": "QA", "size": "matched", "protocol": "likelihood"}],
    )
    (home / "mixed.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    keys["pool"] = [{"path": str(home / "mixed.jsonl")}]
    file, out = home / "real.yaml", home / "real"
    file.write_text(yaml.safe_dump(keys))
    words = [sys.executable, "-m", "bioinstruct_jax.study", str(file), f"--out={out}", "--jobs=2"]
    done = subprocess.run(words, env=PLAIN, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    found = json.loads((out / "study.json").read_text())
    assert (out / "report.html").is_file()

    def accuracy(cell: str, task: str) -> float:
        (file,) = (out / "scores" / cell / cell).glob(f"samples_{task}_*.jsonl")
        said = [json.loads(line) for line in file.read_text().splitlines()]
        right = [row["acc"] for row in said if row["filter"] == "likelihood"]
        return sum(right) / len(right)

    def close(one: float, other: float) -> bool:
        return abs(one - other) < 1e-9

    seeds = [accuracy(f"small-all-matched-s{seed}", "medqa") for seed in (0, 1, 2)]
    (score,) = [one for one in found["scores"] if (one["arm"], one["on"]) == ("all", "medqa")]
    assert all(map(close, score["seeds"], seeds))
    assert close(score["value"], sum(seeds) / 3)
    (contrast,) = [
        one for one in found["contrasts"] if (one["arm"], one["against"], one["on"]) == ("all", "base", "medqa")
    ]
    assert close(contrast["difference"], sum(seeds) / 3 - accuracy("small-base", "medqa"))
    assert any(one["primary"] and one["on"] == "QA" and one["holm"] is not None for one in found["contrasts"])


# -------------------------------------------------------------------- quick calls


def test_gather_runs_nothing(tmp_path):
    said = call(grids.file(tmp_path), "--gather")
    assert said.code == 3
    assert "0 of 4 cells are finished" in said.out
    assert "small-base: waiting" in said.err
    assert not (tmp_path / "study" / "arms").exists()


def test_a_cell_that_cannot_be_run_leaves_the_others_their_lines(tmp_path, monkeypatch):
    # Mutations: the loop left at the first; exit code 0; a line that works from this folder alone.
    study_file = grids.file(tmp_path)
    monkeypatch.setattr("bioinstruct_jax.studies.arms.make", lambda job, told: [])
    job = grids.job(tmp_path)
    grids.arm(job)
    grids.trained(job)
    keys = grids.keys(tmp_path, out=job.out)
    keys["models"][0]["set"] = {"optimizer.learning_rate": 0.5}
    study_file.write_text(yaml.safe_dump(keys))
    (tmp_path / "study/study.yaml").write_text(yaml.safe_dump(keys))
    said = call(study_file, "--commands")
    assert said.code == 3, said.err
    assert "small-all-natural-s0: failed: " in said.err
    lines = said.out.splitlines()
    assert len(lines) == 3
    assert all(line.startswith(f"cd {Path.cwd()} && {sys.executable} -m ") for line in lines)


def test_nothing_is_put_into_a_folder_of_something_else(tmp_path):
    # Mutation: the lock made before anybody looks whose folder it is.
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.tex").write_text("mine")
    said = call(grids.file(tmp_path))
    assert said.code == 2
    assert "is no study and not empty" in said.err
    assert [file.name for file in (tmp_path / "study").iterdir()] == ["thesis.tex"]


def test_the_exit_code_is_that_of_what_was_asked_for(tmp_path, capsys):
    # Mutation: `wanted` not looked at.
    from bioinstruct_jax.studies import grid
    from bioinstruct_jax.studies.found import State

    every = grid.cells(grids.job(tmp_path))
    states = [State(cell, "finished" if cell == grids.BASE else "waiting") for cell in every]
    assert study.ended(states, [grids.BASE], "out") == 0
    assert study.ended(states, every, "out") == 3
    assert "small-all-natural-s0: waiting" in capsys.readouterr().err


def test_a_dry_run_leaves_nothing(tmp_path):
    said = call(grids.file(tmp_path), "--dry-run", "--cells=*-s0")
    assert said.code == 0, said.err
    assert "small-all-natural-s0" in said.out
    assert "small-base" not in said.out
    assert "missing: weights of small" in said.out
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--cells=nothing"], "no such cell; they are small-base"),
        (["--commands", "--gather"], "--commands and --gather: one at a time"),
        (["--jobs=0"], "jobs"),
        (["--seeds=[0, 1]"], "--seeds: 2 given, at least 3 are needed: [0, 1]"),
        (["--evaluation.tasks=[medqqa]"], ": evaluation: tasks: 'medqqa' is neither a task nor a group"),
        (["--models.0.settings=nowhere.yaml"], "models: small: nowhere.yaml: no such settings file"),
        (["--models.0.set={model.weihgts: x}"], "model.weights"),
        (["--out=gs://bucket/study"], "local folder"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path, words, said):
    # Mutation: pydantic's own words of a list that is too short, "items after validation".
    found = call(grids.file(tmp_path), "--dry-run" if "--commands" not in words else "--jobs=1", *words)
    assert found.code == 2
    assert said in found.err
    assert not (tmp_path / "study").exists()


def test_the_options_and_keys_stand_in_help(capsys):
    with pytest.raises(SystemExit) as caught:
        study.main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for key in (*schema.keys(Study), *schema.keys(study.Options)):
        if not schema.fields(key.kind):
            assert f"--{key.name}" in text
