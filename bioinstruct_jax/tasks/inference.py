"""Inference: does one statement or question follow from another? MedNLI and MEDIQA-RQE."""

from collections.abc import Iterator
from dataclasses import dataclass

from upath import UPath

from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.task import Answer, CorpusError, Family, Figure, Licence, Split, Task

WORDINGS = (
    "Read the two {subject} and decide how the second stands to the first.",
    "Taking the first of the two {subject} as given, judge the second.",
    "Compare these {subject} as a clinician would, and say whether the second follows from the first.",
    "Two {subject} are given. Determine the inferential relation from the first to the second.",
    "Accept the first of these {subject} as it stands. What can be concluded about the second?",
    "Judge whether the first of the two {subject} entails the second. Use medical knowledge where it is needed to link "
    "the two, but assume no facts about the patient that are not given.",
    "Does the second of these {subject} follow from the first? Choose among the options.",
    "Classify this pair of {subject}: what does the first imply for the second?",
    "Weigh the second of the two {subject} against the first, and pick the option that fits.",
)


@dataclass(frozen=True)
class Inference:
    """What is given, and what is judged by it."""

    id: str
    first: str
    second: str
    label: str


def render(item: Inference, task: Task[Inference, str], format: str) -> tuple[str, str]:
    """Both sentences, numbered, and the options with what they mean; then the label."""
    kind = "Question" if task.subject.endswith("questions") else "Sentence"
    options = "\n".join(f"- {label}: {meaning}" for label, meaning in zip(task.labels, task.meanings, strict=True))
    return f"{kind} 1: {item.first}\n{kind} 2: {item.second}\nOptions:\n{options}\nAnswer with one option.", item.label


def parse(text: str, item: Inference, task: Task[Inference, str], format: str) -> Answer[str]:
    """The label that a text gives, whatever explanation follows it; problems are those of `answers.single`."""
    return answers.single(text, task.labels)


INFERENCE: Family[Inference, str] = Family(
    name="inference",
    category="IE",
    wordings=WORDINGS,
    formats=("label",),
    gold=lambda item: item.label,
    text=lambda item: f"{item.first}\n{item.second}",
    render=render,
    parse=parse,
)

LABELS = ("entailment", "contradiction", "neutral")
ENTAILED = {"true": "entailment", "false": "not entailment"}


def read_mednli(folder: UPath, split: Split) -> Iterator[Inference]:
    """JSON lines as the corpus's PhysioNet page has them: ``sentence1``, ``sentence2``, ``gold_label``, ``pairID``."""
    for name in split.files:
        for row in reading.json_objects(folder / name):
            label = row.one_of("gold_label", LABELS)
            yield Inference(row.text("pairID"), row.text("sentence1"), row.text("sentence2"), label)


def read_rqe(folder: UPath, split: Split) -> Iterator[Inference]:
    """XML of MEDIQA 2019, task 2 (its readme): each ``pair`` has ``pid`` and ``value``, a ``chq`` and a ``faq``."""
    for name in split.files:
        file = folder / name
        pairs = list(reading.xml(file).all("pair"))
        if not pairs:
            raise CorpusError(file, 1, "there is no element 'pair'")
        for node in pairs:
            row = node.row(file)
            label = ENTAILED[row.one_of("value", tuple(ENTAILED))]
            yield Inference(f"{row.text('pid')}:{node.line}", row.text("chq"), row.text("faq"), label)


TASKS = (
    Task(
        name="mednli",
        title="MedNLI",
        family=INFERENCE,
        folder="mednli",
        splits=(
            Split("train", ("mli_train_v1.jsonl",)),
            Split("dev", ("mli_dev_v1.jsonl",)),
            Split("test", ("mli_test_v1.jsonl",)),
        ),
        read=read_mednli,
        licence=Licence(
            "restricted",
            "PhysioNet Credentialed Health Data Licence 1.5.0",
            "physionet.org/content/mednli, for credentialed users who have signed the data use agreement",
        ),
        subject="statements",
        labels=LABELS,
        meanings=(
            "the second must be true, given the first",
            "the second cannot be true, given the first",
            "the second may or may not be true",
        ),
        figures=(
            Figure("BioClinicalBERT", 82.41, "accuracy", "dev", "arXiv 2401.00579"),
            Figure("Llama2-MedTuned-13b", 89.46, "accuracy", "dev", "arXiv 2401.00579"),
            Figure("Llama-2, not tuned", 37.20, "accuracy", "dev", "arXiv 2401.00579"),
            Figure("Llama-2-13B", 17.2, "accuracy", "test", "Me-LLaMA, table 3"),
            Figure("Llama-2-13B, instruction-tuned", 45.7, "accuracy", "test", "Me-LLaMA, table 3"),
        ),
        note="From MIMIC-III. The second paper scores its development split as if it were its test split.",
    ),
    Task(
        name="mediqa_rqe",
        title="MEDIQA 2019 task 2, recognizing question entailment",
        family=INFERENCE,
        folder="mediqa-rqe",
        splits=(
            Split("train", ("MEDIQA2019-Task2-RQE-TrainingSet-AMIA2016.xml",)),
            Split("dev", ("MEDIQA2019-Task2-RQE-ValidationSet-AMIA2016.xml",)),
            Split("test", ("MEDIQA2019-Task2-RQE-TestSet-wLabels.xml",)),
        ),
        read=read_rqe,
        licence=Licence(
            "attribution", "none stated; its authors ask to be cited", "github.com/abachaa/MEDIQA2019, MEDIQA_Task2_RQE"
        ),
        subject="questions",
        labels=("entailment", "not entailment"),
        meanings=(
            "every answer to the second is also a complete or partial answer to the first",
            "some answer to the second does not answer the first",
        ),
        note="Question 1 is a consumer's, question 2 one frequently asked; entailment is as its authors define it.",
    ),
)
