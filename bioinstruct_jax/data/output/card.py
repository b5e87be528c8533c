"""The data card of a published output: what the verb knows of the sources, beside what was counted while writing."""

import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

import yaml

from bioinstruct_jax.data.output.errors import OutputError
from bioinstruct_jax.data.sample import Sample

SPLITS = {"train": "train", "dev": "validation", "test": "test"}  # the publishers' names, and those that loaders know
_CATEGORIES = {"IE": "token-classification", "QA": "question-answering", "GEN": "text-generation"}
_CLASSES = ("open", "attribution", "non-commercial")  # the last that occurs binds the whole
_SHARE_ALIKE = re.compile(r"\bGPL|\bBY(-NC)?-SA\b|share.?alike", re.IGNORECASE)
_LIMITS = """\
- **Not clinically validated, and not for clinical use.** No row was checked for its use in the care of patients. A \
model that was tuned on these rows gives wrong and harmful answers too.
- The answers are those of the corpora, with their errors and their gaps; what the notes above call weak was labelled \
by a machine or by a rule, and not by a person.
- The instructions are a small set of wordings for each family, written by the authors of bioinstruct-jax. A model may \
learn these wordings rather than the tasks.
- The corpora are mostly abstracts, examinations and notes in English, of the years and places of their publishers; \
they stand for no population of patients.
- Development and test rows are the publishers' own. A score on them means nothing for a model that has seen them."""


@dataclass(frozen=True)
class CardSource:
    """A corpus on a card.

    Attributes:
        name: as in the rows' `source`.
        title: for people.
        licence: its name, as the publisher has it.
        kind: class of the licence: open, attribution or non-commercial.
        obtain: where the original is to be had, and under which terms.
        note: what a user must know, weak labels above all; may be empty.
    """

    name: str
    title: str
    licence: str
    kind: str
    obtain: str
    note: str = ""


@dataclass(frozen=True)
class Card:
    """What an output cannot tell by itself.

    Attributes:
        name: of the data set, for loaders: lower-case letters, digits and _, a letter first.
        title: for people.
        summary: a paragraph.
        sources: of the rows; others are left out of the card.
        removed: rows that were left out, by reason.
        wordings: of each family, in their order, ``{subject}`` where a task names what is sought.
        citation: BibTeX, of whom to cite beside the publishers.
        version: three numbers.
        limits: what a user must know, as a Markdown list; by default, of rows made from published corpora.
        licence: identifier of the hub for the whole; ``other``: that of each source holds.

    Raises:
      OutputError: a name or version that loaders do not take, or a source that stands twice.
    """

    name: str
    title: str
    summary: str
    sources: tuple[CardSource, ...]
    removed: Mapping[str, int] = field(default_factory=dict)
    wordings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    citation: str = ""
    version: str = "1.0.0"
    licence: str = "other"
    limits: str = _LIMITS

    def __post_init__(self) -> None:
        if not re.fullmatch("[a-z][a-z0-9_]*", self.name):
            raise OutputError(f"name {self.name!r}: loaders take lower-case letters, digits and _, a letter first")
        if not re.fullmatch(r"\d+\.\d+\.\d+", self.version):
            raise OutputError(f"version {self.version!r}: loaders take three numbers, as in 1.0.0")
        if twice := [name for name, times in Counter(source.name for source in self.sources).items() if times > 1]:
            raise OutputError(f"source {twice[0]} stands on the card twice")

    def expect(self, sample: Sample) -> None:
        """Raises OutputError if the source of a row is not on the card, or with another class of licence."""
        kind = next((source.kind for source in self.sources if source.name == sample.source), None)
        if kind is None:
            raise OutputError(f"row {sample.id!a}: the data card has no source {sample.source!a}; add it to the card")
        if kind != sample.licence:
            raise OutputError(
                f"row {sample.id!a} is {sample.licence}, and the data card has {sample.source!a} as {kind}; correct one"
            )


class Tally:
    """Counts of the rows that were written; as large as the lists of sources, families and wordings."""

    def __init__(self) -> None:
        self.rows: Counter[tuple[str, str]] = Counter()  # by source and split
        self.wordings: dict[str, Counter[int]] = defaultdict(Counter)  # rows of each wording, by family
        self.formats: dict[str, Counter[str]] = defaultdict(Counter)  # rows of each format, by family
        self.categories: set[str] = set()

    def add(self, sample: Sample) -> None:
        """Count a row."""
        self.rows[sample.source, sample.split] += 1
        self.wordings[sample.family][sample.wording] += 1
        self.formats[sample.family][sample.format] += 1
        self.categories.add(sample.category)

    def sources(self) -> set[str]:
        return {source for source, _ in self.rows}


