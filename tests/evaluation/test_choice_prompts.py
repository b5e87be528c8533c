"""Prompts of choice tasks, pinned byte for byte; `test_harness` has lm-evaluation-harness write the same ones."""

from dataclasses import replace
from pathlib import Path

import pytest
from upath import UPath

from bioinstruct_jax.evaluation.choice_prompts import prompt
from bioinstruct_jax.evaluation.language_model import ScoreRequest
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation import choice_corpora

DIABETES = (
    "Question: A 24-year-old woman with type 1 diabetes has been vomiting for a day. Her blood glucose is 29 mmol/L, "
    "her arterial pH is 7.12, and her urine has ketones. Which of these drugs does she need at once? \n"
    "A. Metformin\nB. Insulin\nC.  Gliclazide\nD. Acarbose\nAnswer:"
)
ANTIDOTE = (
    "Question: Which antidote is given for poisoning with paracetamol?\n"
    "A. Acetylcysteine\nB. Atropine\nC. Flumazenil\nD. Naloxone\nAnswer:"
)
SCURVY = (
    "Question: Deficiency of which vitamin causes scurvy?\nChoices:\n"
    "A. Vitamin A\nB. Vitamin B1\nC. Vitamin C\nD. Vitamin D\nAnswer:"
)
GLAUCOMA = (
    "Question: Which drug for glaucoma is a β-blocker?\nChoices:\n"
    "A. Timolol\nB. Pilocarpine\nC. Latanoprost\nD. Acetazolamide\nAnswer:"
)
WOUNDS = (
    "Abstract: We compared two wards over a year.\nInfections fell from 9 % to 3 % (p < 0.01).\n"
    "Question: Does handwashing by surgeons lower the rate of wound infection?\nAnswer:"
)
LABOUR = (
    "Abstract: Eighty women were given vitamin C or placebo.\nLabour was as long in both groups.\n"
    "Question: Does vitamin C shorten labour?\nAnswer:"
)
SUBJECT = "The following are multiple choice questions (with answers) about medical genetics.\n\n"
FIBROSIS = (
    "Cystic fibrosis is inherited as a trait that is\n"
    "A. autosomal dominant\nB. autosomal recessive\nC. X-linked recessive\nD. mitochondrial\nAnswer:"
)
DOWN = "Down syndrome is most often caused by trisomy of chromosome\nA. 13\nB. 18\nC. 21\nD. 22\nAnswer:"
HUNTINGTON = 'Which repeat is expanded in "Huntington disease"?\nA. CAG\nB. CGG\nC. CTG\nD. GAA\nAnswer:'


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> UPath:
    folder: Path = tmp_path_factory.mktemp("corpora")
    choice_corpora.write(folder)
    return UPath(folder)


def _items(corpora: UPath, name: str) -> list:
    return list(TASKS[name].items(corpora, "dev" if name == "medmcqa" else "test"))


@pytest.mark.parametrize(
    ("name", "context", "choices", "gold"),
    [
        ("medqa", DIABETES, "ABCD", 1),
        ("medmcqa", SCURVY, "ABCD", 2),
        ("pubmedqa", WOUNDS, ("yes", "no", "maybe"), 0),
        ("mmlu_medical_genetics", SUBJECT + FIBROSIS, "ABCD", 1),
    ],
)
def test_zero_shot_prompts_are_the_harness_s(corpora, name, context, choices, gold):
    # Mutations: tidied texts for those of the file, no description, "Choices:" left out, a blank behind "Answer:".
    item = _items(corpora, name)[0]
    made = prompt(TASKS[name], item)
    assert (made.item, made.context, made.choices, made.gold) == (item.id, context, tuple(choices), gold)
    assert made.requests() == [ScoreRequest(context, f" {choice}") for choice in choices]


@pytest.mark.parametrize(
    ("name", "context"),
    [
        ("medqa", f"{ANTIDOTE} A\n\n{DIABETES} B\n\n"),
        ("medmcqa", f"{GLAUCOMA} A\n\n{SCURVY} C\n\n"),
        ("pubmedqa", f"{LABOUR} no\n\n{WOUNDS} yes\n\n"),
        ("mmlu_medical_genetics", f"{SUBJECT}{HUNTINGTON} A\n\n{FIBROSIS} B\n\n"),
    ],
)
def test_shots_stand_in_their_order_with_their_answers(corpora, name, context):
    # lm-eval#3693. Mutations: the description before each shot, one line end for two, shots the other way round.
    items, task = _items(corpora, name), TASKS[name]
    one, shown = {"medmcqa": (2, (1, 0)), "pubmedqa": (2, (1, 0))}.get(name, (1, (2, 0)))
    made = prompt(task, items[one], [items[place] for place in shown])
    assert (
        made.context
        == context + prompt(replace(task, likelihood=replace(task.likelihood, description="")), items[one]).context
    )


def test_an_item_is_never_its_own_shot(corpora):
    # lm-eval#3978.
    items = _items(corpora, "medqa")
    with pytest.raises(ValueError, match="medqa: item 'test:2' is among its own shots"):
        prompt(TASKS["medqa"], items[1], items)


def test_what_is_not_scored_so_is_said(corpora):
    with pytest.raises(ValueError, match="gad: its answers are not scored by log-likelihood, only generated"):
        prompt(TASKS["gad"], _items(corpora, "medqa")[0])
    item = replace(_items(corpora, "pubmedqa")[0], answer="perhaps")
    with pytest.raises(ValueError, match="item '101': the answer 'perhaps' is not one of yes, no, maybe"):
        prompt(TASKS["pubmedqa"], item)


def test_tidied_text_is_kept_for_all_but_these_prompts(corpora):
    # Mutation: `untidied` of every item.
    first, second, _ = _items(corpora, "medqa")
    assert first.options[2] == "Gliclazide"
    assert first.untidied[3] == " Gliclazide"
    assert not second.untidied
    assert "C. Gliclazide\n" in TASKS["medqa"].family.render(first, TASKS["medqa"], "letter")[0]


def test_every_label_can_be_an_answer_and_no_context_ends_with_a_blank():
    tasks = [task for task in TASKS.values() if task.likelihood]
    assert len({task.likelihood.harness for task in tasks}) == len(tasks) == 13
    for task in tasks:
        assert task.labels
        assert task.likelihood.description in ("", f"{task.likelihood.description.rstrip()}\n\n")
