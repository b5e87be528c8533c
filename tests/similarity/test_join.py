"""The nearest text by ROUGE-L, against comparing all pairs."""

import multiprocessing
import pickle

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from upath import UPath

from bioinstruct_jax.similarity import join, rouge
from bioinstruct_jax.similarity.join import Match, Near
from bioinstruct_jax.similarity.rouge import rouge_l
from bioinstruct_jax.tasks.table import TASKS

THRESHOLDS = [0.05, 0.3, 0.5, 0.58, 2 / 3, 0.7, 0.9, 1.0]


def brute(texts: list[str], query: str, threshold: float) -> Match | None:
    scores = [rouge_l(text, query) for text in texts]
    best = max(scores, default=0.0)
    return Match(str(scores.index(best)), best) if best >= threshold else None


def indexed(texts: list[str], threshold: float) -> Near:
    index = Near(threshold)
    for number, text in enumerate(texts):
        index.add(str(number), text)
    return index


@st.composite
def crowds(draw):
    """Texts of few words, many of them another one with words dropped, doubled, put in or moved."""
    word = st.sampled_from("abcdefgh")
    texts = draw(st.lists(st.lists(word, max_size=25), min_size=1, max_size=6))
    for _ in range(draw(st.integers(0, 12))):
        text = list(draw(st.sampled_from(texts)))
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, len(text)))
            match draw(st.sampled_from(["drop", "double", "put", "move", "twice"])):
                case "drop":
                    del text[at : at + draw(st.integers(1, 3))]
                case "double":
                    text[at:at] = text[at : at + 2]
                case "put":
                    text.insert(at, draw(word))
                case "move":
                    text = text[at:] + text[:at]
                case "twice":
                    text = (text + text)[:60]
        texts.append(text)
    return [" ".join(text) for text in texts]


@given(crowds(), st.sampled_from(THRESHOLDS))
@example(["a b c d e f g h i j", "a b c d e f g x y z"], 0.7)
@example(["", "", "a"], 1.0)
def test_the_nearest_text_is_that_of_all_pairs(texts, threshold):
    # Mutations: `counted` one less; `fewest` or `shortest` one more, `longest` one less; `_SLACK` on the wrong
    # side; `most` without what was not counted; `>=` for `>` among equals.
    half = len(texts) // 2
    index = indexed(texts[:half], threshold)
    for query in [*texts, *texts[:3], "z z z"]:
        assert index.find(query) == brute(texts[:half], query, threshold)


@given(crowds(), st.sampled_from(THRESHOLDS))
def test_all_that_are_near_are_those_of_all_pairs(texts, threshold):
    # Mutations: `score > bar`; the text that is the same left out.
    index, distinct = indexed(texts, threshold), dict.fromkeys(texts)
    for query in [*texts[:4], "z z z"]:
        scores = [Match(str(texts.index(text)), rouge_l(text, query)) for text in distinct]
        assert index.all(query) == [match for match in scores if match.score >= threshold]


@given(crowds(), st.sampled_from(THRESHOLDS))
def test_texts_can_be_added_between_questions(texts, threshold):
    # Mutation: an order of tokens by rarity that is fixed at the first question.
    index = Near(threshold)
    for number, text in enumerate(texts):
        assert index.find(text) == brute(texts[:number], text, threshold)
        index.add(str(number), text)


@given(crowds())
@example(["c a b", "a b c d e f", "a a a a", "z", ""])
@example(["a b x", "a b y"])
def test_the_nearest_at_any_score_is_that_of_all_pairs(texts):
    # Mutations: `place >` for `<` among equals; equals of the bound not asked; `most > bar`; the bounds not in order;
    # elements without their occurrence; the length of the text left out of `most`.
    theirs = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    index = Near()
    for number, text in enumerate(texts):  # added between questions
        found = index.nearest(text)
        assert found == brute(texts[:number], text, 1e-9)
        scores = [theirs.score(other, text)["rougeL"].fmeasure for other in texts[:number]]
        assert max(scores, default=0.0) == pytest.approx(found.score if found else 0.0, abs=1e-12)
        index.add(str(number), text)
    assert index.nearest("y z y") == brute(texts, "y z y", 1e-9)
    assert index.nearest("0 1") is index.nearest("") is None


def test_the_nearest_at_any_score_among_more_than_are_tried_first():
    # The first has 6 of the query's 10 words in its order, the second all, 6 of them so; those after it all, 1 of them.
    # Mutations: only the first `_FIRST` verified; those that may be as near left out before their place was asked.
    words = [f"w{i}" for i in range(10)]
    turned = [" ".join([*reversed(words), f"x{i}"]) for i in range(300)]
    first = " ".join([*words[:6], "a", "b", "c", "d"])
    index = indexed([first, " ".join([*words[:6], *reversed(words[6:])][1:] + words[:1]), *turned], 0.7)
    assert index.nearest(" ".join(words)) == Match("0", 0.6)
    near = " ".join([*words[:4], "y", *words[4:]])
    index = indexed([*turned[:200], near, *turned[200:], near.replace("y", "z")], 0.7)
    assert index.nearest(" ".join(words)) == Match("200", 20 / 21)


