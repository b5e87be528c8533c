"""Choice tasks in the publishers' formats, three items each, written by hand; some with blanks that readers tidy."""

import csv
import io
import json
from pathlib import Path

MEDQA = (
    (
        "A 24-year-old woman with type 1 diabetes has been vomiting for a day. Her blood glucose is 29 mmol/L, her "
        "arterial pH is 7.12, and her urine has ketones. Which of these drugs does she need at once? ",
        ("Metformin", "Insulin", " Gliclazide", "Acarbose"),
        "B",
    ),
    (
        "A 60-year-old man has crushing chest pain. The ECG shows ST elevation in leads II, III and aVF. Which artery "
        "is most likely to be occluded?",
        ("Left anterior descending", "Left circumflex", "Left main", "Right coronary"),
        "D",
    ),
    (
        "Which antidote is given for poisoning with paracetamol?",
        ("Acetylcysteine", "Atropine", "Flumazenil", "Naloxone"),
        "A",
    ),
)
MEDMCQA = (
    ("Deficiency of which vitamin causes scurvy?", ("Vitamin A", "Vitamin B1", "Vitamin C", "Vitamin D"), 3),
    (
        "Which drug for glaucoma is a β-blocker?",
        ("Timolol", "Pilocarpine", "Latanoprost", "Acetazolamide"),
        1,
    ),
    (
        "The mitral valve lies between",
        (
            "Right atrium and right ventricle",
            "Right ventricle and lung",
            "Left ventricle and aorta",
            "Left atrium and left ventricle",
        ),
        4,
    ),
)
PUBMEDQA = {
    "101": (
        "Does handwashing by surgeons lower the rate of wound infection?",
        ("We compared two wards over a year.", "Infections fell from 9 % to 3 % (p < 0.01)."),
        "yes",
    ),
    "102": (
        "Does vitamin C shorten labour?",
        ("Eighty women were given vitamin C or placebo.", "Labour was as long in both groups."),
        "no",
    ),
    "103": (
        "Is the new score better than the old one?",
        ("Both scores were read for 40 patients.", "It was better in men and worse in women."),
        "maybe",
    ),
}
GENETICS = (
    (
        " Cystic fibrosis is inherited as a trait that is\n",
        ("autosomal dominant", "autosomal recessive", "X-linked recessive", "mitochondrial"),
        "B",
    ),
    ("Down syndrome is most often caused by trisomy of chromosome", ("13", "18", "21", "22"), "C"),
    ('Which repeat is expanded in "Huntington disease"?', ("CAG", "CGG", "CTG", "GAA"), "A"),
)


def write(folder: Path) -> None:
    """All four corpora under a folder."""
    files = {
        "medqa/phrases_no_exclude_test.jsonl": [
            {
                "question": question,
                "options": dict(zip("ABCD", options, strict=True)),
                "answer": options["ABCD".index(letter)],
                "answer_idx": letter,
            }
            for question, options, letter in MEDQA
        ],
        "medmcqa/dev.json": [
            {"id": f"m{number}", "question": question, "cop": cop, "subject_name": "Medicine"}
            | {f"op{letter}": option for letter, option in zip("abcd", options, strict=True)}
            for number, (question, options, cop) in enumerate(MEDMCQA, 1)
        ],
    }
    texts = {name: "".join(json.dumps(row) + "\n" for row in rows) for name, rows in files.items()}
    texts["pubmedqa/ori_pqal.json"] = json.dumps(
        {
            pmid: {"QUESTION": question, "CONTEXTS": contexts, "LONG_ANSWER": "Not shown.", "final_decision": answer}
            for pmid, (question, contexts, answer) in PUBMEDQA.items()
        }
    )
    texts["pubmedqa/test_ground_truth.json"] = json.dumps({pmid: answer for pmid, (_, _, answer) in PUBMEDQA.items()})
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(
        (question, *options, letter) for question, options, letter in GENETICS
    )
    texts["mmlu/medical_genetics_test.csv"] = table.getvalue()
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
