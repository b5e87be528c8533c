"""PubTator, as NLM ships the NCBI disease corpus and BC5CDR: abstracts with mentions by character offsets.

``PMID|t|title`` and ``PMID|a|abstract``, then a line a mention: PMID, start, end, words, type and id
parted by tabs, and a blank line. Offsets count characters from 0 of title, one character, abstract (README of the
BC5CDR corpus; Dogan et al. 2014). Relations (PMID, CID, and two ids) are passed over. A title is one item, an abstract
another.
"""

import re
from collections.abc import Iterator, Mapping

from upath import UPath

from bioinstruct_jax.tasks.lines import text_lines
from bioinstruct_jax.tasks.passages import Annotation, Passage, items
from bioinstruct_jax.tasks.spans import Entities
from bioinstruct_jax.tasks.task import CorpusError

TEXT = re.compile(r"(\d+)\|([ta])\|(.*)")
RELATION = re.compile(r"[A-Za-z_]+")


def read(file: UPath, types: Mapping[str, str]) -> Iterator[Entities]:
    """Titles and abstracts; an id is PMID:t or PMID:a, and where a PMID comes again, PMID#2:t.

    Args:
        types: a type as the file writes it -> label.

    Raises:
        CorpusError: a line of another form, another PMID than the title's, an abstract without title or a document
            without either, an unknown type, offsets beyond the text or where other words stand, no document.
    """
    seen: dict[str, int] = {}
    document: list[tuple[int, str]] = []
    for number, line in text_lines(file):
        if line.strip(" \t\r"):
            document.append((number, line))
        elif document:
            yield from _document(file, document, types, seen)
            document = []
    if document:
        yield from _document(file, document, types, seen)
    if not seen:
        raise CorpusError(file, 0, "no document in the whole file")


def _document(
    file: UPath, lines: list[tuple[int, str]], types: Mapping[str, str], seen: dict[str, int]
) -> Iterator[Entities]:
    parts: list[tuple[str, str]] = []
    for number, line in lines[:2]:
        match = TEXT.fullmatch(line)
        expected = "ta"[len(parts)]
        if not match or match[2] != expected or (parts and match[1] != parts[0][0]):
            raise CorpusError(file, number, f"{line[:60]!r} is not 'PMID|{expected}|text' of one document")
        parts.append((match[1], match[3]))
    if len(parts) < 2:
        raise CorpusError(file, lines[0][0], "a title without 'PMID|a|' behind it")
    pmid, title = parts[0]
    seen[pmid] = seen.get(pmid, 0) + 1
    name = pmid if seen[pmid] == 1 else f"{pmid}#{seen[pmid]}"
    passages = [Passage(f"{name}:t", 0, title), Passage(f"{name}:a", len(title) + 1, parts[1][1])]
    annotations = []
    for number, line in lines[2:]:
        cells = line.split("\t")
        if cells[0] != pmid:
            raise CorpusError(file, number, f"{line[:60]!r} does not begin with the document's {pmid} and a tab")
        if len(cells) == 4 and RELATION.fullmatch(cells[1]):
            continue
        if len(cells) < 5 or not (cells[1].isdecimal() and cells[2].isdecimal()):
            raise CorpusError(file, number, f"{line[:60]!r} is not 'PMID, start, end, words, type, id' parted by tabs")
        annotations.append(Annotation(number, cells[4], ((int(cells[1]), int(cells[2])),), cells[3]))
    yield from items(file, passages, annotations, types)
