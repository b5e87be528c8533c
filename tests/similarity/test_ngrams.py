"""Shared n-grams, against looking at all runs."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bioinstruct_jax.similarity import ngrams
from bioinstruct_jax.similarity.ngrams import Ngrams, Run
from bioinstruct_jax.similarity.tokens import words


def brute(texts: list[str], query: str, n: int, least: int) -> Run | None:
    asked = words(query)
    for number, text in enumerate(texts):
        held_out = words(text)
        size = min(n, len(asked), len(held_out))
        if size >= least:
            runs = {tuple(held_out[i : i + size]) for i in range(len(held_out) - size + 1)}
            for start in range(len(asked) - size + 1):
                if tuple(asked[start : start + size]) in runs:
                    return Run(str(number), start, size)
    return None


def indexed(texts: list[str], n: int, least: int) -> Ngrams:
    index = Ngrams(n, least)
    for number, text in enumerate(texts):
        index.add(str(number), text)
    return index


TEXT = st.lists(st.sampled_from("abc"), max_size=9).map(" ".join)
SIZES = st.tuples(st.integers(1, 5), st.integers(0, 4)).map(lambda sizes: (sizes[0] + sizes[1], sizes[0]))


@given(st.lists(TEXT, max_size=6), st.lists(TEXT, min_size=1, max_size=6), SIZES)
@example(["a b c", "c a b"], ["b c c", "c c a"], (3, 1))
@example(["a a", "b"], ["a b"], (3, 2))
def test_the_first_text_met_is_that_of_all_runs(texts, queries, sizes):
    # Mutations: runs over the end of a text (`remaining`, or `inside` of `_holding`); `max` of those met; short texts
    # looked up only where the other is as short; the tokens of texts that do not count known.
    index = indexed(texts, *sizes)
    for query in [*queries, *texts, "a b x"]:
        assert index.find(query) == brute(texts, query, *sizes)


@given(st.lists(TEXT, max_size=6), st.lists(TEXT, min_size=1, max_size=6), SIZES)
def test_equal_hashes_are_no_match(texts, queries, sizes):
    # Mutations: `equal` not asked; the search ends at the first run of a hash; `keep` drops whatever has a hash again.
    before = ngrams._spread
    ngrams._spread = lambda tokens: (tokens % 2).astype(np.uint64)
    try:
        index = indexed(texts, *sizes)
        for query in [*queries, *texts]:
            assert index.find(query) == brute(texts, query, *sizes)
    finally:
        ngrams._spread = before


def test_the_defaults_are_thirteen_tokens_and_eight_for_short_texts():
    held_out = " ".join(f"w{i}" for i in range(30))
    index = Ngrams()
    index.add("passage", held_out)
    index.add("question", "which gene is mutated in cystic fibrosis patients")  # 8
    index.add("too short", "what causes diabetes mellitus in young adults")  # 7
    assert len(index) == 2
    thirteen = " ".join(f"w{i}" for i in range(9, 22))
    assert index.find(f"x y {thirteen} z") == Run("passage", 2, 13)
    assert index.find(f"x {thirteen.removesuffix(' w21')} z") is None
    assert index.find(thirteen.removesuffix(" w21")) == Run("passage", 0, 12)
    assert index.find("Q: Which gene is mutated in cystic-fibrosis patients? A: CFTR, on 7.") == Run("question", 1, 8)
    assert index.find("what causes diabetes mellitus in young adults") is None


def test_texts_can_be_added_after_a_question():
    # Mutation: `add` leaves the tables as they are.
    index = indexed(["a b c d"], 3, 2)
    assert index.find("x y z") is None
    index.add("new", "x y z")
    assert index.find("w x y z") == Run("new", 1, 3)
    assert index.find("b c d") == Run("0", 0, 3)


@pytest.mark.parametrize("asked_before", [False, True])
def test_an_index_travels_to_other_processes(asked_before):
    index = indexed(["a b c d", "e f g"], 3, 2)
    if asked_before:
        index.find("x y")
    assert pickle.loads(pickle.dumps(index)).find("d e f g") == Run("1", 1, 3)


def test_nothing_is_met_in_nothing():
    assert Ngrams().find("a b c d e f g h i j k l m n") is None
    assert indexed(["", "a"], 13, 8).find("") is None


@pytest.mark.parametrize(("n", "least"), [(13, 0), (13, 14), (0, 0)])
def test_sizes_that_make_no_sense_are_refused(n, least):
    with pytest.raises(ValueError, match="least has to be 1 to n"):
        Ngrams(n, least)
