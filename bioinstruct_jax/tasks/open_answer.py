"""Open answer: a question, and an answer in sentences. MedQuAD, PMC-LLaMA's instructions, the user's own letters."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from upath import UPath

from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.task import Answer, Family, Licence, Split, Task

WORDINGS = (
    "Answer the following medical question.",
    "Give an accurate answer to this question, in terms that an educated lay reader understands.",
    "Explain, as a reliable source of health information would, what is asked below.",
    "Provide a clear and complete answer to the question. Say so where the evidence is uncertain.",
    "Respond to this health question with sound medical information.",
    "What would a well-informed clinician answer to this question?",
    "Here is a question about health or medicine. Answer it factually.",
    "Write an informative answer to the question below.",
    "Answer this question for a medical reference site.",
)
REPLIES = (
    "Reply to the patient's message as a doctor would.",
    "A patient writes to you. Answer the concern, and say when they should be seen in person.",
    "Write a considerate and medically sound reply to this patient.",
    "Respond to the patient below in plain language. Do not claim a diagnosis that a message cannot support.",
    "As the physician who reads this message, answer the person who sent it.",
    "Answer this patient's question: what may be the matter, and what should be done next?",
    "Give the writer of this message medical advice that is safe to follow without an examination.",
    "Read what the patient reports and reply with an explanation and the next step.",
    "You answer a clinic's messages. Reply to this one.",
)


@dataclass(frozen=True)
class OpenQuestion:
    """A question and an answer to it. ``others``: answers that are right as well; ``topic``: what it is about."""

    id: str
    question: str
    answer: str
    others: tuple[str, ...] = ()
    topic: str = ""


def render(item: OpenQuestion, task: Task[OpenQuestion, str], format: str) -> tuple[str, str]:
    """The question; then its answer."""
    return item.question, item.answer


def parse(text: str, item: OpenQuestion, task: Task[OpenQuestion, str], format: str) -> Answer[str]:
    """The text itself; problems: ``empty``, ``refusal``."""
    return answers.free_text(text)


OPEN_ANSWER: Family[OpenQuestion, str] = Family(
    name="open_answer",
    category="QA",
    wordings=WORDINGS,
    formats=("text",),
    gold=lambda item: item.answer,
    text=lambda item: item.question,
    render=render,
    parse=parse,
)
REPLY = replace(OPEN_ANSWER, category="GEN", wordings=REPLIES)


def read_medquad(folder: UPath, split: Split) -> Iterator[OpenQuestion]:
    """JSON lines ``id, question, answer, qtype, focus, source, url``, made from the publisher's XML.

    An id may stand for several subjects of one page, so the line is part of ours. The XML's layout is undone: runs of
    blanks go, and what was an item of a list is one again.
    """
    for name in split.files:
        for row in reading.json_objects(folder / name):
            question = re.sub(r"\s+\?", "?", " ".join(row.text("question").split()))
            answer, topic = laid_out(row.text("answer")), row.text("focus", empty=True)
            yield OpenQuestion(f"{row.text('id')}:{row.line}", question, answer, (), topic)


def laid_out(text: str) -> str:
    """Paragraphs and list items of a text that kept the indentation of the XML it was in."""
    text = re.sub(r"(?:\s{2,}|\n)-[ \t]+", "\n- ", text)
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in text.split("\n"))
    return "\n".join(line for line in lines if line)


def read_pmc_llama(folder: UPath, split: Split) -> Iterator[OpenQuestion]:
    """Objects ``instruction, input, output, source``; their own instruction is part of the question."""
    for name in split.files:
        for row in reading.json_objects(folder / name):
            asked = "\n\n".join(filter(None, (row.text("instruction"), row.text("input", empty=True))))
            yield OpenQuestion(f"{split.name}:{row.line}", asked, row.text("output"), (), row.text("source"))


def read_questions(folder: UPath, split: Split) -> Iterator[OpenQuestion]:
    """The user's own: ``question`` and ``answer`` in JSON lines or, under the suffix .csv, in a table with a header."""
    for name in split.files:
        file = folder / name
        rows = reading.table_rows(file, ("question", "answer")) if name.endswith(".csv") else reading.json_objects(file)
        for row in rows:
            yield OpenQuestion(f"{split.name}:{row.line}", row.text("question"), row.text("answer"))


def _own(suffix: str) -> Task[OpenQuestion, str]:
    return Task(
        name=f"patient_questions_{suffix}",
        title=f"Patients' questions with replies, the user's own, as {suffix.upper()}",
        family=REPLY,
        folder="patient-questions",
        splits=tuple(Split(name, (f"{name}.{suffix}",)) for name in ("train", "dev", "test")),
        read=read_questions,
        licence=Licence(
            "restricted", "as the user holds it", "none is to be had: bring your own, with its rights cleared"
        ),
        note="Fields 'question' and 'answer'. Published sets of this kind are scraped, and their rights are unclear.",
    )


TASKS = (
    Task(
        name="medquad",
        title="MedQuAD, answered questions from sites of the NIH",
        family=OPEN_ANSWER,
        folder="medquad",
        splits=(Split("train", ("medquad.jsonl",), 16407),),
        read=read_medquad,
        licence=Licence("attribution", "CC BY 4.0", "github.com/abachaa/MedQuAD, its XML converted to JSON lines"),
        tried=True,
        note="No official division. Three of its twelve sites have no answers in the release and are left out.",
    ),
    Task(
        name="pmc_llama",
        title="PMC-LLaMA instructions",
        family=OPEN_ANSWER,
        folder="pmc-llama-instructions",
        splits=(Split("train", ("release.json",)),),
        read=read_pmc_llama,
        licence=Licence(
            "attribution",
            "OpenRAIL tag; its parts keep the licences of their own",
            "huggingface.co/datasets/axiong/pmc_llama_instructions",
        ),
        note="Contains the training splits of MedQA and MedMCQA and PubMedQA's artificial set: remove what overlaps "
        "with evaluation items. The second paper draws 50,000 rows from it.",
    ),
    _own("jsonl"),
    _own("csv"),
)
