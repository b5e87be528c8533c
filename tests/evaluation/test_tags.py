"""Mentions from tags, against seqeval in both its ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.evaluation.tags import conlleval, strict, tags
from bioinstruct_jax.tasks.spans import Mention

TAGS = st.sampled_from(["O", "B-Disease", "I-Disease", "B-Chemical", "I-Chemical"])
BARE = st.sampled_from(["O", "B", "I"])


@given(st.lists(TAGS, max_size=12) | st.lists(BARE, max_size=12))
def test_mentions_are_those_of_seqeval(row):
    # Mutations: an I of another type goes on; `lenient` in strict; the last mention forgotten.
    pytest.importorskip("seqeval", reason="seqeval is not installed: it is in the extra `test`")
    from seqeval.metrics.sequence_labeling import get_entities
    from seqeval.scheme import IOB2, Tokens

    def named(found):
        return {(kind or "_", start, end) for start, end, kind in found}

    assert named(conlleval(row)) == {(kind, start, end + 1) for kind, start, end in get_entities(row)}
    assert named(strict(row)) == {(one.tag, one.start, one.end) for one in Tokens(row, IOB2).entities}


def test_the_same_tags_are_a_mention_or_none():
    assert conlleval(["O", "I-Disease", "I-Disease"]) == (Mention(1, 3, "Disease"),)
    assert strict(["O", "I-Disease", "I-Disease"]) == ()
    assert strict(["B", "I", "B"]) == (Mention(0, 2, ""), Mention(2, 3, ""))


@given(st.lists(TAGS, max_size=12))
def test_tags_of_mentions_are_read_back(row):
    found = conlleval(row)
    assert conlleval(tags(found, len(row))) == strict(tags(found, len(row))) == found


def test_what_cannot_be_tagged_is_refused():
    with pytest.raises(ValueError, match="tokens 1 to 3 of 4 cannot be tagged"):
        tags([Mention(0, 2, "Disease"), Mention(1, 3, "Disease")], 4)
    with pytest.raises(ValueError, match="tokens 3 to 5 of 4"):
        tags([Mention(3, 5, "Disease")], 4)
    for tag in ("S-Disease", "", "Disease", "Bad"):
        with pytest.raises(ValueError, match=f"tag 1 is {tag!r}"):
            conlleval(["O", tag])
