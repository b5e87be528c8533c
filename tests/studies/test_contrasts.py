"""What a study found: scores and contrasts by hand, Holm over all models, what is missing and how it is told."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from bioinstruct_jax.studies import contrasts
from bioinstruct_jax.studies.found import Contrast, Found, Score
from bioinstruct_jax.studies.grid import cells
from tests.studies import scored
from tests.studies.scored import Marks

N = 60
FLAGS = [place % 10 == 3 for place in range(N)]


@pytest.fixture(autouse=True)
def _rows(monkeypatch):
    monkeypatch.setattr(contrasts.arms, "read", lambda out: ([], {"copies": 2}))


def _values(level: float, seed: int) -> list[float]:
    return (np.random.default_rng(seed).random(N) < level).astype(float).tolist()


def _study(tmp_path, *, order=None, without=(), change=None, **keys):
    """A study with medqa, two subjects of MMLU, meqsum; the arms are better than the base; its job."""
    job = scored.job(tmp_path, **keys)
    for cell in cells(job):
        if cell.name in without:
            continue
        level = {"base": 0.3, "all": 0.7, "QA": 0.6}.get(cell.arm, 0.5)
        number = -1 if cell.seed is None else cell.seed
        marks = {
            task: Marks(_values(level, 100 * place + number + 7), flagged=None if cell.kind == "base" else FLAGS)
            for place, task in enumerate(("medqa", "mmlu_anatomy", "mmlu_virology", "meqsum"))
        }
        marks |= change(cell, marks) if change else {}
        scored.write(tmp_path / "scores" / cell.name, cell.name, marks, order=order)
    return job


def _found(job, missing=()) -> Found:
    return contrasts.found(job, scored.states(job, missing))


def _one(found: Found, on="medqa", arm="all", against="base", **keys) -> Contrast:
    (one,) = [
        one
        for one in found.contrasts
        if (one.on, one.arm, one.against) == (on, arm, against)
        and all(getattr(one, key) == value for key, value in keys.items())
    ]
    return one


def _score(found: Found, on="medqa", arm="all", **keys) -> Score:
    (one,) = [
        one
        for one in found.scores
        if (one.on, one.arm) == (on, arm) and all(getattr(one, key) == value for key, value in keys.items())
    ]
    return one


def test_scores_and_differences_by_hand(tmp_path):
    # Mutations: seeds in the order of their scores; the mean of all items of all seeds in `first`.
    found = _found(_study(tmp_path))
    seeds = [float(np.mean(_values(0.7, seed + 7))) for seed in (0, 1, 2)]
    base = float(np.mean(_values(0.3, 6)))
    one, score = _one(found), _score(found)
    assert score.seeds == pytest.approx(tuple(seeds))
    assert (score.value, score.items, score.answered, score.majority) == pytest.approx((np.mean(seeds), N, 1.0, 0.25))
    assert score.low is not None
    assert score.high is not None
    assert score.low < score.value < score.high
    assert (one.first, one.second, one.difference) == pytest.approx((base, np.mean(seeds), np.mean(seeds) - base))
    assert one.relative == pytest.approx((np.mean(seeds) - base) / base)
    assert one.low is not None
    assert 0 <= one.low < one.difference
    assert one.p is not None
    assert one.p < 0.1
    of_base = _score(found, arm="base")
    assert (of_base.seeds, of_base.size) == (pytest.approx((base,)), "")
    assert of_base.low is not None
    assert _one(found, arm="QA", against="all").difference < 0
    assert found.removed == {"copies": 2}
    assert found.notes == ()
    assert "resamples: 400" in found.settings


def test_a_group_is_the_mean_of_its_tasks_and_mmlu_counts_once(tmp_path):
    # Mutations: MMLU's subjects as tasks of their own; items pooled over tasks; meqsum among them.
    found = _found(_study(tmp_path))
    medqa, first, second = (_score(found, on) for on in ("medqa", "mmlu_anatomy", "mmlu_virology"))
    group = _score(found, "QA")
    assert group.value == pytest.approx((medqa.value + (first.value + second.value) / 2) / 2)
    assert group.seeds == pytest.approx(
        tuple((a + (b + c) / 2) / 2 for a, b, c in zip(medqa.seeds, first.seeds, second.seeds, strict=True))
    )
    assert (group.items, group.unit, group.metric, group.majority) == (3 * N, "share", "acc", 0.25)
    assert group.high is not None
    assert group.low is not None
    of_group, of_task = _one(found, "QA"), _one(found, "medqa")
    assert of_group.difference == pytest.approx(group.value - _score(found, "QA", "base").value)
    assert of_group.high is not None
    assert of_task.high is not None
    ons = [one.on for one in found.scores]
    assert ons.index("QA") > max(place for place, on in enumerate(ons) if on == "meqsum")  # tasks first


def test_neither_the_order_of_items_nor_that_of_cells_matters(tmp_path):
    # Mutations: documents in the order of the file; seeds in the order of the states.
    job = _study(tmp_path)
    found = _found(job)
    _study(tmp_path, order=np.random.default_rng(0).permutation(N))
    again = contrasts.found(job, scored.states(job)[::-1])

    def plain(some):
        return {contrasts._key(one): one for one in some.contrasts}

    assert plain(again).keys() == plain(found).keys()
    for key, one in plain(found).items():
        other = plain(again)[key]
        assert (other.low, other.high, other.p) == pytest.approx((one.low, one.high, one.p))
        assert (other.difference, other.clean) == pytest.approx((one.difference, one.clean))


def test_clean_is_without_flagged_items(tmp_path):
    # Mutations: flags of the base alone; of a group the tasks' flagged items left in.
    found = _found(_study(tmp_path))
    kept = ~np.array(FLAGS)

    def mean(level, seed):
        return np.array(_values(level, seed))[kept].mean()

    expected = [
        np.mean([mean(0.7, 100 * place + seed + 7) for seed in range(3)]) - mean(0.3, 100 * place + 6)
        for place in range(3)
    ]
    assert _one(found).clean == pytest.approx(expected[0])
    assert _one(found, "QA").clean == pytest.approx((expected[0] + (expected[1] + expected[2]) / 2) / 2)
    flagged = _found(
        _study(tmp_path, change=lambda cell, marks: {task: replace(one, flagged=None) for task, one in marks.items()})
    )
    assert {one.clean for one in flagged.contrasts} == {None}


def test_no_relative_gain_over_a_base_that_does_not_answer(tmp_path):
    def change(cell, marks):
        return {"medqa": replace(marks["medqa"], answered=20)} if cell.kind == "base" else {}

    found = _found(_study(tmp_path, change=change))
    assert _one(found).relative is None
    assert _one(found).note == "no relative gain: the base answered 33.3% of the items, fewer than half"
    assert _one(found, "QA").relative is None  # one task of a group is enough
    assert _one(found, "mmlu_anatomy").relative is not None
    assert _one(found, arm="QA", against="all").relative is not None


# -------------------------------------------------------------------- hypotheses


def _holm(p):
    """Step by step, as statsmodels has it: running maximum of (m - rank) p in ascending order, at most 1."""
    order = np.argsort(p, kind="stable")
    made = np.minimum(1, np.maximum.accumulate((len(p) - np.arange(len(p))) * np.array(p)[order]))
    return made[np.argsort(order, kind="stable")]


def test_holm_is_over_the_primary_contrasts_of_all_models(tmp_path):
    # Mutations: a family for each model; all contrasts adjusted.
    models = [{"name": name, "settings": "seeds_tiny"} for name in ("m", "n")]
    asked = [{"on": "medqa"}, {"on": "QA", "arm": "QA", "against": "all"}, {"on": "meqsum", "arm": "QA"}]
    found = _found(_study(tmp_path, models=models, hypotheses=asked))
    primary = [one for one in found.contrasts if one.primary]
    assert {(one.model, one.on, one.arm, one.against) for one in primary} == {
        (model, *rest)
        for model in ("m", "n")
        for rest in (("medqa", "all", "base"), ("QA", "QA", "all"), ("meqsum", "QA", "base"))
    }
    p = [one.p for one in primary if one.p is not None]
    assert len(p) == 6
    assert [one.holm for one in primary] == pytest.approx(_holm(p).tolist())
    assert {one.holm for one in found.contrasts if not one.primary} == {None}
    ordered = sorted(primary, key=lambda one: one.p or 0)
    assert all((a.holm or 0) <= (b.holm or 0) for a, b in pairwise(ordered))


def test_hypotheses_that_cannot_be_tested_stay_in_the_family_with_p_1(tmp_path):
    # Mutations: a family of those that are tested; of those that have a contrast; p = 0 for the others.
    job = _study(tmp_path, hypotheses=[{"on": "meqsum"}, {"on": "medqa", "arm": "QA"}, {"on": "QA", "arm": "QA"}])
    lost = [f"m-QA-natural-s{seed}" for seed in (0, 1, 2)]
    for missing, there in ((lost, 1), (lost[1:], 3)):  # no contrast at all; one without p, as it has one seed
        found = _found(job, missing=missing)
        primary = [one for one in found.contrasts if one.primary]
        assert len(primary) == there
        (tested,) = [one for one in primary if one.p is not None]
        assert tested.p is not None
        assert 0 < tested.p < 1
        assert tested.holm == pytest.approx(min(1, 3 * tested.p))
        assert {one.holm for one in primary if one.p is None} <= {None}
        assert found.notes == (f"{len(missing)} of 7 cells: failed, so that no score has them: {', '.join(missing)}",)
    assert not [one for one in _found(job, missing=lost).scores if one.arm == "QA"]


def test_p_values_only_fall_as_cells_end(tmp_path):
    # The family is the declared one, so no hypothesis looks better because another's cells failed.
    job = _study(tmp_path, hypotheses=[{"on": "meqsum"}, {"on": "medqa", "arm": "QA"}])
    before = _one(_found(job, missing=[f"m-QA-natural-s{seed}" for seed in (0, 1, 2)]), "meqsum").holm
    after = _one(_found(job), "meqsum").holm
    assert before is not None
    assert after is not None
    assert after <= before


def test_nothing_is_finished(tmp_path):
    job = scored.job(tmp_path)
    found = _found(job, missing=[cell.name for cell in cells(job)])
    assert (found.scores, found.contrasts) == ((), ())
    assert len(found.notes) == 1  # of the cells; that no hypothesis is answered stands with the hypotheses
    assert len(found.states) == 7


def test_seeds_that_are_missing(tmp_path):
    # Mutations: the score over declared seeds; a p value of one seed; seeds of two arms paired by place.
    job = _study(tmp_path, hypotheses=[{"on": "medqa"}, {"on": "medqa", "arm": "QA"}])
    found = _found(job, missing=["m-all-natural-s0", "m-QA-natural-s1", "m-QA-natural-s2"])
    assert _score(found).seeds == pytest.approx(tuple(np.mean(_values(0.7, seed + 7)) for seed in (1, 2)))
    assert _score(found).note == _one(found).note == "2 of 3 seeds"
    assert _one(found).p is not None
    single = _one(found, arm="QA")
    assert (single.low, single.high, single.p, single.holm) == (None, None, None, None)
    assert single.note == "1 of 3 seeds: how seeds differ is unknown"
    assert single.primary
    assert _score(found, arm="QA").low is None
    assert _score(found, arm="base").low is not None
    assert (len(found.notes), _one(found).holm) == (1, pytest.approx(2 * (_one(found).p or 0)))
    assert not [one for one in found.contrasts if one.against == "all"]  # no seed that both have
    both = _one(_found(job, missing=["m-all-natural-s0"]), arm="QA", against="all")
    assert both.first == pytest.approx(np.mean([np.mean(_values(0.7, seed + 7)) for seed in (1, 2)]))
    assert both.second == pytest.approx(np.mean([np.mean(_values(0.6, seed + 7)) for seed in (1, 2)]))


# -------------------------------------------------------------------- cells


def test_what_is_held_against_what(tmp_path):
    job = scored.job(
        tmp_path,
        sizes=["natural", "matched"],
        arms=[{"name": "all"}, {"name": "QA", "only": ["QA"]}, {"name": "IE", "only": ["IE"]}],
        curve={"shares": [0.05]},
        hypotheses=[{"on": "medqa", "arm": "QA", "against": "IE", "size": "matched"}],
    )
    assert set(contrasts.compared(job)) == {
        *((arm, size, "base") for arm in ("all", "QA", "IE") for size in ("natural", "matched")),
        *((arm, size, "all") for arm in ("QA", "IE") for size in ("natural", "matched")),
        ("all", "0.05", "base"),
        ("QA", "matched", "IE"),
    }


def test_comparators_are_shown_and_held_against_nothing(tmp_path):
    def change(cell, marks):
        return {"medqa": [marks["medqa"], replace(marks["medqa"], protocol="likelihood")]}

    theirs = [{"name": "bert", "model": "somebody/bert"}]
    job = _study(tmp_path, comparators=theirs, change=change)
    marks = {"medqa": Marks(_values(0.5, 99))}  # of the tasks one, under one protocol
    (old,) = (tmp_path / "scores" / "bert" / "bert").glob("results_*.json")
    old.unlink()
    scored.write(tmp_path / "scores" / "bert", "bert", marks)
    found = _found(job)
    (shown,) = [one for one in found.scores if one.model == "bert"]
    assert (shown.arm, shown.size, shown.on, shown.protocol) == ("", "", "medqa", "generated")
    assert shown.low is not None
    assert not [one for one in found.contrasts if one.model == "bert"]
    assert found.notes == (
        "QA, generated: no mean of bert, which was not scored in all of medqa, mmlu_anatomy, mmlu_virology",
    )
    assert _one(found, protocol="likelihood").difference == _one(found, protocol="generated").difference


def test_cells_that_answered_different_items_are_named(tmp_path):
    def fewer(cell, marks):
        return {"medqa": Marks(_values(0.5, 1)[:50])} if cell.name == "m-QA-natural-s1" else {}

    job = _study(tmp_path, change=fewer)
    with pytest.raises(ValueError, match=r"medqa, generated: cells m-base \(first\) and m-QA-natural-s1 \(second\)"):
        _found(job)

    def other(cell, marks):
        return {"medqa": replace(marks["medqa"], protocol="likelihood")} if cell.name == "m-QA-natural-s1" else {}

    job = _study(tmp_path, change=other)
    with pytest.raises(ValueError, match=r"medqa: cell m-base was asked under generated, cell m-QA-natural-s1 under l"):
        _found(job)


def test_a_task_of_one_document_has_no_interval(tmp_path):
    def change(cell, marks):
        return {"mmlu_virology": Marks(_values(0.5, 3), documents=["d"] * N)}

    found = _found(_study(tmp_path, change=change))
    one, group = _one(found, "mmlu_virology"), _one(found, "QA")
    assert (one.low, one.p, group.low, group.p) == (None, None, None, None)
    assert one.note == "one document: its spread is unknown"
    assert group.note == "mmlu_virology: one document, its spread is unknown"
    assert _one(found).p is not None


def test_a_few_items_that_differ_cannot_be_significant(tmp_path):
    # Mutation: no `least` in _contrast: the bootstrap of two items that both go one way says p < 0.5.
    def change(cell, marks):
        more = 4 if cell.kind == "tuned" else 0
        return {"medqa": Marks([1.0 if place % 2 or place < more else 0.0 for place in range(N)])}

    found = _found(_study(tmp_path, change=change))
    one = _one(found)
    assert one.difference == pytest.approx(2 / N)
    assert one.p == 0.5
    assert "so few documents" in one.note
