"""Items of every family, written for these tests."""

from typing import Any

from bioinstruct_jax.tasks.choice import Choice
from bioinstruct_jax.tasks.inference import Inference
from bioinstruct_jax.tasks.labels import HALLMARKS, Labelled
from bioinstruct_jax.tasks.note import Conversation
from bioinstruct_jax.tasks.open_answer import OpenQuestion
from bioinstruct_jax.tasks.own_instructions import Instruction
from bioinstruct_jax.tasks.relations import Pair
from bioinstruct_jax.tasks.spans import Entities, Mention
from bioinstruct_jax.tasks.summary import Document
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import Task
from bioinstruct_jax.tasks.yes_no import Question

D, C = "Disease", "Chemical"
DRUGS = ("Aspirin", "Warfarin", "Heparin", "Clopidogrel")
CHOICES = [
    Choice("1", "Which drug inhibits vitamin K epoxide reductase?", DRUGS, 1),
    Choice("2", "Which drug acetylates cyclooxygenase?", DRUGS, 0),
    Choice("3", "Which dose of folic acid in mg prevents a first neural tube defect?", ("0.4", "4", "40"), 0),
    Choice("4", "Which of the two is reversed by protamine?", ("Warfarin", "Heparin"), 1),
]
DECISIONS = [
    Question("1", "Does metformin cause lactic acidosis often?", "It was rare.", "no"),
    Question("2", "Does aspirin prevent stroke after a TIA?", "Strokes were fewer.", "yes"),
    Question("3", "Is vitamin D of use in asthma?", "Trials disagreed.", "maybe"),
]
INFERENCES = [
    Inference("1", "The patient has pneumonia.", "The patient has an infection.", "entailment"),
    Inference("2", "The patient is afebrile.", "The patient has a fever.", "contradiction"),
    Inference("3", "The patient smokes.", "The patient has COPD.", "neutral"),
]
FOLLOWING = [
    Inference("1", "My son has croup. What helps?", "What are treatments of croup?", "entailment"),
    Inference("2", "My son has croup. What helps?", "What causes gout?", "not entailment"),
]
GENES = [
    Pair("1", "@GENE$ variants raise the risk of @DISEASE$.", "@GENE$", "@DISEASE$", "associated"),
    Pair("2", "@GENE$ had no part in @DISEASE$.", "@GENE$", "@DISEASE$", "not associated"),
    Pair("3", "@GENE$ was not linked to @DISEASE$.", "@GENE$", "@DISEASE$", "not associated"),
]
STATUSES = [
    Pair("1", "She takes << lisinopril >> daily.", "lisinopril", "the patient", "active"),
    Pair("2", "<< Warfarin >> was stopped.", "Warfarin", "the patient", "discontinued"),
    Pair("3", "Allergic to << penicillin >>.", "penicillin", "the patient", "neither"),
]
SENTENCES = [
    Labelled("9_1", "VEGF drives new vessels.", (HALLMARKS[6],), "9"),
    Labelled("9_2", "The cells resist apoptosis and form vessels.", (HALLMARKS[6], HALLMARKS[7]), "9"),
    Labelled("8_1", "Blood was drawn.", (), "8"),
]
DISEASES = [
    Entities("1", ("Fever", "or", "fever", "with", "lung", "cancer", "."), (Mention(2, 3, D), Mention(4, 6, D))),
    Entities("2", ("IL", "-", "2", ":", "no", "gout"), (Mention(5, 6, D),), (" ", "", " ", " ", " ", "")),
    Entities("3", ("All", "was", "well", "."), ()),
    Entities("4", ("tremor", "tremor", "and", "ataxia"), (Mention(0, 1, D), Mention(1, 2, D), Mention(3, 4, D))),
]
POISONED = ("Lithium", "tremor", "and", "lead", "poisoning")
BOTH = [
    Entities("1", POISONED, (Mention(0, 1, C), Mention(1, 2, D), Mention(3, 5, D))),
    Entities("2", ("lead", "after", "lead"), (Mention(0, 1, C), Mention(2, 3, C))),
    Entities("3", ("Rash", "."), (Mention(0, 1, D),)),
]
NOTES = [
    Conversation("1", "Doctor: What is it? Patient: My knee hurts.", "Chief complaint: knee pain.", "Chief complaint"),
    Conversation("2", "Doctor: Any allergies? Patient: Penicillin gives me hives.", "Penicillin: hives.", "Allergies"),
]
SUMMARIES = [Document("1", "My mother has gout and wonders what she may eat.", "What is a diet for gout?")]
ANSWERS = [OpenQuestion("1", "What is croup?", "A viral infection of the larynx in small children.")]
OWN = [Instruction("1", "Explain the result.", "Sodium: 129 mmol/L", "The sodium is below its range.")]
REFERENCES = [OpenQuestion("1", "Note: He met his brother.\nPronoun: He", "the patient", ("the old man", "Mr Smith"))]

ITEMS: dict[str, list[Any]] = {
    "medqa": CHOICES,
    "pubmedqa": DECISIONS,
    "mednli": INFERENCES,
    "mediqa_rqe": FOLLOWING,
    "gad": GENES,
    "medication_status": STATUSES,
    "hoc": SENTENCES,
    "ncbi_disease": DISEASES,
    "bc5cdr": BOTH,
    "mts_dialog": NOTES,
    "meqsum": SUMMARIES,
    "medquad": ANSWERS,
    "own_instructions": OWN,
    "coreference": REFERENCES,
}
ASKED: list[tuple[Task[Any, Any], str]] = [
    (TASKS[name], form)
    for name in ITEMS
    for form in TASKS[name].family.formats
    if (TASKS[name].family.name, form) != ("relations", "json")
]
