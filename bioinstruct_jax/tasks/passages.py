"""Documents of passages with mentions by character offsets, as standoff, PubTator and BioC place them."""

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from upath import UPath

from bioinstruct_jax.tasks.spans import ACROSS, DISCONTINUOUS, Entities, Located, from_text
from bioinstruct_jax.tasks.task import CorpusError


class Passage(NamedTuple):
    """A part of a document that becomes one item.

    Attributes:
        id: of the item.
        offset: of its first character within the document.
        text: as the publisher writes it.
    """

    id: str
    offset: int
    text: str


class Annotation(NamedTuple):
    """A mention as a publisher writes it.

    Attributes:
        line: in the publisher's file.
        type: as the publisher names it.
        pieces: (start, end) in characters of the document; several for a discontinuous mention.
        words: that are to stand there; empty where the publisher does not say.
    """

    line: int
    type: str
    pieces: tuple[tuple[int, int], ...]
    words: str


def items(
    file: UPath, passages: Sequence[Passage], annotations: Sequence[Annotation], types: Mapping[str, str]
) -> Iterator[Entities]:
    """The passages of one document that have text.

    A mention of several pieces, or one that leaves its passage, is none of an item's spans: it is left out, and told in
    the item's `exceptions`.

    Args:
        passages: in order of their offsets.
        types: a type as the publisher writes it -> label.

    Raises:
        CorpusError: an unknown type, offsets beyond the text, or other words there than the publisher says.
    """
    located: list[list[Located]] = [[] for _ in passages]
    told: list[list[str]] = [[] for _ in passages]
    offsets = [passage.offset for passage in passages]
    for line, kind, pieces, words in annotations:
        if kind not in types:
            raise CorpusError(file, line, f"unknown type {kind[:40]!r}; known: {', '.join(types)}")
        start, end = pieces[0][0], pieces[-1][1]
        index = bisect_right(offsets, start) - 1
        if index < 0 or start >= end or end > offsets[-1] + len(passages[-1].text):
            raise CorpusError(file, line, f"characters {start} to {end} lie outside the text")
        passage = passages[index]
        if len(pieces) > 1:
            told[index].append(DISCONTINUOUS)
            continue
        if end > passage.offset + len(passage.text):
            told[index].append(ACROSS)
            continue
        there = passage.text[start - passage.offset : end - passage.offset]
        if words and words.split() != there.split():
            raise CorpusError(
                file, line, f"characters {start} to {end} are {there[:60]!r} in the text, not {words[:60]!r}"
            )
        if not there.strip():
            raise CorpusError(file, line, f"characters {start} to {end} hold no word")
        located[index].append(Located(start - passage.offset, end - passage.offset, types[kind]))
    for passage, inside, exceptions in zip(passages, located, told, strict=True):
        if item := from_text(passage.id, passage.text, inside, exceptions=exceptions):
            yield item
