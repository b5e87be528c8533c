"""Each reason that is found in an item itself, and what must not be taken for it."""

import pytest
from upath import UPath

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.seeds import seed_records
from bioinstruct_jax.generation.filters import REASONS, problem
from bioinstruct_jax.generation.item import Item
from bioinstruct_jax.generation.job import Filters
from bioinstruct_jax.resources import resource

SETTINGS = Filters()


def found(instruction="Name the drug in the note.", text="He took aspirin.", output="aspirin", settings=SETTINGS):
    """The reason, or empty."""
    problem_ = problem(Item(0, instruction, text, output), settings)
    if problem_:
        assert problem_[0] in REASONS
        assert problem_[1]
    return problem_[0] if problem_ else ""


def test_every_seed_passes():
    # Mutation: almost any pattern that is too wide.
    records = [record for _, record in seed_records(UPath(resource("seeds")), "seeds")]
    assert len(records) == 91
    for record in records:
        assert isinstance(record, Record)
        assert found(record.instruction, record.input, record.output) == "", record.id


def test_every_reason_has_a_sentence():
    assert len(REASONS) == 15
    assert all(sentence.endswith(".") and sentence[0].isupper() for sentence in REASONS.values())


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"instruction": ""}, "empty"),
        ({"output": " \n"}, "empty"),
        ({"output": "..."}, "empty"),
        ({"output": "[]"}, "empty"),
        ({"output": "-"}, ""),
        ({"output": "+"}, ""),
        ({"output": "0"}, ""),
        ({"instruction": "Name it."}, "too_short"),
        ({"instruction": "Name it now."}, ""),
        ({"instruction": "word " * 150}, ""),
        ({"instruction": "word " * 151}, "too_long"),
        ({"output": "word " * 1500}, ""),
        ({"output": "word " * 1501}, "too_long"),
        ({"text": "word " * 3000}, ""),
        ({"text": "word " * 3001}, "too_long"),
        ({"instruction": "Name," * 601}, "too_long"),  # a word by its blanks, without end
        ({"output": "I’m sorry, but I can’t help with that."}, "refusal"),  # noqa: RUF001
        ({"text": "I'm sorry, but I can't help with that."}, ""),
        ({"output": "Aspirin. As an AI language model, I have no eyes."}, "self_reference"),
        ({"output": "I am just an AI, but aspirin."}, "self_reference"),
        ({"instruction": "As in the examples above, name the drug."}, "self_reference"),
        ({"instruction": "Name the drug as the previous example did."}, "self_reference"),
        ({"instruction": "Write a task unlike the given seed tasks."}, "self_reference"),
        ({"text": "<noinput> and more"}, "self_reference"),
        ({"instruction": "Say how an AI model that reads mammograms should be tested."}, ""),
        ({"instruction": "Explain to a patient what it means that the scan was read as an AI tool would."}, ""),
        ({"instruction": "Use the discharge instructions above the table in the letter."}, ""),
        ({"instruction": "Draw a graph of the image, map the file and draw blood."}, ""),
        ({"instruction": "β-Blockers: name two that are cardioselective."}, ""),
        ({"text": "The task above was given by the physiotherapist."}, ""),
        ({"instruction": "List the adverse effects of prompt treatment in earlier tasks of the ward."}, ""),
        ({"output": "Der Patient hat seit drei Tagen Fieber und nimmt das Mittel nicht mehr ein."}, "language"),
        (
            {"instruction": "Résumez la note du médecin en une phrase pour les infirmières qui sont là."},
            "language",
        ),
        ({"text": "У него три дня температура и боль в горле."}, "language"),  # noqa: RUF001
    ],
)
def test_reasons(item, reason):
    # self-instruct: words and first letters that drop good tasks. Mutation: each line fails when its rule is left out.
    assert found(**item) == reason


def test_the_settings_are_read():
    german = "Der Patient hat seit drei Tagen Fieber und nimmt das Mittel nicht mehr ein."
    assert found(output=german, settings=Filters(language="any")) == ""
    assert found("Name the drug.", settings=Filters(least_words=4)) == "too_short"
    assert found("Name the drug.", settings=Filters(least_words=1, most_words=2)) == "too_long"
    assert found(output="two words", settings=Filters(most_output_words=1)) == "too_long"
