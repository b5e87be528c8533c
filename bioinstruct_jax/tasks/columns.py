"""Columns: a token a line with its tag, a blank line between sentences.

The layout of MTL-Bioinformatics-2016 (Crichton et al. 2017), of spyysalo/ncbi-disease, of the GENIA project's files
for JNLPBA (which begin each abstract with ``###MEDLINE:``) and of CoNLL-2003 (``-DOCSTART-``): the token is the first
column, the tag the last one; columns are parted by tabs, or by blanks in a file that begins without.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Literal

from upath import UPath

from bioinstruct_jax.tasks.lines import text_lines
from bioinstruct_jax.tasks.spans import Entities, Mention
from bioinstruct_jax.tasks.task import CorpusError

TAG = re.compile(r"O|([BI])(?:-(.+))?")
HEADS = ("-DOCSTART-", "###MEDLINE:")  # a line that begins a document and is no token
BLANK = " \t\r"
OUTSIDE = "O or the beginning of a sentence"


def read(
    file: UPath, types: Mapping[str, str], *, scheme: Literal["IOB1", "IOB2"] = "IOB2", columns: int = 2
) -> Iterator[Entities]:
    """The sentences of a file; a sentence's id is the file's name and its number from 1.

    Args:
        types: a type as the file writes it, in small letters -> label; ``""`` where bare B and I may stand.
        scheme: IOB2 (also called BIO): each mention begins with B-. IOB1: B- only where a mention follows another of
            its type at once.
        columns: in each line.

    Raises:
        CorpusError: another number of columns, an empty token, an unknown tag, a tag that cannot follow, no sentence.
    """
    sentences = 0
    separator: str | None = None
    tokens: list[str] = []
    tags: list[tuple[str, str]] = []  # (O, B or I; label)
    before = OUTSIDE  # the tag in the line above, as the file writes it
    number = 0
    for number, line in text_lines(file):
        if not line.strip(BLANK) or line.startswith(HEADS):
            if tokens:
                sentences += 1
                yield _sentence(f"{file.stem}:{sentences}", tokens, tags)
                tokens, tags = [], []
            before = OUTSIDE
            continue
        if separator is None:
            separator = "\t" if "\t" in line else " "
        cells = line.split("\t") if separator == "\t" else re.split("[ \t]+", line.strip(BLANK))
        if len(cells) != columns:
            raise CorpusError(
                file,
                number,
                f"{len(cells)} column{'s' * (len(cells) != 1)} parted by {'tabs' if separator != ' ' else 'blanks'}, "
                f"not {columns}: a token and its tag are expected",
            )
        if not cells[0].strip():
            raise CorpusError(file, number, "an empty token before its tag")
        tag = cells[-1].strip(BLANK)
        kind, label = _tag(tag, types, file, number)
        follows = before != OUTSIDE and before[1:] == tag[1:]
        if scheme == "IOB2" and kind == "I" and not follows:
            raise CorpusError(file, number, f"{tag} follows {before}: in IOB2 a mention begins with B, and I goes on")
        if scheme == "IOB1" and kind == "B" and not follows:
            raise CorpusError(file, number, f"{tag} follows {before}: in IOB1 B stands only behind its own type")
        tokens.append(cells[0])
        tags.append((kind if follows or kind == "O" else "B", label))
        before = tag if kind != "O" else OUTSIDE
    if tokens:
        sentences += 1
        yield _sentence(f"{file.stem}:{sentences}", tokens, tags)
    if not sentences:
        raise CorpusError(file, number, "no sentence in the whole file")


def _tag(text: str, types: Mapping[str, str], file: UPath, number: int) -> tuple[str, str]:
    match = TAG.fullmatch(text)
    if match and not match[1]:
        return "O", ""
    if match and (match[2] or "").lower() in types:
        return match[1], types[(match[2] or "").lower()]
    known = ", ".join(f"B-{name}" if name else "B" for name in types)
    hint = ": this is the IOBES copy, take the IOB one" if re.fullmatch(r"[SE](-.+)?", text) else ""
    raise CorpusError(file, number, f"unknown tag {text[:40]!r}{hint}; known: O, {known}, and the same with I")


def _sentence(id: str, tokens: list[str], tags: list[tuple[str, str]]) -> Entities:
    return Entities(id, tuple(tokens), spans([kind for kind, _ in tags], [label for _, label in tags]))


def spans(kinds: list[str], labels: list[str]) -> tuple[Mention, ...]:
    """Mentions from B, I and O, and the label of each token; an I always goes on with what stands before it."""
    mentions: list[Mention] = []
    for place, (kind, label) in enumerate(zip(kinds, labels, strict=True)):
        if kind == "B":
            mentions.append(Mention(place, place + 1, label))
        elif kind == "I":
            mentions[-1] = mentions[-1]._replace(end=place + 1)
    return tuple(mentions)
