"""The recorded plans: what docs/plan.md shows of them, and that the program needs no more than they say."""

import math

import pytest

from tests.benchmarks import plans
from tests.test_plan import needs_libtpu

GIB = 2**30
# Bars of a throw-away program for the same jobs, GiB a chip.
BARS = {
    "7b v5e-4 1": 4.83,
    "7b v5e-8 1": 3.18,
    "7b v5e-16 1": 2.37,
    "7b v5e-16 4": 4.83,
    "13b v6e-8 4": 9.07,
    "70b v5e-16 1": 14.85,
    "70b v5e-32 1": 10.87,
    "70b v6e-8 1": 22.96,
}


def _newest() -> tuple[str, dict]:
    return list(plans.read().items())[-1]


def test_every_plan_has_its_own_key_and_all_are_recorded():
    keys = [named.key for named in plans.NAMED]
    assert len(set(keys)) == len(keys) >= 40
    _, recorded = _newest()
    assert set(recorded) == set(keys)
    assert {named.slice.removeprefix("2x").split("-")[0] for named in plans.NAMED} == {
        "v4", "v5e", "v5p", "v6e", "tpu7x",
    }  # fmt: skip
    assert all(row["outcome"] in ("fits", "out of memory") for row in recorded.values())


def test_the_guide_shows_what_is_recorded():
    key, _ = _newest()
    shown = plans.published(plans.GUIDE.read_text(encoding="utf-8"))
    assert shown == plans.rendered(plans.read(), key)
    assert shown.count("\n") == len(plans.NAMED) + 1


def test_memory_is_at_or_below_the_bars():
    _, recorded = _newest()
    assert {key: recorded[key]["outcome"] for key in BARS} == dict.fromkeys(BARS, "fits")
    assert [key for key, most in BARS.items() if math.floor(recorded[key]["peak"] / GIB * 100) / 100 > most] == []


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize("key", ["7b v5e-8 1", "70b nf4 v5e-8 1"])
def test_a_plan_made_again_needs_no_more(key):
    # EasyDeL#184, EasyDeL#255.
    # Mutations: kernels of q, k and v stacked as [.., K, G, H]; adapters divided over tensor alone.
    recorded = plans.read().get(plans.versions(), {})
    if not recorded:
        pytest.skip(f"no plans are recorded for {plans.versions()}: python -m tests.benchmarks.plans")
    (named,) = (named for named in plans.NAMED if named.key == key)
    made = plans.make(named)
    assert made.outcome == recorded[key]["outcome"] == "fits", made.reason
    assert made.peak is not None
    assert made.peak <= 1.05 * recorded[key]["peak"]
