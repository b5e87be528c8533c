"""Labels: which of a closed set apply to a text, none to all of them. Hallmarks of Cancer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath

from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.task import Answer, Family, Licence, Split, Task

NONE = "none"
WORDINGS = (
    "Which {subject} does the text give evidence of? Name all that apply.",
    "Label the text with every one of the {subject} that it addresses.",
    "Read the sentence and list the {subject} it concerns; there may be several or none.",
    "For a literature database, index this text by {subject}.",
    "Decide for each of the {subject} listed whether the text reports on it, and give those for which it does.",
    "Assign {subject} to this text. Leave out any that the text does not support.",
    "Go through the listed {subject} and name those that this passage is about.",
    "Several {subject} may be described here, or none. Name them.",
    "Classify the passage by {subject}; more than one may apply.",
)


@dataclass(frozen=True)
class Labelled:
    """A text and its labels, in the order of the task's. ``document``: labels are united over it for the score."""

    id: str
    text: str
    labels: tuple[str, ...]
    document: str


def render(item: Labelled, task: Task[Labelled, tuple[str, ...]], format: str) -> tuple[str, str]:
    """The text and all labels; then those that apply, joined by commas, or ``none``."""
    options = "\n".join(f"- {label}" for label in task.labels)
    form = f"Answer with the labels that apply, separated by commas, or with {NONE!r}."
    return f"Text: {item.text}\nLabels:\n{options}\n{form}", ", ".join(item.labels) or NONE


def parse(text: str, item: Labelled, task: Task[Labelled, tuple[str, ...]], format: str) -> Answer[tuple[str, ...]]:
    """The labels that a text names, in any case and order, those it denies left out; () if it says that none applies.

    Problems: ``empty``, ``refusal``, ``no label``, and ``unknown label`` for each entry of a plain list that is none.
    """
    answer = answers.unfenced(text)
    if not answer:
        return Answer(None, {"empty": 1})
    stated = answers.parts(answer)
    found = next((found for part in (*stated[:-2], answer) if (found := answers.named(part, task.labels))), [])
    if answers.refused(answer) and not (found and answers.ASSERTED.search(answer)):
        return Answer(None, {"refusal": 1})
    if not found:
        says_none = re.search(r"\b(?:none|no (?:\w+ )?(?:labels?|hallmarks?)|not applicable)\b", answer, re.IGNORECASE)
        return Answer((), {}) if says_none else Answer(None, {"no label": 1})
    entries = [entry for entry in re.split(r"[,;\n]", answer) if entry.strip()]
    plain = all(len(entry.split()) <= 6 for entry in entries)
    unknown = sum(not answers.named(entry, task.labels) for entry in entries) if plain else 0
    return Answer(
        tuple(label for label in task.labels if label in found), {"unknown label": unknown} if unknown else {}
    )


LABELS: Family[Labelled, tuple[str, ...]] = Family(
    name="labels",
    category="IE",
    wordings=WORDINGS,
    formats=("names",),
    gold=lambda item: item.labels,
    text=lambda item: item.text,
    render=render,
    parse=parse,
)

HALLMARKS = (
    "activating invasion and metastasis",
    "avoiding immune destruction",
    "cellular energetics",
    "enabling replicative immortality",
    "evading growth suppressors",
    "genomic instability and mutation",
    "inducing angiogenesis",
    "resisting cell death",
    "sustaining proliferative signaling",
    "tumor promoting inflammation",
)
FLAGS = re.compile(r"(\d)_([01])")


def read_hoc(folder: UPath, split: Split) -> Iterator[Labelled]:
    """Sentences of the BLUE and BLURB releases: columns ``labels``, ``sentence``, ``index``, and a header.

    ``labels`` is ``0_1,1_0,...,9_0``, one flag for each hallmark in the order of `HALLMARKS`; ``index`` is the
    abstract's PMID and the sentence's number, joined by ``_``.
    """
    for name in split.files:
        for row in reading.tab_rows(folder / name, ("labels", "sentence", "index")):
            if row.line == 1 and row.text("labels").startswith("label"):
                continue
            flags = [FLAGS.fullmatch(part) for part in row.text("labels").split(",")]
            if [flag and flag[1] for flag in flags] != [str(place) for place in range(len(HALLMARKS))]:
                row.fail(f"'labels' are not {len(HALLMARKS)} flags 0_0 or 0_1 to 9_0 or 9_1")
            pmid, joint, _ = row.text("index").partition("_")
            if not joint:
                row.fail(f"'index' is {reading.shown(row.text('index'))}, not a document and a sentence joined by _")
            chosen = tuple(label for label, flag in zip(HALLMARKS, flags, strict=True) if flag and flag[2] == "1")
            yield Labelled(row.text("index"), _unquoted(row.text("sentence")), chosen, pmid)


def _unquoted(cell: str) -> str:
    """A cell without the quotes that a writer of tables puts around one that has quotes itself."""
    within = cell[1:-1].replace('""', "")
    return cell[1:-1].replace('""', '"') if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in within else cell


TASKS = (
    Task(
        name="hoc",
        title="Hallmarks of Cancer, sentences as BLURB splits them",
        family=LABELS,
        folder="HoC",
        splits=(Split("train", ("train.tsv",)), Split("dev", ("dev.tsv",)), Split("test", ("test.tsv",))),
        read=read_hoc,
        licence=Licence(
            "attribution",
            "GPL-3.0",
            "the corpus is at github.com/sb895/Hallmarks-of-Cancer, the split with BLUE and BLURB "
            "(microsoft.github.io/BLURB)",
        ),
        subject="hallmarks of cancer",
        labels=HALLMARKS,
        note="Scored by abstract: labels are united over its sentences. Known to others as 12,119 training and 3,547 "
        "test sentences.",
    ),
)
