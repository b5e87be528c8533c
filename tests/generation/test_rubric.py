"""The request for categories: texts are data, every category is described, the version moves with the words."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.generation import rubric
from bioinstruct_jax.generation.item import CATEGORIES
from bioinstruct_jax.generation.parsing import parse_categories


def test_every_category_is_described_and_allowed():
    for category in CATEGORIES:
        assert f"- {category}: " in rubric.RUBRIC
    assert rubric.SCHEMA["properties"]["categories"]["items"]["properties"]["category"]["enum"] == list(CATEGORIES)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(min_size=1), st.text(), st.text()), min_size=1, max_size=5))
def test_texts_are_quoted(rows):
    # Mutation: f'{{"id": "{name}", ...}}' instead of json.dumps.
    (first, system), (second, user) = rubric.messages(rows)
    assert (first, system, second) == ("system", rubric.RUBRIC, "user")
    lines = [json.loads(line) for line in user.split("\n")]
    assert [(line["id"], line["instruction"], line["input"]) for line in lines] == rows


def test_a_long_input_is_cut_and_says_so():
    ((_, _), (_, user)) = rubric.messages([("1", "Sum up.", "x" * 10_000)])
    assert len(user) < 1_000
    assert json.loads(user)["input"].endswith("x [...]")


def test_an_answer_in_the_form_of_the_schema_is_read():
    answer = {"categories": [{"id": str(place), "category": category} for place, category in enumerate(CATEGORIES)]}
    assert list(parse_categories(json.dumps(answer), ["0", "1", "2", "3"]).values()) == list(CATEGORIES)


def test_the_version_moves_with_the_wording(monkeypatch):
    # Mutation: a hash of the rubric alone.
    before = rubric.version()
    assert before == rubric.version()
    assert len(before) == 12
    monkeypatch.setattr(rubric, "RUBRIC", rubric.RUBRIC + " ")
    changed = rubric.version()
    monkeypatch.setattr(rubric, "INPUT_CHARACTERS", 601)
    assert len({before, changed, rubric.version()}) == 3
