"""DDI-2013: interactions of drugs, from sentences of DrugBank and MEDLINE.

The publisher's XML: a ``document`` holds ``sentence``s with ``text``; these hold ``entity`` (``id``, ``charOffset`` as
``first-last``, both within, several joined by ``;``) and ``pair`` (``e1``, ``e2``, ``ddi``, ``type``).
"""

import re
from collections.abc import Iterator

from upath import UPath

from bioinstruct_jax.tasks import reading
from bioinstruct_jax.tasks.relations import RELATIONS, Pair, marked
from bioinstruct_jax.tasks.task import CorpusError, Licence, Split, Task

NONE = "none"
LABELS = ("mechanism", "effect", "advise", "int", NONE)
MEANINGS = (
    "one drug alters the absorption, metabolism or level of the other",
    "an effect of the two together, or a pharmacodynamic mechanism, is described",
    "a recommendation about their use together is given",
    "they are said to interact, and no more",
    "no interaction of the two is stated",
)
OFFSETS = re.compile(r"(\d+)-(\d+)(?:;(\d+)-(\d+))*")


def read(folder: UPath, split: Split) -> Iterator[Pair]:
    """Every pair of drugs that the publisher lists. An interaction without a type is ``int``."""
    for name in split.files:
        documents = sorted((folder / name).glob("*.xml"), key=lambda file: file.name)
        if not documents:
            raise CorpusError(folder / name, 0, "there are no XML files in this folder")
        for file in documents:
            for sentence in reading.xml(file, root="document").all("sentence"):
                yield from _pairs(file, sentence)


def _pairs(file: UPath, sentence: reading.Node) -> Iterator[Pair]:
    if "text" not in sentence.attributes:
        sentence.row(file).fail("the sentence has no attribute 'text'")
    text = sentence.attributes["text"]  # as it stands: offsets count its blanks
    drugs = {}
    for node in sentence.all("entity"):
        row = node.row(file)
        place, name = row.text("charOffset"), row.text("text")
        if not OFFSETS.fullmatch(place):
            row.fail(f"'charOffset' is {reading.shown(place)}, not first-last")
        ends = [int(number) for number in re.findall(r"\d+", place)]
        start, end = ends[0], ends[-1] + 1
        span = reading.placed(text, start, end, name) if len(ends) == 2 else (start, end)
        if span is None or span[1] > len(text):
            row.fail("the sentence does not have the text of the entity")
        drugs[row.text("id")] = span, name
    for node in sentence.all("pair"):
        row = node.row(file)
        one, other = row.text("e1"), row.text("e2")
        if one not in drugs or other not in drugs:
            row.fail(f"no entity {reading.shown(one if one not in drugs else other)} in its sentence")
        label = NONE
        if row.one_of("ddi", ("true", "false")) == "true":
            label = row.one_of("type", LABELS[:-1]) if "type" in row.values else "int"
        (first, name), (second, mate) = drugs[one], drugs[other]
        document = sentence.attributes.get("id", "").rpartition(".")[0]
        yield Pair(row.text("id"), marked(text, first, second).strip(), name, mate, label, document)


_TEST = "Test/Test for DDI Extraction task"

TASKS = (
    Task(
        name="ddi_2013",
        title="DDI-2013, drug-drug interactions",
        family=RELATIONS,
        folder="DDICorpus",
        splits=(
            Split("train", ("Train/DrugBank", "Train/MedLine")),
            Split("test", (f"{_TEST}/DrugBank", f"{_TEST}/MedLine")),
        ),
        read=read,
        licence=Licence("non-commercial", "CC BY-NC 4.0", "github.com/isegura/DDICorpus"),
        subject="the two marked drugs",
        labels=LABELS,
        meanings=MEANINGS,
        negative=NONE,
        note="Score micro-F1 over the four types of interaction. There is no official development part.",
    ),
)
