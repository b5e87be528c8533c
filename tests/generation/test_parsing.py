"""Good answers in every form that teachers choose, the same ones damaged, and texts that are no answers."""

import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bioinstruct_jax.generation import loose_json
from bioinstruct_jax.generation.item import CATEGORIES, Broken, Item
from bioinstruct_jax.generation.parsing import parse, parse_answer, parse_categories

TASKS = [
    {
        "instruction": "List the drugs that were stopped, one per line.",
        "input": 'Stopped: aspirin 75 mg, "as he bruised".\nGiven: paracetamol 1 g at 20. Next at 02:00.',
        "output": "aspirin",
        "is_classification": False,
    },
    {
        "instruction": "Is the fracture displaced? Answer yes or no.",
        "input": "Undisplaced fracture of the distal radius {see image [3]}.",
        "output": "no",
        "is_classification": True,
    },
    {
        "instruction": "Give the dose of adrenaline for anaphylaxis in an adult.",
        "input": "",
        "output": '500 micrograms into the thigh\\muscle,\n20. repeat after 5 minutes: "if needed", and call for help',
        "is_classification": False,
    },
]
ITEMS = [
    Item(place, task["instruction"], task["input"], task["output"], task["is_classification"])
    for place, task in enumerate(TASKS)
]
DUMPED = json.dumps({"tasks": TASKS}, indent=1)


def items(text: str) -> list[Item | Broken]:
    return parse(text, truncated=False)


def one(**fields: object) -> Item | Broken:
    """The only part of an answer of one object."""
    (part,) = items(json.dumps(fields))
    return part


@pytest.mark.parametrize(
    "text",
    [
        DUMPED,
        json.dumps(TASKS),
        "\n".join(map(json.dumps, TASKS)),
        "\n\n".join(json.dumps(task, indent=2) for task in TASKS),
        f'Here are {{3}} new "tasks" [as asked]:\n```json\n{DUMPED}\n```\nI hope that they "help"!',
        "".join(f"Task {number}\n```json\n{json.dumps(task)}\n```\n" for number, task in enumerate(TASKS, 1)),
        "\ufeff" + json.dumps({"result": {"new_tasks": TASKS, "count": 3}}),
        json.dumps({f"task_{number}": task for number, task in enumerate(TASKS)}),
        json.dumps({"tasks": [{"id": "gen_1", "instances": [task]} for task in TASKS]}),
        json.dumps([{key.title(): value for key, value in task.items()} for task in TASKS]),
        DUMPED.replace("\\n", "\n"),
        re.sub(r"\n( *[}\]])", r",\n\1", DUMPED),
        DUMPED.replace('\\"', '"'),
        DUMPED.replace("false", "False").replace("true", "True"),
        "[" + ", ..., ".join(map(json.dumps, TASKS)) + "]",
    ],
    ids=[
        "asked",
        "array",
        "lines",
        "objects",
        "fence",
        "fences",
        "wrappers",
        "by name",
        "instances",
        "capitals",
        "raw line breaks",
        "commas",
        "quotation marks",
        "python",
        "ellipsis",
    ],
)
def test_every_form_of_json_holds_the_same_items(text):
    # Mutation: strings that end at the first quotation mark ("quotation marks"), or prose read as JSON ("fence").
    assert items(text) == ITEMS


HEADED = {
    "numbered": "{n}. Instruction: {instruction}\n{n}. Input:\n{input}\n{n}. Output:\n{output}\n",
    "rules": "###\n{n}. Instruction: {instruction}\nInput: {input}\nOutput: {output}\n",
    "number alone": "{n}.\nInstruction: {instruction}\nInput: {input}\nOutput: {output}\n\n",
    "bold": "{n}. **Instruction:** {instruction}\n\n   **Input:** {input}\n\n   **Output:** {output}\n\n---\n",
    "bold, number within": "**{n}. Instruction**: {instruction}\n**Input**: {input}\n**Output**: {output}\n",
    "headings": "## Task {n}\n### Instruction\n{instruction}\n### Input:\n{input}\n### Output\n{output}\n\n",
    "list": "- Instruction: {instruction}\n- Input: {input}\n- Output: {output}\n- Is classification: {label}\n",
    "carriage returns": "Instruction: {instruction}\r\nInput: {input}\r\nOutput: {output}\r\n",
    "one line": "{n}. Instruction: {instruction} Input: {input} Output: {output}\n",
}


