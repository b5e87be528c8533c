"""Scores of mentions, against seqeval and brute force; words that are not in the text; real corpora where they are."""

import os
import random
import warnings
from itertools import combinations, permutations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.evaluation import classification as scores
from bioinstruct_jax.evaluation.bootstrap import bootstrap, by_document
from bioinstruct_jax.evaluation.entities import counts, overlapping
from bioinstruct_jax.evaluation.tags import conlleval, strict
from bioinstruct_jax.tasks.spans import Mention

KINDS = ("Chemical", "Disease")
TAGS = st.sampled_from(["O", "B-Disease", "I-Disease", "B-Chemical", "I-Chemical"])
ROWS = st.lists(st.lists(st.tuples(TAGS, TAGS), min_size=1, max_size=10), min_size=1, max_size=8)


def compare(gold, predicted, types):
    """Both ways of seqeval against ours on rows of tags."""
    metrics = pytest.importorskip("seqeval.metrics", reason="seqeval is not installed: it is in the extra `test`")
    from seqeval.scheme import IOB2

    for read, options in ((conlleval, {}), (strict, {"mode": "strict", "scheme": IOB2})):
        rows = counts([read(row) for row in gold], [read(row) for row in predicted], types)
        sums = rows.sum(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, score in (("precision", scores.precision), ("recall", scores.recall), ("f1", scores.micro_f1)):
                known = getattr(metrics, f"{name}_score")(gold, predicted, zero_division=0, **options)
                assert score(sums) == pytest.approx(known, abs=1e-12), (name, options)
            report = metrics.classification_report(gold, predicted, output_dict=True, zero_division=0, **options)
        for kind, f1 in zip(types, scores.f1_of_labels(sums), strict=True):
            assert f1 == pytest.approx(report.get(kind or "_", {"f1-score": 0})["f1-score"], abs=1e-12)
        if all(kind in report for kind in types):
            assert scores.macro_f1(sums) == pytest.approx(report["macro avg"]["f1-score"], abs=1e-12)


@given(ROWS)
@settings(max_examples=40)
def test_scores_are_those_of_seqeval(rows):
    # Mutations: types not compared, `predicted` counted with foreign twice, lists in place of sets.
    compare(*([[pair[side] for pair in row] for row in rows] for side in (0, 1)), KINDS)


def corpus(name):
    folder = os.environ.get("BIOINSTRUCT_DATA")
    file = Path(folder or ".", name, "test.tsv")
    if not folder or not file.exists():
        pytest.skip(f"BIOINSTRUCT_DATA has no {name}/test.tsv")
    sentences = file.read_text(encoding="utf-8").strip().split("\n\n")
    return [[line.split("\t")[1] for line in sentence.split("\n")] for sentence in sentences]


def mutated(gold, seed):
    """Tags as a poor tagger would have them: of each hundred about five changed."""
    random_ = random.Random(seed)
    kinds = sorted({tag for row in gold for tag in row})
    return [[random_.choice(kinds) if random_.random() < 0.05 else tag for tag in row] for row in gold]


@pytest.mark.parametrize("name", ["ncbi-disease", "bc5cdr-disease", "bc5cdr-chem"])
def test_scores_of_real_sentences_are_those_of_seqeval(name):
    gold = corpus(name)[:1500]
    types = sorted({tag[2:] for row in gold for tag in row if tag != "O"})
    compare(gold, mutated(gold, 0), types)
    compare(gold, gold, types)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4)), max_size=5), st.data())
@settings(max_examples=60)
def test_relaxed_pairs_are_the_most_that_there_can_be(places, data):
    # Mutations: greedy from the left (1 in place of 2 for a long mention before a short one), `<=` for `<`.
    gold = {Mention(start, start + length, "Disease") for start, length in places}
    more = data.draw(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4)), max_size=5))
    predicted = {Mention(start, start + length, "Disease") for start, length in more}
    few, many = sorted((sorted(gold), sorted(predicted)), key=len)
    best = 0
    for size in range(len(few), 0, -1):
        pairings = (zip(a, b, strict=True) for a in combinations(few, size) for b in permutations(many, size))
        if any(all(set(range(a[0], a[1])) & set(range(b[0], b[1])) for a, b in pairing) for pairing in pairings):
            best = size
            break
    assert overlapping(gold, predicted)["Disease"] == overlapping(predicted, gold)["Disease"] == best


def test_a_mention_gives_way_to_one_that_has_no_other():
    # Mutation: nobody moves: the long one keeps the only partner of the short one within it.
    long, short = Mention(0, 6, "Disease"), Mention(1, 2, "Disease")
    assert overlapping({long, short}, {Mention(1, 2, "Disease"), Mention(4, 5, "Disease")})["Disease"] == 2


def test_exact_and_relaxed_by_hand():
    gold = [[Mention(0, 3, "Disease"), Mention(5, 6, "Chemical")], []]
    predicted = [
        [Mention(0, 2, "Disease"), Mention(2, 3, "Disease"), Mention(5, 6, "Disease")],
        [Mention(1, 2, "Disease")],
    ]
    exact, relaxed = (counts(gold, predicted, KINDS, match=match).sum(0) for match in ("exact", "relaxed"))
    assert exact.tolist() == [0, 0, 0, 4, 1, 1, 2, 2]
    assert relaxed.tolist() == [0, 1, 0, 4, 1, 1, 2, 2]  # one to one, and of the same type
    assert scores.precision(relaxed) == 0.25
    assert scores.recall(relaxed) == 0.5


def test_words_that_are_not_in_the_text_enter_precision():
    # Mutation: foreign not added.
    gold = [[Mention(0, 1, "Disease")]]
    sums = counts(gold, gold, KINDS, foreign=[{"Disease": 2, "Chemical": 1}]).sum(0)
    assert scores.precision(sums) == 0.25
    assert scores.recall(sums) == 1.0


def test_what_could_not_be_read_is_empty_and_counted_and_empty_adds_nothing():
    one = [Mention(0, 1, "Disease")]
    sums = counts([one, one, [], []], [one, None, [], None], KINDS).sum(0)
    assert scores.extraction_rate(sums) == 0.5
    assert (scores.precision(sums), scores.recall(sums)) == (1.0, 0.5)
    assert scores.micro_f1(sums) == scores.micro_f1(counts([one, one], [one, None], KINDS).sum(0))
    assert counts([one], [one * 3], KINDS).tolist() == counts([one], [one], KINDS).tolist()  # each once
    assert counts([], [], KINDS).shape == (0, 8)


def test_scores_go_through_the_bootstrap_by_document():
    random_ = random.Random(0)
    gold = [[Mention(0, 1, "Disease"), Mention(2, 4, "Chemical")] for _ in range(120)]
    predicted = [[mention for mention in row if random_.random() < 0.8] for row in gold]
    rows = by_document(counts(gold, predicted, KINDS), [f"document {place // 4}" for place in range(120)])
    found = bootstrap(rows, scores.micro_f1, resamples=500)
    assert found.documents == 30
    assert found.low < found.value < found.high


def test_what_does_not_fit_is_refused():
    one = [Mention(0, 1, "Gene")]
    with pytest.raises(ValueError, match="sentence 1: type 'Gene' is none of Chemical, Disease"):
        counts([[], one], [[], []], KINDS)
    with pytest.raises(ValueError, match="sentence 0: type 'Gene'"):
        counts([[]], [[]], KINDS, foreign=[{"Gene": 1}])
    with pytest.raises(ValueError, match="1 sentences of gold, 2 predicted and 1"):
        counts([[]], [[], []], KINDS)
