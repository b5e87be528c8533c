"""The i2b2 challenges of 2010 (concepts) and 2012 (events), as the n2c2 portal ships them.

Format documents: "Annotation File Formatting" of the 2010 i2b2/VA challenge, and the annotation guidelines of the 2012
temporal relations challenge (Sun, Rumshisky, Uzuner 2013). A note is lines of tokens parted by blanks. A concept is
``c="words" line:token line:token||t="type"``, an event of 2012
``EVENT="words" line:token line:token||type="type"||...``; lines count from 1, tokens from 0, and both places belong to
the mention. The XML of 2012 holds the note in
``<TEXT><![CDATA[...]]></TEXT>`` and an ``<EVENT start end text type/>`` a line, by characters.

Each line of a note is one item. These notes are restricted: no error here quotes them.
"""

import html
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from upath import UPath

from bioinstruct_jax.tasks.lines import text_lines, whole_text
from bioinstruct_jax.tasks.spans import ACROSS, OTHER_WORDS, Entities, Located, from_text
from bioinstruct_jax.tasks.task import CorpusError, Split

TOKEN = re.compile(r"[^ \t\r\f\v]+")
CONCEPT = re.compile(r'c="(.*)" (\d+):(\d+) (\d+):(\d+)\|\|t="([^"]*)"\s*')
EXTENT = re.compile(r'(EVENT|TIMEX3)="(.*)" (\d+):(\d+) (\d+):(\d+)\|\|type="([^"]*)".*')
CDATA = re.compile(r"<TEXT>\s*<!\[CDATA\[(.*?)\]\]>\s*</TEXT>", re.DOTALL)
ATTRIBUTE = re.compile(r'(\w+)="(.*?)"(?=\s+\w+="|\s*/?>)')


class _Place(NamedTuple):
    """A mention as a file places it: line of the file, type, words; (line, token) of its first and last token."""

    number: int
    type: str
    words: str
    first: tuple[int, int]
    last: tuple[int, int]


def concepts(folder: UPath, split: Split, types: Mapping[str, str]) -> Iterator[Entities]:
    """2010: the lines of all notes that have a ``.con``; an id is the note's name and the line.

    ``split.files`` are the folder under which the ``.con`` files lie, in folders called ``concept`` or ``concepts``,
    and for the test data the one of their notes, which otherwise lie in ``txt`` beside ``concept``.

    Raises:
        CorpusError: a ``.con`` without note, a line of another form, an unknown type, a token that the note has not.
    """
    root = folder / split.files[0]
    annotations = sorted(root.rglob("*.con"), key=str)
    if not annotations:
        raise CorpusError(root, 0, "no .con file in this folder or those in it")
    for file in annotations:
        notes = folder / split.files[1] if len(split.files) > 1 else file.parent.parent / "txt"
        note = notes / f"{file.stem}.txt"
        if not note.exists():
            raise CorpusError(file, 0, f"its note {note} is missing")
        places = []
        for number, line in text_lines(file):
            if match := CONCEPT.fullmatch(line):
                start, end = _pair(match, 2), _pair(match, 4)
                places.append(_Place(number, _label(match[6], types, file, number), match[1], start, end))
            elif line.strip():
                raise CorpusError(file, number, 'not of the form c="words" line:token line:token||t="type"')
        yield from _note(file.stem, [line for _, line in text_lines(note)], places, file)


def events(folder: UPath, split: Split, types: Mapping[str, str]) -> Iterator[Entities]:
    """2012: the lines of all notes; an id is the note's name and the line.

    ``split.files`` is the folder of ``N.xml``. A note's ``N.xml.extent`` and ``N.xml.txt`` are read in its place where
    both are there: of the XML some files are not well formed, which is why its tags are read line by line.

    Raises:
        CorpusError: a file of another form, an unknown type, a place that the note has not.
    """
    root = folder / split.files[0]
    if not root.is_dir():
        raise CorpusError(root, 0, "a folder of .xml or .xml.extent files is expected here")
    names = {re.sub(r"\.xml(\.extent)?$", "", file.name) for file in root.iterdir() if _is_note(file)}
    if not names:
        raise CorpusError(root, 0, "no .xml and no .xml.extent file in this folder")
    for name in sorted(names):
        extent, note, xml = (root / f"{name}.xml{suffix}" for suffix in (".extent", ".txt", ""))
        if extent.exists() and note.exists():
            yield from _note(name, [line for _, line in text_lines(note)], _extents(extent, types), extent)
        elif xml.exists():
            yield from _xml(name, xml, types)
        else:
            raise CorpusError(extent, 0, f"its note {note.name} is missing")


def _is_note(file: UPath) -> bool:
    return file.name.endswith((".xml", ".xml.extent"))


