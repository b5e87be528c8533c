"""Folders of scores as `evaluate` leaves them, of models that nobody ran; and real ones, of answers made up."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from bioinstruct_jax import files
from bioinstruct_jax.evaluation.results.samples import FILTERS, file_name, stamp
from bioinstruct_jax.evaluation.runner.planned import planned
from bioinstruct_jax.evaluation.runner.questions import Question, answer_form
from bioinstruct_jax.evaluation.scoring import table
from bioinstruct_jax.studies.found import State
from bioinstruct_jax.studies.grid import cells
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.results.by_hand import DATE
from tests.evaluations import Said, call


@dataclass(frozen=True)
class Marks:
    """What a model reached in a task.

    Attributes:
        values: right or not, or ROUGE-L, of each item.
        documents: of the items; None: each is one.
        flagged: items that it was tuned on; None: not looked for.
        answered: how many of the items have an answer; None: all.
    """

    values: Sequence[float]
    protocol: str = "generated"
    documents: Sequence[str] | None = None
    flagged: Sequence[bool] | None = None
    answered: int | None = None


def job(out: Path, **keys: Any) -> Study:
    """A study of one model with the arms all and QA."""
    given: dict[str, Any] = {
        "out": str(out),
        "models": [{"name": "m", "settings": "seeds_tiny"}],
        "pool": [{"path": "seeds"}],
        "arms": [{"name": "all"}, {"name": "QA", "only": ["QA"]}],
        "sizes": ["natural"],
        "hypotheses": [{"on": "medqa"}, {"on": "QA", "arm": "QA", "against": "all"}],
        "resamples": 400,
    }
    return TypeAdapter(Study).validate_python(given | keys)


def states(made: Study, missing: Sequence[str] = ()) -> list[State]:
    """Every cell finished but for some."""
    return [
        State(cell, "failed" if cell.name in missing else "finished", scores=f"scores/{cell.name}")
        for cell in cells(made)
    ]


def write(folder: Path, cell: str, marks: dict[str, Marks | list[Marks]], *, date=DATE, order: Any = None) -> Path:
    """A cell's scores, of accuracies and ROUGE-L; the file of its results.

    Args:
        order: of the rows, a permutation of each task's.
    """
    told: dict[str, dict[str, Any]] = {}
    for task, given in marks.items():
        lines: list[str] = []
        for one in given if isinstance(given, list) else [given]:
            rows = _rows(task, one)
            lines += [json.dumps(row) for row in (rows if order is None else [rows[place] for place in order])]
            told.setdefault(task, {})[one.protocol] = _told(task, one, file_name(task, date))
        (folder / cell).mkdir(parents=True, exist_ok=True)
        (folder / cell / file_name(task, date)).write_text("\n".join(lines) + "\n", encoding="utf-8")
    file = folder / cell / f"results_{stamp(date)}.json"
    made = {"results": {}, "model_name": cell, "bioinstruct": {"tasks": told}}
    file.write_text(json.dumps(made), encoding="utf-8")
    return file


def _rows(task: str, one: Marks) -> list[dict[str, Any]]:
    answered = len(one.values) if one.answered is None else one.answered
    return [
        {
            "doc_id": place,
            "filter": FILTERS[one.protocol],
            "id": f"{task}/test/{place}",
            "document": one.documents[place] if one.documents else f"{task}/test/{place}",
            "answer": "A" if place < answered else None,
            "flagged": None if one.flagged is None else bool(one.flagged[place]),
            "counts": [float(value), 1],
            "doc_hash": f"doc {place}",
            "target_hash": f"target {place}",
            "restricted": False,
        }
        for place, value in enumerate(one.values)
    ]


def _told(task: str, one: Marks, samples: str) -> dict[str, Any]:
    scorer = table.scorer(TASKS[task], one.protocol, answer_form(job(Path("x")).scored(), TASKS[task]))
    name = scorer.metrics()[0].name
    return {
        "headline": name,
        "metrics": {name: {"estimate": {"value": float(np.mean(one.values))}}},
        "items": len(one.values),
        "unfit": 0,
        "samples": samples,
        "versions": {"scorer": scorer.version},
        "baselines": {"acc": {"majority": 0.25}} if name == "acc" else {},
    }


def evaluated(
    folder: Path, cell: str, corpora: Path, tasks: Sequence[str], says: Callable[[Question], str], *words: str
) -> Said:
    """A real evaluation of answers that are made up for each question."""
    given = {"out": str(folder / cell), "corpora": str(corpora), "tasks": list(tasks), "protocols": ["generated"]}
    for word in words:
        key, _, value = word.removeprefix("--").partition("=")
        given[key] = json.loads(value)
    whole = {"models": [{"model": "none"}]} | given
    plan, _ = planned(type(job(Path("x")).scored())(**whole), files.path(corpora))
    file = folder / f"{cell}.jsonl"
    rows = [{"task": one.task.name, "id": each.id, "output": says(each)} for one in plan for each in one.questions()]
    folder.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    model = [f"--models.0.name={cell}", "--models.0.runs_on=predictions", f"--models.0.predictions={file}"]
    asked = [f"--{key}={json.dumps(value)}" for key, value in given.items() if key not in ("out", "corpora")]
    return call(*asked, f"--out={folder / cell}", f"--corpora={corpora}", *model, "--resamples=100")
