"""Labels out of generated texts, against scikit-learn on real gold."""

import random

import pytest
from sklearn import metrics
from upath import UPath

from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.tasks.choice import Choice
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.scoring.asked import question, scored
from tests.evaluation.scoring.made import CHOICES, GENES, ITEMS

FORMS = ("{}", "{}.", "The answer is {}.", "**{}**", "Final answer: {}")


def answered(task, items, draw):
    """Questions, outputs that are often wrong or no answer, and what they say."""
    said = [
        draw.choice([*task.labels, "no answer"]) if draw.random() < 0.4 else task.family.gold(item) for item in items
    ]
    texts = ["" if label == "no answer" else draw.choice(FORMS).format(label) for label in said]
    return [question(task, item) for item in items], [Output(text=text) for text in texts], said


@pytest.mark.parametrize("name", ["pubmedqa", "gad", "chemprot_positives"])
def test_scores_of_real_items_are_those_of_scikit_learn(data_folder, name):
    # Mutations: items without an answer left out; `without` the first label; macro over answers' labels.
    task = TASKS[name]
    items = list(task.items(UPath(data_folder), "test"))[:500]
    questions, outputs, said = answered(task, items, random.Random(1))
    found, readings = scored(scorer(task, "generated", task.family.formats[0]), questions, outputs)
    assert [one.answer or "no answer" for one in readings] == said
    gold = [one.gold for one in readings]
    assert found["acc"] == pytest.approx(metrics.accuracy_score(gold, said))
    there = sorted(set(gold))
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(gold, said, labels=there, average="macro"))
    pairs = [pair for pair in zip(gold, said, strict=True) if pair[1] != "no answer"]
    assert found["extraction_rate"] == pytest.approx(len(pairs) / len(gold))
    assert found["acc_answered"] == pytest.approx(metrics.accuracy_score(*zip(*pairs, strict=True)))
    if name == "gad":
        options = {"labels": ["associated"], "average": "micro"}
        assert found["micro_f1"] == pytest.approx(metrics.f1_score(gold, said, **options))
        assert found["precision"] == pytest.approx(metrics.precision_score(gold, said, **options))
        assert found["recall"] == pytest.approx(metrics.recall_score(gold, said, **options))
        assert found["matthews"] == pytest.approx(metrics.matthews_corrcoef(gold, said))
        every = metrics.f1_score(gold, said, labels=list(task.labels), average="micro")
        assert found["micro_f1_all"] == pytest.approx(every)


def test_the_papers_micro_f1_is_the_accuracy():
    # Defect 6: always "not associated" scores 2/3 there, and 0 without the negative class.
    one = scorer(TASKS["gad"], "generated", "class")
    questions = [question(TASKS["gad"], item) for item in GENES]
    found, _ = scored(one, questions, [Output(text="Not associated.")] * 3)
    assert found["micro_f1_all"] == found["acc"] == pytest.approx(2 / 3)
    assert found["micro_f1"] == 0
    golds = [item.label for item in GENES]
    told = one.baselines(golds, [2] * 3)
    assert told["acc"] == {"majority": pytest.approx(2 / 3), "chance": 0.5}
    assert (told["micro_f1"], told["micro_f1_all"]) == ({"majority": 0.0}, {"majority": pytest.approx(2 / 3)})
    assert one.baselines([], []) == {name: {} for name in told}


@pytest.mark.parametrize(
    ("label", "answer", "why"),
    [("b", "B", "label"), (" B ", "B", "label"), ("E", None, "unknown label"), ("Warfarin", None, "unknown label")],
)
def test_labels_made_elsewhere(label, answer, why):
    # Mutation: an unknown label raises, or is taken.
    asked = [question(TASKS["medqa"], CHOICES[0])]
    found, (one,) = scored(scorer(TASKS["medqa"], "generated", "letter"), asked, [Output(text="A", label=label)])
    assert (one.answer, one.why) == (answer, why)
    assert found["acc"] == (answer == "B")
    assert one.problems == ({} if answer else {"unknown label": 1})