def licences(card: Card, tally: Tally) -> str:
    """The licences of the sources that have rows, in a few lines of plain text."""
    used = [source for source in card.sources if source.name in tally.sources()]
    strictest = max((source.kind for source in used), key=_CLASSES.index)
    lines = [f"{source.name}: {source.licence} ({source.kind}). {source.obtain}" for source in used]
    whole = "" if card.licence == "other" else f" They are published together under {card.licence}."
    alike = [source.name for source in used if _SHARE_ALIKE.search(source.licence)]
    if alike:
        whole += f" What is made of {', '.join(alike)} has to be passed on under the same licence."
    return "\n".join([f"The licence of each source holds for its rows; taken together: {strictest}.{whole}", *lines])


def readme(card: Card, tally: Tally, *, files: Mapping[str, str]) -> str:
    """Markdown with the front matter of the hub. ``files``: the pattern of each split's files; empty: none is said."""
    used = [source for source in card.sources if source.name in tally.sources()]
    sections = [
        _front_matter(card, tally, files),
        f"# {card.title}\n\n{card.summary}",
        "## Rows\n\n" + _rows(used, tally),
        "## Sources and licences\n\n" + _sources(used) + "\n\n" + licences(card, tally).split("\n")[0],
        "## Families, answer formats and wordings\n\n" + _families(card, tally),
        "## What was removed\n\n" + _removed(card),
        f"## Limits\n\n{card.limits}",
        "## How to cite\n\nCite the publishers of the sources that you use"
        + (f", and\n\n```bibtex\n{card.citation.strip()}\n```" if card.citation.strip() else "."),
    ]
    return "\n\n".join(sections) + "\n"


def _front_matter(card: Card, tally: Tally, files: Mapping[str, str]) -> str:
    total = tally.rows.total()
    sizes = (("n<1K", 10**3), ("1K<n<10K", 10**4), ("10K<n<100K", 10**5), ("100K<n<1M", 10**6), ("1M<n<10M", 10**7))
    tree: dict[str, object] = {
        "pretty_name": card.title,
        "language": ["en"],
        "license": card.licence,
        **({"license_name": "terms-of-each-source"} if card.licence == "other" else {}),
        "task_categories": sorted(
            {"text-generation", *(_CATEGORIES.get(one, "text-generation") for one in tally.categories)}
        ),
        "size_categories": [next((name for name, end in sizes if total < end), "10M<n<100M")],
        "tags": ["biology", "medical", "instruction-tuning"],
    }
    if files:
        parts = [{"split": split, "path": path} for split, path in files.items()]
        tree["configs"] = [{"config_name": "default", "data_files": parts}]
    return f"---\n{yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)}---"


def _rows(used: list[CardSource], tally: Tally) -> str:
    rows = [[source.name, *(f"{tally.rows[source.name, split]:,}" for split in SPLITS)] for source in used]
    totals = [sum(count for (_, split), count in tally.rows.items() if split == name) for name in SPLITS]
    return _table(["source", *SPLITS.values()], [*rows, ["**all**", *(f"{total:,}" for total in totals)]])


def _sources(used: list[CardSource]) -> str:
    rows = [[one.name, one.title, one.licence, one.kind, one.obtain, one.note] for one in used]
    return _table(["source", "title", "licence", "class", "where to obtain it", "note"], rows)


def _families(card: Card, tally: Tally) -> str:
    rows = []
    for family in sorted(tally.formats):
        formats, wordings = tally.formats[family], tally.wordings[family]
        named = ", ".join(f"{name or 'plain text'} ({formats[name]:,})" for name in sorted(formats))
        each = f"{min(wordings.values()):,} to {max(wordings.values()):,}"
        rows.append([family, f"{formats.total():,}", named, str(len(wordings)), each])
    table = _table(["family", "rows", "answer formats (rows)", "wordings used", "rows of a wording"], rows)
    lists = [
        f"{family}, by `wording`:\n\n" + "\n".join(f"{place}. {words}" for place, words in enumerate(wordings))
        for family, wordings in card.wordings.items()
        if family in tally.formats
    ]
    return "\n\n".join([table, *lists])


def _removed(card: Card) -> str:
    if not any(card.removed.values()):
        return "Nothing."
    return _table(["why", "rows"], [[why, f"{count:,}"] for why, count in card.removed.items() if count])


def _table(names: list[str], rows: list[list[str]]) -> str:
    cells = [[" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in [names, ["---"] * len(names), *cells])
