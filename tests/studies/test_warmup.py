"""Arms that `train` would refuse are told before anything is run."""

import json
from dataclasses import replace
from pathlib import Path

from bioinstruct_jax.studies import cells, commands, folder, warmup
from tests import tiny_run
from tests.studies import grids

ROWS = "".join(json.dumps(row) + "\n" for row in tiny_run.ROWS)


def test_an_arm_of_too_few_steps_is_told(tmp_path):
    # Mutations: `short` not asked in `ahead`; rows counted and not steps; `<` for `<=`.
    study = grids.job(tmp_path)
    few = len(tiny_run.ROWS) // 4 + (len(tiny_run.ROWS) % 4 > 0)  # steps of one epoch of 4 rows, nothing packed
    for warm, status in ((few, "waiting"), (few + 1, "failed")):
        keys = {"training": {"steps": None, "epochs": 1.0}, "optimizer.warmup_steps": warm}
        other = replace(study, models=(replace(study.models[0], set=keys),))
        folder.begin(other)
        file = grids.arm(other, text=ROWS)
        state = cells.state(other, grids.TUNED)
        assert state.status == status, state.why
        told = warmup.short(commands.training(other, grids.TUNED), Path(file), None)
        assert bool(told) == (status == "failed")
        assert not told or f"is more than the {few} steps" in told
