import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.data.packing import pack

lengths = st.lists(st.integers(1, 64), max_size=80)


def first_fit(sizes: list[int], capacity: int) -> int:
    free: list[int] = []
    for size in sizes:
        for row, room in enumerate(free):
            if size <= room:
                free[row] -= size
                break
        else:
            free.append(capacity - size)
    return len(free)


def best_fit_decreasing(sizes: list[int], capacity: int) -> list[list[int]]:
    """The textbook's, by looking at every row."""
    rows: list[list[int]] = []
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        rooms = [capacity - sum(sizes[i] for i in row) for row in rows]
        fitting = [(room, row) for row, room in enumerate(rooms) if room >= sizes[index]]
        if fitting:
            rows[min(fitting)[1]].append(index)
        else:
            rows.append([index])
    return rows


@settings(max_examples=200)
@given(lengths)
def test_every_example_is_in_exactly_one_row_that_has_room(sizes):
    rows = pack(sizes, 64)
    assert sorted(index for row in rows for index in row) == list(range(len(sizes)))
    assert all(0 < sum(sizes[index] for index in row) <= 64 for row in rows)


@settings(max_examples=200)
@given(lengths)
def test_it_is_best_fit_decreasing(sizes):
    # Mutation: the emptiest row (highest bit) instead of the fullest; no sorting
    free = [[64 - sum(sizes[i] for i in row)] for row in best_fit_decreasing(sizes, 64)]
    assert sorted([64 - sum(sizes[i] for i in row)] for row in pack(sizes, 64)) == sorted(free)


@settings(max_examples=200)
@given(lengths)
def test_it_is_within_the_bound_of_johnson(sizes):
    assert len(pack(sizes, 64)) <= 11 / 9 * -(-sum(sizes) // 64) * 64 / 33 + 1
    assert len(pack(sizes, 64)) <= 11 / 9 * first_fit(sizes, 64) + 1


@pytest.mark.parametrize("seed", range(20))
def test_it_is_no_worse_than_first_fit_on_texts_of_usual_lengths(seed):
    draw = random.Random(seed)
    sizes = [min(2048, max(1, int(draw.lognormvariate(5.5, 0.9)))) for _ in range(400)]
    assert len(pack(sizes, 2048)) <= first_fit(sizes, 2048)


@given(st.permutations(range(12)))
@settings(max_examples=50)
def test_equals_keep_their_order(order):
    # Mutation: LIFO among rows with equal room
    sizes = [5] * 6 + [3] * 6
    shuffled = [sizes[index] for index in order]
    rows = pack(shuffled, 8)
    fives = [index for index in range(12) if shuffled[index] == 5]
    threes = [index for index in range(12) if shuffled[index] == 3]
    assert rows == [[five, three] for five, three in zip(fives, threes, strict=True)]


@pytest.mark.parametrize("size", [0, 9])
def test_what_cannot_be_placed_is_an_error(size):
    with pytest.raises(ValueError, match=f"example 1 has {size} tokens"):
        pack([3, size], 8)


def test_nothing_gives_no_rows():
    assert pack([], 8) == []