@pytest.mark.parametrize("form", HEADED)
def test_every_form_of_headings_holds_the_same_texts(form):
    # Mutation: items that begin at every numbered line lose "20. repeat after 5 minutes".
    text = "Sure, here they are:\n\n" + "".join(
        HEADED[form].format(
            n=number,
            instruction=task["instruction"],
            input=task["input"] or "<noinput>",
            output=task["output"],
            label="yes" if task["is_classification"] else "no",
        )
        for number, task in enumerate(TASKS, 1)
    )
    found = items(text)
    assert [(part.instruction, part.input, part.output) for part in found if isinstance(part, Item)] == [
        (task["instruction"], task["input"], task["output"]) for task in TASKS
    ]
    if form == "list":
        assert [part.classification for part in found if isinstance(part, Item)] == [False, True, False]


def test_a_number_alone_in_the_last_line_is_text():
    # self-instruct and alpaca: the stop string "20." cuts doses.
    # Mutation: every such number is cut off as the next item's.
    text = "Instruction: Copy both doses.\nOutput:\n10.\n20.\n\nInstruction: Copy the dose.\nOutput: 5"
    assert [part.output for part in items(text) if isinstance(part, Item)] == ["10.\n20.", "5"]


def test_a_chart_of_intake_and_output_is_not_taken_apart_wrongly():
    # Mutation: the last of two headings wins, and the patient's urine becomes the output.
    text = "Instruction: Sum up.\nInput: Fluids today\nOutput: 900 mL\nOutput: A positive balance.\n"
    text += "Instruction: Name the drug.\nOutput: heparin"
    broken, item = items(text)
    assert broken == Broken(0, "malformed", text[: text.index("Instruction: N")])
    assert item == Item(1, "Name the drug.", "", "heparin")


@pytest.mark.parametrize("none", ["<noinput>", "N/A", "none", "None.", "No input", "(no input needed)", "", None])
def test_ways_to_say_that_there_is_no_input(none):
    assert one(instruction="Define ascites.", input=none, output="Fluid") == Item(0, "Define ascites.", "", "Fluid")


@pytest.mark.parametrize("kept", ["None of the above", "No. 5", "nil by mouth", "NA 140 mmol/L", "0"])
def test_inputs_that_are_inputs(kept):
    part = one(instruction="Read.", input=kept, output="x")
    assert isinstance(part, Item)
    assert part.input == kept


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("1.50", "1.50"),
        ("true", "true"),
        ("null", ""),
        ('["fever","cough"]', '["fever", "cough"]'),
        ('{"dose_mg":2.50,"route":"po","with":[]}', '{"dose_mg": 2.50, "route": "po", "with": []}'),
        ('{"instruction": "Take one daily", "input": "x"}', '{"instruction": "Take one daily", "input": "x"}'),
        (r'"don\'t"', "don't"),
    ],
)
def test_outputs_that_are_no_text_become_one(raw, text):
    # Mutation: every object with an instruction is an item, and the output of the last but one becomes a task.
    assert items(f'[{{"instruction": "Answer.", "output": {raw}}}]') == [Item(0, "Answer.", "", text)]


@pytest.mark.parametrize(
    "raw",
    [
        '{"instruction": "a", "output": "\\ud800"}',
        '{"instruction": "a", "output": "\ud800"}',
        '{"instruction": "a", "output": "b\\u0000"}',
        '{"instruction": "a\0", "output": "b"}',
        r'{"instruction": "a", "output": "\alpha 2"}',
        r'{"instruction": "a", "output": "\frac{1}{2}"}',
        '{"instruction": "a", "output": "b", "output": "c"}',
        '{"instruction": "a", "Instruction": "b", "output": "c"}',
        '{"instruction": 5, "output": "b"}',
        '{"instruction": ["a"], "output": "b"}',
        '{"question": "a", "output": "b"}',
        '{"instruction": "a" is wrong, "output": "b"}',
        '{"instruction": "a", "output": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"instruction": "a", "output": "b"',
    ],
)
def test_a_broken_item_leaves_its_neighbours_whole(raw):
    # Mutation: json.loads of the whole answer. Mutation: an object that lacks its bracket swallows the next one.
    first, broken, last = items(f"[{json.dumps(TASKS[0])}, {raw}, {json.dumps(TASKS[1])}]")
    assert first == ITEMS[0]
    assert isinstance(broken, Broken)
    assert (broken.place, broken.reason) == (1, "malformed")
    assert last == Item(2, ITEMS[1].instruction, ITEMS[1].input, ITEMS[1].output, classification=True)
    json.dumps(broken.text, ensure_ascii=False).encode()


