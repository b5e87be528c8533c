"""Shared n-grams, against looking at all runs."""

import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bioinstruct_jax.similarity import ngrams
from bioinstruct_jax.similarity.ngrams import Ngrams, Run
from bioinstruct_jax.similarity.tokens import words


def brute(texts: list[str], query: str, n: int, least: int, share: float = 0.0) -> list[Run]:
    asked, met = words(query), []
    for number, text in enumerate(texts):
        held_out = words(text)
        size = min(n, len(asked), len(held_out))
        if size < least:
            continue
        starts = range(len(asked) - size + 1)
        runs = {tuple(asked[start : start + size]) for start in starts}
        there = [place for place in range(len(held_out) - size + 1) if tuple(held_out[place : place + size]) in runs]
        covered = len({token for place in there for token in range(place, place + size)}) / len(held_out)
        if there and covered >= share:
            known = {tuple(held_out[place : place + size]) for place in there}
            first = next(start for start in starts if tuple(asked[start : start + size]) in known)
            met.append(Run(str(number), first, size, covered))
    return met


def indexed(texts: list[str], n: int, least: int, share: float = 0.0) -> Ngrams:
    index = Ngrams(n, least, share)
    for number, text in enumerate(texts):
        index.add(str(number), text)
    return index


TEXT = st.lists(st.sampled_from("abc"), max_size=9).map(" ".join)
SIZES = st.tuples(st.integers(1, 5), st.integers(0, 4), st.sampled_from([0.0, 0.2, 0.5, 0.8, 1.0])).map(
    lambda sizes: (sizes[0] + sizes[1], sizes[0], sizes[2])
)


@given(st.lists(TEXT, max_size=6), st.lists(TEXT, min_size=1, max_size=6), SIZES)
@example(["a b c", "c a b"], ["b c c", "c c a"], (3, 1, 0.0))
@example(["a a", "b"], ["a b"], (3, 2, 0.0))
def test_the_texts_met_are_those_of_all_runs(texts, queries, sizes):
    # Mutations: runs over the end of a text (`remaining`, or `inside` of `_holding`); `max` of those met; short texts
    # looked up only where the other is as short; the tokens of texts that do not count known; a share of the query's.
    index = indexed(texts, *sizes)
    for query in [*queries, *texts, "a b x"]:
        met = brute(texts, query, *sizes)
        assert list(index.all(query)) == met
        assert index.find(query) == (met[0] if met else None)


@given(st.lists(TEXT, max_size=6), st.lists(TEXT, min_size=1, max_size=6), SIZES)
def test_equal_hashes_are_no_match(texts, queries, sizes):
    # Mutations: `equal` not asked; the search ends at the first run of a hash.
    before = ngrams._spread
    ngrams._spread = lambda tokens: (tokens % 2).astype(np.uint64)
    try:
        index = indexed(texts, *sizes)
        for query in [*queries, *texts]:
            assert list(index.all(query)) == brute(texts, query, *sizes)
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
    assert index.find(f"x y {thirteen} z") == Run("passage", 2, 13, 13 / 30)
    assert index.find(f"x {thirteen.removesuffix(' w21')} z") is None
    assert index.find(thirteen.removesuffix(" w21")) == Run("passage", 0, 12, 12 / 30)
    assert index.find("Q: Which gene is mutated in cystic-fibrosis patients? A: CFTR, on 7.") == Run(
        "question", 1, 8, 1.0
    )
    assert index.find("what causes diabetes mellitus in young adults") is None


def test_texts_can_be_added_after_a_question():
    # Mutation: `add` leaves the tables as they are.
    index = indexed(["a b c d"], 3, 2)
    assert index.find("x y z") is None
    index.add("new", "x y z")
    assert index.find("w x y z") == Run("new", 1, 3, 1.0)
    assert index.find("b c d") == Run("0", 0, 3, 3 / 4)


@pytest.mark.parametrize("asked_before", [False, True])
def test_an_index_travels_to_other_processes(asked_before):
    index = indexed(["a b c d", "e f g"], 3, 2)
    if asked_before:
        index.find("x y")
    assert pickle.loads(pickle.dumps(index)).find("d e f g") == Run("1", 1, 3, 1.0)


def test_nothing_is_met_in_nothing():
    assert Ngrams().find("a b c d e f g h i j k l m n") is None
    assert indexed(["", "a"], 13, 8).find("") is None


def test_a_stock_phrase_is_no_match_where_a_share_is_asked_for():
    # Mutation: the share of the longest run alone.
    held_out = " ".join(f"w{i}" for i in range(100))
    half = " ".join([f"w{i}" for i in range(30)] + ["x"] + [f"w{i}" for i in range(60, 80)])
    for share, met in ((0.0, True), (0.49, True), (0.5, True), (0.51, False)):
        index = Ngrams(share=share)
        index.add("visit", held_out)
        assert (index.find(half) is not None) is met
    with pytest.raises(ValueError, match=r"1\.5; give 0 to 1"):
        Ngrams(share=1.5)


@pytest.mark.parametrize(("n", "least"), [(13, 0), (13, 14), (0, 0)])
def test_sizes_that_make_no_sense_are_refused(n, least):
    with pytest.raises(ValueError, match="least has to be 1 to n"):
        Ngrams(n, least)
