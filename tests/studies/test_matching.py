"""Matched arms: properties of the target, of the draw, and of the parts of a curve."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bioinstruct_jax.studies import matching
from bioinstruct_jax.studies.matching import Target

LENGTHS = st.lists(st.integers(1, 60), min_size=4, max_size=120)
ARMS = st.dictionaries(st.sampled_from(["all", "QA", "IE", "GEN"]), LENGTHS, min_size=1)


def lengths_of(arms: dict[str, list[int]]) -> dict[str, np.ndarray]:
    return {name: np.array(lengths, np.int64) for name, lengths in arms.items()}


def names(lengths: np.ndarray) -> list[str]:
    return [f"row {place}" for place in range(len(lengths))]


def ladder(size: int, seed: int, longest: int = 60) -> np.ndarray:
    """Lengths without gaps, so that swaps always come near enough."""
    random = np.random.default_rng(seed)
    return np.concatenate([np.arange(1, longest + 1), random.integers(1, longest + 1, size)])


@settings(max_examples=60)
@given(ARMS, st.sampled_from([0.01, 0.05, 0.1]))
def test_matched_arms_have_equal_rows_and_tokens(arms, tolerance):
    # Mutation: `within` of tolerance * tokens, so that two arms may differ by twice the tolerance.
    given_ = lengths_of(arms)
    try:
        wanted = matching.target(given_, None, tolerance)
        drawn = {
            name: matching.draw(names(one), one, wanted, seed=3, arm=name, training=1) for name, one in given_.items()
        }
    except ValueError:  # too few rows, too far apart
        assume(False)
    sums = [int(given_[name][one.places].sum()) for name, one in drawn.items()]
    assert {len(np.unique(one.places)) for one in drawn.values()} == {wanted.rows}
    assert max(sums) - min(sums) <= tolerance * np.mean(sums) + 1e-9
    assert all(set(one.places) <= set(range(len(given_[name]))) for name, one in drawn.items())


@settings(max_examples=60)
@given(ARMS)
def test_the_most_rows_are_those_of_a_search_through_all_numbers(arms):
    # Mutation: bisection that stops one short.
    given_ = {name: np.sort(one) for name, one in lengths_of(arms).items()}

    def possible(rows: int) -> bool:
        shortest = max(one[:rows].sum() for one in given_.values())
        return shortest <= min(one[len(one) - rows :].sum() for one in given_.values())

    most = max((rows for rows in range(2, 1 + min(map(len, given_.values()))) if possible(rows)), default=0)
    if not most:
        with pytest.raises(ValueError, match="no number of rows from 2 on"):
            matching.target(given_, None, 0.01)
        return
    wanted = matching.target(given_, None, 0.01)
    assert wanted.most == most
    assert wanted.rows == max(2, int(0.9 * most))
    assert matching.target(given_, most, 0.01).rows == most


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shift", [-15, 0, 15])
def test_lengths_without_gaps_can_always_be_matched(seed, shift):
    lengths = ladder(300, seed)
    tokens = int((lengths.mean() + shift) * 120)
    drawn = matching.draw(names(lengths), lengths, Target(120, tokens, 0.5, 200), seed=seed, arm="QA", training=0)
    assert abs(int(lengths[drawn.places].sum()) - tokens) <= 0.5
    assert np.sign(drawn.tilt) == np.sign(shift) or not shift
    assert drawn.swaps <= 3  # the tilt does the work


@pytest.mark.parametrize("end", ["shortest", "longest"])
def test_the_ends_of_the_range_can_be_reached(end):
    # Mutation: STEEP of 1, under which noise still keeps some of the shortest away.
    lengths = ladder(100, 5, longest=12)
    rows = 50
    extreme = np.sort(lengths)[:rows] if end == "shortest" else np.sort(lengths)[-rows:]
    wanted = Target(rows, int(extreme.sum()), 0.0, rows)
    drawn = matching.draw(names(lengths), lengths, wanted, seed=0, arm="IE", training=0)
    assert sorted(lengths[drawn.places]) == sorted(extreme)


@settings(max_examples=30)
@given(st.permutations(range(100)), st.integers(0, 5))
def test_a_draw_depends_on_seeds_name_and_ids_alone(order, training):
    # Mutation: noise by place rather than by id.
    lengths = ladder(40, 1)
    ids = names(lengths)
    wanted = matching.target({"a": lengths, "b": lengths + 9}, None, 0.01)

    def drawn(places) -> set[str]:
        found = matching.draw(
            [ids[p] for p in places], lengths[list(places)], wanted, seed=2, arm="a", training=training
        )
        return {ids[places[p]] for p in found.places}

    assert drawn(range(100)) == drawn(order)


def test_other_seeds_and_names_draw_other_rows():
    lengths = ladder(400, 2)
    wanted = matching.target({"a": lengths}, None, 0.01)

    def drawn(seed: int, arm: str, training: int) -> frozenset[int]:
        return frozenset(
            matching.draw(names(lengths), lengths, wanted, seed=seed, arm=arm, training=training).places.tolist()
        )

    assert len({drawn(0, "a", 0), drawn(1, "a", 0), drawn(0, "b", 0), drawn(0, "a", 1)}) == 4


def test_what_needs_no_tilt_is_a_uniform_sample():
    # Equal lengths, and a tolerance that every draw meets: the tilt is 0, and each row is as likely as any other.
    # Mutation: a tilt that starts at 1e-3.
    lengths = np.tile(np.array([10, 30], np.int64), 20)
    wanted = Target(10, 200, 200.0, 40)
    counts = np.zeros(40)
    for training in range(1500):
        drawn = matching.draw(names(lengths), lengths, wanted, seed=0, arm="all", training=training)
        assert (drawn.tilt, drawn.swaps) == (0, 0)
        counts[drawn.places] += 1
    expected = 1500 * 10 / 40
    chi = float(((counts - expected) ** 2 / expected).sum()) / (1 - 10 / 40)  # of samples without replacement
    assert chi < 72.1  # the 0.999 quantile of chi-square with 39 degrees of freedom


def test_the_target_is_next_to_the_natural_means():
    # Mutations: the middle of the common range; its end.
    free = {"a": np.tile([10, 20], 100), "b": np.tile([12, 30], 100)}
    wanted = matching.target(free, 20, 0.01)
    assert wanted.tokens == 20 * (15 + 21) / 2
    held = {"a": np.tile([10, 11], 100), "b": np.tile([11, 90], 100)}
    assert matching.target(held, 50, 0.01).tokens == 50 * 11  # the longest that a has, the shortest of b
    assert matching.target(held | {"b": np.tile([7, 90], 100)}, 50, 0.01).tokens == 550 - (550 - 500) // 4


def test_what_cannot_be_matched_is_told_with_ranges():
    apart = {"short": np.array([2, 3, 2]), "long": np.array([500, 600])}
    with pytest.raises(ValueError, match=r"short \(of 3\) has 2.0 to 2.5 a row, long \(of 2\) has 550.0 to 550.0"):
        matching.target(apart, None, 0.01)
    with pytest.raises(ValueError, match="arm none has no row"):
        matching.target({"none": np.array([], np.int64), "a": np.array([1, 2])}, None, 0.01)
    with pytest.raises(ValueError, match=r"match\.rows 30: .* with 20 rows at most.*a has 20 in all"):
        matching.target({"a": np.arange(20)}, 30, 0.01)
    even = np.array([2, 2, 2, 4, 4])
    with pytest.raises(ValueError, match=r"3 rows of arm QA come no nearer than 1 to 7 .*Raise match\.tolerance"):
        matching.draw(names(even), even, Target(3, 7, 0.5, 3), seed=0, arm="QA", training=0)


@given(st.integers(1, 200), st.integers(0, 9), st.lists(st.floats(0.001, 0.999), min_size=2, max_size=4, unique=True))
def test_a_smaller_part_stands_within_a_larger_one(size, training, shares):
    # Mutation: the share in the purpose of the hash.
    ids = [f"row {place}" for place in range(size)]
    parts = [set(matching.part(ids, one, seed=1, arm="all", training=training).tolist()) for one in sorted(shares)]
    assert [len(one) for one in parts] == [max(1, round(share * size)) for share in sorted(shares)]
    assert all(small <= large for small, large in pairwise(parts))
    turned = {size - 1 - place for place in matching.part(ids[::-1], shares[0], seed=1, arm="all", training=training)}
    assert turned == set(matching.part(ids, shares[0], seed=1, arm="all", training=training).tolist())
