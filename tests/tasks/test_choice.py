"""Choice: the examinations' readers, and both formats. All questions here are our own."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.tasks import examinations
from bioinstruct_jax.tasks.choice import CHOICE, Choice
from bioinstruct_jax.tasks.task import CorpusError

TASKS = {task.name: task for task in examinations.TASKS}
OPTIONS = ("Metformin", "Insulin", "Gliclazide", "Acarbose")
QUESTION = "Which of these is given first in ketoacidosis?"


def read(folder, name: str, split: str, text: str) -> list[Choice]:
    task = TASKS[name]
    place = folder / task.folder
    place.mkdir()
    (place / task.split(split).files[0]).write_text(text, encoding="utf-8")
    return list(task.items(UPath(folder), split))


def medqa(**changes: object) -> str:
    row = {"question": QUESTION, "options": dict(zip("ABCD", OPTIONS, strict=True)), "answer": "Insulin"}
    return json.dumps(row | {"answer_idx": "B", "meta_info": "step1"} | changes) + "\n"


def test_medqa_has_letters_texts_and_the_answer(tmp_path):
    assert read(tmp_path, "medqa", "test", medqa()) == [Choice("test:1", QUESTION, OPTIONS, 1)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer_idx": "A"}, "line 1: 'answer' is not the text of option 'A'"),
        (
            {"options": {"A": "Metformin", "B": "Insulin"}},
            "line 1: 'options' is not an object with the keys A, B, C and D",
        ),
        ({"question": " "}, "line 1: 'question' is blank"),
        ({"question": None}, "line 1: 'question' is null, not text"),
    ],
)
def test_medqa_refuses_what_is_not_its_own(tmp_path, changes, message):
    with pytest.raises(CorpusError, match=rf"phrases_no_exclude_test\.jsonl, {message}"):
        read(tmp_path, "medqa", "test", medqa(**changes))


def medmcqa(*cops: object) -> str:
    rows = []
    for number, cop in enumerate(cops):
        options = {f"op{letter}": text for letter, text in zip("abcd", OPTIONS, strict=True)}
        rows.append({"id": str(number), "question": QUESTION, "cop": cop, "subject_name": "Medicine", **options})
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.mark.parametrize(("cops", "answers"), [((1, 2, 4), (0, 1, 3)), ((0, 1, 3), (0, 1, 3)), ((2, 0), (2, 0))])
def test_medmcqa_counts_from_where_its_file_does(tmp_path, cops, answers):
    # Mutation: the base fixed at 0, or at 1.
    items = read(tmp_path, "medmcqa", "dev", medmcqa(*cops))
    assert tuple(item.answer for item in items) == answers


@pytest.mark.parametrize(
    ("cops", "message"),
    [
        ((1, 5), "line 2: 'cop' is 5, not a number"),
        ((1, "2"), "line 2: 'cop' is '2', not a number"),
        ((1, True), "line 2: 'cop' is true, not a number"),
        ((1, -1), "line 2: 'cop' is -1, not a number"),
        ((4, 1, 0), "line 3: 'cop' is both 0 and 4"),
        ((1, 2, 3), "dev.json: 'cop' is never 0 and never 4"),
    ],
)
def test_medmcqa_refuses_an_answer_that_cannot_be_placed(tmp_path, cops, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "medmcqa", "dev", medmcqa(*cops))


def test_medmcqa_may_leave_a_wrong_option_blank(tmp_path):
    text = medmcqa(4).replace('"Metformin"', '""')
    [item] = read(tmp_path, "medmcqa", "dev", text)
    assert item.options[0] == ""
    (tmp_path / "other").mkdir()
    with pytest.raises(CorpusError, match="line 1: 'opd' is blank"):
        read(tmp_path / "other", "medmcqa", "dev", medmcqa(4).replace('"Acarbose"', '""'))


def test_mmlu_has_no_header_and_rows_over_several_lines(tmp_path):
    text = 'A patient is drowsy,\r\n"Which, of\nthese?",Hypoglycaemia,Fever,Rash,Cough,A\r\n'
    text = text.replace("A patient is drowsy,\r\n", "", 1)
    [item] = read(tmp_path, "mmlu_anatomy", "test", text)
    assert item == Choice("test:1", "Which, of\nthese?", ("Hypoglycaemia", "Fever", "Rash", "Cough"), 0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Q,a,b,c,d,A\nQ,a,b,c,A\n", r"anatomy_test\.csv, line 2: 5 columns, not 6"),
        ("Q,a,b,c,d,E\n", "line 1: 'answer' is 'E', not one of A, B, C, D"),
        ('Q,a,b,c,d,A\n"Q,a,b,c,d,A\n', "line 2: broken CSV"),
    ],
)
def test_mmlu_refuses_what_is_not_its_own(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "mmlu_anatomy", "test", text)


words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=12)


@given(st.lists(words, min_size=2, max_size=6), words, st.data())
def test_both_formats_give_the_letter_back(options, question, data):
    # Mutation: the text of an option looked for before its letter.
    item = Choice("1", question, tuple(options), data.draw(st.integers(0, len(options) - 1)))
    for format in CHOICE.formats:
        answer = CHOICE.parse(CHOICE.render(item, TASKS["medqa"], format)[1], item, TASKS["medqa"], format)
        assert (answer.gold, answer.problems) == (CHOICE.gold(item), {})


def test_a_question_is_shown_with_its_options_and_the_form_of_the_answer():
    asked, output = CHOICE.render(Choice("1", QUESTION, OPTIONS, 1), TASKS["medqa"], "letter_and_text")
    assert output == "B. Insulin"
    assert asked == (
        f"Question: {QUESTION}\nA. Metformin\nB. Insulin\nC. Gliclazide\nD. Acarbose\n"
        "Answer with the letter and the text of one option."
    )