def test_an_answer_cut_anywhere_keeps_what_was_complete():
    # Mutation: an object at the end that lacks its bracket counts as an item.
    ends = [found.end() for found in re.finditer(r"\n  }", DUMPED)]
    assert len(ends) == 3
    for cut in range(1, len(DUMPED)):
        whole = sum(cut >= end for end in ends)
        found = parse(DUMPED[:cut], truncated=True)
        assert found[:whole] == ITEMS[:whole]
        if len(found) > whole or DUMPED[:cut].rstrip()[-1] not in "]},{":
            assert [type(part) for part in found[whole:]] == [Broken]
            assert found[-1].reason == "truncated"


def test_headings_cut_off():
    text = "1. Instruction: Name it.\nOutput: gout\n2. Instruction: Name the other.\nOutput: pseudo"
    assert parse(text, truncated=True) == [Item(0, "Name it.", "", "gout"), Broken(1, "truncated", text[38:])]
    assert parse(text, truncated=False)[1] == Item(1, "Name the other.", "", "pseudo")


@pytest.mark.parametrize(
    ("text", "cut", "reason"),
    [
        ("", False, "empty"),
        (" \n\ufeff", True, "empty"),
        ("[]", False, "empty"),
        ('{"tasks": []}', False, "empty"),
        ("I cannot help with that.", False, "malformed"),
        ("I cannot help with", True, "truncated"),
        ('{"tasks": [', False, "truncated"),
        ('{"tasks": ["List the drugs."]}', False, "malformed"),
        ('{"error": "overloaded"}', False, "malformed"),
        ('{"output": "b"}', False, "malformed"),
    ],
)
def test_answers_without_an_item(text, cut, reason):
    assert [(part.place, part.reason) for part in parse(text, truncated=cut)] == [(0, reason)]


SIGNS = st.sampled_from(
    [*'{}[],:"\\ \n', '"instruction"', '"output":', "Instruction:", "\nInput: ", "1. ", "true", "é"]
)


@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.lists(SIGNS, max_size=60).map("".join)), st.booleans())
@example('{"instruction": "\ud800', False)
def test_any_text_is_items_and_broken_parts(text, truncated):
    found = parse(text, truncated=truncated)
    assert [part.place for part in found] == list(range(len(found)))
    assert found
    for part in found:
        texts = [part.instruction, part.input, part.output] if isinstance(part, Item) else [part.text]
        "".join(texts).encode()
        assert "\0" not in "".join(texts)
    assert parse_answer(text) is None or parse_answer(text)
    assert parse_categories(text, ["1"]) in ({}, *({"1": category} for category in CATEGORIES))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(DUMPED)), st.integers(0, 3), SIGNS), min_size=1, max_size=2))
@example([(11, 0, "{")])
def test_damage_costs_the_items_near_it_and_no_other(changes):
    # Mutation: reading that ends at the first thing it does not understand.
    text = DUMPED
    for place, removed, put in changes:
        text = text[:place] + put + text[place + removed :]
    found = parse(text, truncated=False)
    assert len(found) <= 3 + 2 * len(changes)
    whole = {(part.instruction, part.input, part.output) for part in found if isinstance(part, Item)}
    if len(changes) == 1:
        assert len(whole & {(item.instruction, item.input, item.output) for item in ITEMS}) >= 1


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.text(min_size=1), VALUES), min_size=1, max_size=4), st.sampled_from([None, 1]), st.booleans()
)
def test_valid_json_is_read_as_json(pairs, indent, ascii_only):
    # Mutation: any change of the pattern of strings.
    rows = [{"instruction": instruction, "output": output} for instruction, output in pairs]
    found = parse(json.dumps(rows, indent=indent, ensure_ascii=ascii_only), truncated=False)
    assert len(found) == len(rows)
    for part, row in zip(found, rows, strict=True):
        output = row["output"]
        told = output if isinstance(output, str) else "" if output is None else json.dumps(output, ensure_ascii=False)
        if isinstance(part, Item):
            assert (part.instruction, part.output) == (row["instruction"].strip(), told.strip())
        else:
            shown = row["instruction"] + told
            assert any(ord(sign) < 32 or ord(sign) == 127 for sign in shown)


WIDE, MANY = 1_000_000, 200_000  # signs; brackets, which are read one by one


