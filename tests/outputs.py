"""Rows and a card for the tests of `data/output`, and a folder written in one call."""

from dataclasses import replace
from pathlib import Path

from bioinstruct_jax.data.output import folder
from bioinstruct_jax.data.output.card import Card, CardSource
from bioinstruct_jax.data.sample import Sample

LOCAL = [form for form in folder.FORMS if form not in folder.PUBLISHED]
ROW = Sample(
    id="gad/train/1",
    instruction="Does the gene matter?",
    input='APOE — ε4\u2028and dementia.\r\n\tSee \x85 \u2029 \x0b\x1c \\ "quoted" ]\n,{',
    output="yes",
    category="QA",
    source="gad",
    family="yes_no",
    split="train",
    licence="open",
    format="word",
    wording=3,
    labels=("yes",),
)
SECRET = "Mr Featherstonehaugh of ward 7"
CARD = Card(
    name="tiny",
    title="Tiny instructions",
    summary="Rows of a test.",
    sources=(CardSource("gad", "Gene | disease", "CC0", "open", "https://example.org", "weak labels"),),
)


def many(count, **given):
    return [replace(ROW, id=f"gad/{given.get('split', 'train')}/{n}", **given) for n in range(count)]


def put(place, rows, form="alpaca", **given):
    with folder.writing(place, form=form, card=CARD if form in folder.PUBLISHED else None, **given) as output:
        for row in rows:
            output.add(row)
    return output.finished


def contents(place):
    return {
        str(file.relative_to(place)): file.read_bytes() for file in sorted(Path(place).rglob("*")) if file.is_file()
    }


def stop(place, row, **given):
    """An output that ends in an error after its first row."""
    with folder.writing(place, **given) as output:
        output.add(row)
        raise ZeroDivisionError
