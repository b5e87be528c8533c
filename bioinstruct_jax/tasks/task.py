"""What a task is: a corpus, described once, so that training rows, evaluation items and scores follow from it.

A `Family` says how the items of a kind of task become instructions and how answers are read back; a `Task` says where
one corpus stands, how it is read, who may see it and what was published about it. Items are frozen dataclasses of the
family's own, each with an ``id``; gold is whatever the family compares.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from upath import UPath

LICENCES = ("open", "attribution", "non-commercial", "restricted")
CATEGORIES = ("IE", "QA", "GEN")  # of BioInstruct: extraction, question answering, text generation

_VALUE = (
    re.compile(  # what a file is said to have: readers quote it behind these words, and names of their own elsewhere
        r"""(?:(?<= is )|(?<= are )|(?<= has )|(?<=, ))(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", re.DOTALL
    )
)


class Item(Protocol):
    """One thing to be asked about. ``id`` is unique within a split and the same whenever the file is read."""

    @property
    def id(self) -> str: ...


I = TypeVar("I", bound=Item)  # noqa: E741
G = TypeVar("G")


class CorpusError(ValueError):
    """A file that is not what its publisher ships: names file and line, what was found, and what was expected."""

    def __init__(self, file: UPath | str, line: int, problem: str):
        super().__init__(f"{file}, line {line}: {problem}" if line else f"{file}: {problem}")
        self.file, self.line, self.problem = file, line, problem

    def without_values(self) -> "CorpusError":
        """The same, with no value of the file in it."""
        return CorpusError(self.file, self.line, _VALUE.sub("(restricted, not shown)", self.problem))


@dataclass(frozen=True)
class Licence:
    """Who may see a corpus.

    Attributes:
        kind: open; attribution; non-commercial; restricted: read only from the user's own copy, and never printed,
            logged, sent or published.
        name: as the publisher calls it.
        obtain: where a copy is to be had and under which terms.
    """

    kind: Literal["open", "attribution", "non-commercial", "restricted"]
    name: str
    obtain: str

    @property
    def restricted(self) -> bool:
        """Whether its text may leave neither the machine nor the rows themselves."""
        return self.kind == "restricted"


@dataclass(frozen=True)
class Split:
    """An official part of a corpus: train, dev or test; no other names, and never one under another's.

    Attributes:
        files: in the corpus's folder, as the publisher names them.
        count: items that it is known to hold, counted on the real file or published; None where neither is.
    """

    name: Literal["train", "dev", "test"]
    files: tuple[str, ...]
    count: int | None = None


@dataclass(frozen=True)
class Figure:
    """A published score, to stand beside ours and be clearly theirs."""

    model: str
    value: float
    metric: str
    split: str
    source: str


@dataclass(frozen=True)
class Answer(Generic[G]):
    """What was read out of a model's text.

    Attributes:
        gold: in the form of the item's own, as far as it could be read; None: nothing could be.
        problems: what was wrong, by kind, counted: ``not in the text``, ``unparsable line``, ...
    """

    gold: G | None
    problems: dict[str, int]


def check_folder(corpora: UPath, section: str = "") -> None:
    """Refuses a folder of corpora that is none.

    Args:
        section: of the settings in which it is named, with a dot behind it.

    Raises:
        FileNotFoundError: there is no such folder; says what to give.
        OSError: it cannot be looked for.
    """
    if not corpora.is_dir():
        raise FileNotFoundError(
            f"{section}corpora {corpora}: no such folder. Give the folder that holds your corpora with "
            f"--{section}corpora=FOLDER, each in a folder as its publisher ships it; `prepare --list` names them"
        )


def _unsaid(task: "Task[Any, Any]", format: str) -> str:
    return ""


def _unasked(item: Any) -> str:
    return ""


