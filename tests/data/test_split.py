import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.config import Source
from bioinstruct_jax.data.mixture import mix
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.split import held_out_split

pair = st.tuples(st.integers(0, 12), st.integers(0, 12))


def record(prompt, output, place=0):
    return Record(f"r{place}", f"Question {prompt}", "", f"Answer {output}")


def keys(records):
    def normal(text):
        return " ".join(text.casefold().split())

    return {(normal(row.instruction), normal(row.input)) for row in records}, {normal(row.output) for row in records}


def disjoint(train, held):
    return all(not mine & theirs for mine, theirs in zip(keys(train), keys(held), strict=True))


@settings(max_examples=200)
@given(st.lists(pair, max_size=30), st.floats(0, 0.5), st.integers(0, 3), st.randoms())
def test_the_sides_share_nothing_and_order_does_not_matter(pairs, share, seed, shuffler):
    # Mutation: union of prompts only; parent[first] = second without sorting: the order of the rows shows.
    records = [record(*pair, place) for place, pair in enumerate(pairs)]
    try:
        train, held = held_out_split(records, share, seed)
    except ValueError as error:
        assert "joined by equal prompts" in str(error)  # noqa: PT017
        assert int(share * len(records) + 0.5) >= 1
        return
    assert sorted(train + held, key=records.index) == records
    assert train == [row for row in records if row in train]
    assert disjoint(train, held)
    assert bool(train) == bool(records)
    assert bool(held) == (int(share * len(records) + 0.5) >= 1)
    mixed = shuffler.sample(records, len(records))
    train_again, held_again = held_out_split(mixed, share, seed)
    assert set(train_again) == set(train)
    assert set(held_again) == set(held)


def test_case_and_white_space_do_not_hide_a_shared_text():
    # Mutation: _normal returns text.strip().
    records = [Record("a", "What is  HR?", "", "x"), Record("b", "what is hr?\n", "", "y"), Record("c", "z", "", "Y ")]
    with pytest.raises(ValueError, match="asks for 1 of 3 rows, but all of them are joined"):
        held_out_split(records, 0.34, 0)
    assert held_out_split(records, 0.1, 0) == (records, [])


def test_copies_of_a_row_stay_together_and_the_seed_matters():
    records = [record(place, place, place) for place in range(100) for _ in range(2)]
    train, held = held_out_split(records, 0.1, 0)
    assert (len(held), disjoint(train, held)) == (20, True)
    assert held_out_split(records, 0.1, 1)[1] != held


def test_groups_that_overshoot_are_passed_over():
    # Mutation: stop at the first group that does not fit.
    records = [record(0, place, place) for place in range(60)] + [
        record(place, place, place) for place in range(60, 100)
    ]
    for seed in range(20):
        assert len(held_out_split(records, 0.1, seed)[1]) == 10
    big = [record(group, 50 * group + place, place) for group in range(3) for place in range(5 + group)]
    assert len(held_out_split(big, 0.05, 0)[1]) == 5


@pytest.mark.parametrize("share", [-0.1, 0.6, float("nan")])
def test_an_impossible_share(share):
    with pytest.raises(ValueError, match="no share of rows"):
        held_out_split([record(1, 1)], share, 0)


def test_medquad(data_folder):
    source = Source(
        path=str(data_folder / "medquad" / "medquad.jsonl"),
        columns={"id": "id", "instruction": "question", "output": "answer"},
    )
    records = mix([source], seed=0, on_bad_row="raise").records
    train, held = held_out_split(records, 0.05, 0)
    assert len(train) + len(held) == 16407
    assert abs(len(held) / len(records) - 0.05) < 0.001
    assert disjoint(train, held)
    shuffled = random.Random(0).sample(records, len(records))
    assert set(held_out_split(shuffled, 0.05, 0)[1]) == set(held)
