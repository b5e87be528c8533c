"""Questions, outputs and results of small evaluations, written by hand."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from bioinstruct_jax.data.prompts import Piece
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation.bootstrap import Estimate, of_items, ratio
from bioinstruct_jax.evaluation.language_model import CompletionRequest, ScoreRequest
from bioinstruct_jax.evaluation.results.harness_files import Ran
from bioinstruct_jax.evaluation.results.samples import Written
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring.scored import Metric, Reading, TaskResult
from bioinstruct_jax.tasks import yes_no
from bioinstruct_jax.tasks.inference import Inference
from bioinstruct_jax.tasks.table import TASKS

PUBMEDQA, MEDNLI = TASKS["pubmedqa"], TASKS["mednli"]
DATE = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)
STAMP = "2026-03-04T05-06-07.000089"
TEXT = "Infections fell from 9 % to 3 % (p < 0.01)."
ASKED = "Does handwashing by surgeons lower the rate of wound infection?"
SECRET = ("The patient has warfarin-induced bleeding.", "The patient takes an anticoagulant.")


def question(number: int = 0) -> Question:
    """One of PubMedQA; the right answer is yes."""
    item = yes_no.Question(f"10{number}", ASKED, TEXT, "yes")
    row = f"pubmedqa/test/10{number}"
    return Question(row, row, item, Record(row, "Decide.", f"Text: {TEXT}", "yes"), (), "label")


def hidden() -> Question:
    """One of MedNLI, which is restricted; the right answer is entailment."""
    item = Inference("note 17:3", *SECRET, "entailment")
    row = "mednli/test/item 1"
    record = Record(row, "Decide.", " ".join(SECRET), "entailment", restricted=True)
    return Question(row, row, item, record, (), "label")


def scores(labels: tuple[str, ...] = ("yes", "no", "maybe")) -> list[ScoreRequest]:
    return [ScoreRequest(f"Abstract: {TEXT}\nAnswer:", f" {label}") for label in labels]


def completion(text: str = TEXT) -> CompletionRequest:
    return CompletionRequest((Piece("<s>", control=True), Piece(text)), max_tokens=8, stop=("\n\n",))


LIKELY = Output(loglikelihoods=(-0.5, -1.25, -7.0), greedy=(True, False, False))
RIGHT = Reading("yes", "yes", "likeliest", 1.0, {"acc": 1.0, "acc_norm": 1.0}, {})
WROTE = Output(text="Yes, it does.", finish="end")
READ = Reading("yes", "yes", "stated", 1.0, {"acc": 1.0}, {}, {"long": 2}, (0, 3))

ACC = Metric("acc", "accuracy", "acc", ratio, of_items=True)
F1 = Metric("macro_f1", "macro-F1", "acc", ratio)


def estimate(value: float, error: float | None = 0.0125) -> Estimate:
    low, high = (None, None) if error is None else (value - 2 * error, value + 2 * error)
    return Estimate(value, error, low, high, 0.95, "BCa", 4)


def result(model: str = "tuned", task: str = "pubmedqa", protocol: str = "harness", **changes: Any) -> TaskResult:
    """Four items, two of them right; the interval is not what a bootstrap would say."""
    made = TaskResult(
        model=model,
        task=task,
        protocol=protocol,
        split="test",
        group="QA",
        shots=0,
        ids=tuple(f"{task}/test/{number}" for number in range(4)),
        documents=tuple(f"{task}/test/{number}" for number in range(4)),
        metrics=(ACC, F1),
        counts={"acc": of_items([1, 1, 0, 0])},
        estimates={"acc": estimate(0.5), "macro_f1": estimate(0.25, None)},
        baselines={"acc": {"majority": 0.552, "chance": 1 / 3}},
        values=np.array([1.0, 1, 0, 0]),
        whys={"likeliest": 4},
        problems={},
        versions={"scorer": 1, "extraction": 2},
        samples=f"samples_{task}_{STAMP}.jsonl",
    )
    return replace(made, **changes)


def ran(*tasks: str, model: str = "tuned") -> Ran:
    one = Model(name=model, model="org/base", adapter="runs/tuned")
    written = {
        task: Written(f"samples_{task}_{STAMP}.jsonl", 4, f"{place:064x}", ("acc",)) for place, task in enumerate(tasks)
    }
    job = Evaluate(out="scores", models=(one,), limit=4, seed=7)
    return Ran(
        job,
        one,
        DATE,
        12.5,
        dict.fromkeys(tasks, 500),
        written,
        {"name": "alpaca", "hash": "ab", "with_input": "W"},
    )
