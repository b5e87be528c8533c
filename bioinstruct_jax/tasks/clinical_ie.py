"""Medication status and coreference in clinical snippets of CASI (Agrawal et al., EMNLP 2022; clinical-ie on the hub).

No real file was at hand, and the publisher's card does not name the columns. The forms read here are CSV with a header:
medication status ``index, snippet, active_medications, discontinued_medications, neither_medications``, the last three
JSON lists; coreference ``index, snippet, pronoun, antecedents``, a JSON list.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import replace

from upath import UPath

from bioinstruct_jax.tasks import reading
from bioinstruct_jax.tasks.open_answer import OPEN_ANSWER, OpenQuestion
from bioinstruct_jax.tasks.relations import FIRST, RELATIONS, Pair
from bioinstruct_jax.tasks.task import Licence, Split, Task

STATUS = ("active", "discontinued", "neither")
PATIENT = "the patient"
STATUSES = (
    "Decide whether the patient takes the marked medication.",
    "Reconcile medications: what is the status of the one that is marked in this note?",
    "From the note alone, classify the marked drug as the listed options have it.",
    "Is the patient on the marked medication, was it stopped, or is it neither?",
    "You compile the list of current medications at admission. How does the marked drug enter it?",
    "Determine the status of the marked medication at the time of the note.",
    "Read how the note speaks of the marked medication and give its status.",
    "What became of the marked drug, according to this snippet? Choose its status.",
)
STATUS_OF_DRUG = replace(RELATIONS, wordings=STATUSES)
ANTECEDENTS = (
    "Read the snippet of a clinical note and resolve the pronoun in question.",
    "To what does the pronoun refer? Give the whole noun phrase as it stands in the note.",
    "Find the antecedent of the pronoun in this clinical text.",
    "Which noun phrase in the note does the pronoun stand for?",
    "Resolve the reference: copy the expression from the note to which the pronoun points.",
    "A reader of this note stumbles over a pronoun. Say what it refers to, in the note's own words.",
    "Link the pronoun to its antecedent. Answer with that phrase only.",
    "Identify the expression that could replace the pronoun without a change of meaning.",
)
ANTECEDENT = replace(OPEN_ANSWER, category="IE", wordings=ANTECEDENTS)


def read_status(folder: UPath, split: Split) -> Iterator[Pair]:
    """One item for each medication of a snippet, marked where it is first mentioned; the other side is the patient."""
    columns = tuple(f"{status}_medications" for status in STATUS)
    for name in split.files:
        for row in reading.table_rows(folder / name, ("index", "snippet", *columns)):
            snippet, seen = row.text("snippet"), set()
            for status, column in zip(STATUS, columns, strict=True):
                for drug in _list(row, column):
                    match = re.search(rf"(?<!\w){re.escape(drug)}(?!\w)", snippet, re.IGNORECASE)
                    if not match:
                        row.fail(f"a medication of {column!r} is not in the snippet")
                    if match.span() in seen:
                        row.fail(f"a medication of {column!r} has two statuses")
                    seen.add(match.span())
                    text = f"{snippet[: match.start()]}{FIRST[0]}{match[0]}{FIRST[1]}{snippet[match.end() :]}"
                    place = f"{row.text('index')}:{match.start()}"
                    yield Pair(place, text, match[0], PATIENT, status, row.text("index"))


def read_coreference(folder: UPath, split: Split) -> Iterator[OpenQuestion]:
    """One item a snippet; of several right antecedents the first is the answer."""
    for name in split.files:
        for row in reading.table_rows(folder / name, ("index", "snippet", "pronoun", "antecedents")):
            right = _list(row, "antecedents")
            if not right:
                row.fail("'antecedents' is an empty list")
            question = f'Note: {row.text("snippet")}\nPronoun: "{row.text("pronoun")}"'
            yield OpenQuestion(row.text("index"), question, right[0], right[1:])


def _list(row: reading.Row, name: str) -> tuple[str, ...]:
    text = row.text(name, empty=True)
    try:
        value = json.loads(text) if text else []
    except (ValueError, RecursionError):
        row.fail(f"{name!r} is no JSON list")
    return reading.Row(row.file, row.line, {name: value}).texts(name)


_LICENCE = Licence(
    "restricted",
    "the terms of CASI and of its publishers",
    "huggingface.co/datasets/mitclinicalml/clinical-ie, after its terms are accepted",
)

TASKS = (
    Task(
        name="medication_status",
        title="Medication status in CASI snippets",
        family=STATUS_OF_DRUG,
        folder="clinical-ie",
        splits=(
            Split("dev", ("medication_status_validation.csv",)),
            Split("test", ("medication_status_test.csv",)),
        ),
        read=read_status,
        licence=_LICENCE,
        labels=STATUS,
        meanings=(
            "the patient takes it, or is to take it",
            "it was stopped",
            "neither, as an allergy or a drug that is only considered",
        ),
    ),
    Task(
        name="coreference",
        title="Coreference in CASI snippets",
        family=ANTECEDENT,
        folder="clinical-ie",
        splits=(Split("dev", ("coreference_validation.csv",)), Split("test", ("coreference_test.csv",))),
        read=read_coreference,
        licence=_LICENCE,
        note="Where several antecedents are right, an answer counts by the one that it overlaps most.",
    ),
)
