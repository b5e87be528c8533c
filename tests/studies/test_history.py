"""What was changed after scores stands in every report."""

import json
from dataclasses import replace

from bioinstruct_jax.studies import folder, history
from tests.studies import grids


def test_what_changes_before_scores_is_free(tmp_path):
    study = grids.job(tmp_path)
    folder.begin(study)
    folder.begin(replace(study, seeds=(0, 1, 2, 3)))
    assert folder.changes(study) == []


def test_what_changes_after_scores_is_told_each_time(tmp_path):
    # Mutations: `note` not called; the file begun anew at the second change; places and prices counted as changes.
    study = grids.job(tmp_path)
    out = folder.begin(study)
    grids.scored(study, grids.BASE)
    more = replace(study, seeds=(0, 1, 2, 3))
    folder.begin(more)
    folder.begin(more)
    folder.begin(replace(more, title="Another", price=2.0))
    last = replace(more, resamples=200, evaluation={**study.evaluation, "limit": 1})
    folder.begin(last)
    lines = [json.loads(line) for line in (out / history.HISTORY).read_text().splitlines()]
    assert [(one["scored"], one["changes"]) for one in lines] == [
        (1, ["seeds.3: nothing -> 3"]),
        (1, ["evaluation.limit: 2 -> 1", "resamples: 100 -> 200"]),
    ]
    first, second = folder.changes(last)
    assert "when 1 cells had been scored: seeds.3: nothing -> 3" in first
    assert "resamples: 100 -> 200" in second
