"""Multiple-choice examinations: MedQA with four options, MedMCQA, and the medical subjects of MMLU."""

from collections.abc import Iterator

from upath import UPath

from bioinstruct_jax.tasks import reading
from bioinstruct_jax.tasks.choice import (
    CHOICE,
    LETTERS,
    Choice,
    bare_question_options,
    question_choices_options,
    question_options,
)
from bioinstruct_jax.tasks.task import CorpusError, Figure, Licence, Likelihood, Split, Task

SUBJECTS = {  # of MMLU: items of the test file, where that was at hand, and what they are about
    "anatomy": (135, "anatomy"),
    "clinical_knowledge": (265, "clinical medicine"),
    "college_biology": (144, "biology"),
    "college_medicine": (None, "medicine"),
    "human_aging": (None, "ageing"),
    "medical_genetics": (100, "medical genetics"),
    "nutrition": (None, "nutrition"),
    "professional_medicine": (None, "medicine"),
    "virology": (None, "virology"),
}
LOGLIKELIHOOD = "lm-evaluation-harness, zero-shot, log-likelihood"
GENERATED = "Me-LLaMA, table 3, zero-shot, generated text"


def read_medqa(folder: UPath, split: Split) -> Iterator[Choice]:
    """JSON lines with ``question``, ``options`` by letter, ``answer`` and ``answer_idx``, which have to agree."""
    for name in split.files:
        for row in reading.json_objects(folder / name):
            options, letter = row.get("options"), row.text("answer_idx")
            if not isinstance(options, dict) or list(options) != list("ABCD"):
                row.fail("'options' is not an object with the keys A, B, C and D")
            if options.get(letter) != row.get("answer"):
                row.fail(f"'answer' is not the text of option {reading.shown(letter)}")
            cells = reading.Row(row.file, row.line, options | {"question": row.get("question")})
            texts, place = tuple(cells.text(key) for key in "ABCD"), LETTERS.index(letter)
            yield Choice(
                f"{split.name}:{row.line}",
                cells.text("question"),
                texts,
                place,
                untidied=cells.untidied(("question", *"ABCD")),
            )


def read_medmcqa(folder: UPath, split: Split) -> Iterator[Choice]:
    """JSON lines with ``question``, ``opa`` to ``opd`` and ``cop``, from 1 in the publisher's file, from 0 on the hub.

    Which it is, the file itself tells: it has a 4, or it has a 0.
    """
    for name in split.files:
        file = folder / name
        base = _base(file)
        for row in reading.json_objects(file):
            answer = int(str(row.get("cop"))) - base
            options = tuple(row.text(f"op{letter}", empty=place != answer) for place, letter in enumerate("abcd"))
            topic = row.get("subject_name")
            untidied = row.untidied(("question", "opa", "opb", "opc", "opd"))
            yield Choice(row.text("id"), row.text("question"), options, answer, str(topic or ""), untidied)


def _base(file: UPath) -> int:
    """From where ``cop`` counts in a file."""
    lines: dict[int, int] = {}
    for row in reading.json_objects(file):
        cop = row.get("cop")
        if isinstance(cop, bool) or not isinstance(cop, int) or not 0 <= cop <= 4:
            row.fail(f"'cop' is {reading.shown(cop)}, not a number from 1 to 4 (publisher's file) or from 0 to 3 (hub)")
        lines.setdefault(cop, row.line)
    if 0 in lines and 4 in lines:
        raise CorpusError(file, max(lines[0], lines[4]), "'cop' is both 0 and 4: two versions of the corpus are mixed")
    if lines and 0 not in lines and 4 not in lines:
        raise CorpusError(file, 0, "'cop' is never 0 and never 4, so it cannot be known whether it counts from 0 or 1")
    return 0 if 0 in lines else 1


def read_mmlu(folder: UPath, split: Split) -> Iterator[Choice]:
    """Comma-separated, without a header: question, four options, letter."""
    for name in split.files:
        for row in reading.headless_rows(folder / name, ("question", *"ABCD", "answer")):
            letter = row.one_of("answer", "ABCD")
            options, place = tuple(row.text(key) for key in "ABCD"), LETTERS.index(letter)
            untidied = row.untidied(("question", *"ABCD"))
            yield Choice(f"{split.name}:{row.line}", row.text("question"), options, place, untidied=untidied)


