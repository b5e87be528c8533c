"""Sizes, baselines and what items can show: figures in print, power by simulation, the rule on relative gains."""

import numpy as np
import pytest

from bioinstruct_jax.evaluation.effects import (
    chance,
    cohen_h,
    gain,
    majority,
    smallest_difference,
    smallest_paired_difference,
)
from bioinstruct_jax.evaluation.paired import mcnemar


def test_cohen_h_by_closed_form():
    # asin sqrt of 0, 1/4, 1/2, 3/4, 1 are 0, pi/6, pi/4, pi/3, pi/2. Mutation: first less second.
    assert cohen_h(0.25, 0.75) == pytest.approx(np.pi / 3)
    assert cohen_h(0.5, 0.25) == pytest.approx(-np.pi / 6)
    assert cohen_h(0, 1) == pytest.approx(np.pi)
    with pytest.raises(ValueError, match=r"31.9 is no share"):
        cohen_h(0.2, 31.9)


def test_the_smallest_difference_is_2_80_errors():
    assert smallest_difference(1.0) == pytest.approx(2.8016, abs=1e-4)
    assert smallest_difference(0.0) == 0.0


@pytest.mark.parametrize(("items", "discordant"), [(1273, 0.3), (500, 0.2), (150, 0.4)])
def test_the_smallest_paired_difference_is_found_four_times_of_five(items, discordant):
    # Mutations: one-sided quantile (0.69), power 0.9, discordant where its root belongs.
    least = smallest_paired_difference(items, discordant)
    a, b = 1.959963984540054, 0.8416212335729143  # Connor's formula itself
    needed = (a * discordant**0.5 + b * (discordant - least**2) ** 0.5) ** 2 / least**2
    assert needed == pytest.approx(items)
    random = np.random.default_rng(0)
    found = 0
    for _ in range(600):
        drawn = random.random(items)
        only_second = drawn < (discordant + least) / 2
        found += mcnemar((drawn < discordant) & ~only_second, only_second).mid_p < 0.05
    assert found / 600 == pytest.approx(0.8, abs=0.05)


def test_too_few_items_show_nothing():
    assert smallest_paired_difference(0, 0.3) is None
    assert smallest_paired_difference(100, 0.0) is None
    assert smallest_paired_difference(5, 0.2) is None
    assert smallest_paired_difference(10_000, 0.3) < smallest_paired_difference(100, 0.3)
    with pytest.raises(ValueError, match="30 of them discordant"):
        smallest_paired_difference(100, 30)


def test_baselines():
    assert majority(["yes"] * 276 + ["no"] * 169 + ["maybe"] * 55) == ("yes", 0.552)
    assert majority(["b", "a"]) == ("a", 0.5)
    assert chance([4, 4, 2, 2]) == pytest.approx(0.375)
    with pytest.raises(ValueError, match="no label"):
        majority([])
    for options in ([], [4, 0]):
        with pytest.raises(ValueError, match="at least one option"):
            chance(options)


def test_gains_are_told_where_the_base_answered():
    # Mutations: < 0.5 as <= 0.5, mean of the tasks' gains, the mean share in place of the least.
    found = gain([0.2, 0.4], [0.3, 0.6], [1.0, 0.5])
    assert found.absolute == pytest.approx(0.15)
    assert found.relative == pytest.approx(0.5)
    assert found.withheld == ""
    held = gain([0.2, 0.4], [0.3, 0.6], [1.0, 0.499])
    assert held.absolute == pytest.approx(0.15)
    assert held.relative is None
    assert held.withheld == "the base answered 49.9% of the items of one task, fewer than half"
    assert gain([0.0], [0.3], [0.9]).withheld.startswith("the base scored 0")
    with pytest.raises(ValueError, match="2 scores of the base, 1 of the tuned"):
        gain([0.1, 0.2], [0.3], [1.0])
    with pytest.raises(ValueError, match="one of each"):
        gain([], [], [])
