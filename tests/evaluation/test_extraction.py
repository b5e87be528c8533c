"""What generated answers say: agreement with a careful reader, and what must not change it. All answers are our own."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bioinstruct_jax.evaluation.choice_answers import choice
from bioinstruct_jax.evaluation.extraction import WHY, Extracted, plain
from bioinstruct_jax.evaluation.label_answers import ASSOCIATION, NLI, label, several, yes_no_maybe
from bioinstruct_jax.tasks.answers import named
from bioinstruct_jax.tasks.labels import HALLMARKS
from bioinstruct_jax.tasks.table import TASKS

OPTIONS = {
    "drugs": ("Metformin", "Insulin", "Gliclazide", "Acarbose"),
    "five": (
        "Escherichia coli",
        "Staphylococcus saprophyticus",
        "Clostridium difficile",
        "Hepatitis B virus",
        "Candida albicans",
    ),
    "nested": ("Insulin", "Insulin glargine", "Insulin and metformin", "Metformin"),
    "doses": ("0.5 mg", "5 mg", "15 mg", "5 mg/kg"),
    "vitamins": ("Vitamin A", "Vitamin B12", "Vitamin C", "Vitamin D"),
}
LABELS = {
    "nli": (("entailment", "contradiction", "neutral"), NLI),
    "gad": (("associated", "not associated"), ASSOCIATION),
}
CASES = [
    json.loads(line)
    for line in (Path(__file__).parent / "extraction_cases.jsonl").read_text(encoding="utf-8").splitlines()
]
DRUGS = dict(zip("ABCD", OPTIONS["drugs"], strict=True))


def read(kind: str, name: str, text: str) -> Extracted:
    if kind == "choice":
        return choice(text, dict(zip("ABCDE", OPTIONS[name], strict=False)))
    if kind == "yes_no_maybe":
        return yes_no_maybe(text)
    return label(text, *LABELS[name]) if kind == "label" else several(text, HALLMARKS)


def said(case: dict) -> object:
    found = read(case["kind"], case.get("set", ""), case["text"])
    return list(found.value) if isinstance(found.value, tuple) else found.value


def test_the_rules_read_as_a_careful_reader_does():
    # Mutation: any of the rules of `_weight` left out; the article "A" taken for an option; `_NEXT` never found.
    assert [case["text"] for case in CASES if case["half"] == "tuned" and said(case) != case["value"]] == []


def test_answers_that_the_rules_were_not_made_for_agree_nearly_as_often():
    held = [case for case in CASES if case["half"] == "held out"]
    agreed = sum(said(case) == case["value"] for case in held)
    # 114 of 118 on the first reading, before any rule was changed. Above 118 * 0.95: whoever raises this has looked.
    assert len(held) == 118
    assert agreed >= 113


def test_what_is_read_stands_where_the_span_says():
    # Mutation: a span of the text without its markup.
    for text in (
        "The **answer** is `B`.",
        "$\\boxed{B}$",
        '```json\n{"answer": "B"}\n```',
        "<answer>B</answer>",
        "\uff22",
    ):
        found = choice(text, DRUGS)
        assert found.value == "B"
        assert found.span is not None
        assert plain(text[slice(*found.span)]).text == "B"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(B)", "exact"),
        ("The answer is B.", "stated"),
        ("insulin", "option text"),
        ("Hmm, I see D here", "mentioned"),
        ("A or B", "ambiguous"),
        ("I cannot answer this question.", "refused"),
        ("A patient came.", "nothing"),
        (" \n", "empty"),
    ],
)
def test_why_is_told(text, why):
    assert choice(text, DRUGS).why == why
    assert why in WHY


def test_entries_that_are_no_label_are_counted():
    # Mutation: entries counted in sentences as well.
    assert several("Cellular energetics; wound healing; fever", HALLMARKS).unknown == 2
    assert (
        several("The text is on cellular energetics, and it says nothing at all on wound healing.", HALLMARKS).unknown
        == 0
    )
    assert several("[]", HALLMARKS) == Extracted((), "stated", (0, 2))


def test_a_long_option_behind_its_letter_is_known():
    # Mutation: the whole text of the option looked for in the characters that are seen.
    options = {"A": "Atorvastatin at a high dose, with a check of liver enzymes after twelve weeks", "B": "Diet alone"}
    assert choice(f"Hmm, A {options['A'][:50].lower()}", options).value == "A"
    assert choice("Hmm, A statin is often given", options).value is None


def test_of_nine_options_i_is_one_and_a_pronoun():
    # Mutation: every I taken for the option.
    nine = dict(zip("ABCDEFGHI", ("Zinc", *"bcdefghi"), strict=True))
    assert choice("I wonder; perhaps B", nine).value == "B"
    assert choice("I is the best answer.", nine).value == "I"


def test_only_labels_that_are_allowed_are_read():
    assert yes_no_maybe("Maybe", ("yes", "no")).value is None
    assert yes_no_maybe("It depends.").value == "maybe"
    assert yes_no_maybe("The mechanism is unclear, and perhaps complex.").value is None


# What a model may write, in pieces: letters, words that weigh them, signs that are markup, blanks.
WORDS = [
    "A",
    "B",
    "(C)",
    "d",
    "I",
    "answer",
    "is",
    "not",
    "the",
    "so",
    "no",
    "yes",
    "maybe",
    "insulin",
    "metformin",
    "final",
    "entailment",
    "none",
    "wait",
    ",",
    ".",
    ":",
    "?",
    "```",
    "**",
    "}",
    "]",
]
ODD = [
    "\n",
    " ",
    "\\boxed{",
    "<answer>",
    '{"',
    "\uff21",
    "\nQuestion: ",
    "resisting cell death",
    "0.5 mg",
    "\ufb01",
    "\u0130",
]
PIECES = st.sampled_from([*WORDS, *ODD, "</think>", "\U0001f600", "\x00", "\ud800"])
TEXTS = st.one_of(
    st.text(max_size=60), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES, max_size=25).map("".join)
)


@settings(max_examples=150)
@given(TEXTS)
@example("\\boxed{")
@example("\u0130 answer: b")
def test_any_text_is_read(text):
    # lm-eval#2503. Mutation: `places` without the characters behind the last markup.
    for kind, name in (
        ("choice", "drugs"),
        ("choice", "doses"),
        ("yes_no_maybe", ""),
        ("label", "nli"),
        ("several", ""),
    ):
        found = read(kind, name, text)
        assert found.why in WHY
        assert (found.value is None) == (found.span is None)
        if found.span:
            assert 0 <= found.span[0] < found.span[1] <= len(text)


@settings(max_examples=80)
@given(TEXTS, st.lists(st.one_of(st.text(max_size=6), PIECES), min_size=2, max_size=10))
@example("0", ["", "\r\r"])
@example("B", ["***", "..."])
def test_any_options_are_looked_for(text, texts):
    # Mutation: the first character of an option that is blank without its markup.
    options = dict(zip("ABCDEFGHIJ", texts, strict=False))
    assert choice(text, options).value in (None, *options)
    for letter in options:
        assert choice(f"({letter})", options).value == letter


@pytest.mark.parametrize("sign", ["\u0130", "\u0131"])
def test_letters_that_match_one_in_any_case_are_not_that_letter(sign):
    # Mutation: IGNORECASE for the letters of options; `by_form[...]` in `answers.places`.
    assert choice(sign, dict.fromkeys("ABCDEFGHI", "")).value is None
    assert named(f"enta{sign}lment, neutral", LABELS["nli"][0]) == ["neutral"]


def test_the_answers_that_tasks_render_are_read_back():
    # Mutation: a label within another one taken for it.
    for task in (task for task in TASKS.values() if task.labels):
        for name in task.labels:
            assert label(name, task.labels).value == name
            assert label(f"The label is {name}.", task.labels).value == name
    text = ", ".join(HALLMARKS[2:5])
    assert several(text, HALLMARKS) == Extracted(HALLMARKS[2:5], "listed", (0, len(text)))
    for name, texts in OPTIONS.items():
        for letter, text in zip("ABCDE", texts, strict=False):
            assert read("choice", name, f"{letter}. {text}").value == letter


SHORT = ("{}", "({})", "{}.", "{})", "Answer: {}", "The answer is {}", "Option {}")
WRAPS = ("{}", "  {}\n\n", "```\n{}\n```", "```text\n{}```", "**{}**", "`{}`", "\n\t{}")


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("form", SHORT)
def test_wrapping_and_case_change_nothing(form, wrap):
    # Mutation: fences kept; small letters never read behind "answer".
    for letter in "ABCD":
        text = form.format(letter)
        for cased in (text, text.lower(), text.upper()):
            assert choice(wrap.format(cased), DRUGS).value == letter
    for word in ("yes", "no", "maybe"):
        for cased in (form.format(word), form.format(word).upper()):
            assert yes_no_maybe(wrap.format(cased)).value == word


STATED = (
    "{letter}",
    "The answer is {letter}.",
    "{text}",
    "{letter}. {text}",
    "So {letter}, not {other}.",
    "{text}, not {wrong}",
)


@settings(max_examples=40)
@given(st.permutations("ABCD"), st.sampled_from(STATED), st.sampled_from("ABCD"))
def test_another_order_of_the_options_maps_the_answer(order, form, letter):
    # Mutation: of several texts that match, the one of the first letter taken.
    moved = {new: DRUGS[old] for new, old in zip("ABCD", order, strict=True)}
    new = "ABCD"[order.index(letter)]
    other = "A" if new != "A" else "B"
    text = form.format(letter=new, text=moved[new], other=other, wrong=moved[other])
    assert choice(text, moved).value == new
    assert DRUGS[letter] == moved[new]


TAILS = (
    "\n\nPlease let me know whether you need more help!",
    " This follows from how ketones are made.",
    "\n\nNote: this is general information; see your doctor.",
    "\n\nQuestion: Which organ makes bile?\nA. Liver\nAnswer: A",
)


@pytest.mark.parametrize("tail", TAILS)
@pytest.mark.parametrize("form", ["{}.", "Answer: {}.", "The answer is ({}).", "{})", "So I choose {}."])
def test_a_chatty_tail_changes_nothing(form, tail):
    # Mutation: `_NEXT` never found; the first words given no weight.
    for letter in "ABCD":
        assert choice(form.format(letter) + tail, DRUGS).value == letter


def test_reading_takes_a_time_that_grows_as_the_text_does(monkeypatch):
    # Characters that the weighing is shown, rather than seconds. Mutation: `before` is all that stands before a place.
    from bioinstruct_jax.evaluation import weighing

    seen = []
    pattern = weighing._FINAL

    class Counting:
        def search(self, text: str) -> object:
            seen.append(len(text))
            return pattern.search(text)

    monkeypatch.setattr(weighing, "_FINAL", Counting())
    choice("B, said one; that was it. " * 400, DRUGS)
    assert len(seen) == 400
    assert max(seen) <= weighing.WINDOW


def test_the_gold_answer_and_chance_are_not_asked():
    texts = [case["text"] for case in CASES if case["kind"] == "choice"]
    once = [choice(text, DRUGS) for text in texts]
    random.seed(7)
    assert [choice(text, DRUGS) for text in texts] == once
