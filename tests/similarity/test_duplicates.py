"""The same text again, and nearly the same."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.similarity.duplicates import Exact, NearDuplicates, normalised
from bioinstruct_jax.similarity.join import Match
from bioinstruct_jax.similarity.rouge import rouge_l


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("Is  TGF-δ\n raised? ", "is tgf-Δ raised?", True),
        ("caf\N{LATIN SMALL LETTER E WITH ACUTE}", "CAFE\N{COMBINING ACUTE ACCENT}", True),
        ("\N{NO-BREAK SPACE}a", "a", True),
        ("", " \n", True),
        ("δ", "β", False),  # without a token each
        ("p < 0.05", "p > 0.05", False),
        ("10\N{SUPERSCRIPT TWO}", "102", False),
        ("a b", "ab", False),
    ],
)
def test_what_is_the_same(first, second, same):
    # Mutations: NFKC; tokens compared instead of the text; without casefold, or NFC.
    assert (normalised(first) == normalised(second)) == same
    index = Exact()
    index.add("one", first)
    assert index.find(second) == ("one" if same else None)


@given(st.text())
def test_what_is_normalised_stays(text):
    assert normalised(normalised(text)) == normalised(text)


def test_the_first_of_the_same_is_named():
    # Mutation: the last one.
    index = Exact()
    for id, text in (("1", "fever"), ("2", "Fever"), ("3", "cough")):
        index.add(id, text)
    assert len(index) == 2
    assert pickle.loads(pickle.dumps(index)).find("FEVER ") == "1"
    assert index.find("\ud800") is None  # half a character, as JSON may bring it


def test_a_row_takes_the_same_memory_however_long():
    short, long = Exact(), Exact()
    short.add("1", "a")
    long.add("1", "a b " * 10_000)
    assert len(pickle.dumps(short)) == len(pickle.dumps(long))


@given(
    st.lists(st.lists(st.sampled_from("abcd"), max_size=8).map(" ".join), max_size=12), st.sampled_from([0.5, 0.7, 1.0])
)
def test_a_stream_keeps_what_is_near_to_nothing_kept_before(texts, threshold):
    # Mutations: dropped rows are compared with as well; the last of equals is named.
    rows, kept = NearDuplicates(threshold), []
    for number, text in enumerate(texts):
        scores = [rouge_l(text, other) for _, other in kept]
        best = max(scores, default=0.0)
        found = rows.see(str(number), text)
        if best >= threshold:
            assert found == Match(kept[scores.index(best)][0], best)
        else:
            assert found is None
            kept.append((str(number), text))
