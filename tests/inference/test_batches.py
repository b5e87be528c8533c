import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.inference import batches
from bioinstruct_jax.inference.batches import Branches


@given(st.integers(0, 10_000))
def test_a_bucket_holds_its_length_and_wastes_little(length):
    size = batches.bucket(length)
    assert size >= length
    assert size <= max(16, 1.5 * length)
    assert batches.bucket(size) == size


def test_buckets_are_few():
    assert len({batches.bucket(length) for length in range(1, 4097)}) == 17


@given(st.sampled_from([2, 4]), st.integers(0, 5000))
def test_power(base, least):
    size = batches.power(base, least)
    assert size >= least
    assert size == 1 or size // base < least


def test_a_row_holds_a_context_and_its_branches():
    request = Branches(np.array([7, 8, 9]), (np.array([1, 2, 3]), np.array([4]), np.array([5, 6])))
    assert batches.targets(request) == 6
    assert batches.row_length(request) == 6
    rows = batches.rows([request], 2, 8, 7)
    assert rows.tokens[0].tolist() == [7, 8, 9, 1, 2, 5, 0, 0]
    assert rows.positions[0].tolist() == [0, 1, 2, 3, 4, 3, 0, 0]
    assert rows.branches.tolist() == [[0, 0, 0, 1, 1, 3, -1, -1], [-1] * 8]
    assert rows.at[0].tolist() == [2, 3, 4, 2, 2, 5, 0]
    assert rows.targets[0].tolist() == [1, 2, 3, 4, 5, 6, 0]
