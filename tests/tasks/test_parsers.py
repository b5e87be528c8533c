"""What models write in place of a bare label."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.tasks import answers
from bioinstruct_jax.tasks.chemprot import COPY_LABELS
from bioinstruct_jax.tasks.choice import CHOICE, Choice
from bioinstruct_jax.tasks.drug_interactions import LABELS as INTERACTIONS
from bioinstruct_jax.tasks.inference import LABELS as NLI
from bioinstruct_jax.tasks.labels import HALLMARKS, Labelled
from bioinstruct_jax.tasks.labels import TASKS as LABEL_TASKS
from bioinstruct_jax.tasks.yes_no import TASKS as YES_NO_TASKS
from bioinstruct_jax.tasks.yes_no import Question

RQE = ("entailment", "not entailment")
GAD = ("associated", "not associated")
CPR = ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "none")
SEVERAL, NONE, REFUSAL, EMPTY = "several labels", "no label", "refusal", "empty"

SINGLE = [
    (NLI, "Entailment", "entailment"),
    (NLI, " **Contradiction.** ", "contradiction"),
    (NLI, "```\nneutral\n```", "neutral"),
    (NLI, "The answer is entailment, since sepsis is an infection.", "entailment"),
    (NLI, "Neutral. The note does not settle whether this is entailment or contradiction.", "neutral"),
    (NLI, "This is not a contradiction; it is entailment.", "entailment"),
    (NLI, "It is neither entailment nor contradiction, so neutral", "neutral"),
    (NLI, '{"label": "neutral"}', "neutral"),
    (NLI, "entailment or neutral", SEVERAL),
    (NLI, "I cannot determine whether this is entailment.", REFUSAL),
    (NLI, "I'm sorry, but the answer is neutral.", "neutral"),
    (NLI, "I\u2019m sorry, I can't help with that.", REFUSAL),
    (NLI, "Metoprolol slows the heart.", NONE),
    (NLI, "  ", EMPTY),
    (RQE, "Not entailment", "not entailment"),
    (RQE, "There is no entailment here: not_entailment", "not entailment"),
    (GAD, "The gene is not significantly associated with the disease.", "not associated"),
    (GAD, "Associated: the odds ratio was 2.1", "associated"),
    (CPR, "cpr 3", "CPR:3"),
    (CPR, "Class: CPR:9", "CPR:9"),
    (CPR, "None", "none"),
    (COPY_LABELS, "agonist-inhibitor", "AGONIST-INHIBITOR"),
    (COPY_LABELS, "It acts as an agonist-inhibitor here.", "AGONIST-INHIBITOR"),
    (COPY_LABELS, "The protein is an antagonist target.", "ANTAGONIST"),
    (COPY_LABELS, "indirect downregulator", "INDIRECT-DOWNREGULATOR"),
    (COPY_LABELS, "Substrate/product of", "SUBSTRATE_PRODUCT-OF"),
    (INTERACTIONS, "Advise.", "advise"),
    (INTERACTIONS, "The interaction is a mechanism.", "mechanism"),
]


@pytest.mark.parametrize(("labels", "text", "expected"), SINGLE)
def test_one_label_is_found_in_what_models_write(labels, text, expected):
    # Mutations: AGONIST tried before AGONIST-INHIBITOR; no NEGATED; refusals after labels; no FENCE.
    answer = answers.single(text, labels)
    if expected in labels:
        assert (answer.gold, answer.problems) == (expected, {})
    else:
        assert (answer.gold, answer.problems) == (None, {expected: 1})


YES_NO = [
    ("Yes.", "yes"),
    ("no", "no"),
    ("No, the difference was not significant.", "no"),
    ("Maybe; the trial was small.", "maybe"),
    ("yes\n\nThe hazard ratio favours treatment, no harm was seen.", "yes"),
    ("The answer is no.", "no"),
    ("The answer to the question is maybe", "maybe"),
    ("Answer: YES", "yes"),
    ("```\nmaybe\n```", "maybe"),
    ("There is no evidence of benefit.", NONE),
    ("Yes and no", SEVERAL),
    ("yes/no", SEVERAL),
    ("yes or maybe", SEVERAL),
    ("I am unable to answer that.", REFUSAL),
    ("", EMPTY),
]


@pytest.mark.parametrize(("text", "expected"), YES_NO)
def test_yes_no_and_maybe_are_found_with_what_explains_them(text, expected):
    # Mutations: "no" taken as an answer wherever it stands; the first word taken although another is joined to it.
    task = YES_NO_TASKS[0]
    answer = task.family.parse(text, Question("1", "Is it?", "It was.", "yes"), task, "word")
    if expected in task.labels:
        assert (answer.gold, answer.problems) == (expected, {})
    else:
        assert (answer.gold, answer.problems) == (None, {expected: 1})


ITEM = Choice(
    "1", "Which vitamin is given to prevent neural tube defects?", ("Thiamine", "Folic acid", "Cobalamin", "Retinol"), 1
)
LETTERS = [
    ("B", "B"),
    ("b.", "B"),
    ("(B)", "B"),
    ("**B**", "B"),
    ("B. Folic acid", "B"),
    ("B) Folic acid, because A. and C. are others", "B"),
    ("The answer is (B).", "B"),
    ("The correct answer is: b", "B"),
    ("the correct option is B because option A is another vitamin", "B"),
    ("Folic acid", "B"),
    ("Answer: A vitamin, namely folic acid", "B"),
    ("The answer is A because thiamine is given.", "A"),
    ("Folate deficiency is the cause, hence folic acid is right.", "B"),
    ("A patient who plans a pregnancy should take it: option B.", "B"),
    ("Not A, and C is incorrect. The answer is B", "B"),
    ("It is not (A). (B) fits.", "B"),
    ("The answer is A. No, wait. Final answer: B", "B"),
    ("```\nB\n```", "B"),
    (r"$\boxed{B}$", "B"),
    ("A and B", "several letters"),
    ("A, B", "several letters"),
    ("The answer is A or B.", "several letters"),
    ("The answer is A. The answer is C.", "several letters"),
    ("I cannot answer medical questions.", "refusal"),
    ("As an AI, I do not choose between (A) and (B).", "refusal"),
    ("E", "no letter"),
    ("Calcium", "no letter"),
    ("", "empty"),
]


@pytest.mark.parametrize(("text", "expected"), LETTERS)
def test_a_letter_is_found_in_what_models_write(text, expected):
    # Mutations: the article "A" taken for a letter; the first of several letters taken; denied letters kept.
    answer = CHOICE.parse(text, ITEM, None, "letter")
    if len(expected) == 1:
        assert (answer.gold, answer.problems) == (expected, {})
    else:
        assert (answer.gold, answer.problems) == (None, {expected: 1})


HOC = LABEL_TASKS[0]
ANGIO, DEATH, GENOME = HALLMARKS[6], HALLMARKS[7], HALLMARKS[5]
MANY = [
    (f"{ANGIO}, {DEATH}", (ANGIO, DEATH), {}),
    (f"{DEATH.upper()}; {ANGIO.title()}.", (ANGIO, DEATH), {}),
    (f"- {DEATH}\n- {GENOME}", (GENOME, DEATH), {}),
    (f"The text reports {ANGIO}. It is not about {DEATH}.", (ANGIO,), {}),
    (f"```\n{ANGIO}\n```", (ANGIO,), {}),
    ("None", (), {}),
    ("No hallmarks apply.", (), {}),
    (f"{ANGIO}, wound healing", (ANGIO,), {"unknown label": 1}),
    ("Wound healing", None, {NONE: 1}),
    ("I'm sorry, I cannot classify this.", None, {REFUSAL: 1}),
    ("", None, {EMPTY: 1}),
]


@pytest.mark.parametrize(("text", "gold", "problems"), MANY)
def test_labels_are_found_in_any_case_and_order(text, gold, problems):
    # Mutations: labels in the order of the text; "none" for any text that names no label.
    answer = HOC.family.parse(text, Labelled("1", "Text.", (), "1"), HOC, "names")
    assert (answer.gold, answer.problems) == (gold, problems)


@given(st.text(max_size=200))
def test_no_text_breaks_a_parser(text):
    task = YES_NO_TASKS[0]
    answers.single(text, NLI)
    answers.free_text(text)
    CHOICE.parse(text, ITEM, None, "letter")
    HOC.family.parse(text, Labelled("1", "Text.", (), "1"), HOC, "names")
    task.family.parse(text, Question("1", "Is it?", "It was.", "yes"), task, "word")


@given(
    st.sets(st.sampled_from(HALLMARKS)), st.randoms(use_true_random=False), st.sampled_from([", ", "\n", "; ", " and "])
)
def test_any_set_of_labels_comes_back_in_any_order(chosen, random, joint):
    ordered = sorted(chosen)
    random.shuffle(ordered)
    text = joint.join(label.upper() if random.random() < 0.5 else label for label in ordered) or "none"
    answer = HOC.family.parse(text, Labelled("1", "Text.", (), "1"), HOC, "names")
    assert answer.gold == tuple(label for label in HALLMARKS if label in chosen)
    assert not answer.problems


def test_free_text_is_kept_as_it_is_but_for_a_fence_around_all_of_it():
    # Mutation: a fence inside the text is taken for the whole.
    assert answers.free_text(" Take it with food.\n").gold == "Take it with food."
    assert answers.free_text("```text\nTake it with food.\n```").gold == "Take it with food."
    within = "Enter this:\n```\nINR 2.5\n```\nand save."
    assert answers.free_text(within).gold == within
    two = "```\nINR 2.5\n```\nor\n```\nINR 3\n```"
    assert answers.free_text(two).gold == two
    assert answers.free_text("I cannot provide medical advice.").problems == {REFUSAL: 1}
    assert answers.free_text("\n").problems == {EMPTY: 1}
