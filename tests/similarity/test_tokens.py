"""Texts to tokens and tokens to ids."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score import tokenize

from bioinstruct_jax.similarity.tokens import UNKNOWN, Vocabulary, words


@given(st.text())
@example("TNF-β (TNFβ), 2.5 µg/m\N{KELVIN SIGN}; \N{LATIN CAPITAL LETTER I WITH DOT ABOVE}L-6_x ²")
def test_words_are_those_of_rouge_score(text):
    # Mutations: without lower(); \w for [a-z0-9]; re.IGNORECASE instead of lower(): the Kelvin sign.
    assert words(text) == tokenize.tokenize(text, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" -- ", []),
        ("IL-6's 10^3", ["il", "6", "s", "10", "3"]),
        ("naïve β", ["na", "ve"]),
        ("a_b", ["a", "b"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=8), max_size=5), st.lists(st.sampled_from("abcxyz")))
def test_ids_stand_for_tokens(texts, asked):
    # Mutation: `find` gives new ids to what it does not know.
    vocabulary, known = Vocabulary(), []
    for text in texts:
        ids = vocabulary.add(text)
        known += [token for token in dict.fromkeys(text) if token not in known]
        assert ids.dtype == np.int32
        assert [known[i] for i in ids] == text
    assert vocabulary.find(asked).tolist() == [known.index(token) if token in known else UNKNOWN for token in asked]
    assert len(vocabulary) == len(known)
