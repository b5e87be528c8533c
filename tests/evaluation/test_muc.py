"""Categories of mentions, against nervaluate on made and on real tags."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.evaluation import muc
from bioinstruct_jax.evaluation.bootstrap import bootstrap
from bioinstruct_jax.evaluation.tags import conlleval
from bioinstruct_jax.tasks.spans import Mention
from tests.evaluation.test_entities import KINDS, corpus, mutated

SPANS = st.builds(
    lambda start, length, kind: Mention(start, start + length, kind),
    st.integers(0, 9),
    st.integers(1, 4),
    st.sampled_from(KINDS),
)
NAMES = {"strict": "strict", "exact": "exact", "partial": "partial", "type": "ent_type"}


def compare(gold, predicted, given=None):
    """Ours on mentions against nervaluate on the same, or on the tags that are given for both sides."""
    nervaluate = pytest.importorskip("nervaluate", reason="nervaluate is not installed: it is in the extra `test`")
    kinds = sorted({m.type for row in (*gold, *predicted) for m in row})
    if not kinds:
        return

    def rows(side):
        return [[{"label": m.type, "start": m.start, "end": m.end - 1} for m in row] for row in side]

    sides, loader = (given, "list") if given else ((rows(gold), rows(predicted)), "dict")
    known = nervaluate.Evaluator(*sides, tags=kinds, loader=loader).evaluate()["overall"]
    found = muc.counts(gold, predicted).sum(0)
    for place, scheme in enumerate(muc.SCHEMES):
        one = known[NAMES[scheme]]
        assert found[place].tolist() == [one.correct, one.incorrect, one.partial, one.missed, one.spurious], scheme
        assert muc.precision(found[place]) == pytest.approx(one.precision)
        assert muc.recall(found[place]) == pytest.approx(one.recall)
        assert muc.f1(found[place]) == pytest.approx(one.f1)


@given(st.lists(st.tuples(st.sets(SPANS, max_size=4), st.sets(SPANS, max_size=4)), min_size=1, max_size=4))
@settings(max_examples=80)
def test_categories_are_those_of_nervaluate(pairs):
    # Nested and overlapping mentions too. Mutations: the last near one is taken, the first right one in `type`,
    # a gold one taken twice, types looked at in `exact`.
    compare(*([sorted(pair[side]) for pair in pairs] for side in (0, 1)))


@pytest.mark.parametrize("name", ["ncbi-disease", "bc5cdr-disease", "bc5cdr-chem"])
def test_categories_of_real_sentences_are_those_of_nervaluate(name):
    gold = corpus(name)[:1000]
    predicted = mutated(gold, 1)
    compare([conlleval(row) for row in gold], [conlleval(row) for row in predicted], (gold, predicted))


def test_a_sliver_of_a_long_mention_is_no_overlap():
    # nervaluate asks for 1 % of the gold one: a letter of 150 is none, of 100 is one.
    for length, category in ((100, muc.INCORRECT), (101, muc.SPURIOUS)):
        gold, predicted = [[Mention(0, length, "Disease")]], [[Mention(0, 1, "Disease")]]
        assert muc.counts(gold, predicted)[0, 0, category] == 1
        compare(gold, predicted)


def test_foreign_words_are_spurious_and_nothing_is_zero():
    found = muc.counts([[Mention(0, 1, "Disease")]], [None], [{"Disease": 2}])
    assert found[0].tolist() == [[0, 0, 0, 1, 2]] * 4
    with np.errstate(all="raise"):
        assert muc.f1(np.zeros(5)) == muc.precision(np.zeros(5)) == muc.recall(np.zeros(5)) == 0.0
    with pytest.raises(ValueError, match="1 sentences of gold, but 0 predicted"):
        muc.counts([[]], [])


def test_categories_go_through_the_bootstrap():
    gold = [[Mention(0, 3, "Disease")]] * 60
    predicted = [[Mention(0, 3 - place % 2, "Disease")] for place in range(60)]
    estimate = bootstrap(muc.counts(gold, predicted)[:, muc.SCHEMES.index("partial")], muc.f1, resamples=500)
    assert estimate.value == 0.75
    assert 0.65 < estimate.low < 0.75 < estimate.high < 0.85
