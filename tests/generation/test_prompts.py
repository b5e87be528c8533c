"""What a teacher is told: nothing is lost of the seeds, and nothing that stands in them passes for the prompt."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation import prompts
from tests.generation.jobs import seeds


def test_the_words_have_the_hash_that_stands_in_published_rows():
    # Mutation: any change of the wording. Then raise VERSION, and put the new hash here.
    assert prompts.VERSION == 1
    assert prompts.prompt_hash() == HASH


HASH = "8342fc2d939d86e1"


def test_a_request_shows_the_seeds_whole_and_asks_for_the_number():
    (_, system), (role, said) = prompts.tasks(seeds(3), asked=7, answered=True)
    assert role == "user"
    assert "invented" in system
    for seed in seeds(3):
        assert json.dumps(seed.instruction) in said
        assert json.dumps(seed.output) in said
    assert "with exactly 7 tasks" in said
    assert said.count("Example ") == 3


def test_without_outputs_none_is_shown_or_asked_for():
    # Mutation: OUTPUT always put in.
    said = prompts.tasks(seeds(2), asked=4, answered=False)[1][1]
    assert '"output"' not in said
    assert "An organ." not in said
    assert 'leave "input" empty' in prompts.tasks(seeds(2), asked=4, answered=False, labels_first=True)[1][1]
    assert 'leave "input" empty' not in said


@settings(max_examples=50, deadline=None)
@given(st.text(), st.text())
def test_any_text_is_data_in_a_prompt(instruction, input):
    # Mutation: str.format over a prompt into which texts were already put; texts without JSON's quotes.
    seed = Record("s", instruction, input, "{asked} {0}")
    said = prompts.tasks([seed], asked=2, answered=True)[1][1]
    body = said[said.index("Example 1:\n") + len("Example 1:\n") :]
    shown, _ = json.JSONDecoder().raw_decode(body)
    assert shown == {"instruction": instruction, "input": input, "output": "{asked} {0}"}
    for made in (prompts.answer(instruction, input), prompts.label(instruction, 2)):
        lines = made[1][1].split("\n-----\n")[1] if "\n-----\n" in made[1][1] else made[1][1].split("-----\n")[1]
        assert json.loads(lines)["instruction"] == instruction
        assert made[1][1].count("\n-----\n") == 2


def test_schemas_are_of_the_kind_that_servers_hold_a_model_to():
    # Every property is required and no other is allowed, as structured outputs ask for.
    def check(schema):
        if schema.get("type") == "object":
            assert schema["required"] == list(schema["properties"])
            assert schema["additionalProperties"] is False
            for inner in schema["properties"].values():
                check(inner)
        if schema.get("type") == "array":
            check(schema["items"])

    for schema in (prompts.tasks_schema(answered=True), prompts.tasks_schema(answered=False), prompts.ANSWER_SCHEMA):
        check(schema)