def _mmlu(subject: str, count: int | None, field: str) -> Task[Choice, str]:
    named = subject.replace("_", " ")
    return Task(
        name=f"mmlu_{subject}",
        title=f"MMLU, {named}",
        family=CHOICE,
        folder="mmlu",
        splits=(Split("dev", (f"{subject}_dev.csv",)), Split("test", (f"{subject}_test.csv",), count)),
        read=read_mmlu,
        licence=Licence("open", "MIT", "github.com/hendrycks/test: the files of dev/ and test/ in one folder"),
        subject=field,
        labels=tuple("ABCD"),
        likelihood=Likelihood(
            bare_question_options,
            f"mmlu_{subject}",
            f"The following are multiple choice questions (with answers) about {named}.\n\n",
            ordered=True,
        ),
        tried=count is not None,
        note="The development split is the publisher's five examples.",
    )


TASKS: tuple[Task[Choice, str], ...] = (
    Task(
        name="medqa",
        title="MedQA-USMLE, four options",
        family=CHOICE,
        folder="medqa",
        splits=(
            Split("train", ("phrases_no_exclude_train.jsonl",)),
            Split("dev", ("phrases_no_exclude_dev.jsonl",)),
            Split("test", ("phrases_no_exclude_test.jsonl",), 1273),
        ),
        read=read_medqa,
        licence=Licence("open", "MIT", "github.com/jind11/MedQA, data_clean/questions/US/4_options"),
        subject="clinical medicine",
        labels=tuple("ABCD"),
        figures=(
            Figure("majority of the labels", 27.7, "accuracy", "test", "counted"),
            Figure("Llama-2-7B", 31.97, "accuracy", "test", LOGLIKELIHOOD),
            Figure("Llama-2-13B", 0.0, "accuracy", "test", GENERATED),
            Figure("Llama-2-13B, instruction-tuned", 1.3, "accuracy", "test", GENERATED),
            Figure("LLaMA-1-7B", 27.1, "accuracy", "test", "LMFlow, generated text"),
            Figure("PubMedBERT", 38.1, "accuracy", "test", "BioLinkBERT"),
            Figure("BioLinkBERT-base", 40.0, "accuracy", "test", "BioLinkBERT"),
            Figure("BioLinkBERT-large", 44.6, "accuracy", "test", "BioLinkBERT"),
            Figure("Me-LLaMA-13B-chat", 42.7, "accuracy", "test", "Me-LLaMA"),
        ),
        likelihood=Likelihood(question_options, "medqa_4options"),
        tried=True,
    ),
    Task(
        name="medmcqa",
        title="MedMCQA",
        family=CHOICE,
        folder="medmcqa",
        splits=(Split("train", ("train.json",)), Split("dev", ("dev.json",), 4183)),
        read=read_medmcqa,
        licence=Licence("open", "MIT", "github.com/MedMCQA/MedMCQA"),
        subject="medicine",
        labels=tuple("ABCD"),
        figures=(
            Figure("majority of the labels", 32.2, "accuracy", "dev", "counted"),
            Figure("Llama-2-7B", 34.38, "accuracy", "dev", LOGLIKELIHOOD),
            Figure("Llama-2-13B", 0.3, "accuracy", "dev", GENERATED),
            Figure("LLaMA-1-7B", 24.3, "accuracy", "dev", "LMFlow, generated text"),
            Figure("Meditron-7B", 36.3, "accuracy", "dev", "Meditron, 3-shot"),
            Figure("Me-LLaMA-13B-chat", 44.9, "accuracy", "dev", "Me-LLaMA"),
        ),
        likelihood=Likelihood(question_choices_options, "medmcqa"),
        tried=True,
        note="The answers of the test split are not published; everyone scores the development split. 21 of its "
        "questions offer one text under two letters.",
    ),
    *(_mmlu(subject, count, field) for subject, (count, field) in SUBJECTS.items()),
)
