import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.tasks.spans import WIDENED, Located, Mention, from_text

texts = st.lists(st.sampled_from(["gout", "5", "mg", "-", "(", "é", "_", " ", "  ", "\n", "\u00a0"]), max_size=12).map(
    "".join
)


@given(texts, st.data())
def test_mentions_are_the_fewest_whole_tokens(text, data):
    # Mutations: bisect_left for the first token (one that ends where a mention begins is taken); tokens cut at
    # mentions; the blanks before a token in place of those behind it.
    bounds = st.integers(0, len(text))
    start, end = sorted([data.draw(bounds), data.draw(bounds)])
    if not text[start:end].strip():
        if text.strip():
            with pytest.raises(ValueError, match="hold no word"):
                from_text("x", text, [Located(start, end, "Disease")])
        else:
            assert from_text("x", text, []) is None
        return
    plain, item = from_text("x", text, []), from_text("x", text, [Located(start, end, "Disease")])
    assert (item.tokens, item.spaces) == (plain.tokens, plain.spaces)
    assert item.text == text.strip()
    shift = len(text) - len(text.lstrip())
    begins = [place + shift for place in item.starts]
    touched = [
        place
        for place, (begin, token) in enumerate(zip(begins, item.tokens, strict=True))
        if begin < end and begin + len(token) > start
    ]
    assert item.mentions == (Mention(touched[0], touched[-1] + 1, "Disease"),)
    whole = item.words(item.mentions[0]) == text[start:end].strip()
    assert item.exceptions == (() if whole else (WIDENED,))
