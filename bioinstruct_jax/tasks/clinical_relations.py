"""i2b2/VA 2010: relations of problems, treatments and tests in discharge summaries and progress notes.

The publisher's annotation files: of concepts ``c="..." 5:2 5:4||t="problem"`` in .con, of relations
``c="..." 5:0 5:0||r="TrAP"||c="..." 5:2 5:4`` in .rel, where 5:2 is line 5 from 1 and token 2 from 0 of the .txt,
whose tokens are parted by blanks.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath

from bioinstruct_jax.tasks import reading
from bioinstruct_jax.tasks.relations import RELATIONS, Pair, marked
from bioinstruct_jax.tasks.task import CorpusError, Licence, Split, Task

NONE = "none"
LABELS = ("TrIP", "TrWP", "TrCP", "TrAP", "TrNAP", "TeRP", "TeCP", "PIP", NONE)
MEANINGS = (
    "treatment improves or cures the problem",
    "treatment worsens the problem",
    "treatment causes the problem",
    "treatment is given for the problem",
    "treatment is not given, or is stopped, because of the problem",
    "test reveals the problem",
    "test is done to investigate the problem",
    "one problem indicates or causes the other",
    "none of these is stated",
)
KINDS = {
    "treatment": LABELS[:5],
    "test": LABELS[5:7],
    "problem": LABELS[7:8],
}  # of the first concept
SPAN = r'c="(.*)" (\d+):(\d+) (\d+):(\d+)'
CONCEPT = re.compile(rf'{SPAN}\|\|t="(\w+)"')
RELATION = re.compile(rf'{SPAN}\|\|r="(\w+)"\|\|{SPAN}')


@dataclass(frozen=True)
class Concept:
    """A mention: line from 1, first and last token from 0."""

    line: int
    first: int
    last: int
    kind: str


def read(folder: UPath, split: Split) -> Iterator[Pair]:
    """Every pair of a treatment, a test or an earlier problem with a problem on one line.

    Concepts that go over two lines, of which there are few, are left out, and so are their relations.
    A split's folders come in threes: of .txt, of .con and of .rel. One without a stated relation is ``none``.
    """
    for texts, concepts, relations in zip(*(split.files[place::3] for place in range(3)), strict=True):
        notes = sorted((folder / texts).glob("*.txt"), key=lambda file: file.name)
        if not notes:
            raise CorpusError(folder / texts, 0, "there are no .txt files in this folder")
        for note in notes:
            con, rel = folder / concepts / f"{note.stem}.con", folder / relations / f"{note.stem}.rel"
            for file in (con, rel):
                if not file.exists():
                    raise CorpusError(file, 0, f"it is missing, and {note.name} is there")
            yield from _pairs(note, con, rel)


def _pairs(note: UPath, con: UPath, rel: UPath) -> Iterator[Pair]:
    tokens = {number: [(m.start(), m.end()) for m in re.finditer(r"\S+", line)] for number, line in reading.lines(note)}
    texts = dict(reading.lines(note))
    concepts = _concepts(con, tokens, texts)
    related = _relations(rel, concepts)
    places = list(concepts)
    for one in places:
        for other in places:
            kind = concepts[one].kind
            if one[0] != other[0] or one == other or concepts[other].kind != "problem":
                continue
            label = related.get((one, other), NONE)
            if kind == "problem" and label == NONE and (one > other or (other, one) in related):
                continue
            spans = [(tokens[number][start][0], tokens[number][end][1]) for number, start, end in (one, other)]
            line = texts[one[0]]
            first, second = (line[start:end] for start, end in spans)
            place = f"{note.stem}:{one[0]}:{one[1]}-{one[2]}:{other[1]}-{other[2]}"
            yield Pair(place, marked(line, spans[0], spans[1]).strip(), first, second, label, note.stem)


def _concepts(
    file: UPath, tokens: dict[int, list[tuple[int, int]]], texts: dict[int, str]
) -> dict[tuple[int, int, int], Concept]:
    found = {}
    for number, line in reading.lines(file):
        if not line.strip():
            continue
        match = CONCEPT.fullmatch(line.strip())
        if not match or match[6] not in KINDS:
            raise CorpusError(file, number, f'not c="..." line:token line:token||t="{"|".join(KINDS)}"')
        start, first, end, last = (int(match[place]) for place in (2, 3, 4, 5))
        if end == start + 1:
            continue
        if start != end or start not in tokens or not first <= last < len(tokens[start]):
            raise CorpusError(file, number, f"the note has no tokens {start}:{first} to {end}:{last}")
        words = texts[start][tokens[start][first][0] : tokens[start][last][1]]
        if not set(words.lower().split()) & set(match[1].lower().split()):
            raise CorpusError(file, number, f"the note has another text at {start}:{first} to {end}:{last}")
        found[start, first, last] = Concept(start, first, last, match[6])
    return dict(sorted(found.items()))


def _relations(
    file: UPath, concepts: dict[tuple[int, int, int], Concept]
) -> dict[tuple[tuple[int, int, int], tuple[int, int, int]], str]:
    found: dict[tuple[tuple[int, int, int], tuple[int, int, int]], str] = {}
    for number, line in reading.lines(file):
        if not line.strip():
            continue
        match = RELATION.fullmatch(line.strip())
        if not match:
            raise CorpusError(file, number, 'not c="..." line:token line:token||r="..."||c="..." line:token line:token')
        if match[2] != match[4] or match[8] != match[10]:
            continue
        one, other = ((int(match[at]), int(match[at + 1]), int(match[at + 3])) for at in (2, 8))
        for place in (one, other):
            if place not in concepts:
                raise CorpusError(file, number, f"no concept stands at {place[0]}:{place[1]} to {place[0]}:{place[2]}")
        kind = concepts[one].kind
        if match[6] not in KINDS[kind] or concepts[other].kind != "problem" or one[0] != other[0]:
            raise CorpusError(file, number, f"{match[6]} from a {kind} to a {concepts[other].kind} is no relation")
        found.setdefault((one, other), match[6])
    return found


_TRAIN, _PARTS = "concept_assertion_relation_training_data", ("txt", "concept", "rel")
_TEST = "reference_standard_for_test_data"

TASKS = (
    Task(
        name="i2b2_2010_relations",
        title="i2b2/VA 2010, relations",
        family=RELATIONS,
        folder="i2b2-2010",
        splits=(
            Split("train", tuple(f"{_TRAIN}/{site}/{part}" for site in ("beth", "partners") for part in _PARTS)),
            Split("test", ("test_data", f"{_TEST}/concepts", f"{_TEST}/rel")),
        ),
        read=read,
        licence=Licence(
            "restricted",
            "n2c2 data use agreement",
            "portal.dbmi.hms.harvard.edu/projects/n2c2-nlp, after the agreement is signed",
        ),
        subject="the two marked clinical concepts",
        labels=LABELS,
        meanings=MEANINGS,
        negative=NONE,
        note="Score micro-F1 without the negative class; with it, as the second paper has it, it is accuracy.",
    ),
)
