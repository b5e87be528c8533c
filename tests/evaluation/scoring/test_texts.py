"""Free texts, against rouge-score and sacrebleu on real references."""

import random

import numpy as np
import pytest
from upath import UPath

from bioinstruct_jax.evaluation.bertscore import Encoded
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.scoring.asked import question, scored
from tests.evaluation.scoring.made import ANSWERS, REFERENCES


@pytest.mark.parametrize(("name", "split"), [("meqsum", "train"), ("mts_dialog", "test")])
def test_scores_of_real_texts_are_those_of_rouge_score_and_sacrebleu(data_folder, name, split):
    # Mutations: blank outputs left out; rouge1 and rouge_l exchanged; output and reference exchanged.
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu.metrics import BLEU, CHRF

    task, draw = TASKS[name], random.Random(0)
    items = list(task.items(UPath(data_folder), split))[:150]
    golds = [task.family.gold(item).strip() for item in items]
    said = [" ".join(word for word in gold.split() if draw.random() < 0.7) for gold in golds]
    said[5] = said[50] = " "
    outputs = [Output(text=text) for text in said]
    found, readings = scored(scorer(task, "generated", "text"), [question(task, item) for item in items], outputs)
    known = [RougeScorer(["rouge1", "rouge2", "rougeL"]).score(*pair) for pair in zip(golds, said, strict=True)]
    for ours, theirs in (("rouge1", "rouge1"), ("rouge2", "rouge2"), ("rouge_l", "rougeL")):
        assert found[ours] == pytest.approx(sum(one[theirs].fmeasure for one in known) / len(known)), ours
    said[5] = said[50] = ""
    assert found["bleu"] == pytest.approx(BLEU().corpus_score(said, [golds]).score)
    assert found["chrf"] == pytest.approx(CHRF().corpus_score(said, [golds]).score)
    assert found["length_ratio"] == pytest.approx(BLEU().corpus_score(said, [golds]).ratio)
    assert found["extraction_rate"] == pytest.approx(sum(bool(text) for text in said) / len(said))
    assert [one.why for one in readings].count("empty") == sum(not text for text in said)


def test_of_several_right_answers_the_nearest_counts():
    # Mutation: the first alone.
    asked = [question(TASKS["coreference"], REFERENCES[0])]
    found, (one,) = scored(scorer(TASKS["coreference"], "generated", "text"), asked, [Output(text="The old man.")])
    assert (found["rouge_l"], one.gold) == (1.0, "the old man")


def test_a_refusal_scores_as_its_text_and_is_no_answer():
    # Mutation: a refusal scores zero.
    asked = [question(TASKS["medquad"], ANSWERS[0])]
    one = scorer(TASKS["medquad"], "generated", "text")
    refusal = "I'm sorry, I cannot tell; a viral infection of the larynx perhaps."
    found, (read,) = scored(one, asked, [Output(text=refusal)])
    assert found["extraction_rate"] == 0
    assert found["rouge_l"] > 0.3
    assert (read.why, read.answer) == ("refused", None)
    thought = "<think>Croup? A virus.</think>\n```\nA viral infection of the larynx in small children.\n```"
    assert scored(one, asked, [Output(text=thought)])[0]["rouge_l"] == 1
    assert one.baselines(["x"], [1]) == {}
    assert "tok:13a" in one.signatures()["bleu"]


class Letters:
    """An encoder by which a token is its first letter; it has room for five."""

    note = "encoder of letters"

    def encode(self, text: str) -> Encoded:
        words = text.lower().split()
        rows = np.array([np.eye(128)[ord(word[0])] for word in words[:5]])
        return Encoded(rows, np.ones(len(rows), bool), max(0, len(words) - 5))


def test_bertscore_is_that_of_the_best_reference_and_zero_for_a_blank():
    # Mutations: the reference of the best ROUGE-L ("the old man"); blank outputs left out; what was cut is not told.
    asked = [question(TASKS["coreference"], REFERENCES[0])] * 3
    one = scorer(TASKS["coreference"], "generated", "text", Letters())
    said = [Output(text=text) for text in ("Man S", " ", "Mrs Smith, Mr Smith and the old man")]
    found, readings = scored(one, asked, said)
    assert readings[0].gold == "the old man"
    assert [each.scores["bertscore_f1"] for each in readings] == pytest.approx([1, 0, 8 / 9])
    assert found["bertscore_f1"] == pytest.approx(sum(each.scores["bertscore_f1"] for each in readings) / 3)
    assert {"bertscore_precision", "bertscore_recall"} <= set(readings[1].scores)
    assert [each.problems for each in readings] == [{}, {}, {"cut for BERTScore": 1}]
    assert [each.note for each in one.metrics() if each.name == "bertscore_f1"] == ["encoder of letters"]
    assert "bertscore_f1" not in {each.name for each in scorer(TASKS["medquad"], "generated", "text").metrics()}