@pytest.mark.parametrize(
    ("name", "text", "answer", "why", "span"),
    [
        ("medqa", "It is a disease.\nA", None, "cut off", None),
        ("medqa", "The answer is B", None, "cut off", None),
        ("medqa", "The answer is B ", None, "cut off", None),
        ("medqa", "The answer is **B**", "B", "stated", (16, 17)),
        ("medqa", "The answer is B\n", "B", "stated", (14, 15)),
        ("medqa", "Answer: B fits. Wait, A", "B", "stated", (8, 9)),
        ("medqa", "It could be B.\nA", "B", "stated", (12, 13)),
        ("medqa", "The answer is B. A", "B", "stated", (14, 15)),
        ("medqa", "It is B because A", "B", "mentioned", (6, 7)),
        ("medqa", "B. It thins the blood, becau", "B", "stated", (0, 1)),
        ("medqa", "I chose B. Warfarin", "B", "stated", (8, 9)),
        ("medqa", "Of all the B cells", None, "nothing", None),
        ("medqa", "B", "B", "exact", (0, 1)),
        ("medqa", " (B", "B", "exact", (2, 3)),
        ("medqa", "Warfarin", "B", "option text", (0, 8)),
        ("pubmedqa", "It says no", None, "cut off", None),
        ("pubmedqa", "yes, but no", "yes", "stated", (0, 3)),
        ("pubmedqa", "no", "no", "exact", (0, 2)),
        ("gad", "The gene is not associated", None, "cut off", None),
        ("gad", "not associated", "not associated", "exact", (0, 14)),
        ("mednli", "That is entailment", None, "cut off", None),
        ("mediqa_rqe", "It is no entailment. So not", "not entailment", "mentioned", (9, 19)),
    ],
)
def test_the_last_word_of_a_text_that_was_cut_is_no_answer(name, text, answer, why, span):
    # Mutations: the "A" of "Acute" read as a letter; a one-token answer lost; the last word taken away, so that what
    # stands before it comes to stand at the end, or so that "Insulin glargine" gives "Insulin"; read in what is whole.
    asked = [question(TASKS[name], ITEMS[name][0])]
    one_label = scorer(TASKS[name], "generated", TASKS[name].family.formats[0])
    for finish in ("length", "context"):
        _, (one,) = scored(one_label, asked, [Output(text=text, finish=finish)])
        assert (one.answer, one.why, one.span) == (answer, why, span)
        assert one.problems == {"unfinished": 1}
    for finish in ("", "end", "stop"):
        _, (one,) = scored(one_label, asked, [Output(text=text, finish=finish)])
        assert one.why != "cut off"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("medqa", "It is B or A"),
        ("medqa", "Both A and B"),
        ("medqa", "Both option A and option B "),
        ("medqa", "**A** or **B"),
        ("medqa", "Either B vs. A"),
        ("medqa", "A, B"),
        ("medqa", "It is Warfarin or Heparin"),
        ("pubmedqa", "Yes and no"),
        ("pubmedqa", "Yes/No"),
        ("pubmedqa", "yes, maybe"),
        ("gad", "associated or not associated"),
        ("mednli", "entailment and/or contradiction"),
    ],
)
def test_an_ambiguous_text_is_none_the_clearer_for_being_cut(name, text):
    # Mutation: what is left without the last word is read: a model that rambles scores more once it is cut.
    asked = [question(TASKS[name], ITEMS[name][0])]
    one_label = scorer(TASKS[name], "generated", TASKS[name].family.formats[0])
    for finish in ("stop", "length"):
        _, (one,) = scored(one_label, asked, [Output(text=text, finish=finish)])
        assert (one.answer, one.why, one.span) == (None, "ambiguous", None)


@pytest.mark.timeout(20)
def test_a_long_word_that_was_cut_is_read_in_linear_time():
    # Mutation: the last word searched for from each of its letters: 200,000 of them and a sign take minutes.
    asked = [question(TASKS["medqa"], ITEMS["medqa"][0])]
    texts = [Output(text=text, finish="length") for text in ("a" * 200_000 + "-", "a" * 200_000 + " " * 200_000 + ".")]
    _, found = scored(scorer(TASKS["medqa"], "generated", "letter"), asked * 2, texts)
    assert [one.answer for one in found] == [None, None]


def test_a_part_of_the_option_that_a_cut_text_gives_is_no_answer():
    # Mutation: without the last word, "Insulin" is read.
    item = Choice("1", "Which drug is given once a day?", ("Insulin", "Insulin glargine", "Metformin"), 1)
    asked = [question(TASKS["medqa"], item)]
    one = scorer(TASKS["medqa"], "generated", "letter")
    texts = [Output(text=text, finish="length") for text in ("It is insulin glargine", "It is insulin glargine.")]
    assert [reading.answer for reading in scored(one, asked * 2, texts)[1]] == [None, "B"]


def test_a_letter_beyond_an_items_options_is_none():
    # The third item has three options, the fourth two: no item is held to the length of another.
    asked = [question(TASKS["medqa"], item) for item in CHOICES[2:]]
    one = scorer(TASKS["medqa"], "generated", "letter")
    assert scored(one, asked, [Output(text="D")] * 2)[0]["extraction_rate"] == 0
    assert scored(one, asked, [Output(text="A. 0.4"), Output(text="Heparin")])[0]["acc"] == 1


def test_synonyms_are_of_the_tasks_own_labels():
    # Mutation: "contradicts" in a task without that label gives a label that it does not have.
    asked = [question(TASKS["mediqa_rqe"], item) for item in ITEMS["mediqa_rqe"]]
    texts = [Output(text="It entails it."), Output(text="It contradicts it.")]
    _, readings = scored(scorer(TASKS["mediqa_rqe"], "generated", "label"), asked, texts)
    assert [one.answer for one in readings] == ["entailment", None]
    asked = [question(TASKS["mednli"], item) for item in ITEMS["mednli"][:2]]
    _, readings = scored(scorer(TASKS["mednli"], "generated", "label"), asked, texts)
    assert [one.answer for one in readings] == ["entailment", "contradiction"]
