"""Nothing read is nothing accepted: for every key of `Study`, what changes when it is changed, with nothing trained."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from bioinstruct_jax import schema
from bioinstruct_jax.studies import arms, cells, commands, contrasts, estimate, folder, grid
from bioinstruct_jax.studies.job import Study
from tests import tiny_run
from tests.evaluation import choice_corpora
from tests.studies import grids

QUESTION = choice_corpora.MEDQA[1][0]
HALF = " ".join(QUESTION.split()[:16])
NEARLY = " ".join("or" if place % 9 == 8 else word for place, word in enumerate(QUESTION.split()))
TWO = {"arms": [{"name": "all"}, {"name": "old", "only": ["old"]}], "sizes": ["natural", "matched"]}
PRICED = {"price": 3.0}

# A value of each key, and what else is set before and after.
KEYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "out": ("HOME/other", {}),
    "corpora": ("HOME/nowhere", {}),
    "title": ("Another", {}),
    "models": ([{"name": "small", "settings": "HOME/tune.yaml"}, {"name": "b", "settings": "HOME/tune.yaml"}], {}),
    "models.0.name": ("other", {}),
    "models.0.settings": ("HOME/again.yaml", {}),
    "models.0.set": ({"lora.rank": 3}, {}),
    "pool": ([{"path": "HOME/mine.jsonl"}, {"path": "seeds"}], {}),
    "pool.0.path": ("HOME/few.jsonl", {}),
    "pool.0.format": ("text", {"pool": [{"path": "HOME/few.jsonl"}]}),
    "pool.0.split": ("test", {"pool": [{"path": "HOME/hub"}]}),
    "pool.0.weight": (2.0, {}),
    "pool.0.categories": (["old"], {}),
    "pool.0.columns": ({"category": "source"}, {**TWO, "sizes": ["natural"]}),
    "arms": ([{"name": "all"}, {"name": "old", "only": ["old"]}], {}),
    "arms.0.name": ("other", {"hypotheses": [{"on": "medqa", "arm": "old"}], **TWO}),
    "arms.1.only": (["new"], TWO),
    "arms.1.without": (["new"], {"arms": [{"name": "all"}, {"name": "old"}]}),
    "arms.1.sizes": (["natural"], TWO),
    "sizes": (["natural"], TWO),
    "match.rows": (3, TWO),
    "match.tolerance": (0.1, {**TWO, "match": {"tolerance": 1e-9, "rows": 2}}),
    "curve.arm": ("old", {**TWO, "curve": {"arm": "all", "shares": [0.5]}}),
    "curve.shares": ([0.25], {"curve": {"shares": [0.5]}}),
    "seeds": ([0, 1, 2, 3], {}),
    "evaluation": ({"tasks": ["medqa"], "protocols": ["generated"], "limit": 1}, {}),
    "comparators": ([{"name": "x", "model": "HOME/x"}], {}),
    "hypotheses": ([{"on": "medqa"}, {"on": "QA"}], {}),
    "hypotheses.0.on": ("QA", {}),
    "hypotheses.0.arm": ("old", TWO),
    "hypotheses.0.against": ("old", TWO),
    "hypotheses.0.size": ("matched", TWO),
    "hypotheses.0.protocol": ("likelihood", {"evaluation": {"tasks": ["medqa"]}}),
    "reported": ([{"model": "M", "paper": "P", "scores": {"medqa": 40.0}}], {}),
    "reported.0.model": ("N", {"reported": [{"model": "M", "paper": "P", "scores": {"medqa": 40.0}}]}),
    "reported.0.paper": ("N", {"reported": [{"model": "M", "paper": "P", "scores": {"medqa": 40.0}}]}),
    "reported.0.scores": ({"QA": 1.0}, {"reported": [{"model": "M", "paper": "P", "scores": {"medqa": 40.0}}]}),
    "reported.0.gains": (True, {"reported": [{"model": "M", "paper": "P", "scores": {"medqa": 40.0}}]}),
    "reported.0.note": ("N", {"reported": [{"model": "M", "paper": "P", "scores": {"medqa": 40.0}}]}),
    "contamination.share_13": (1.0, {"pool": [{"path": "HOME/half.jsonl"}], "contamination": {"rouge_l": 1.0}}),
    "contamination.rouge_l": (1.0, {"pool": [{"path": "HOME/nearly.jsonl"}], "contamination": {"share_13": 1.0}}),
    "resamples": (101, {}),
    "seed": (1, {**TWO, "match": {"rows": 2}}),
    "slice": ("v5e-8", PRICED),
    "price": (3.0, {}),
}
ELSEWHERE = "comparators.N."  # test_commands.py::test_evaluation_is_that_of_the_study_for_one_model


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("keys")
    grids.corpora(place)
    grids.keys(place)
    (place / "base").mkdir()
    (place / "again.yaml").write_text((place / "tune.yaml").read_text().replace("rank: 2", "rank: 4"))
    rows = [
        {**row, "instruction": f"{row['instruction']} ({number})", "category": category, "source": source}
        for number in range(3)
        for category, source in (("old", "new"), ("new", "old"))
        for row in tiny_run.ROWS
    ]
    rows[0]["source"] = "old"
    files = {"mine": rows, "few": rows[:5]}
    for name, text in (("half", HALF), ("nearly", NEARLY)):
        files[name] = [*rows, {"instruction": text, "input": "", "output": "Yes.", "category": "old"}]
    for name, made in files.items():
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    (place / "hub").mkdir()
    for split, made in (("train", rows), ("test", rows[:4])):
        (place / "hub" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    return place


def _keys(home: Path) -> dict[str, Any]:
    return {**grids.keys(home), "pool": [{"path": "HOME/mine.jsonl"}]}


def _study(home: Path, tmp_path: Path, given: dict[str, Any]) -> Study:
    keys = {**_keys(home), "out": str(tmp_path / "study"), **given}
    return TypeAdapter(Study).validate_python(json.loads(json.dumps(keys).replace("HOME", str(home))))


def _with(given: dict[str, Any], key: str, value: Any, home: Path) -> dict[str, Any]:
    """The settings with one key changed, within sections and lists."""
    made = json.loads(json.dumps({**_keys(home), **given})) if "." in key else {**given}
    here: Any = made
    *above, last = key.split(".")
    for part in above:
        here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
    here[last] = value
    return {name: made[name] for name in {*given, key.split(".")[0]}}


def _seen(job: Study, tmp_path: Path) -> list[Any]:
    """Commands, rows, the estimate and what is found before any cell has run; without what repeats the settings."""
    every = grid.cells(job)
    lines = [commands.line(commands.commands(job, cell)) for cell in every]
    told: list[str] = []
    try:
        folder.begin(job)
        arms.make(job, told.append)
        rows = {file.name: file.read_bytes() for file in sorted((Path(job.out) / "arms").glob("*.jsonl"))}
        found = contrasts.found(job, cells.states(job, every))
        what: list[Any] = [rows, found.title, found.reported, found.removed, found.notes]
        what.append(estimate.said(job, every))
    except (ValueError, OSError) as error:
        what = [type(error).__name__, str(error)]
    return [lines, folder.evaluation(job), *what]


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_seen(home, tmp_path, monkeypatch, key):
    # Mutations: `match.rows`, `contamination` or `hypotheses.N.size` replaced by its default where it is read.
    monkeypatch.setattr(
        estimate, "speed", lambda job, *_: estimate.Speed(3600.0, 1, 1, 8 if job.slice else None)
    )  # the plan has its own tests
    value, given = KEYS[key]
    made = []
    for name, changed in (("before", given), ("after", _with(given, key, value, home))):
        job = _study(home, tmp_path if key == "out" else tmp_path / name, changed)
        seen = repr(_seen(job, tmp_path)).replace(str(tmp_path / name), "")
        made.append(seen)
    assert made[0] != made[1]


def test_what_is_not_changed_looks_the_same_twice(home, tmp_path):
    first, again = (
        repr(_seen(_study(home, tmp_path / name, TWO), tmp_path)).replace(str(tmp_path / name), "") for name in "ab"
    )
    assert first == again


def test_every_key_has_an_entry():
    # Mutation: a field added to Study, or one removed.
    names = {key.name for key in schema.keys(Study) if not schema.fields(key.kind)}
    named = {".".join("N" if part.isdigit() else part for part in key.split(".")) for key in KEYS}
    assert {name for name in names if not name.startswith(ELSEWHERE)} == named