@dataclass(frozen=True)
class Family(Generic[I, G]):
    """A kind of task.

    Attributes:
        name: entities, relations, inference, labels, choice, yes_no, open_answer, summary, note, own_instruction.
        category: its group in the papers: IE, QA or GEN.
        wordings: at least eight instructions of our own, with ``{subject}`` where the task names what is sought; where
            items have instructions of their own, one sentence that says so.
        formats: of the answer; the first is the default.
        gold: what an item's answer is.
        render: (item, task, format) -> input and output of a record.
        parse: (text, item, task, format) -> what the text says; equal to `gold` for the rendered output.
        text: what an item is about, without what a prompt adds: two items of one text are about the same.
        form: (task, format) -> how the answer is to be written, said behind the wording; empty where nothing is to say.
        question: what an item asks in words of its own, which may be met without the rest of its text; empty where the
            wordings ask the same of every item.
        instruction: an item's own, given in place of a wording; empty where a wording is drawn for it.
    """

    name: str
    category: Literal["IE", "QA", "GEN"]
    wordings: tuple[str, ...]
    formats: tuple[str, ...]
    gold: Callable[[I], G]
    render: Callable[[I, "Task[I, G]", str], tuple[str, str]]
    parse: Callable[[str, I, "Task[I, G]", str], Answer[G]]
    text: Callable[[I], str]
    form: Callable[["Task[I, G]", str], str] = _unsaid
    question: Callable[[I], str] = _unasked
    instruction: Callable[[I], str] = _unasked

    def wording(self, seed: int, id: str) -> int:
        """The place of a row's instruction among the wordings: a pure function of seed and row."""
        digest = hashlib.sha256(f"{seed}\0{self.name}\0{id}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % len(self.wordings)


@dataclass(frozen=True)
class Likelihood(Generic[I]):
    """How an item is put where each of the task's labels is scored by its log-likelihood as the answer.

    The texts are those of lm-evaluation-harness 0.4.13, byte for byte: scores are compared with the ones it gives.

    Attributes:
        context: all that stands before the answer; it ends without a blank.
        harness: the task's name there; empty where it has none, and the form is that of a sister task.
        description: in front of shots and item.
        ordered: shots are the first of their split, as its publisher chose them, rather than drawn.
    """

    context: Callable[[I], str]
    harness: str = ""
    description: str = ""
    ordered: bool = False


@dataclass(frozen=True)
class Task(Generic[I, G]):
    """One corpus as one task.

    Attributes:
        name: ncbi_disease; also the source of its rows.
        title: for people.
        family: how items become text and back.
        folder: of the corpus, in the user's folder of corpora.
        splits: the official ones that have answers.
        read: (folder, split) -> items; raises CorpusError, or FileNotFoundError for a file that is missing.
        licence: who may see it.
        subject: what is sought, for the wording: "diseases".
        labels: of a closed set, in the order in which they are named; empty where there is none.
        meanings: of the labels, in their order, shown beside those whose name does not say it; empty where all do.
        negative: the label that stands for nothing, left out of a relation's scores.
        figures: published scores.
        likelihood: how the labels are scored as answers; None: the answer is only ever generated.
        tried: whether the reader has met the publisher's real file, or only a fixture in its format.
        note: what a user must know: weak labels, a split scored elsewhere as another.
    """

    name: str
    title: str
    family: Family[I, G]
    folder: str
    splits: tuple[Split, ...]
    read: Callable[[UPath, Split], Iterator[I]]
    licence: Licence
    subject: str = ""
    labels: tuple[str, ...] = ()
    meanings: tuple[str, ...] = ()
    negative: str | None = None
    figures: tuple[Figure, ...] = ()
    likelihood: Likelihood[I] | None = None
    tried: bool = False
    note: str = ""

    def split(self, name: str) -> Split:
        """Raises ValueError naming the splits that there are."""
        for one in self.splits:
            if one.name == name:
                return one
        raise ValueError(f"{self.name} has no split {name!r}; it has {', '.join(one.name for one in self.splits)}")

    def missing(self, corpora: UPath, split: str) -> tuple[str, ...]:
        """The files of a split that are not in the user's folder, by their paths in it; raises as `split`."""
        place = corpora / self.folder
        return tuple(f"{self.folder}/{name}" for name in self.split(split).files if not (place / name).exists())

    def empty(self, split: str) -> str:
        """What is said of a split whose files are there, and have no item; raises as `split`."""
        files = ", ".join(f"{self.folder}/{name}" for name in self.split(split).files)
        return (
            f"{self.name}/{split}: {files}: not one item in it. Fetch or write it anew, or take it away and leave "
            f"{self.name} out"
        )

    def items(self, corpora: UPath, split: str) -> Iterator[Any]:
        """The items of a split.

        Args:
            corpora: the user's folder, which holds `folder`.

        Raises:
            FileNotFoundError: it is not there; says where it is to be had and under which terms.
            CorpusError: a file is not what its publisher ships; without its words where they are restricted.
        """
        if missing := self.missing(corpora, split):
            raise FileNotFoundError(
                f"{self.name}: {corpora / missing[0]} is missing. {self.title} ({self.licence.name}, "
                f"{self.licence.kind}): {self.licence.obtain}"
            )
        try:
            yield from self.read(corpora / self.folder, self.split(split))
        except CorpusError as error:
            if self.licence.restricted:
                raise error.without_values() from None
            raise
