"""A text with mentions: tokens, and where each mention begins and ends among them.

Publishers place mentions among tokens (columns) or characters (offsets). Here they always lie among tokens; the blanks
between tokens are kept where the publisher gives them, so that the text can be shown as it was written.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

TOKEN = re.compile(r"[^\W_]+|\S")  # a run of letters and digits, or one other sign

WIDENED = "widened to whole tokens"
DISCONTINUOUS = "discontinuous"
ACROSS = "across the bounds of an item"
OTHER_WORDS = "other words than the text"


class Mention(NamedTuple):
    """Tokens ``start`` to ``end`` (the first behind it), and what they name."""

    start: int
    end: int
    type: str


class Located(NamedTuple):
    """A mention by characters of a text: ``start`` to ``end`` (the first behind it)."""

    start: int
    end: int
    type: str


@dataclass(frozen=True)
class Entities:
    """A sentence or passage and what is mentioned in it.

    Attributes:
        id: unique within a split.
        tokens: none is empty.
        mentions: in order of start, end and type, each once; they may nest or overlap where the publisher's do.
        spaces: what stands behind each token, as many as tokens; empty where that is not known, and it is one blank.
        exceptions: for each mention of the publisher's that is not here as it stands there, why.
    """

    id: str
    tokens: tuple[str, ...]
    mentions: tuple[Mention, ...]
    spaces: tuple[str, ...] = ()
    exceptions: tuple[str, ...] = ()

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The character of `text` with which each token begins."""
        places, place = [], 0
        for index, token in enumerate(self.tokens):
            places.append(place)
            place += len(token) + (len(self.spaces[index]) if self.spaces else 1)
        return tuple(places)

    @cached_property
    def text(self) -> str:
        """The tokens with the blanks that stood between them, or one each."""
        if not self.spaces:
            return " ".join(self.tokens)
        return "".join(token + space for token, space in zip(self.tokens, self.spaces, strict=True))

    def words(self, mention: Mention) -> str:
        """What the text says from a mention's first token to its last."""
        last = mention.end - 1
        return self.text[self.starts[mention.start] : self.starts[last] + len(self.tokens[last])]


def ordered(mentions: Iterable[Mention]) -> tuple[Mention, ...]:
    """Each mention once, in the order of the text."""
    return tuple(sorted(set(mentions)))


def from_text(
    id: str, text: str, located: Iterable[Located], *, exceptions: Iterable[str] = (), token: re.Pattern[str] = TOKEN
) -> Entities | None:
    """Tokens of a text by rule, and its mentions among them; None for a text without tokens.

    Tokens do not depend on where mentions lie, or they would give the answer away. A mention that begins or ends
    inside a token is widened to whole ones.

    Args:
        located: within the text, in characters of it.
        token: what a token is.

    Raises:
        ValueError: a mention with no token in it.
    """
    found = [(match.start(), match.end()) for match in token.finditer(text)]
    starts, ends = [start for start, _ in found], [end for _, end in found]
    mentions, told = [], list(exceptions)
    for one in located:
        first, behind = bisect_right(ends, one.start), bisect_left(starts, one.end)
        if not 0 <= one.start < one.end <= len(text) or first >= behind:
            raise ValueError(f"characters {one.start} to {one.end} hold no word of a text of {len(text)}")
        mentions.append(Mention(first, behind, one.type))
        blank_start = text[one.start : starts[first]].strip() if one.start <= starts[first] else "inside"
        blank_end = text[ends[behind - 1] : one.end].strip() if one.end >= ends[behind - 1] else "inside"
        if blank_start or blank_end:
            told.append(WIDENED)
    if not found:
        return None
    spaces = [text[end:start] for end, start in zip(ends, [*starts[1:], ends[-1]], strict=True)]
    tokens = tuple(text[start:end] for start, end in found)
    return Entities(id, tokens, ordered(mentions), tuple(spaces), tuple(told))
