"""What a run notices of its losses follows from its rows alone."""

import json
import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.training.metrics import row
from bioinstruct_jax.training.watch import FEWEST, Best, Watch

LOSS = st.one_of(st.floats(0, 20), st.sampled_from([math.nan, math.inf, 1 / 3]))  # as they are computed, in float64
ROW = st.one_of(st.tuples(LOSS, st.floats(0, 10), st.integers(0, 3)), LOSS)


def _rows(drawn) -> list[dict]:
    rows = []
    for step, values in enumerate(drawn):
        if isinstance(values, float):
            rows.append({"step": step, "held_out_loss": values, "held_out_tokens": 5})
        else:
            loss, norm, targets = values
            rows.append({"step": step, "loss": loss, "grad_norm": norm, "target_tokens": targets})
    return rows


def _read_back(rows: list[dict]) -> list[dict]:
    return [json.loads(row(one["step"], {key: one[key] for key in one if key != "step"})) for one in rows]


def _noted(watch: Watch, rows: list[dict]) -> list[object]:
    found: list[object] = []
    for one in rows:
        if "loss" in one:
            found.append(watch.step(one["loss"], one["grad_norm"], one["target_tokens"]))
        elif one["step"]:
            found.append(watch.held_out(one["held_out_loss"]))
    return [*found, watch.updates, watch.skipped, watch.best, watch.since_best]


@given(st.lists(ROW, max_size=90), st.integers(0, 90))
def test_a_resumed_run_notices_what_an_uninterrupted_one_does(drawn, cut):
    # Mutations: the window not filled from the rows; held-out losses of earlier processes forgotten; losses compared as
    # they were computed, in float64, and after a resume as the file has them, in float32.
    rows = _rows(drawn)
    whole = _noted(Watch(), rows)
    resumed = _noted(Watch(_read_back(rows[:cut])), rows[cut:])
    assert repr(whole[len(whole) - len(resumed) :]) == repr(resumed)


def test_a_spike_stands_far_above_the_losses_before_it():
    # Mutations: mean and standard deviation of a window with an earlier spike hide the next one; no least spread.
    watch = Watch()
    calm = [2.0 + 0.05 * math.sin(step) for step in range(40)]
    assert [watch.step(loss, 1.0, 9) for loss in calm] == [{}] * 40
    assert watch.step(9.0, 1.0, 9) == {"spike": True}
    assert watch.step(3.0, 1.0, 9) == {"spike": True}
    assert watch.step(2.1, 1.0, 9) == {}
    assert watch.step(0.0, 0.0, 0) == {}  # a batch without targets

    level = Watch()
    assert [level.step(1.0, 1.0, 9) for _ in range(30)] == [{}] * 30
    assert level.step(1.05, 1.0, 9) == {}
    few = Watch()
    assert [few.step(loss, 1.0, 9) for loss in [1.0] * (FEWEST - 1) + [50.0]] == [{}] * FEWEST


def test_what_is_not_finite_is_counted_and_no_update():
    watch = Watch()
    assert watch.step(1.0, math.nan, 3) == {"skipped": True}
    assert watch.step(math.inf, 1.0, 3) == {"skipped": True}
    assert watch.step(1.0, 1.0, 0) == {}
    assert watch.step(1.0, 1.0, 3) == {}
    assert (watch.skipped, watch.updates) == (2, 1)


def test_the_lowest_held_out_loss_and_how_long_ago():
    # Mutation: a first NaN is lower than all that follow.
    watch = Watch([{"step": 0, "held_out_loss": 0.1}])  # the base alone is no result of training
    assert [watch.held_out(loss) for loss in (math.nan, 3.0, 2.0, 2.0, 2.5)] == [False, True, True, False, False]
    assert (watch.best, watch.since_best) == (2.0, 2)


@given(st.lists(st.one_of(st.none(), st.floats(0, 1), st.just(math.nan), st.just(1 / 3))), st.booleans())
def test_a_resumed_run_knows_the_best_of_a_metric(values, highest):
    # Mutations: the row before training counted; a value compared in float64 with one read back from float32; the
    # later of two equal ones; a NaN taken.
    rows = [{"step": step, "task/f1": value} for step, value in enumerate(values)]
    whole = Best("task/f1", highest=highest)
    better = [row["step"] for row in rows if row["step"] and whole.note(row)]
    numbers = [np.float32(value) for value in values[1:] if value is not None and not math.isnan(value)]
    assert whole.value == ((max if highest else min)(numbers) if numbers else None)
    if better:
        found = [step for step, value in enumerate(values) if step and value is not None]
        assert better[-1] == next(step for step in found if np.float32(values[step]) == whole.value)
    for cut in range(len(rows) + 1):
        resumed = Best("task/f1", highest=highest, rows=_read_back(rows[:cut]))
        later = [row["step"] for row in rows[cut:] if row["step"] and resumed.note(row)]
        assert later == [step for step in better if step >= cut]
        assert resumed.value == whole.value


def test_other_rows_say_nothing_of_it():
    best = Best("task/f1", highest=True)
    assert not best.note({"step": 1, "loss": 2.0})
    assert best.value is None
