"""ChemProt (BioCreative VI, track 5): chemicals and proteins in abstracts, from the publisher's files and from a copy.

The publisher's readme gives the columns: abstracts (PMID, title, abstract), entities (PMID, term, type, start, end,
text), relations (PMID, group, evaluated Y or N, type, Arg1:term, Arg2:term). Offsets count from the title, with one
character between title and abstract.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath

from bioinstruct_jax.tasks import reading
from bioinstruct_jax.tasks.relations import RELATIONS, Pair, marked
from bioinstruct_jax.tasks.task import CorpusError, Licence, Split, Task

GROUPS = {  # of the publisher's readme; CPR:0 stands in its files alone
    "CPR:0": ("UNDEFINED",),
    "CPR:1": ("PART_OF",),
    "CPR:2": ("REGULATOR", "DIRECT-REGULATOR", "INDIRECT-REGULATOR"),
    "CPR:3": ("UPREGULATOR", "ACTIVATOR", "INDIRECT-UPREGULATOR"),
    "CPR:4": ("DOWNREGULATOR", "INHIBITOR", "INDIRECT-DOWNREGULATOR"),
    "CPR:5": ("AGONIST", "AGONIST-ACTIVATOR", "AGONIST-INHIBITOR"),
    "CPR:6": ("ANTAGONIST",),
    "CPR:7": ("MODULATOR", "MODULATOR-ACTIVATOR", "MODULATOR-INHIBITOR"),
    "CPR:8": ("COFACTOR",),
    "CPR:9": ("SUBSTRATE", "PRODUCT-OF", "SUBSTRATE_PRODUCT-OF"),
    "CPR:10": ("NOT",),
}
EVALUATED = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9")
KINDS = ("CHEMICAL", "GENE-Y", "GENE-N", "GENE")
NONE = "none"
MEANINGS = (
    "the chemical raises the protein's amount or activity",
    "the chemical lowers the protein's amount or activity",
    "the chemical is an agonist of the protein",
    "the chemical is an antagonist of the protein",
    "the chemical is a substrate or product of the protein",
    "no such relation is stated",
)
COPY_LABELS = (
    *("INHIBITOR", "SUBSTRATE", "INDIRECT-DOWNREGULATOR", "INDIRECT-UPREGULATOR", "ACTIVATOR", "ANTAGONIST"),
    *("PRODUCT-OF", "AGONIST", "DOWNREGULATOR", "UPREGULATOR", "SUBSTRATE_PRODUCT-OF", "AGONIST-ACTIVATOR"),
    "AGONIST-INHIBITOR",
)
SENTENCE = re.compile(r"(?<=[.?!])(?<!\be\.g\.)(?<!\bi\.e\.)(?<!\bvs\.)(?<!\bFig\.)(?<!\bal\.)\s+(?=[A-Z0-9(\[])")
MARKS = re.compile(r"<< (.+?) >>"), re.compile(r"\[\[ (.+?) \]\]")


@dataclass(frozen=True)
class Entity:
    """A mention: ``start`` and ``end`` count characters of the document."""

    kind: str
    start: int
    end: int


def read(folder: UPath, split: Split) -> Iterator[Pair]:
    """Every pair of a chemical and a protein in one sentence, and every evaluated one that crosses sentences.

    A pair without an evaluated relation is ``none``; one with two keeps the group that the file names first.
    """
    abstracts, entities, relations = (folder / name for name in split.files)
    mentions, related = _entities(entities), _relations(relations)
    seen = set()
    for row in reading.tab_rows(abstracts, ("pmid", "title", "abstract")):
        pmid = row.text("pmid")
        text = f"{row.values['title']}\t{row.values['abstract']}"
        seen.add(pmid)
        found: dict[str, Entity] = {}
        for term, (line, entity, name) in mentions[pmid].items():
            span = reading.placed(text, entity.start, entity.end, name)
            if span is None:
                raise CorpusError(entities, line, f"{pmid} {term}: the abstract does not have the entity's text")
            found[term] = Entity(entity.kind, *span)
        yield from _pairs(pmid, text, found, related[pmid])
    for file, pmids in ((entities, mentions), (relations, related)):
        if missing := sorted(pmids.keys() - seen):
            raise CorpusError(file, 0, f"{len(missing)} documents have no abstract, the first is {missing[0]}")


def _pairs(
    pmid: str, text: str, mentions: dict[str, Entity], related: dict[tuple[str, str], tuple[UPath, int, str]]
) -> Iterator[Pair]:
    for (one, other), (file, line, _) in related.items():
        for term, kinds in ((one, ("CHEMICAL",)), (other, KINDS[1:])):
            if term not in mentions or mentions[term].kind not in kinds:
                raise CorpusError(file, line, f"{pmid} has no {kinds[0].partition('-')[0].lower()} {term}")
    sentences = _sentences(text, list(mentions.values()))
    for one, chemical in mentions.items():
        for other, protein in mentions.items():
            if chemical.kind != "CHEMICAL" or protein.kind == "CHEMICAL":
                continue
            low, high = min(chemical.start, protein.start), max(chemical.end, protein.end)
            start = max(begin for begin, _ in sentences if begin <= low)
            end = min(stop for _, stop in sentences if stop >= high)
            label = related.get((one, other), (None, 0, NONE))[2]
            if label == NONE and (start, end) not in sentences:
                continue
            spans = ((chemical.start - start, chemical.end - start), (protein.start - start, protein.end - start))
            sentence = marked(text[start:end].replace("\t", " "), *spans)
            names = text[chemical.start : chemical.end], text[protein.start : protein.end]
            yield Pair(f"{pmid}:{one}:{other}", sentence, *names, label, pmid)


def _sentences(text: str, mentions: list[Entity]) -> list[tuple[int, int]]:
    """Spans of sentences, none of which ends within a mention; the title is one of its own."""
    title = text.index("\t")
    breaks = [(title, title + 1), *((match.start(), match.end()) for match in SENTENCE.finditer(text))]
    kept = [(end, start) for end, start in sorted(breaks) if not any(m.start < start and end < m.end for m in mentions)]
    starts, ends = [0, *(start for _, start in kept)], [*(end for end, _ in kept), len(text)]
    return [(start, end) for start, end in zip(starts, ends, strict=True) if end > start]


def _entities(file: UPath) -> dict[str, dict[str, tuple[int, Entity, str]]]:
    found: dict[str, dict[str, tuple[int, Entity, str]]] = defaultdict(dict)
    for row in reading.tab_rows(file, ("pmid", "term", "type", "start", "end", "text")):
        kind = row.one_of("type", KINDS)
        start, end = row.text("start"), row.text("end")
        if not (start.isdecimal() and end.isdecimal() and int(start) < int(end)):
            row.fail(f"offsets {reading.shown(start)} and {reading.shown(end)} are no span")
        entity = Entity(kind, int(start), int(end))
        found[row.text("pmid")][row.text("term")] = (row.line, entity, row.text("text"))
    return found


def _relations(file: UPath) -> dict[str, dict[tuple[str, str], tuple[UPath, int, str]]]:
    found: dict[str, dict[tuple[str, str], tuple[UPath, int, str]]] = defaultdict(dict)
    for row in reading.tab_rows(file, ("pmid", "group", "evaluated", "type", "arg1", "arg2")):
        group = row.one_of("group", tuple(GROUPS))
        row.one_of("evaluated", ("Y", "N"))
        terms = row.text("arg1"), row.text("arg2")
        if not (terms[0].startswith("Arg1:") and terms[1].startswith("Arg2:")):
            row.fail(f"arguments {reading.shown(terms[0])} and {reading.shown(terms[1])}, not Arg1:... and Arg2:...")
        if group in EVALUATED:
            pair = terms[0].removeprefix("Arg1:"), terms[1].removeprefix("Arg2:")
            found[row.text("pmid")].setdefault(pair, (file, row.line, group))
    return found


def read_copy(folder: UPath, split: Split) -> Iterator[Pair]:
    """Sentences of SciBERT's copy: JSON lines with ``text`` and ``label``, entities between ``<< >>`` and ``[[ ]]``."""
    for name in split.files:
        for row in reading.json_objects(folder / name):
            text, label = row.text("text"), row.one_of("label", COPY_LABELS)
            names = [mark.findall(text) for mark in MARKS]
            if len(names[0]) != 1 or len(names[1]) != 1:
                row.fail(
                    f"{len(names[0])} entities stand between << >> and {len(names[1])} between [[ ]], not one each"
                )
            yield Pair(f"{split.name}:{row.line}", text, names[0][0], names[1][0], label)


