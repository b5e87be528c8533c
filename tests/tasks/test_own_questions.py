"""The user's own questions with options: read, asked, scored as right or wrong, never shown where restricted."""

import json

import pytest
from upath import UPath

from bioinstruct_jax import evaluate, settings
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.evaluation.runner.questions import choices, protocols, questions
from bioinstruct_jax.preparation import rows
from bioinstruct_jax.tasks.choice import Choice
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import CorpusError

TASK, RESTRICTED = TASKS["own_questions"], TASKS["own_questions_restricted"]
DOWN = {"question": "Which chromosome is trisomic in Down syndrome?", "options": ["13", "18", "21", "X"]}
FEVER = {"question": "Temperature 36.6 degrees. Is there a fever?", "options": ["yes", "no"], "answer": "no"}


def put(folder, *given, task=TASK, split="test"):
    file = folder / task.folder / f"{split}.jsonl"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")


@pytest.mark.parametrize("answer", ["C", "21", " 21 "])
@pytest.mark.parametrize("options", [DOWN["options"], dict(zip("ABCD", DOWN["options"], strict=True))])
def test_an_answer_is_a_letter_or_the_text_of_an_option(tmp_path, answer, options):
    # Mutations: a letter counted from B; an object's values taken in another order.
    put(tmp_path, DOWN | {"options": options, "answer": answer, "source": "a book"}, FEVER)
    assert list(TASK.items(UPath(tmp_path), "test")) == [
        Choice("test:1", DOWN["question"], ("13", "18", "21", "X"), 2),
        Choice("test:2", FEVER["question"], ("yes", "no"), 1),
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question": "Which?", "answer": "A"}, "line 2: there is no field 'options'"),
        (FEVER | {"options": ["yes"]}, "line 2: 'options' has 1; a question needs 2 to 10"),
        (FEVER | {"options": [str(n) for n in range(11)]}, "'options' has 11; a question needs 2 to 10"),
        (FEVER | {"options": {}}, "'options' has 0; a question needs 2 to 10"),
        (FEVER | {"options": {"B": "yes", "A": "no"}}, "keys are not A, B, ... in this order"),
        (FEVER | {"options": dict.fromkeys("ABCDEFGHIJK", "yes")}, "keys are not A, B, ... in this order"),
        (FEVER | {"options": {"A": "yes", "B": 2}}, "'B' is 2, not text"),
        (FEVER | {"options": "yes, no"}, "'options' is not a list of texts"),
        (FEVER | {"options": ["no", " No "]}, "'options' has one text twice"),
        (FEVER | {"answer": "C"}, "'answer' is 'C', neither one of A, B nor the text of an option"),
        (FEVER | {"answer": 1}, "'answer' is 1, not text"),
        (FEVER | {"options": ["B", "A"], "answer": "B"}, "'answer' is 'B', the letter of one option and the text"),
        (FEVER | {"question": " "}, "'question' is blank"),
        (FEVER | {"licence": "restricted"}, r"'licence' is 'restricted'.*own-questions-restricted/, and score"),
    ],
)
def test_what_is_no_question_is_named_with_its_line(tmp_path, row, problem):
    put(tmp_path, FEVER, row)
    with pytest.raises(CorpusError, match=problem):
        list(TASK.items(UPath(tmp_path), "test"))


@pytest.mark.parametrize("options", [["A", "B"], {"A": "A", "B": "B"}])
def test_an_option_may_be_its_own_letter(tmp_path, options):
    # Mutation: a letter that is also the text of its own option refused as doubtful.
    put(tmp_path, FEVER | {"options": options, "answer": "B"})
    [item] = TASK.items(UPath(tmp_path), "test")
    assert item.answer == 1


def test_every_answer_comes_back_in_both_formats(tmp_path):
    put(tmp_path, *({**DOWN, "answer": letter} for letter in "ABCD"), FEVER)
    for item in TASK.items(UPath(tmp_path), "test"):
        for form in TASK.family.formats:
            _, output = TASK.family.render(item, TASK, form)
            assert TASK.family.parse(output, item, TASK, form).gold == TASK.family.gold(item)


def test_restricted_questions_have_a_folder_of_their_own(tmp_path):
    # Mutation: the value of a field in a message about them.
    put(tmp_path, FEVER | {"licence": "restricted"}, FEVER | {"answer": "Nobody"}, task=RESTRICTED)
    made = rows.rendered(RESTRICTED, UPath(tmp_path), "test", seed=0, format=None)
    first = next(made)
    assert first.sample.licence == "restricted"
    assert first.sample.id == "own_questions_restricted/test/item 1"
    with pytest.raises(CorpusError, match="line 2") as told:
        next(made)
    assert "Nobody" not in str(told.value)


def test_they_are_ranked_and_written_each_among_its_own_options(tmp_path):
    # Mutation: ten letters ranked for two options.
    words = "out: x\nmodels: [{model: x}]\nprotocols: [harness, likelihood, generated]\n"
    job = settings.loads(words, job=Evaluate, where="here")
    assert protocols(job, TASK) == ["likelihood", "generated"]
    put(tmp_path, DOWN | {"answer": "C"}, FEVER)
    asked = questions(job, TASK, "test", UPath(tmp_path))
    assert [choices(one, TASK) for one in asked] == [tuple("ABCD"), tuple("AB")]


def test_answers_made_elsewhere_are_scored_by_accuracy(tmp_path, capsys):
    # Mutations: chance as of ten options; columns of the confusion for letters that no question has.
    put(tmp_path, DOWN | {"answer": "C"}, FEVER)
    answers = [
        {"id": "own_questions/test/test:1", "output": "21"},
        {"id": "own_questions/test/test:2", "output": "A"},
    ]
    (tmp_path / "said.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers))
    out = tmp_path / "scores"
    model = f"[{{name: mine, runs_on: predictions, predictions: {tmp_path}/said.jsonl}}]"
    words = [f"--corpora={tmp_path}", "--tasks=[own_questions]", f"--models={model}", f"--out={out}"]
    assert evaluate.main(["base_and_tuned", "--protocols=[generated]", *words]) == 0
    [file] = (out / "mine").glob("results_*.json")
    scores = json.loads(file.read_text())["results"]["own_questions"]
    assert scores["acc,generated"] == 0.5
    report = (out / "report.html").read_text()
    assert '<th scope="col">D</th>' in report
    assert '<th scope="col">E</th>' not in report
