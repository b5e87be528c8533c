"""What holds for every scorer: gold scores 1, order is nothing, and no output breaks one."""

import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.scoring.asked import gold, question, scored
from tests.evaluation.scoring.made import ASKED, ITEMS

NAMES = [f"{task.name}-{form}" for task, form in ASKED]
EVERY = pytest.mark.parametrize(("task", "form"), ASKED, ids=NAMES)


def asked(task, form):
    return [question(task, item, form) for item in ITEMS[task.name]]


@EVERY
def test_rendered_gold_scores_all_that_there_is(task, form):
    # Mutations: macro-F1 over all labels of the task; a shown occurrence passed over; tags of lines read as OTHER.
    questions = asked(task, form)
    found, readings = scored(scorer(task, "generated", form), questions, [gold(one) for one in questions])
    short = {"rouge2", "bleu"} if task.name == "coreference" else set()  # two words have no 4-grams
    for metric in scorer(task, "generated", form).metrics():
        if metric.name not in short:
            assert found[metric.name] == pytest.approx(100 if metric.unit == "points" else 1), metric.name
    assert [one.value for one in readings] == [1.0] * len(questions)
    assert not any(one.problems for one in readings)


@EVERY
@given(st.randoms(use_true_random=False))
@settings(max_examples=5)
def test_the_order_of_items_is_nothing(task, form, draw):
    questions = asked(task, form)
    texts = ["", "I cannot help with that.", "fever : B", '[{"text": "gout"}]']
    texts += [one.record.output for one in questions]
    pairs = [(one, Output(text=draw.choice(texts))) for one in questions]
    first, _ = scored(scorer(task, "generated", form), *zip(*pairs, strict=True))
    draw.shuffle(pairs)
    second, _ = scored(scorer(task, "generated", form), *zip(*pairs, strict=True))
    assert first == pytest.approx(second, abs=1e-12)


@EVERY
def test_without_an_answer_everything_is_wrong_and_counted(task, form):
    # meditron#29, PMC-LLaMA#19. Mutation: an output that cannot be read is left out of the sums.
    one, questions = scorer(task, "generated", form), asked(task, form)
    for output, why in (
        (Output(unfit=(4097, 4096)), "too long"),
        (Output(problem="HTTP 500"), "no answer from the server"),
        (Output(text=" \n"), "empty"),
        (Output(), "empty"),
    ):
        found, readings = scored(one, questions, [output] * len(questions))
        assert {reading.why for reading in readings} == {why}
        assert {reading.answer for reading in readings} == {None}
        assert found[one.headline] == found["extraction_rate"] == 0.0
    cut = scored(one, questions, [Output(text=asked_.record.output, finish="length") for asked_ in questions])[1]
    assert [reading.problems["unfinished"] for reading in cut] == [1] * len(questions)


MANY = 300_000
HOSTILE = {
    "brackets": "[" * MANY,
    "braces": '{"a":' * (MANY // 5),
    "openings": "[" * 199 + '"fever",' * (MANY // 8),
    "mentions": "[" + ",".join(f'{{"text":"fever {place % 999}"}}' for place in range(MANY // 20)) + "]",
    "same": "[" + ",".join(['{"text":"fever","occurrence":2}'] * (MANY // 30)) + "]",
    "variants": "[" + ",".join(f'{{"text":"fe{"." * (place % 30)}ver"}}' for place in range(MANY // 20)) + "]",
    "objects": '{"text":"fever"}\n' * (MANY // 17),
    "lines": "fever : B\n" * (MANY // 10),
    "unlike lines": "\n".join(f"w{place} : B-x" for place in range(MANY // 10)),
    "blanks": " " * MANY + "x",
    "newlines": "\n" * MANY,
    "NULs": "\0" * MANY,
    "half surrogates": '[{"text":"\\ud800 fever"}] \ud800 : B ' * (MANY // 40),
    "letters": "A or B, not C; " * (MANY // 15),
    "labels": "not associated, yes no maybe " * (MANY // 29),
    "hallmarks": "inducing angiogenesis, " * (MANY // 23),
    "thoughts": "<think>" * (MANY // 7) + "</think>",
    "fences": "```" * (MANY // 3),
    "one word": "a" * MANY,
    "colons": ":" * MANY,
    "quotes": "\"'" * (MANY // 2),
    "backslashes": "\\" * MANY,
    "stars": "*" * MANY,
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", HOSTILE)
@EVERY
def test_no_output_breaks_a_scorer_or_holds_it_up(task, form, kind):
    # What keeps time linear in the text is held by `test_the_search_in_vain_ends` in test_mentions.py.
    one = scorer(task, "generated", form)
    start = time.process_time()
    _, readings = scored(one, asked(task, form)[:1], [Output(text=HOSTILE[kind])])
    assert time.process_time() - start < 10
    (readings[0].answer or "").encode("utf-8", "surrogatepass")


@EVERY
@given(st.text(st.characters(codec=None), max_size=60), st.sampled_from(["", "A", "yes", "[", " : B\n", '{"text":']))
@settings(max_examples=20)
def test_any_text_is_read(task, form, text, before):
    # lm-eval#2503.
    for output in (Output(text=before + text), Output(label=text), Output(tags=(text, before))):
        scored(scorer(task, "generated", form), asked(task, form)[:2], [output] * len(asked(task, form)[:2]))


def test_which_tasks_have_which_scorer():
    for task in TASKS.values():
        found = scorer(task, "generated", task.family.formats[0])
        assert found.headline == found.metrics()[0].name
        assert all(metric.counts for metric in found.metrics())
    assert scorer(TASKS["medqa"], "harness", "letter").headline == "acc"
    assert "acc_norm" not in {one.name for one in scorer(TASKS["medqa"], "likelihood", "letter").metrics()}
    with pytest.raises(ValueError, match="only generated"):
        scorer(TASKS["mednli"], "harness", "label")
    with pytest.raises(ValueError, match="ranks answers of"):
        scorer(TASKS["gad"], "likelihood", "class")
    with pytest.raises(ValueError, match="asked for by 'class'"):
        scorer(TASKS["gad"], "generated", "json")
    with pytest.raises(ValueError, match="no answer format 'xml'"):
        scorer(TASKS["ncbi_disease"], "generated", "xml")


@EVERY
def test_scores_are_finite_for_any_sums(task, form):
    draw = random.Random(0)
    one, questions = scorer(task, "generated", form), asked(task, form)
    readings = [one.read(asked_, Output(text=draw.choice(["", asked_.record.output]))) for asked_ in questions]
    for metric in one.metrics():
        rows = np.array([reading.counts[metric.counts] for reading in readings], float)
        assert np.isfinite(metric.score(np.stack([rows.sum(0), rows[0] * 0, rows[0]]))).all()
