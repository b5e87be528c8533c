import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.data import tokenizer
from bioinstruct_jax.inference.text_stream import TextStream


@pytest.fixture(scope="module")
def tiny():
    return tokenizer.load("tiny")


def _ids(text, tiny):
    return tiny(text, add_special_tokens=False)["input_ids"]


@given(data=st.data(), text=st.text(max_size=30), stop=st.lists(st.text(min_size=1, max_size=4), max_size=3))
def test_what_is_shown_is_the_text_before_the_first_stop_however_it_arrives(data, text, stop, tiny):
    # Mutations: half a character shown; the beginning of a stop text shown; a stop text that spans two pushes missed.
    ids = _ids(text, tiny)
    whole = tiny.decode(ids)
    places = [whole.find(word) for word in stop if word in whole]
    wanted = whole[: min(places)] if places else whole
    stream, shown, at = TextStream(tiny, tuple(stop)), "", 0
    while at < len(ids) and not stream.stopped:
        count = data.draw(st.integers(1, 5))
        stream.push(ids[at : at + count])
        at += count
        shown += stream.show(last=at >= len(ids) or stream.stopped)
        assert wanted.startswith(shown)
    assert (stream.text, shown) == (wanted, wanted) or not ids
    assert stream.stopped == bool(places)


def test_of_two_stop_texts_in_one_push_the_earlier_one_counts(tiny):
    # Mutation: the later one.
    stream = TextStream(tiny, ("four", "two"))
    stream.push(_ids("one two three four", tiny))
    assert stream.text == "one "


def test_tokens_after_a_stop_text_do_not_count(tiny):
    ids = _ids("one two three four", tiny)
    stream = TextStream(tiny, (" three",))
    stream.push(ids)
    assert stream.text == "one two"
    assert tiny.decode(stream.tokens).endswith("three")
    assert len(stream.tokens) < len(ids)
