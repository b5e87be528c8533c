"""The finder against labels by hand: of the seeds, on which it was made, and of instructions that were held out.

Both lists were labelled before there was a finder. The seeds are those of `verb_labels.tsv`; several objects are right
where `|` stands between them. What is wrong of `verb_held_out.tsv` was never looked at to change the rules.
"""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.seeds import seed_records
from bioinstruct_jax.generation.verbs import MEASURED, root
from bioinstruct_jax.resources import resource

HERE = Path(__file__).parent


def rows(name: str) -> list[list[str]]:
    return [line.split("\t") for line in (HERE / name).read_text(encoding="utf-8").splitlines()[1:]]


def right(instruction: str, verb: str, objects: str) -> bool:
    found = root(instruction)
    return found[0] == verb and found[1] in objects.split("|")


def test_what_was_measured_is_what_is_said():
    # The demand is 90 % of the seeds, without which the plot is to be called a heuristic.
    records = [record for _, record in seed_records(UPath(resource("seeds")), "seeds") if isinstance(record, Record)]
    labels = rows("verb_labels.tsv")
    assert [label[0] for label in labels] == [record.id for record in records]
    seeds = sum(right(record.instruction, *label[1:]) for record, label in zip(records, labels, strict=True))
    held_out = sum(right(text, verb, objects) for verb, objects, text in rows("verb_held_out.tsv"))
    assert re.findall(r"\d+", MEASURED) == [
        str(seeds),
        str(len(labels)),
        str(held_out),
        str(len(rows("verb_held_out.tsv"))),
    ]
    assert seeds >= 0.9 * len(labels)
    assert held_out >= 0.9 * len(rows("verb_held_out.tsv"))


@pytest.mark.parametrize(
    ("instruction", "found"),
    [
        ("Summarise the notes.", ("summarize", "note")),
        ("Summarize the notes.", ("summarize", "note")),
        ("You are a nurse. Write a letter to the family.", ("write", "letter")),
        ("Given the note below, list all of the diagnoses.", ("list", "diagnosis")),
        ("Using only the letter, decide whether she may travel.", ("decide", "")),
        ("Could you please explain the result to the parents?", ("explain", "result")),
        ("Which drugs does the letter mention?", ("mention", "drug")),
        ("Is it safe?", ("be", "")),
        ("The dose was wrong. The nurse noticed.", ("", "")),
        ("", ("", "")),
        ("?", ("", "")),
        ("42", ("", "")),
    ],
)
def test_forms_of_instructions(instruction, found):
    # Mutation: each line fails without its rule.
    assert root(instruction) == found


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.sampled_from(["", "List ", "Which ", "Given ", "Does the ", "You are a nurse. "]))
def test_any_text_has_a_root_or_none(text, begin):
    verb, noun = root(begin + text)
    assert verb == verb.lower() or not verb.isascii()
    assert not any(sign.isspace() for sign in verb + noun)


def test_a_long_instruction():
    root("which " * 200_000)
    root("," * 200_000)
