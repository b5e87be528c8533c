"""Labels out of generated texts, against scikit-learn on real gold."""

import random

import pytest
from sklearn import metrics
from upath import UPath

from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.table import scorer
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
