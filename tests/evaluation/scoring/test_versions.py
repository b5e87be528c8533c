"""Scores that change for the same outputs have another version: what each scorer counts is written down here."""

import hashlib
import json

import pytest

from bioinstruct_jax.evaluation import extraction
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.scoring.asked import question
from tests.evaluation.scoring.made import ASKED, ITEMS

# extraction.VERSION, and by task, answer format and protocol the scorer's version and a digest of its counts.
EXTRACTION = 2
COUNTED: dict[str, tuple[int, str]] = {
    "medqa letter generated": (1, "ba44cdc3e758"),
    "medqa letter_and_text generated": (1, "4e0b0fa7ee92"),
    "pubmedqa word generated": (1, "ca87bb59b4f0"),
    "mednli label generated": (1, "cf83c5b0d1a9"),
    "mediqa_rqe label generated": (1, "3639d12c09ec"),
    "gad class generated": (1, "3cfd468a31b3"),
    "medication_status class generated": (1, "cf83c5b0d1a9"),
    "hoc names generated": (1, "54cd99a81c03"),
    "ncbi_disease iob generated": (1, "a84ab3761e37"),
    "ncbi_disease json generated": (1, "240d01611b3c"),
    "bc5cdr iob generated": (1, "810fe97952b1"),
    "bc5cdr json generated": (1, "69c530d853b1"),
    "mts_dialog text generated": (1, "660466ea1563"),
    "meqsum text generated": (1, "8d074021cd8b"),
    "medquad text generated": (1, "1f0c521b1217"),
    "own_instructions text generated": (1, "a7bb4115366c"),
    "coreference text generated": (1, "bc592a019e5c"),
    "pubmedqa word harness": (1, "7eb32f20be6e"),
    "mednli label likelihood": (1, "ff8d7cde4b57"),
}
SAID = (
    "The answer is (B).",
    "yes, probably; but maybe not associated",
    "Warfarin, because of vitamin K",
    '[{"text": "lead", "type": "Chemical"}, {"text": "gout"}]',
    "Lithium : B-Chemical\ntremor : B-Disease\nand : O",
    "A viral infection of the throat in children",
    "",
)


def counted(name: str, form: str, protocol: str) -> tuple[int, str]:
    """The scorer's version, and a digest of all counts of fixed outputs: of every item's gold, and of `SAID`."""
    task = TASKS[name]
    one, questions = scorer(task, protocol, form), [question(task, item, form) for item in ITEMS[name]]
    rows = []
    for asked in questions:
        outputs = [Output(text=text) for text in [*(other.record.output for other in questions), *SAID]]
        if protocol != "generated":
            count = len(task.labels)
            outputs = [Output(loglikelihoods=tuple(range(-best - count, -best))) for best in (1, 20)]
            outputs += [Output(loglikelihoods=tuple(range(-1, -count - 1, -1)))]
        for output in outputs:
            found = one.read(asked, output)
            counts = {key: [round(float(value), 6) for value in row] for key, row in sorted(found.counts.items())}
            rows.append([found.why, round(found.value, 6), counts])
    return one.version, hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:12]


CASES = [(task.name, form, "generated") for task, form in ASKED]
CASES += [("pubmedqa", "word", "harness"), ("mednli", "label", "likelihood")]


@pytest.mark.parametrize(("name", "form", "protocol"), CASES)
def test_counts_change_with_the_version_alone(name, form, protocol):
    # lm-eval#3887. Mutation: any change of what a scorer counts. Then raise its version, and put the new digest here.
    assert extraction.VERSION == EXTRACTION
    assert counted(name, form, protocol) == COUNTED[f"{name} {form} {protocol}"]
