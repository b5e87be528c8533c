"""Summary: a long question or text in short. MeQSum."""

from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath

from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.task import Answer, Family, Licence, Split, Task

WORDINGS = (
    "Summarize the following {subject} in one short question.",
    "What is the writer of this {subject} asking? Put it as a single question.",
    "Condense this {subject} to the question that a librarian would search for.",
    "Restate the {subject} below as one brief question, and keep every drug, disease and test that matters to it.",
    "Rewrite this {subject} as a concise question without the personal story.",
    "Reduce the {subject} to its essential question. Add nothing that it does not ask.",
    "Read this {subject} and write the one question that has to be answered.",
    "Express the information need in this {subject} in a single sentence.",
    "Shorten this {subject} to a question a clinician could answer at a glance.",
)


@dataclass(frozen=True)
class Document:
    """A text and its summary."""

    id: str
    text: str
    summary: str


def render(item: Document, task: Task[Document, str], format: str) -> tuple[str, str]:
    """The text; then its summary."""
    return item.text, item.summary


def parse(text: str, item: Document, task: Task[Document, str], format: str) -> Answer[str]:
    """The text itself; problems: ``empty``, ``refusal``."""
    return answers.free_text(text)


SUMMARY: Family[Document, str] = Family(
    name="summary",
    category="GEN",
    wordings=WORDINGS,
    formats=("text",),
    gold=lambda item: item.summary,
    text=lambda item: item.text,
    render=render,
    parse=parse,
)


def read_meqsum(folder: UPath, split: Split) -> Iterator[Document]:
    """The first sheet of the publisher's workbook: columns ``File``, ``CHQ`` and ``Summary``."""
    for name in split.files:
        for row in reading.sheet_rows(folder / name):
            yield Document(f"{row.text('File')}:{row.line}", row.text("CHQ"), row.text("Summary"))


TASKS = (
    Task(
        name="meqsum",
        title="MeQSum, consumers' health questions in one line",
        family=SUMMARY,
        folder="meqsum",
        splits=(Split("train", ("MeQSum_ACL2019_BenAbacha_Demner-Fushman.xlsx",), 1000),),
        read=read_meqsum,
        licence=Licence("attribution", "CC BY 4.0", "github.com/abachaa/MeQSum"),
        subject="health question",
        tried=True,
        note="The workbook has no division; its authors trained on 500 of the questions and tested on the others.",
    ),
)
