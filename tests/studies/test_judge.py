"""No judge is paid for and then ignored: a study refuses one; the command it names instead grades cells."""

import json
import re
import shlex

import pytest
from pydantic import ValidationError

from bioinstruct_jax import settings
from bioinstruct_jax.studies import folder, grid
from bioinstruct_jax.studies.job import Study
from tests import evaluations
from tests.api.server import serve
from tests.evaluation.judging import scripted
from tests.studies import grids

ENDPOINT = {"endpoint": {"model": "gpt-4", "base_url": "http://127.0.0.1:9/v1"}}
ASKED = {"tasks": ["medquad"], "protocols": ["generated"]}


def _command(home, **judge) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        grids.job(home, evaluation={**ASKED, "judge": ENDPOINT | judge}, hypotheses=[{"on": "medquad"}])
    found = re.search(r"python -m bioinstruct_jax\.evaluate (.*?URL)", str(refused.value), re.DOTALL)
    assert found
    assert "evaluation.judge.endpoint" in str(refused.value)
    return shlex.split(found[1])


def test_a_judge_is_refused_and_what_asks_nobody_is_not(tmp_path):
    # Mutation: an endpoint taken, whose grades nothing reads.
    assert "--tasks=[GEN]" in _command(tmp_path)
    assert "--tasks=[medquad]" in _command(tmp_path, tasks=["medquad"])
    assert isinstance(grids.job(tmp_path, evaluation={**ASKED, "judge": {"limit": 5}}), Study)


def test_the_command_that_is_named_grades_finished_cells(tmp_path):
    # Mutations: cells by names that the grid does not have; answers that are asked for again.
    job = grids.job(tmp_path, evaluation=ASKED, hypotheses=[{"on": "medquad"}])
    grids.corpora(tmp_path)
    out = folder.begin(job)
    words = _command(tmp_path, tasks=["medquad"])
    names = [cell.name for cell in grid.cells(job)[:2]]
    ids = [f"{number}:{number + 1}" for number in range(3)]
    for name, answer in zip(names, (scripted.FAIR, scripted.GOOD), strict=True):
        said = {id: f"{answer} {id}" for id in ids}
        file = evaluations.predictions(tmp_path / f"{name}.jsonl", "medquad", said, "output")
        own = [f"--models.0.name={name}", "--models.0.runs_on=predictions", f"--models.0.predictions={file}"]
        done = evaluations.call(out / "evaluation.yaml", f"--out={out / 'scores' / name}", "--limit=null", *own)
        assert done.code == 0, done.err
    with serve(scripted.judge()) as server:
        words = [word.replace("=MODEL", "=j").replace("=URL", f"={server.url}") for word in words]
        done = evaluations.call(*words)
    assert done.code == 0, done.err
    told = json.loads((tmp_path / "study-judged" / "comparisons.json").read_text())["judge"]["tasks"]["medquad"]
    grades = [told["models"][name]["criteria"]["overall"]["value"] for name in names]
    assert grades == [3, 5]
    assert settings.dump(job) == (out / "study.yaml").read_text()