@pytest.mark.parametrize(
    "text",
    [
        "[" * MANY,
        '{"a":' * (MANY // 5),
        "[{" * (MANY // 2),
        '{"' * (MANY // 2),
        '["' + "}" * MANY,
        "[[" + "}" * MANY,
        '["' + '"   ' * (WIDE // 4),
        '"' * WIDE,
        '["' + ' x"y' * WIDE,
        "[1, " * MANY,
        '["' + "\\" * WIDE,
        "{" + " " * WIDE,
        "{ " * (MANY // 2),
        " " * WIDE + "x",
        "\n" * WIDE + "x",
        "# " * (WIDE // 2),
        "Instruction: a\n" * (MANY // 15),
        "Instruction: " + "\n1." * (WIDE // 3),
        "Instruction:" + " input: " * (WIDE // 8),
        "**" * (WIDE // 2),
        '{"instruction": "' + "(" * WIDE + '", "output": "' + "." * WIDE + '"}',
    ],
    ids=range(21),
)
def test_a_million_characters_meant_to_hurt(text):
    # No clock: what needs time that grows with the square of the length does not end before the limit of every test.
    # Mutation: `read` that goes on behind a quotation mark that nothing closes.
    assert parse(text, truncated=False)
    parse_answer(text)
    parse_categories(text, ["1"])


class Counted:
    """A pattern that counts the characters that it found."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern, self.characters = pattern, 0

    def match(self, text: str, place: int) -> re.Match[str] | None:
        found = self.pattern.match(text, place)
        self.characters += len(found[0]) if found else 0
        return found


@pytest.mark.parametrize("cut", [0, 1, 100, len(DUMPED) // 2])
def test_no_character_is_read_twice(monkeypatch, cut):
    # Mutation: reading that begins again behind a bracket that nothing closes.
    counted = Counted(loose_json._TOKEN)
    monkeypatch.setattr(loose_json, "_TOKEN", counted)
    text = DUMPED[cut:] + '{"a": [{"b": ' * 10 + DUMPED[:-1]
    assert len(parse(text, truncated=False)) > 3
    assert 0.5 * len(text) < counted.characters <= len(text)


def test_an_answer_of_five_megabytes():
    text = json.dumps({"tasks": TASKS * 9_000}, indent=1)
    assert len(text) > 5_000_000
    found = parse(text[:-50], truncated=True)
    assert len(found) == 27_000
    assert all(isinstance(part, Item) for part in found[:-1])
    assert isinstance(found[-1], Broken)


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ('{"output": "gout"}', {"output": "gout"}),
        ('Of course:\n```json\n{"Label": "yes", "input": "a\nb"}\n```', {"label": "yes", "input": "a\nb"}),
        ('{"output": ["a", 1.0]}', {"output": '["a", 1.0]'}),
        ('{"output": null}', {"output": ""}),
        ("gout", None),
        ("", None),
        ("{}", None),
        ('{"output": "go', None),
        (r'{"output": "\ud800"}', None),
        ('{"output": "a", "output": "b"}', None),
        ('[{"output": "gout"}]', None),
    ],
)
def test_an_answer_of_one_object(text, fields):
    assert parse_answer(text) == fields


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"id": "2", "category": "other"}, {"id": 1, "category": "extraction"}]', {"1": "extraction", "2": "other"}),
        ('{"categories": {"1": "QA", "2": "Text generation"}}', {"1": "question_answering", "2": "generation"}),
        ('{"rows": [{"id": "1", "label": "Information-Extraction"}]}', {"1": "extraction"}),
        ('[{"id": "1", "category": "other"}, {"id": "1", "category": "extraction"}]', {}),
        ('[{"id": "1", "category": "other"}, {"id": "1", "category": "nonsense"}]', {}),
        ('[{"id": "1", "category": "other"}, {"id": "1", "category": "Other"}]', {"1": "other"}),
        ('{"1": "qa", "1": "other"}', {}),
        ('[{"id": "1", "category": "summarisation"}, {"id": "2", "category": ["other"]}]', {}),
        (
            json.dumps([{"id": str(row), "category": "generation"} for row in range(40)]),
            dict.fromkeys("12", "generation"),
        ),
        ('[{"id": "1", "category": "other"}, {"id": "2", "categ', {"1": "other"}),
        ("1: other", {}),
        ("", {}),
    ],
)
def test_categories_of_a_batch(text, found):
    # Mutation: the last of two labels wins; labels by their order instead of their id.
    assert parse_categories(text, ["1", "2"]) == found
    assert list(parse_categories(text, ["1", "2"])) == sorted(found)
