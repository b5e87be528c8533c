"""Small studies by hand: settings, a base that need not be there, and folders of cells that nobody ran."""

import json
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter

from bioinstruct_jax import settings
from bioinstruct_jax.studies import arms, commands, folder
from bioinstruct_jax.studies.grid import Cell
from bioinstruct_jax.studies.job import Study
from tests import evaluations, tiny_run

TUNED = Cell("small-all-natural-s0", "tuned", "small", "all", "natural", 0)
BASE = Cell("small-base", "base", "small", "base")


def keys(home: Path, **changes: Any) -> dict[str, Any]:
    """The settings of a study of one model, one arm and three seeds; its learner's file is written."""
    (home / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in tiny_run.ROWS), encoding="utf-8")
    tune = {
        "name": "tune",
        "platform": "cpu",
        "model": {"weights": str(home / "base"), "dtype": "float32"},
        "lora": {"rank": 2},
        "tokenizer": {"path": "tiny"},
        "data": {
            "sources": [{"path": str(home / "rows.jsonl")}],
            "length": 128,
            "packing": False,
            "cache_dir": str(home / "cache"),
        },
        "optimizer": {"learning_rate": 0.01},
        "training": {"steps": 3, "batch_rows": 4, "checkpoint_every": 1},
    }
    (home / "tune.yaml").write_text(yaml.safe_dump(tune), encoding="utf-8")
    return {
        "out": str(home / "study"),
        "corpora": str(home / "corpora"),
        "models": [{"name": "small", "settings": str(home / "tune.yaml")}],
        "pool": [{"path": str(home / "rows.jsonl")}],
        "arms": [{"name": "all"}],
        "sizes": ["natural"],
        "seeds": [0, 1, 2],
        "evaluation": {"tasks": ["medqa"], "protocols": ["generated"], "max_tokens": 8, "limit": 2},
        "hypotheses": [{"on": "medqa"}],
        "resamples": 100,
        **changes,
    }


def job(home: Path, **changes: Any) -> Study:
    """The same as an object."""
    return TypeAdapter(Study).validate_python(keys(home, **changes))


def file(home: Path, **changes: Any) -> Path:
    """The same as a file."""
    place = home / "study.yaml"
    place.write_text(yaml.safe_dump(keys(home, **changes)), encoding="utf-8")
    return place


def corpora(home: Path) -> None:
    evaluations.corpora(home / "corpora")


def arm(study: Study, cell: Cell = TUNED, text: str = "{}\n") -> Path:
    """The file of rows of a cell, whatever is in it."""
    place = Path(arms.file(study, cell))
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    return place


def trained(study: Study, cell: Cell = TUNED, *, finished: bool = True) -> Path:
    """The run folder that the training of a cell would leave, as far as a study looks at it."""
    from bioinstruct_jax import files

    run = folder.place(study) / folder.RUNS / cell.name
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(settings.dump(commands.training(study, cell)), encoding="utf-8")
    (run / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
    (run / "timing.jsonl").write_text('{"step": 1, "seconds": 1.5}\n{"step": 2, "seconds": 0.5}\n')
    digest = files.sha256(files.path(arms.file(study, cell)))
    (run / "data.json").write_text(json.dumps({"sources": [{"sha256": digest}]}))
    if finished:
        (run / "finished.json").write_text('{"made": "adapter", "steps": 2}')
    return run


def scored(study: Study, cell: Cell = TUNED, *, code: int = 0) -> Path:
    """The folder that the evaluation of a cell would leave, as far as a study looks at it."""
    from bioinstruct_jax.evaluation.runner import folder as scores

    out = scores.begin(commands.evaluation(study, cell))
    (out / cell.name).mkdir(exist_ok=True)
    date = scores.stamp(scores.started(out))
    (out / cell.name / f"results_{date}.json").write_text('{"results": {}, "total_evaluation_time_seconds": "4.0"}')
    scores.finish(out, code)
    return out
