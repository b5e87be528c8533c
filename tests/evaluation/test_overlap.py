"""ROUGE, BLEU and chrF, against the packages that others use; blank outputs; errors of corpus scores."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from bioinstruct_jax.evaluation import overlap
from bioinstruct_jax.evaluation.bootstrap import bootstrap, of_items, ratio

WORDS = ("the", "patients", "patient", "treated", "treating", "with", "metformin", "500", "mg,", "daily.", "Fièvre")
WORD = st.sampled_from([*WORDS, "β-blockers", "HbA1c:", "7.2%", "-", "", "\n", "."])
TEXT = st.lists(WORD, max_size=14).map(" ".join)
PAIRS = st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=4)


@pytest.mark.parametrize("stem", [False, True])
@given(pairs=PAIRS)
@settings(max_examples=30)
def test_rouge_is_that_of_its_package(stem, pairs):
    # Mutations: pairs of tokens as a set; ROUGE-2 over len(first) + 1; words of three letters stemmed.
    references, outputs = zip(*pairs, strict=True)
    known = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stem)
    scores = [known.score(reference, output) for reference, output in pairs]
    expected = [[one[kind].fmeasure for kind in ("rouge1", "rouge2", "rougeL")] for one in scores]
    assert overlap.rouge(references, outputs, stem=stem).tolist() == [pytest.approx(row, abs=1e-12) for row in expected]


def test_stemming_is_seen():
    # Mutation: `stem` is not read.
    with_stem, without = (
        overlap.rouge(["treated patients"], ["treating patient"], stem=stem) for stem in (True, False)
    )
    assert with_stem.tolist() == [[1.0, 1.0, 1.0]]
    assert without.tolist() == [[0.0, 0.0, 0.0]]


@given(pairs=PAIRS)
@settings(max_examples=60)
def test_bleu_and_chrf_are_those_of_sacrebleu(pairs):
    # Mutations: no smoothing, the same half for every order, no brevity penalty, n-grams of an output beyond its
    # reference counted, an order that only one side has counted, beta of 1.
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    references, outputs = (list(side) for side in zip(*pairs, strict=True))
    for counts, score, metric in (
        (overlap.bleu_counts, overlap.bleu, sacrebleu.metrics.BLEU()),
        (overlap.chrf_counts, overlap.chrf, sacrebleu.metrics.CHRF()),
    ):
        sums = counts(references, outputs).sum(0)
        with np.errstate(all="raise"):
            assert float(score(sums)) == pytest.approx(metric.corpus_score(outputs, [references]).score, abs=1e-9)


def test_signatures_are_those_of_sacrebleu():
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    version = sacrebleu.__version__
    assert overlap.signatures() == {
        "bleu": f"nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:{version}",
        "chrf": f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}",
    }


def test_a_blank_output_scores_zero_and_stays_in():
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    text = "The patient was given metformin twice daily."
    for blank in ("", " \n", "..."):
        assert overlap.rouge([text], [blank]).tolist() == [[0.0, 0.0, 0.0]]
    assert overlap.bleu(overlap.bleu_counts([text], [""]).sum(0)) == 0.0
    assert overlap.chrf(overlap.chrf_counts([text], ["  "]).sum(0)) == 0.0
    assert overlap.rouge([text, text], [text, ""]).mean(0).tolist() == [0.5, 0.5, 0.5]
    half = overlap.bleu(overlap.bleu_counts([text, text], [text, ""]).sum(0))
    assert half == pytest.approx(100 * np.exp(-1))  # all that is said is right, and half as long as it should be
    assert overlap.chrf(overlap.chrf_counts([text, text], [text, ""]).sum(0)) < 60
    for counts, score in ((overlap.bleu_counts, overlap.bleu), (overlap.chrf_counts, overlap.chrf)):
        assert score(counts([], []).sum(0)) == 0.0
        assert score(counts([text], [text]).sum(0)) == pytest.approx(100.0)


def test_scores_of_texts_and_of_a_corpus_go_through_the_bootstrap():
    pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
    random = np.random.default_rng(0)
    lexicon = ["fever", "cough", "rash", "pain", "nausea", "oedema", "anaemia", "sepsis"]
    references = [" ".join(random.choice(lexicon, 12)) for _ in range(40)]
    outputs = [" ".join(w if random.random() < 0.8 else "other" for w in text.split()) for text in references]
    counted = (
        (of_items(overlap.rouge(references, outputs)[:, 0]), ratio),
        (overlap.bleu_counts(references, outputs), overlap.bleu),
        (overlap.chrf_counts(references, outputs), overlap.chrf),
    )
    for counts, score in counted:
        found = bootstrap(counts, score, resamples=400)
        assert found.value == pytest.approx(float(score(counts.sum(0))))
        assert found.low < found.value < found.high
        assert found.high - found.low == pytest.approx(2 * 1.96 * found.error, rel=0.2)


def test_another_number_of_outputs_is_refused():
    for function in (overlap.rouge, overlap.bleu_counts, overlap.chrf_counts):
        if function is overlap.bleu_counts:
            pytest.importorskip("sacrebleu", reason="sacrebleu is not installed")
        with pytest.raises(ValueError, match="1 references, but 0 outputs"):
            function(["a"], [])