@pytest.mark.parametrize("size", [10, 20, 100, 1000])
def test_a_text_just_at_the_threshold_is_met_and_one_token_less_is_not(size):
    # Mutation: `score > bar` where nothing has been met.
    held_out = [f"w{i}" for i in range(size)]
    near = [word if i % 10 < 7 else f"x{i}" for i, word in enumerate(held_out)]
    index = indexed([" ".join(held_out)], 0.7)
    assert index.find(" ".join(near)) == Match("0", 0.7)
    assert index.find(" ".join(["x", *near[1:]])) is None


def test_lengths_at_their_bounds():
    # 14 common tokens of 14 and 26 are 0.7; of 14 and 27 less. Mutation: `longest` or `shortest` by one.
    short, long = " ".join(f"w{i}" for i in range(14)), " ".join(f"w{i}" for i in range(26))
    assert indexed([long], 0.7).find(short) == indexed([short], 0.7).find(long) == Match("0", 0.7)
    assert indexed([long + " y"], 0.7).find(short) is indexed([short], 0.7).find(long + " y") is None


def test_the_same_words_in_another_order_are_not_near():
    words = [f"w{i}" for i in range(3000)]
    assert indexed([" ".join(words)], 0.7).find(" ".join(reversed(words))) is None


def test_of_equals_the_first_added_is_named():
    index = indexed(["", "a b c", "a b d", "A, B; C!"], 0.5)
    assert index.find("a b x") == Match("1", 2 / 3)
    assert index.find("a b c") == Match("1", 1.0)
    assert len(index) == 2


def test_a_text_is_met_among_thousands_that_share_nothing():
    # More than 64 texts for each that shares a token. Mutation: `_counted` sorts but does not count.
    texts = [" ".join(f"w{i}x{j}" for j in range(10)) for i in range(2000)]
    index = indexed(texts, 0.7)
    assert index.find(" ".join(f"w7x{j}" if j < 7 else f"y{j}" for j in range(10))) == Match("7", 0.7)
    assert index.find(" ".join(f"w7x{j}" if j < 6 else f"w8x{j}" for j in range(10))) is None


def test_few_pairs_are_compared(monkeypatch):
    # alpaca: a pool of processes for each candidate.
    # Of 208,080: texts of 20 to 80 words, and of 3,000, in which words are as frequent as in a language.
    # Mutations: `counted` without `n // 8`; the most frequent elements counted; elements without their occurrence.
    random, compared = np.random.default_rng(0), 0

    def texts(count: int, *sizes: int) -> list[str]:
        return [" ".join(f"w{i}" for i in random.zipf(1.2, random.integers(*sizes)) % 5000) for _ in range(count)]

    def counting(*pair, **least):
        nonlocal compared
        compared += 1
        return common(*pair, **least)

    common = rouge.common
    index = indexed(texts(1000, 20, 80) + texts(20, 2500, 3500), 0.7)
    monkeypatch.setattr(rouge, "common", counting)
    for query in texts(200, 20, 80) + texts(4, 2500, 3500):
        index.find(query)
    assert compared < 100


def test_a_vocabulary_may_be_larger_than_unicode(monkeypatch):
    # Mutation: the one form looked up by its bytes and the other not at all.
    monkeypatch.setattr("bioinstruct_jax.similarity.rouge._CHARACTERS", 4)
    texts = ["a b c", "d e f g", "a b c d e", "x y z z"]
    index = indexed(texts, 0.5)
    for query in [*texts, "a b x", "a c d e", "z z y", "f g", "q r"]:
        assert index.find(query) == brute(texts, query, 0.5)


@pytest.mark.parametrize("threshold", [0, -0.1, 1.01, float("nan")])
def test_a_threshold_outside_is_refused(threshold):
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        Near(threshold)


def _ask(index: Near, query: str) -> Match | None:
    return index.find(query)


def test_an_index_travels_to_other_processes():
    index = indexed(["a b c d", "e f g h"], 0.7)
    assert pickle.loads(pickle.dumps(index)).find("e f g") == Match("1", 6 / 7)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_ask, (index, "e f g")) == Match("1", 6 / 7)


def test_real_rows_have_the_matches_of_all_pairs(data_folder):
    # Sentences that leak, and visits of thousands of tokens. Mutation: `n // 8` taken from `counted`.
    for name, queries, held_out in (("ncbi_disease", 40, 400), ("mts_dialog", 15, 150), ("aci_bench", 5, 20)):
        task = TASKS[name]
        texts = {
            split: [
                task.family.render(item, task, task.family.formats[0])[0]
                for item in task.items(UPath(data_folder), split)
            ]
            for split in ("train", "test")
        }
        index = indexed(texts["test"][:held_out], 0.3)
        for query in texts["train"][:queries]:
            assert index.find(query) == brute(texts["test"][:held_out], query, 0.3)


def test_the_default_threshold_is_said():
    assert Near().threshold == join.THRESHOLD == 0.7
