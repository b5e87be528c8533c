"""Standoff: ``NAME.txt`` and beside it ``NAME.ann`` with mentions by character offsets.

The format document is brat's (brat.nlplab.org/standoff.html): ``T1<TAB>Type start end<TAB>words``; offsets count
characters of the .txt from 0, and ``start end;start end`` is a mention of several pieces. Lines of other kinds
(relations, events, attributes, notes) are passed over. Items are the lines of the .txt that have text.
"""

import re
from collections.abc import Iterator, Mapping

from upath import UPath

from bioinstruct_jax.tasks.lines import text_lines, whole_text
from bioinstruct_jax.tasks.passages import Annotation, Passage, items
from bioinstruct_jax.tasks.spans import Entities
from bioinstruct_jax.tasks.task import CorpusError

BOUND = re.compile(r"T\d+\t(\S+) (\d+ \d+(?:;\d+ \d+)*)\t(.*)")


def read(folder: UPath, types: Mapping[str, str]) -> Iterator[Entities]:
    """The lines of all documents of a folder, by name; an item's id is the document's name and its line's number.

    Args:
        types: a type as the files write it -> label.

    Raises:
        CorpusError: a file without its other half, a line of no known kind, an unknown type, offsets beyond the text or
            where other words stand, no document.
    """
    if not folder.is_dir():
        raise CorpusError(folder, 0, "a folder of .txt and .ann files is expected here")
    names = {file.stem for file in folder.iterdir() if file.suffix in (".txt", ".ann")}
    if not names:
        raise CorpusError(folder, 0, "no .txt and .ann files in this folder")
    for name in sorted(names):
        text, annotations = folder / f"{name}.txt", folder / f"{name}.ann"
        for half, other in ((text, annotations), (annotations, text)):
            if not half.exists():
                raise CorpusError(other, 0, f"{half.name} is missing beside it: a document is both files")
        content = whole_text(text)
        passages, place = [], 0
        for number, line in enumerate(content.split("\n"), 1):
            passages.append(Passage(f"{name}:{number}", place, line))
            place += len(line) + 1
        yield from items(annotations, passages, list(_annotations(annotations)), types)


def _annotations(file: UPath) -> Iterator[Annotation]:
    for number, line in text_lines(file):
        if line.startswith("T"):
            match = BOUND.fullmatch(line)
            if not match:
                raise CorpusError(file, number, f"{line[:60]!r} is not 'T1<TAB>Type start end<TAB>words'")
            pieces = tuple((int(start), int(end)) for start, end in re.findall(r"(\d+) (\d+)", match[2]))
            yield Annotation(number, match[1], pieces, match[3])
        elif line.strip() and line[0] not in "REAMN#*":
            raise CorpusError(file, number, f"{line[:60]!r} is no line of the standoff format")
