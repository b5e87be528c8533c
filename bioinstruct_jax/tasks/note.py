"""Note: from a conversation of doctor and patient to a clinical note or a section of it. MTS-Dialog, ACI-Bench."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from upath import UPath

from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.task import Answer, Family, Licence, Split, Task

WORDINGS = (
    "Write {subject} from this conversation between a doctor and a patient.",
    "From the conversation below, document {subject}, in the order that a chart has.",
    "You are the scribe at this encounter. Prepare {subject}.",
    "Turn the dialogue into {subject}, in the concise style of a medical record.",
    "Draft {subject} for the chart from what doctor and patient say here. Keep doses, dates and negatives exact.",
    "Listen in on this visit and record it as {subject}.",
    "Produce {subject} on the basis of the transcript, as a physician would dictate it.",
    "Condense the exchange below into {subject} that a colleague could rely on.",
    "Based on this transcript, compose {subject}.",
)


@dataclass(frozen=True)
class Conversation:
    """A transcript and the note of it. ``section``: which part of a note, or empty for all of it."""

    id: str
    dialogue: str
    note: str
    section: str = ""


def render(item: Conversation, task: Task[Conversation, str], format: str) -> tuple[str, str]:
    """The section that is asked for, if it is one, and the transcript; then the note."""
    section = f"Section: {item.section}\n" if item.section else ""
    return f"{section}Conversation:\n{item.dialogue}", item.note


def parse(text: str, item: Conversation, task: Task[Conversation, str], format: str) -> Answer[str]:
    """The text itself; problems: ``empty``, ``refusal``."""
    return answers.free_text(text)


NOTE: Family[Conversation, str] = Family(
    name="note",
    category="GEN",
    wordings=WORDINGS,
    formats=("text",),
    gold=lambda item: item.note,
    text=lambda item: item.dialogue,
    render=render,
    parse=parse,
)

SECTIONS = {  # of MTS-Dialog, spelt out
    "FAM/SOCHX": "Family and social history",
    "GENHX": "History of present illness",
    "PASTMEDICALHX": "Past medical history",
    "CC": "Chief complaint",
    "PASTSURGICAL": "Past surgical history",
    "ALLERGY": "Allergies",
    "ROS": "Review of systems",
    "MEDICATIONS": "Medications",
    "ASSESSMENT": "Assessment",
    "EXAM": "Physical examination",
    "DIAGNOSIS": "Diagnosis",
    "DISPOSITION": "Disposition",
    "PLAN": "Plan",
    "EDCOURSE": "Emergency department course",
    "IMMUNIZATIONS": "Immunizations",
    "IMAGING": "Imaging",
    "GYNHX": "Gynecologic history",
    "PROCEDURES": "Procedures",
    "OTHER_HISTORY": "Other history",
    "LABS": "Laboratory results",
}


def read_mts(folder: UPath, split: Split) -> Iterator[Conversation]:
    """CSV with ``ID``, ``section_header``, ``section_text`` and ``dialogue``."""
    for name in split.files:
        for row in reading.table_rows(folder / name, ("ID", "section_header", "section_text", "dialogue")):
            section = SECTIONS[row.one_of("section_header", tuple(SECTIONS))]
            yield Conversation(row.text("ID"), row.text("dialogue"), row.text("section_text"), section)


def read_aci(folder: UPath, split: Split) -> Iterator[Conversation]:
    """CSV with ``dataset``, ``encounter_id``, ``dialogue`` and ``note``."""
    for name in split.files:
        for row in reading.table_rows(folder / name, ("dataset", "encounter_id", "dialogue", "note")):
            yield Conversation(row.text("encounter_id"), row.text("dialogue"), row.text("note"))


_MTS = Task(
    name="mts_dialog",
    title="MTS-Dialog, a section of the note",
    family=NOTE,
    folder="mts-dialog",
    splits=(
        Split("train", ("MTS-Dialog-TrainingSet.csv",), 1201),
        Split("dev", ("MTS-Dialog-ValidationSet.csv",), 100),
        Split("test", ("MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv",), 200),
    ),
    read=read_mts,
    licence=Licence("attribution", "CC BY 4.0", "github.com/abachaa/MTS-Dialog, Main-Dataset"),
    subject="the named section of the clinical note",
    tried=True,
    note="The conversations were written from the notes. There are two test sets, each a task here.",
)
_ACI = Task(
    name="aci_bench",
    title="ACI-Bench, the note of a whole visit",
    family=NOTE,
    folder="aci-bench",
    splits=(
        Split("train", ("train.csv",), 67),
        Split("dev", ("valid.csv",), 20),
        Split("test", ("clinicalnlp_taskB_test1.csv",), 40),
    ),
    read=read_aci,
    licence=Licence("attribution", "CC BY 4.0", "github.com/wyim/aci-bench, data/challenge_data"),
    subject="a complete note of the visit",
    tried=True,
    note="There are three test sets, each a task here. Transcripts and notes are long: many exceed 2,048 tokens.",
)


def _other(task: Task[Conversation, str], name: str, title: str, file: str) -> Task[Conversation, str]:
    """A further official test set of a corpus, as a task of its own, so that no split goes under another's name."""
    return replace(task, name=name, title=f"{task.title}, {title}", splits=(Split("test", (file,)),), tried=False)


TASKS = (
    _MTS,
    _other(_MTS, "mts_dialog_2", "second test set", "MTS-Dialog-TestSet-2-MEDIQA-Sum-2023.csv"),
    _ACI,
    _other(_ACI, "aci_bench_2", "second test set", "clinicalnlp_taskC_test2.csv"),
    _other(_ACI, "aci_bench_3", "third test set", "clef_taskC_test3.csv"),
)
