"""Small evaluations through the whole verb: corpora by hand, and what a call said and left."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bioinstruct_jax import evaluate
from bioinstruct_jax.inference.hub_language_model import HubLanguageModel
from bioinstruct_jax.inference.jax_language_model import JaxLanguageModel
from tests.evaluation import choice_corpora

QUIET = ("--resamples=100", "--max_tokens=8")
MEDQUAD = [
    ("What is anaemia?", "Too little haemoglobin in the blood; iron deficiency is its most common cause."),
    ("How is scabies treated?", "With permethrin cream on the whole skin, twice, and all who live together at once."),
    ("What causes gout?", "Crystals of urate in a joint."),
]
MEDNLI = [
    ("She was given two units of packed cells overnight.", "The patient was transfused.", "entailment"),
    ("His creatinine has been stable at eighty for years.", "He is on haemodialysis.", "contradiction"),
    ("Presents with a productive cough since Thursday.", "He has smoked for decades.", "neutral"),
]
GAD = [
    ("Carriers of @GENE$ e4 had @DISEASE$ earlier.", 1),
    ("No association of @GENE$ with @DISEASE$ was found.", 0),
]
NCBI = "Familial\tB\nadenomatous\tI\npolyposis\tI\nis\tO\ninherited\tO\n.\tO\n\nNo\tO\nfever\tO\n.\tO\n\n"


@dataclass(frozen=True)
class Said:
    """How a call ended, and what it printed."""

    code: int
    out: str
    err: str


def corpora(folder: Path) -> Path:
    """Choices, pairs, entities, free text and restricted statements in the publishers' formats."""
    choice_corpora.write(folder)
    columns = ("sentence1", "sentence2", "gold_label")
    objects: dict[str, list[dict[str, Any]]] = {
        "medquad/medquad.jsonl": [
            {"id": str(number), "question": question, "answer": answer, "focus": ""}
            for number, (question, answer) in enumerate(MEDQUAD)
        ],
        "mednli/mli_test_v1.jsonl": [
            {"pairID": f"p{number}"} | dict(zip(columns, row, strict=True)) for number, row in enumerate(MEDNLI)
        ],
    }
    texts = {name: "".join(json.dumps(row) + "\n" for row in rows) for name, rows in objects.items()}
    texts["gad/test.tsv"] = "index\tsentence\tlabel\n" + "".join(
        f"{number}\t{sentence}\t{label}\n" for number, (sentence, label) in enumerate(GAD)
    )
    texts["ncbi-disease/test.tsv"] = NCBI
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def call(*words: object) -> Said:
    """`evaluate` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = evaluate.main([str(word) for word in words])
        except SystemExit as ended:  # of --help
            code = int(ended.code or 0)
    return Said(code, out.getvalue(), err.getvalue())


def results(out: Path, model: str) -> dict[str, Any]:
    """The one file of results of a model."""
    (file,) = (out / model).glob("results_*.json")
    return json.loads(file.read_text(encoding="utf-8"))


def scores(out: Path, model: str) -> dict[str, dict[str, Any]]:
    """By task, what lm-evaluation-harness's readers would show."""
    return results(out, model)["results"]


def rows(out: Path, model: str, task: str) -> list[dict[str, Any]]:
    """The samples of one task."""
    (file,) = (out / model).glob(f"samples_{task}_2*.jsonl")
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def samples(out: Path) -> dict[str, bytes]:
    """The samples of all models by name without date."""
    files = sorted(out.glob("*/samples_*.jsonl"))
    return {f"{file.parent.name}/{file.name.rsplit('_', 1)[0]}": file.read_bytes() for file in files}


def kept(folder: Path) -> dict[str, bytes]:
    """The answers in a cache."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*.jsonl"))}


def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, a model that is asked anything fails."""

    def asked(self: Any, requests: Any, *_: Any) -> Any:
        assert not list(requests), "a model was asked"
        return []

    for kind in (JaxLanguageModel, HubLanguageModel):
        monkeypatch.setattr(kind, "complete", asked)
        monkeypatch.setattr(kind, "loglikelihood", asked)


def predictions(file: Path, task: str, said: dict[str, Any], key: str = "label") -> Path:
    """A file of predictions, by id of the item."""
    lines = [json.dumps({"task": task, "id": id, key: value}) + "\n" for id, value in said.items()]
    file.write_text("".join(lines), encoding="utf-8")
    return file
