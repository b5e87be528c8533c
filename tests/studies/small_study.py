"""A small study: a pool and corpora by hand, a tiny model."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from bioinstruct_jax.studies.job import Study
from tests.preparation import corpora

DRUGS = ("metoprolol", "lisinopril", "warfarin", "furosemide", "amoxicillin", "sertraline", "salbutamol", "omeprazole")
ASKED = {
    "QA": ("Which class of drugs is {} of?", "It is of a class that is named in every formulary, with its doses."),
    "IE": ("List the drugs: the patient takes {} at night.", "{}"),
    "GEN": ("Write a line on {} for a patient.", "Take {} as your doctor told you to, and ask before you stop it."),
}


def rows() -> list[dict[str, Any]]:
    """24 rows, 8 of each category; answers of IE are the shortest."""
    return [
        {
            "id": f"{category}-{drug}",
            "instruction": asked.format(drug),
            "output": answer.format(drug) + " Daily." * number,
            "category": category,
        }
        for category, (asked, answer) in ASKED.items()
        for number, drug in enumerate(DRUGS)
    ]


def write(file: Path, given: Sequence[dict[str, Any] | str]) -> Path:
    """Rows as JSON lines; text stands as it is."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in given]
    file.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return file


def study(folder: Path, given: Sequence[dict[str, Any] | str] | None = None, **changes: Any) -> Study:
    """A study of these rows, or of `rows()`; `changes` replace whole keys."""
    if not (folder / "corpora").is_dir():
        place = corpora.write(folder / "corpora")
        corpora.put(place, "ncbi-disease/test.tsv", corpora.columns([corpora.HELD_OUT]))
    file = write(folder / "pool.jsonl", rows() if given is None else given)
    keys: dict[str, Any] = {
        "out": str(folder / "study"),
        "corpora": str(folder / "corpora"),
        "models": [{"name": "small", "settings": "tiny", "set": {"data.held_out": 0.0, "training.eval_every": 0}}],
        "pool": [{"path": str(file)}],
        "arms": [{"name": "all"}, {"name": "QA", "only": ["QA"]}, {"name": "no-QA", "without": ["QA"]}],
        "match": {"tolerance": 0.1},
        "curve": {"arm": "all", "shares": [0.01, 0.25, 0.5]},
        "evaluation": {"tasks": ["ncbi_disease"], "limit": 1},
        "hypotheses": [{"on": "ncbi_disease"}],
    }
    return TypeAdapter(Study).validate_python(keys | changes)
