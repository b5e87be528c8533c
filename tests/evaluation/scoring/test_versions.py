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
    "medqa letter generated": (2, "16dd4de5609d"),
    "medqa letter_and_text generated": (2, "2820d54ce488"),
    "pubmedqa word generated": (2, "66917df6a569"),
    "mednli label generated": (2, "e0271903d5c2"),
    "mediqa_rqe label generated": (2, "b79562c9f9df"),
    "gad class generated": (2, "b5a49fd9c85d"),
    "medication_status class generated": (2, "e0271903d5c2"),
    "hoc names generated": (1, "3a7d05b92a38"),
    "ncbi_disease iob generated": (1, "e088e5e8a991"),
    "ncbi_disease json generated": (1, "ef4c36152aff"),
    "bc5cdr iob generated": (1, "5c3a56eec7ae"),
    "bc5cdr json generated": (1, "70ade256a3ef"),
    "mts_dialog text generated": (1, "3fc5e76bc8a4"),
    "meqsum text generated": (1, "fee81688d1f1"),
    "medquad text generated": (1, "eca0f82ac932"),
    "own_instructions text generated": (1, "b0ffc2652cbf"),
    "coreference text generated": (1, "779cf26974f6"),
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
        outputs += [Output(text=text, finish="length") for text in (*SAID, "The answer is B", "I say no")]
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