def _files(part: str, ending: str = "") -> tuple[str, ...]:
    name = part.removesuffix("_gs")
    return tuple(
        f"chemprot_{part}/chemprot_{name}_{kind}{ending}.tsv" for kind in ("abstracts", "entities", "relations")
    )


TASKS = (
    Task(
        name="chemprot",
        title="ChemProt with negatives",
        family=RELATIONS,
        folder="ChemProt_Corpus",
        splits=(
            Split("train", _files("training")),
            Split("dev", _files("development")),
            Split("test", _files("test_gs", "_gs")),
        ),
        read=read,
        licence=Licence(
            "attribution",
            "the publisher's terms: research, with citation",
            "BioCreative VI, track 5 (biocreative.bioinformatics.udel.edu), after a free registration",
        ),
        subject="the marked chemical and the marked protein",
        labels=(*EVALUATED, NONE),
        meanings=MEANINGS,
        negative=NONE,
        note="Score micro-F1 over CPR:3, 4, 5, 6 and 9. Sentences are split by rules of our own, so the number of "
        "negatives differs from BLURB's.",
    ),
    Task(
        name="chemprot_positives",
        title="ChemProt, positives only, 13 relation types (SciBERT's copy)",
        family=RELATIONS,
        folder="chemprot",
        splits=(
            Split("train", ("train.txt",), 4169),
            Split("dev", ("dev.txt",), 2427),
            Split("test", ("test.txt",), 3469),
        ),
        read=read_copy,
        licence=Licence("open", "Apache-2.0 repository", "allenai/scibert, data/text_classification/chemprot"),
        subject="the chemical and the protein that are marked",
        labels=COPY_LABELS,
        tried=True,
        note="Without negatives: its scores stand beside no published ChemProt score. 65 texts have two rows with "
        "different labels.",
    ),
)
