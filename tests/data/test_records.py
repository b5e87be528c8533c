import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.data.records import Record, Row, from_fields, from_messages

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
message = st.fixed_dictionaries(
    {"role": st.sampled_from(["system", "user", "assistant", "tool"]), "content": st.text(max_size=3) | anything}
)


def _fields(row, columns=None):
    return from_fields(row, columns or {}, default_id="f:1", source="f")


def _messages(*turns, **more):
    row = {"messages": [{"role": role, "content": content} for role, content in turns], **more}
    return from_messages(row, {}, default_id="f:1", source="f")


@settings(max_examples=150)
@given(
    st.dictionaries(st.sampled_from(["id", "instruction", "input", "output", "category", "system"]), anything)
    | st.fixed_dictionaries({"messages": st.lists(message, max_size=4) | anything, "id": anything})
    | anything
)
def test_a_row_is_a_sound_record_or_a_reason(row):
    # Mutation: drop isinstance(message, dict) in _turn: AttributeError instead of a reason.
    for convert in (from_fields, from_messages):
        try:
            record = convert(row, {}, default_id="f:1", source="f")
        except ValueError as error:
            assert str(error).isprintable()  # noqa: PT017
            continue
        texts = [record.id, record.instruction, record.input, record.output, record.category, record.system]
        assert all(isinstance(text, str) and "\0" not in text for text in texts)
        assert "".join(texts).encode("utf-8").decode("utf-8") == "".join(texts)
        assert record.id
        assert record.instruction.strip()
        assert record.output.strip()


def test_the_alpaca_form():
    row = {"instruction": " List the drugs.", "input": None, "output": "Aspirin\n", "id": 7, "category": " QA "}
    assert _fields(row) == Record("7", " List the drugs.", "", "Aspirin\n", "QA", "f")
    assert _fields({"instruction": "a", "output": "b"}) == Record("f:1", "a", "", "b", "", "f")
    mapped = _fields(
        {"question": "a", "answer": "b", "instruction": 5}, {"instruction": "question", "output": "answer"}
    )
    assert (mapped.instruction, mapped.output) == ("a", "b")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"output": None}, "'output' is null"),
        ({"output": 12}, "'output' is the number 12, not text"),
        ({"output": " \n"}, "'output' is empty"),
        ({"output": ["a"]}, "'output' is a list"),
        ({"instruction": "\t"}, "'instruction' is empty"),
        ({"input": False}, "'input' is true or false"),
        ({"input": "a\0b"}, "NUL"),
        ({"output": "dose \ud800"}, r"lone surrogate \(U\+D800\)"),
        ({"id": float("nan")}, "'id' is the number nan"),
        ({"id": 1.5}, "'id' is the number"),
        ({"id": True}, "'id' is true or false"),
        ({"category": {"a": 1}}, "'category' is an object"),
    ],
)
def test_a_bad_field_is_named(change, reason):
    # Mutation: str(value) instead of the type error in _text: the number and the list pass.
    with pytest.raises(ValueError, match=reason):
        _fields({"instruction": "a", "input": "b", "output": "c"} | change)


def test_a_missing_field_shows_those_there_are():
    with pytest.raises(ValueError, match=r"missing field 'output' \(found: 'instruction', 'answer'\)"):
        _fields({"instruction": "a", "answer": "b"})


def test_a_chat_becomes_instruction_history_and_output():
    # Mutation: history from texts[:-1:2], texts[1::2]: the last turn appears twice.
    record = _messages(
        ("system", "Be brief."),
        ("user", "What is BP?"),
        ("assistant", "Blood pressure."),
        ("user", [{"type": "text", "text": "And "}, {"type": "text", "text": "HR?"}]),
        ("assistant", "Heart rate."),
        id="c1",
    )
    history = (("What is BP?", "Blood pressure."),)
    assert record == Record("c1", "And HR?", "", "Heart rate.", "", "f", "Be brief.", history)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "roles are none"),
        ([("user", "a")], "roles are user"),
        ([("assistant", "a"), ("user", "b")], "roles are assistant, user"),
        ([("user", "a"), ("user", "b"), ("assistant", "c")], "user, user, assistant"),
        ([("user", "a"), ("system", "b"), ("assistant", "c")], "user, system, assistant"),
        ([("user", "a"), ("assistant", "b"), ("user", "c")], "the last one assistant"),
        ([("human", "a"), ("gpt", "b")], "message 1 has the role 'human'"),
        ([("user", "a"), ("assistant", "  ")], r"turn 2 \(assistant\) is empty"),
        ([("user", "a"), ("assistant", "b"), ("user", ""), ("assistant", "c")], r"turn 3 \(user\) is empty"),
        ([("user", "a"), ("assistant", None)], "message 2' is null"),
        ([("user", [{"type": "image_url"}]), ("assistant", "b")], "message 1 has a content part"),
    ],
)
def test_a_bad_chat_says_why(turns, reason):
    # Mutation: compare only the last role: the wrong orders pass.
    with pytest.raises(ValueError, match=reason):
        _messages(*turns)


def test_the_excerpt_of_a_bad_row_is_short_and_printable():
    bad = Row(3, None, "a\0\x1b[31m\udcff\n" + "é" * 300).bad("f", "why", hidden=False)
    assert bad.text.startswith(r"a\x00\x1b[31m\udcff\né")
    assert bad.text.isprintable()
    assert bad.text.count("é") == 200 - 9
