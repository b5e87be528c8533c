"""Which cells a study has, and which settings cannot be one."""

import pytest

from bioinstruct_jax.studies.grid import cells
from tests.studies import grids

ARMS = [{"name": "all"}, {"name": "QA", "only": ["QA"]}, {"name": "no-QA", "without": ["QA"], "sizes": ["matched"]}]


def _named(job):
    return [cell.name.removeprefix("small-") for cell in cells(job)]


def test_every_seed_has_each_arm_in_its_sizes_and_the_curve(tmp_path):
    # Mutations: `job.sizes` for `job.sizes_of(arm)`; arms before seeds.
    curve = {"arm": "all", "shares": [0.25, 0.01]}
    job = grids.job(tmp_path, arms=ARMS, sizes=["matched", "natural"], curve=curve, seeds=[4, 5, 6])
    of_seed = ["all-natural", "QA-natural", "all-matched", "QA-matched", "no-QA-matched", "all-0.01", "all-0.25"]
    assert _named(job) == ["base", *(f"{cell}-s{seed}" for seed in (4, 5, 6) for cell in of_seed)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 1]}, "at least 3 items"),
        ({"arms": [{"name": "base"}]}, "give another name"),
        ({"arms": [ARMS[0], {"name": "all"}]}, "arms: all stands there twice"),
        ({"arms": ARMS, "sizes": ["natural"]}, "arm no-QA: size matched is not among sizes"),
        ({"hypotheses": [{"on": "QA", "arm": "none"}]}, "'none' against 'base': the arms are"),
        ({"hypotheses": [{"on": "nothing"}]}, "'nothing' is neither a task nor one of"),
        (
            {
                "arms": ARMS,
                "sizes": ["natural", "matched"],
                "hypotheses": [{"on": "medqa", "against": "no-QA"}],
            },
            "size natural is not among sizes .* of no-QA",
        ),
        ({"hypotheses": [{"on": "medqa", "protocol": "harness"}]}, "protocol harness is not among"),
        ({"evaluation": {"limitt": 3}}, r"evaluation\.limitt: unknown key, given 3; did you mean evaluation\.limit\?"),
        ({"evaluation": {"tasks": ["medqqa"]}}, r"^[^.]*evaluation: tasks: 'medqqa' is neither a task nor a group"),
        ({"evaluation": {"judge": {"endpoint": {}}}}, r"evaluation\.judge\.endpoint\.model: missing \([^)]*\) \["),
        ({"evaluation": {"protocols": ["x"]}}, r"evaluation\.protocols\.0: needs one of [^;]*; given x \["),
        ({"evaluation": {"tasks": ["medqa"], "limit": "x"}}, r"evaluation\.limit: needs a whole number"),
        ({"evaluation": {"out": "x"}}, "evaluation.out is set by the study itself"),
        ({"curve": {"arm": "some"}}, "curve.arm 'some'"),
        ({"curve": {"shares": [1.0]}}, "between 0 and 1"),
    ],
)
def test_impossible_studies(tmp_path, changes, message):
    # Mutations: problems of `evaluation` behind "evaluation.:", with an option that a study does not have, with the key
    # of another file, or said twice of one list.
    with pytest.raises(ValueError, match=message):
        grids.job(tmp_path, **changes)
