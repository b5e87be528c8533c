"""A small folder of corpora in the publishers' formats, written by hand: medically sound, and nobody's text."""

import json
from pathlib import Path

SENTENCES = (  # token and tag, of diseases
    "The:O patient:O was:O treated:O for:O severe:B asthma:I in:O the:O emergency:O department:O .:O",
    "Cystic:B fibrosis:I is:O caused:O by:O mutations:O of:O a:O chloride:O channel:O gene:O .:O",
    "No:O sign:O of:O pneumonia:B was:O seen:O on:O the:O radiograph:O taken:O at:O admission:O .:O",
    "Blood:O pressure:O fell:O to:O normal:O values:O within:O two:O weeks:O of:O treatment:O .:O",
    "Untreated:O coeliac:B disease:I may:O present:O with:O anaemia:B of:O unknown:O origin:O .:O",
)
HELD_OUT = "Recurrent:O otitis:B media:I in:O infancy:O was:O not:O followed:O by:O lasting:O hearing:B loss:I .:O"
NEARLY = "Recurrent:O otitis:B media:I in:O infancy:O was:O never:O followed:O by:O lasting:O hearing:B loss:I .:O"
QUESTIONS = (
    ("What is the usual first treatment of an acute gout attack?", "Usually an anti-inflammatory drug or colchicine."),
    ("Which vitamin is lacking in scurvy?", "Scurvy is caused by a lack of vitamin C."),
    ("How is type 1 diabetes treated?", "With insulin, for life, beside diet and exercise."),
)


def columns(sentences) -> str:
    """IOB columns: a token, a tab and a tag a line, a blank line behind each sentence."""
    blocks = ["\n".join(word.replace(":", "\t") for word in sentence.split()) for sentence in sentences]
    return "\n\n".join(blocks) + "\n\n"


def write(folder: Path) -> Path:
    """ncbi-disease and bc5cdr-disease (which share sentences), gad and medquad."""
    put(folder, "ncbi-disease/train.tsv", columns([*SENTENCES, SENTENCES[0], NEARLY]))
    put(folder, "ncbi-disease/devel.tsv", columns([HELD_OUT]))
    put(folder, "ncbi-disease/test.tsv", columns(["Rickets:B is:O rare:O where:O milk:O is:O fortified:O .:O"]))
    put(folder, "bc5cdr-disease/train.tsv", columns([SENTENCES[1], "Lithium:O may:O cause:O tremor:B .:O"]))
    put(folder, "bc5cdr-disease/devel.tsv", columns(["Warfarin:O can:O cause:O bleeding:B .:O"]))
    put(folder, "bc5cdr-disease/test.tsv", columns(["Ototoxicity:B of:O gentamicin:O is:O known:O .:O"]))
    rows = [
        {
            "id": str(place),
            "question": asked,
            "answer": said,
            "qtype": "treatment",
            "focus": "",
            "source": "",
            "url": "",
        }
        for place, (asked, said) in enumerate(QUESTIONS)
    ]
    put(folder, "medquad/medquad.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder


def put(folder: Path, name: str, text: str) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
