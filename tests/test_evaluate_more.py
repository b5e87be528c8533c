"""The verb where it is interrupted, where items are too long, restricted or judged, and one engine against another."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioinstruct_jax import train
from tests import evaluations
from tests.api.server import Answer, Seen, serve
from tests.evaluation.choice_corpora import MEDQA
from tests.evaluation.judging import scripted
from tests.evaluations import QUIET, call, predictions, results, rows, samples, scores
from tests.test_restricted import plain, unpacked
from tests.tiny_run import ROWS, write

REMITTED = "Her nephrotic proteinuria remitted on tacrolimus."  # restricted; so are the statements of MedNLI
WORDS = ["transfused", "creatinine", "haemodialysis", "productive", "smoked", "overnight", "nephrotic", "tacrolimus"]


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    folder = evaluations.corpora(tmp_path_factory.mktemp("corpora"))
    (folder / "patient-questions").mkdir()
    row = {"question": f"What now? {REMITTED}", "answer": "Go on, and come back for a creatinine in a month."}
    (folder / "patient-questions" / "test.jsonl").write_text(json.dumps(row) + "\n")
    return folder


@pytest.fixture
def words(corpora, tmp_path) -> list[str]:
    return [f"--corpora={corpora}", f"--out={tmp_path / 'out'}", *QUIET]


# -------------------------------------------------------------------- what does not fit


def test_items_longer_than_the_context_are_counted_and_wrong(finished, words, tmp_path):
    # Mutation: an unfit item left out of the tally.
    words += ["--tasks=[medqa]", f"--models.0.model={finished / 'base'}", "--models.0.context=64"]
    said = call(*words)
    assert said.code == 0, said.err
    out = tmp_path / "out"
    told = results(out, "model")["bioinstruct"]["tasks"]["medqa"]
    made = rows(out, "model", "medqa")
    for protocol, name in (("harness", "none"), ("likelihood", "likelihood"), ("generated", "generated")):
        unfit = [row for row in made if row["filter"] == name and row["unfit"]]
        assert len(unfit) == told[protocol]["unfit"]
        assert all(row["unfit"][0] > row["unfit"][1] == 64 for row in unfit)
        assert {(row["acc"], row["answer"]) for row in unfit} <= {(0.0, None)}
        assert told[protocol]["items"] == 3
    assert 0 < told["harness"]["unfit"] < 3
    assert told["generated"]["unfit"] == 3
    assert "do not fit" in (out / "report.html").read_text() or "longer than" in (out / "report.html").read_text()

    refused = call(*words, "--unfit=refuse", f"--out={tmp_path / 'refused'}")
    assert refused.code == 2
    assert f"model: {told['harness']['unfit']} of 3 items of medqa do not fit its context" in refused.err
    assert "the context has 64" in refused.err

    again = [*words[:1], f"--out={tmp_path / 'again'}", *QUIET, "--tasks=[medqa]", "--models.0.runs_on=predictions"]
    said = call(*again, f"--models.0.predictions={out / 'model'}")
    assert said.code == 0, said.err
    assert scores(tmp_path / "again", "model") == scores(out, "model")


def test_another_template_than_in_training_is_told(finished, words, tmp_path):
    # LlamaFactory#2509, medgemma#37. Mutation: the notes of `choose_template` dropped.
    words += ["--tasks=[pubmedqa]", "--limit=1", "--protocols=[likelihood]", f"--models.0.adapter={finished}"]
    said = call(*words, "--models.0.template=medtuned")
    assert said.code == 0, said.err
    warned = "it was trained with the template alpaca; with medtuned, answers can be much worse"
    assert f"warning: model: {warned}" in said.err
    assert warned in (tmp_path / "out" / "report.html").read_text()


# -------------------------------------------------------------------- restricted texts


def _found(folder: Path, said: evaluations.Said) -> dict[str, list[str]]:
    """Words of restricted texts, by where they stand."""
    places = {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    places |= {"stdout": said.out.encode(), "stderr": said.err.encode()}
    texts = {name: " ".join(plain(part) for part in unpacked(content)) for name, content in places.items()}
    return {name: there for name, text in texts.items() if (there := [word for word in WORDS if word in text])}


def _quoting(seen: Seen) -> Answer:
    """Says all that it was told."""
    return Answer(content=" ".join(one["content"] for one in seen.json["messages"]))


def test_no_word_of_restricted_texts_is_written_or_printed(finished, corpora, words, tmp_path):
    # Mutations: `guard.shown` left out of `samples._row`; restricted outputs kept in the cache, or in the journal.
    planted = [{"instruction": "Note.", "input": REMITTED, "output": "Yes.", "licence": "restricted"}]
    planted += [
        {"instruction": one, "input": "", "output": two, "licence": "restricted"} for one, two, _ in evaluations.MEDNLI
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in planted))
    with serve(_quoting) as server, serve(scripted.judge()) as judge:
        words += ["--tasks=[mednli, patient_questions_jsonl]", f"--judge.endpoint.base_url={judge.url}"]
        words += ["--judge.endpoint.model=j", "--models.0.name=served", "--models.0.runs_on=server"]
        words += [f"--models.0.endpoint.base_url={server.url}", "--models.0.endpoint.model=m"]
        words += ["--models.1.name=tuned", f"--models.1.adapter={finished}"]
        words += [f"--models.1.tuned_on=[{tmp_path / 'rows.jsonl'}]", "--judge.canaries=1"]
        said = call(*words)
        assert any("nephrotic" in seen.prompt for seen in judge.seen)
    assert said.code == 0, said.err
    out = tmp_path / "out"
    assert len(server.seen) == 4
    assert "nephrotic" in server.seen[-1].prompt
    assert scores(out, "served")["mednli"].keys() >= {"acc,generated"}
    assert scores(out, "tuned")["mednli"].keys() >= {"acc,generated", "acc,likelihood"}
    assert any(row["flagged"] for row in rows(out, "tuned", "mednli"))
    assert _found(out, said) == {}

    refused = call(
        *words,
        "--models.0.runs_on=predictions",
        "--models.0.endpoint=null",
        f"--models.0.predictions={out / 'tuned'}",
        "--judge.endpoint.limits.attempts=1",
    )
    assert refused.code == 4, "the judge has gone; log-likelihoods are no texts, and can be read again"
    assert "rows are no predictions, and are left out" in refused.err
    assert _found(out, refused) == {}
    file = predictions(tmp_path / "said.jsonl", "mednli", {f"p1 {REMITTED}": "neutral"})
    refused = call(
        *words[:3],
        f"--out={tmp_path / 'second'}",
        "--tasks=[mednli]",
        "--models.0.runs_on=predictions",
        f"--models.0.predictions={file}",
    )
    assert refused.code == 2
    assert "3 of 3 items have no prediction" in refused.err
    assert _found(tmp_path / "second", refused) == {}


# -------------------------------------------------------------------- a judge


def test_a_judge_grades_and_its_verdicts_are_shown(words, tmp_path):
    # Mutation: `judged` not handed to the report, or not written.
    ids = [f"{number}:{number + 1}" for number in range(3)]
    for name, answer in (("fair", scripted.FAIR), ("good", scripted.GOOD)):
        predictions(tmp_path / f"{name}.jsonl", "medquad", {id: f"{answer} {id}" for id in ids}, "output")
    for number, name in enumerate(("fair", "good")):
        words += [f"--models.{number}.name={name}", f"--models.{number}.runs_on=predictions"]
        words += [f"--models.{number}.predictions={tmp_path / name}.jsonl"]
    words += ["--tasks=[medquad]", "--judge.tasks=[medquad]", "--judge.endpoint.model=judge-1"]
    with serve(scripted.judge()) as server:
        words.append(f"--judge.endpoint.base_url={server.url}")
        said = call(*words)
        assert said.code == 0, said.err
        asked = len(server.seen)
        assert asked
        assert call(*words, "--resamples=150").code == 0
        assert len(server.seen) == asked  # the journal has them
        short = call(*words, "--judge.budget.tokens=1", f"--out={tmp_path / 'short'}")
        assert short.code == 3  # all else is there
        assert f"warning: judge: incomplete: 0 of {asked} requests" in short.err
    assert "warning: judge" not in said.err
    told = json.loads((tmp_path / "out" / "comparisons.json").read_text())["judge"]
    assert told["trusted"] is True
    assert told["complete"] is True
    of_task = told["tasks"]["medquad"]
    assert of_task["models"]["good"]["criteria"]["overall"]["value"] == 5
    assert of_task["models"]["fair"]["criteria"]["overall"]["value"] == 3
    assert (of_task["pairs"]["good"]["wins"], of_task["pairs"]["good"]["losses"]) == (3, 0)
    assert "judge-1" in (tmp_path / "out" / "report.html").read_text()

    assert call(*words, "--judge.endpoint=null", "--judge.tasks=[]").code == 0
    assert json.loads((tmp_path / "out" / "comparisons.json").read_text())["judge"] is None
    assert "judge-1" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("tasks", "says"), [("[medquad]", "error: asked"), ("[mednli]", "3 of the rows are restricted")]
)
def test_a_judge_elsewhere_is_refused_only_what_it_would_judge(words, tmp_path, monkeypatch, tasks, says):
    # Mutation: restricted items counted that nobody judges.
    def run(*_: object) -> None:
        raise ValueError("asked")

    monkeypatch.setattr("bioinstruct_jax.evaluation.judging.judge.run", run)
    monkeypatch.setenv("OPENAI_API_KEY", "of-a-test")
    lines = [{"task": "mednli", "id": f"item {number}", "label": "neutral"} for number in (1, 2, 3)]
    lines += [{"task": "medquad", "id": f"{number}:{number + 1}", "output": "Rest."} for number in range(3)]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    words += ["--tasks=[mednli, medquad]", "--models.0.runs_on=predictions", "--judge.endpoint.model=j"]
    words += [f"--models.0.predictions={tmp_path / 'said.jsonl'}", "--judge.endpoint.base_url=https://example.org/v1"]
    words += ["--judge.endpoint.price.input=0", "--judge.endpoint.price.output=0", f"--judge.tasks={tasks}"]
    said = call(*words)
    assert said.code == 2
    assert says in said.err


# -------------------------------------------------------------------- engines and batches


@pytest.mark.slow
def test_scores_do_not_depend_on_batch(finished, words, tmp_path):
    # lm-eval#3842. Mutation: a padded position that is attended to.
    told = []
    for batch in (1, 32):
        out = tmp_path / str(batch)
        more = [
            "--tasks=[medqa, pubmedqa, gad, ncbi_disease]",
            f"--models.0.adapter={finished}",
            f"--models.0.batch={batch}",
        ]
        assert call(*words, *more, f"--out={out}").code == 0
        told.append({task: rows(out, "model", task) for task in ("medqa", "pubmedqa", "gad", "ncbi_disease")})
        told[-1]["scores"] = scores(out, "model")
    for task in ("medqa", "pubmedqa", "gad", "ncbi_disease"):
        for one, other in zip(told[0][task], told[1][task], strict=True):
            _close(one, other, 1e-4)
            assert one["answer"] == other["answer"]
            assert one["value"] == other["value"]


def _close(one: dict, other: dict, tolerance: float) -> None:
    """Log-likelihoods as close as this, or texts that are equal."""
    assert (one["id"], one["filter"]) == (other["id"], other["filter"])
    if one["filter"] == "generated":
        assert one["resps"] == other["resps"]
        return
    pairs = zip(one["resps"], other["resps"], strict=True)
    for first, second in pairs:
        assert float(first[0][0]) == pytest.approx(float(second[0][0]), abs=tolerance)


@pytest.mark.slow
def test_transformers_scores_as_jax_does(finished, words, tmp_path):
    # Mutation: BOS twice, or none, in one of them.
    words += ["--tasks=[medqa, pubmedqa, mmlu_medical_genetics]"]
    for number, engine in enumerate(("jax", "transformers")):
        words += [f"--models.{number}.name={engine}", f"--models.{number}.runs_on={engine}"]
        words += [f"--models.{number}.adapter={finished}"]
    said = call(*words)
    assert said.code == 0, said.err
    out = tmp_path / "out"
    for task in ("medqa", "pubmedqa", "mmlu_medical_genetics"):
        for one, other in zip(rows(out, "jax", task), rows(out, "transformers", task), strict=True):
            _close(one, other, 1e-3)
            assert one["arguments"] == other["arguments"]
            if one["filter"] == "none":
                assert one["acc"] == other["acc"]


# -------------------------------------------------------------------- what a run was tuned on


@pytest.mark.slow
def test_items_in_the_rows_of_the_run_are_found_by_its_folder_alone(words, tmp_path):
    # Mutation: `tuning` reads `tuned_on` alone.
    asked = MEDQA[0][0].strip()
    planted = {"instruction": asked, "input": "", "output": "Insulin."}
    assert train.main([str(write(tmp_path, [*ROWS, planted]))]) == 0
    said = call(*words, "--tasks=[medqa]", f"--models.0.adapter={tmp_path / 'runs' / 'run'}")
    assert said.code == 0, said.err
    out = tmp_path / "out"
    assert {row["id"] for row in rows(out, "model", "medqa") if row["flagged"]} == {"medqa/test/test:1"}
    told = results(out, "model")["bioinstruct"]["tasks"]["medqa"]
    assert {one["flagged"] for one in told.values()} == {1}
    for name, protocol in (("none", "harness"), ("likelihood", "likelihood")):
        kept = [row["acc"] for row in rows(out, "model", "medqa") if row["filter"] == name and not row["flagged"]]
        assert told[protocol]["clean"]["acc"]["value"] == pytest.approx(sum(kept) / 2)


# -------------------------------------------------------------------- interrupted

ITEMS = 400  # so many that what is answered beyond the moment of a kill does not end a run before the last


def _started(words: list[str]) -> subprocess.Popen:
    command = [sys.executable, "-m", "bioinstruct_jax.evaluate", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=dict(os.environ))


def _answers(out: Path) -> int:
    return sum(file.read_bytes().count(b"\n") for file in (out / "cache").rglob("*.jsonl"))


@pytest.mark.slow
def test_killed_anywhere_it_ends_as_if_undisturbed(finished, tmp_path):
    # Mutations: outputs written to the cache at the end of a task; a torn last line read as an answer.
    question, options, letter = MEDQA[1]
    (tmp_path / "corpora" / "medqa").mkdir(parents=True)
    items = [
        {"question": question.replace("60", str(20 + number)), "options": dict(zip("ABCD", options, strict=True))}
        | {"answer": options["ABCD".index(letter)], "answer_idx": letter}
        for number in range(ITEMS)
    ]
    text = "".join(json.dumps(item) + "\n" for item in items)
    (tmp_path / "corpora" / "medqa" / "phrases_no_exclude_test.jsonl").write_text(text)
    words = [f"--corpora={tmp_path / 'corpora'}", "--tasks=[medqa]", *QUIET, "--models.0.batch=4"]
    words += [f"--models.0.adapter={finished}"]
    out, whole = tmp_path / "out", tmp_path / "whole"
    ends = ((signal.SIGKILL, -9), (signal.SIGTERM, 75), (signal.SIGINT, 130), (signal.SIGKILL, -9))
    for number, code in ends:
        process = _started([*words, f"--out={out}"])
        before, deadline = _answers(out), time.monotonic() + 300
        while _answers(out) < before + 150:
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(number)
        told, _ = process.communicate(timeout=120)
        assert process.returncode == code, told
        assert "Traceback" not in told
        assert not list(out.glob("*/results_*"))
        if number == signal.SIGKILL:  # the machine died within a line
            newest = max((out / "cache").rglob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns)
            os.truncate(newest, newest.stat().st_size - 7)
    assert _answers(out) < 3 * ITEMS
    for place in (out, whole):
        process = _started([*words, f"--out={place}"])
        assert process.wait(300) == 0, process.communicate()[0]
        process.communicate()
    assert samples(out) == samples(whole)
    assert scores(out, "model") == scores(whole, "model")
