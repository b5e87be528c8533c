"""Labels of sentences, united over documents."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from bioinstruct_jax.evaluation.classification import counts
from bioinstruct_jax.evaluation.classification import united as labels_united
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.multi import united
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.tasks.labels import HALLMARKS, NONE, Labelled
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.scoring.asked import question, scored
from tests.evaluation.scoring.made import SENTENCES

HOC = TASKS["hoc"]
ANGIO, DEATH = HALLMARKS[6], HALLMARKS[7]
SETS = st.sets(st.sampled_from(HALLMARKS), max_size=3)
ROWS = st.lists(st.tuples(SETS, st.none() | SETS, st.sampled_from("abc")), min_size=1, max_size=12)


@given(ROWS)
@settings(max_examples=60)
def test_counts_are_united_as_labels_are(rows):
    # Mutations: hits summed; the last column summed; documents in order of name.
    gold, answers, documents = zip(*rows, strict=True)
    first = counts(labels_united(gold, documents), labels_united(answers, documents), HALLMARKS)
    assert np.array_equal(united(counts(gold, answers, HALLMARKS), documents), first)


@given(ROWS)
@settings(max_examples=30)
def test_scores_are_those_of_scikit_learn(rows):
    items = [Labelled(f"{n}", "It spread.", tuple(sorted(gold)), name) for n, (gold, _, name) in enumerate(rows)]
    outputs = [Output(text="" if said is None else ", ".join(said) or NONE) for _, said, _ in rows]
    questions = [question(HOC, item) for item in items]
    found, _ = scored(scorer(HOC, "generated", "names"), questions, outputs)
    documents = sorted({name for *_, name in rows})
    sides = [
        [[any(one in (row[side] or ()) for row in rows if row[2] == name) for one in HALLMARKS] for name in documents]
        for side in (0, 1)
    ]
    assert found["micro_f1"] == pytest.approx(metrics.f1_score(*sides, average="micro", zero_division=0))
    flags = [[[hallmark in (row[side] or ()) for hallmark in HALLMARKS] for row in rows] for side in (0, 1)]
    assert found["micro_f1_sentences"] == pytest.approx(metrics.f1_score(*flags, average="micro", zero_division=0))
    assert found["extraction_rate"] == pytest.approx(sum(said is not None for _, said, _ in rows) / len(rows))


def test_unknown_entries_are_counted_and_none_is_an_answer():
    one = scorer(HOC, "generated", "names")
    asked = [question(HOC, item) for item in SENTENCES]
    outputs = [Output(text=f"{ANGIO}, wound healing"), Output(label=DEATH), Output(text="None")]
    found, readings = scored(one, asked, outputs)
    assert [reading.problems for reading in readings] == [{"unknown label": 1}, {}, {}]
    assert [reading.value for reading in readings] == pytest.approx([1, 2 / 3, 1])
    assert [reading.answer for reading in readings] == [ANGIO, DEATH, NONE]
    # The first sentence's label makes up for the second's: one document.
    assert (found["micro_f1"], found["micro_f1_sentences"]) == pytest.approx((1.0, 0.8))