def _pair(match: re.Match[str], group: int) -> tuple[int, int]:
    return int(match[group]), int(match[group + 1])


def _label(kind: str, types: Mapping[str, str], file: UPath, number: int) -> str:
    label = types.get(kind.lower())
    if label is None:
        raise CorpusError(file, number, f"unknown type; known: {', '.join(types)}")
    return label


def _extents(file: UPath, types: Mapping[str, str]) -> list[_Place]:
    places = []
    for number, line in text_lines(file):
        if match := EXTENT.fullmatch(line):
            if match[1] == "EVENT":
                label = _label(match[7], types, file, number)
                places.append(_Place(number, label, match[2], _pair(match, 3), _pair(match, 5)))
        elif line.strip():
            raise CorpusError(file, number, 'not of the form EVENT="words" line:token line:token||type="type"||...')
    return places


def _note(name: str, lines: list[str], places: list[_Place], file: UPath) -> Iterator[Entities]:
    """The lines of a note that have text, with the mentions that lie on each."""
    located: dict[int, list[Located]] = {}
    told: dict[int, list[str]] = {}
    found = [[match.span() for match in TOKEN.finditer(line)] for line in lines]
    for place in places:
        for line, token in (place.first, place.last):
            if not 1 <= line <= len(lines) or token >= len(found[line - 1]):
                raise CorpusError(file, place.number, f"{line}:{token} is no token of the note")
        if place.first > place.last:
            raise CorpusError(file, place.number, "the mention ends before it begins")
        line = place.first[0]
        if place.last[0] != line:
            told.setdefault(line, []).append(ACROSS)
            continue
        start, end = found[line - 1][place.first[1]][0], found[line - 1][place.last[1]][1]
        if lines[line - 1][start:end].lower().split() != place.words.lower().split():
            told.setdefault(line, []).append(OTHER_WORDS)
        located.setdefault(line, []).append(Located(start, end, place.type))
    for number, text in enumerate(lines, 1):
        inside, exceptions = located.get(number, []), told.get(number, [])
        if item := from_text(f"{name}:{number}", text, inside, exceptions=exceptions, token=TOKEN):
            yield item


def _xml(name: str, file: UPath, types: Mapping[str, str]) -> Iterator[Entities]:
    content = whole_text(file).replace("\r\n", "\n")
    match = CDATA.search(content)
    if not match:
        raise CorpusError(file, 1, "no <TEXT><![CDATA[...]]></TEXT>: this is no file of the 2012 challenge")
    text = match[1]
    found: list[tuple[int, int, int, str, str]] = []
    first = content.count("\n", 0, match.end()) + 1
    for number, line in enumerate(content[match.end() :].split("\n"), first):
        if not line.lstrip().startswith("<EVENT"):
            continue
        cells = {key: html.unescape(value) for key, value in ATTRIBUTE.findall(line)}
        if not (cells.get("start", "").isdecimal() and cells.get("end", "").isdecimal() and "type" in cells):
            raise CorpusError(file, number, "an <EVENT> without start, end and type")
        label = _label(cells["type"], types, file, number)
        found.append((number, int(cells["start"]), int(cells["end"]), label, cells.get("text", "")))
    shift = _shift(text, [(start, end, words) for _, start, end, _, words in found])
    lines = text.split("\n")
    begins = [0]
    for line in lines:
        begins.append(begins[-1] + len(line) + 1)
    places = []
    tokens = [[match.span() for match in TOKEN.finditer(line)] for line in lines]
    for number, start, end, label, words in found:
        first, last = start + shift, end + shift - 1
        if not 0 <= first <= last < len(text):
            raise CorpusError(file, number, f"characters {start} to {end} lie outside the note's {len(text)}")
        while first < last and text[first].isspace():
            first += 1
        while first < last and text[last].isspace():
            last -= 1
        ends = (_token(place, begins, tokens, file, number) for place in (first, last))
        places.append(_Place(number, label, words, *ends))
    yield from _note(name, lines, places, file)


def _shift(text: str, found: list[tuple[int, int, str]]) -> int:
    """0 where offsets count from 0, -1 where from 1: whichever agrees with more of the words."""

    def agree(shift: int) -> int:
        return sum(text[max(start + shift, 0) : end + shift].split() == words.split() for start, end, words in found)

    return max((0, -1), key=agree)


def _token(
    place: int, begins: list[int], tokens: list[list[tuple[int, int]]], file: UPath, number: int
) -> tuple[int, int]:
    """(line from 1, token from 0) in which a character of the note lies."""
    for line, (begin, behind) in enumerate(pairwise(begins)):
        if begin <= place < behind:
            for index, (start, end) in enumerate(tokens[line]):
                if start <= place - begin < end:
                    return line + 1, index
    raise CorpusError(file, number, f"character {place} is no part of a word of the note")
