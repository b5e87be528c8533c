"""The scores of groups, by hand and by the variances of their tasks."""

import json

import numpy as np
import pytest

from bioinstruct_jax.evaluation import bootstrap
from bioinstruct_jax.evaluation.results.comparison import told
from bioinstruct_jax.evaluation.results.groups import groups
from bioinstruct_jax.evaluation.scoring.scored import Metric
from tests.evaluation.results.made import ROUGE, result


def shares(right: int, items: int) -> list[int]:
    return [1] * right + [0] * (items - right)


def qa(model: str, right: int, answered: float = 1.0) -> list:
    """MedQA of 100 items, and two subjects of MMLU of 20 and 10."""
    return [
        result(model, shares(right, 100), answered=answered),
        result(model, shares(10, 20), task="mmlu_anatomy"),
        result(model, shares(9, 10), task="mmlu_virology"),
    ]


def test_a_group_is_the_mean_of_its_tasks_and_mmlu_is_one():
    # Mutations: each subject a task; subjects weighed by their items; items pooled.
    (found,) = groups(qa("base", 40), "base", resamples=200)
    assert (found.tasks, found.metric_names) == (("medqa", "mmlu"), ("acc", "acc"))
    assert found.score == pytest.approx((0.4 + (0.5 + 0.9) / 2) / 2)
    assert (found.gain, found.note) == (None, "")


def test_its_interval_is_that_of_independent_tasks():
    # Mutations: one seed for all tasks of one size, whose errors then add up; tasks drawn again too.
    random = np.random.default_rng(0)
    scores = {task: random.random(300) for task in ("a", "b", "c", "d")}
    (found,) = groups([result("base", own, task=task) for task, own in scores.items()], "base", resamples=4000)
    error = np.sqrt(sum(own.var(ddof=1) / 300 for own in scores.values())) / 4
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.06)
    assert (found.low + found.high) / 2 == pytest.approx(found.score, abs=error / 8)


def test_a_single_task_keeps_its_own_interval():
    (found,) = groups([result("base", shares(30, 100))], "base", resamples=300, seed=5)
    alone = bootstrap.bootstrap(bootstrap.of_items(shares(30, 100)), bootstrap.ratio, resamples=300, seed=5)
    assert (found.score, found.low, found.high) == (alone.value, alone.low, alone.high)


def test_the_gain_is_relative_to_a_base_that_answered():
    # Mutations: the tuned model's shares answered; base and tuned swapped; protocols mixed.
    base, tuned = groups(qa("base", 40) + qa("tuned", 60), "base", resamples=100)
    assert base.gain is None
    assert tuned.gain.absolute == pytest.approx(0.1)
    assert tuned.gain.relative == pytest.approx(0.1 / 0.55)
    *_, tuned = groups(qa("base", 40, answered=0.3) + qa("tuned", 60), "base", resamples=100)
    assert tuned.gain.relative is None
    assert "30.0%" in tuned.gain.withheld
    *_, tuned = groups(qa("base", 40) + qa("tuned", 60, answered=0.3), "base", resamples=100)
    assert tuned.gain.relative is not None


def test_other_tasks_give_no_gain():
    # Mutation: the mean of the tasks that both did.
    base, tuned = groups(qa("base", 40) + qa("tuned", 60)[:2], "base", resamples=100)
    assert tuned.gain is None
    assert "mmlu_virology" in tuned.note
    assert base.note == ""
    (alone,) = (one for one in groups([*qa("base", 40), result("x", [1, 0], group="IE")], "base") if one.group == "IE")
    assert alone.gain is None
    assert "the baseline has no score of this group" in alone.note


def test_points_are_hundredths_and_other_units_stay_out():
    error = Metric("error", "error", "error", bootstrap.ratio, unit="error", higher_is_better=False)
    results = [
        result("base", [30, 50], task="meqsum", group="GEN", metric=ROUGE),
        result("base", [1, 2], task="odd", group="GEN", metric=error),
        result("base", [], task="none", group="GEN"),
    ]
    (found,) = groups(results, "base", resamples=100)
    assert (found.score, found.tasks) == (0.4, ("meqsum",))
    assert found.note == "without odd: error is not a share of something good; without none: no item"
    assert 0.3 <= found.low <= found.high <= 0.5
    (none,) = groups(results[2:], "base", resamples=100)
    assert (none.score, none.low, none.tasks) == (None, None, ())


def test_a_task_of_one_document_leaves_no_interval():
    results = [result("base", [1, 0, 1]), result("base", [1, 0], task="one", documents=["d", "d"])]
    (found,) = groups(results, "base", resamples=100)
    assert (found.low, found.high) == (None, None)
    assert "one: one document" in found.note


def test_groups_come_in_the_papers_order_and_as_json():
    results = [
        result(model, [1, 0, 1], task=task, group=group, protocol=protocol)
        for model in ("tuned", "base")
        for group, task in (("GEN", "g"), ("QA", "q"))
        for protocol in ("harness", "generated")
    ]
    found = groups(results, "base", resamples=100)
    assert [(one.group, one.protocol, one.model) for one in found] == [
        (group, protocol, model)
        for group in ("QA", "GEN")
        for protocol in ("harness", "generated")
        for model in ("tuned", "base")
    ]
    assert json.loads(json.dumps(told(found[0]), allow_nan=False))["gain"]["absolute"] == 0
