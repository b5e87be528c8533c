import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.data.batch import batch, micro_batches
from bioinstruct_jax.data.rows import Rows

KEYS = {"tokens": np.int32, "segments": np.int32, "positions": np.int32, "weights": np.uint8}
few = settings(max_examples=60)


def rows_of(count: int) -> Rows:
    numbers = np.arange(count, dtype=np.int32)[:, None] * 4 + np.arange(4, dtype=np.int32)
    return Rows(numbers, numbers + 1, numbers + 2, (numbers % 2).astype(np.uint8))


def order(rows: Rows, steps: int, size: int, seed: int) -> list[int]:
    return [int(row) // 4 for step in range(steps) for row in batch(rows, step, seed=seed, size=size)["tokens"][:, 0]]


@few
@given(st.integers(1, 40), st.integers(0, 50), st.integers(0, 2**31 - 1), st.integers(1, 6), st.sampled_from([1, 2, 4]))
def test_the_parts_of_any_number_of_processes_are_the_batch(count, step, seed, share, processes):
    # maxtext#1760. Mutation: places = range(step * share, ...); an order of its own for each process
    rows, size = rows_of(count), share * processes
    whole = batch(rows, step, seed=seed, size=size)
    parts = [batch(rows, step, seed=seed, size=size, part=(process, processes)) for process in range(processes)]
    for key, dtype in KEYS.items():
        assert whole[key].dtype == dtype
        assert type(whole[key]) is np.ndarray
        np.testing.assert_array_equal(np.concatenate([part[key] for part in parts]), whole[key])
        np.testing.assert_array_equal(whole[key], getattr(rows, key)[whole["tokens"][:, 0] // 4])


@few
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 2**31 - 1))
def test_each_epoch_holds_every_row_once(count, size, seed):
    # Mutation: draw with replacement; batches that never straddle epochs
    steps = -(-3 * count // size)
    seen = order(rows_of(count), steps, size, seed)
    for epoch in range(3):
        assert sorted(seen[epoch * count : (epoch + 1) * count]) == list(range(count))


@few
@given(st.integers(0, 200), st.integers(0, 2**31 - 1))
def test_a_step_depends_on_seed_and_step_alone(step, seed):
    rows = rows_of(23)
    first = batch(rows, step, seed=seed, size=5)
    for other in range(12):  # whatever was asked for in between
        batch(rows, other, seed=seed + 1, size=7)
    for key, array in batch(rows, step, seed=seed, size=5).items():
        np.testing.assert_array_equal(array, first[key])


@few
@given(st.integers(1, 30), st.integers(0, 20), st.sampled_from([1, 2, 3]), st.sampled_from([1, 2, 4]))
def test_micro_batches_are_the_blocks_of_the_batch(count, step, parts, processes):
    # Mutation: step + index instead of step * parts + index
    rows, size = rows_of(count), 4 * parts
    whole = batch(rows, step, seed=3, size=size)
    shares = [
        micro_batches(rows, step, seed=3, size=size, parts=parts, part=(process, processes))
        for process in range(processes)
    ]
    for key in KEYS:
        joined = np.concatenate([share[key] for share in shares], axis=1)
        np.testing.assert_array_equal(joined, whole[key].reshape(parts, 4, -1))


def test_seeds_and_epochs_have_orders_of_their_own():
    # Mutation: key=[seed, 0]; key=[epoch, 0]
    rows = rows_of(50)
    orders = [order(rows, 1, 50, seed) for seed in range(5)]
    orders += [order(rows, 3, 50, 0)[50:100], order(rows, 3, 50, 0)[100:]]
    assert len({tuple(found) for found in orders}) == len(orders)
    assert all(found != list(range(50)) for found in orders)


def test_the_order_is_this_one_for_ever():
    # a resumed run must find the order it began with, whatever NumPy is installed
    assert order(rows_of(10), 1, 10, 7) == [8, 4, 1, 6, 3, 2, 7, 5, 9, 0]


def test_it_does_not_write_into_the_rows():
    rows = rows_of(4)
    batch(rows, 0, seed=0, size=4)["tokens"][:] = -1
    assert (rows.tokens >= 0).all()


@pytest.mark.parametrize(
    ("step", "size", "part"), [(-1, 4, (0, 1)), (0, 0, (0, 1)), (0, 4, (0, 3)), (0, 4, (2, 2)), (0, 4, (-1, 2))]
)
def test_arguments_that_make_no_sense_are_errors(step, size, part):
    with pytest.raises(ValueError, match=f"step {step}, size {size}"):
        batch(rows_of(3), step, seed=0, size=size, part=part)


def test_no_rows_are_an_error():
    with pytest.raises(ValueError, match="no rows"):
        batch(rows_of(0), 0, seed=0, size=1)
