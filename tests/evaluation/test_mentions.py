"""Words of a model found in a text: repeated, nested, written otherwise, and not there at all."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.evaluation import classification as scores
from bioinstruct_jax.evaluation.entities import counts
from bioinstruct_jax.evaluation.mentions import FOREIGN, REPEATED, align, tally
from bioinstruct_jax.tasks import columns
from bioinstruct_jax.tasks.spans import Entities, Mention

D, C = "Disease", "Chemical"


def sentence(text, *mentions):
    return Entities("1", tuple(text.split(" ")), mentions)


def test_each_occurrence_is_used_once_from_left_to_right():
    # Mutations: the first place always; a mention left over is forgotten.
    item = sentence("fever then rash then fever")
    assert align([("fever", D), ("fever", D)], item).mentions == (Mention(0, 1, D), Mention(4, 5, D))
    assert align([("fever", D)], item).mentions == (Mention(0, 1, D),)
    found = align([("fever", D)] * 3 + [("rash", D)] * 2, item)
    assert found.mentions == (Mention(0, 1, D), Mention(2, 3, D), Mention(4, 5, D))
    assert found.foreign == {D: 2}
    assert found.problems == {REPEATED: 2}


def test_words_of_two_types_take_two_places_where_there_are_two():
    item = sentence("lead and lead")
    assert align([("lead", C), ("lead", D)], item).mentions == (Mention(0, 1, C), Mention(2, 3, D))
    assert align([("lead", C), ("lead", D)], sentence("lead")).mentions == (Mention(0, 1, C), Mention(0, 1, D))
    # Mutation: a place within another mention is no place while one of another type is.
    found = align([("lead poisoning", D), ("lead", C), ("lead", D)], sentence("lead then lead poisoning"))
    assert found.mentions == (Mention(0, 1, C), Mention(2, 3, D), Mention(2, 4, D))


@pytest.mark.parametrize("order", [1, -1])
def test_a_longer_mention_is_not_robbed_of_its_words(order):
    # Mutations: not sorted by length; places taken looked at by span alone.
    item = sentence("lung cancer is a cancer")
    found = align([("cancer", D), ("lung cancer", D)][::order], item)
    assert found.mentions == (Mention(0, 2, D), Mention(4, 5, D))
    nested = align([("cancer", D), ("lung cancer", D)][::order], sentence("lung cancer"))
    assert nested.mentions == (Mention(0, 2, D), Mention(1, 2, D))


def test_words_that_are_not_there_are_false_positives():
    # Mutation: they are counted as a problem alone; then precision is 1.
    item = sentence("aspirin for fever", Mention(0, 1, C), Mention(2, 3, D))
    found = align([("aspirin", C), ("fever", D), ("migraine", D), ("  ", D), ("fev", D), ("spirin for", C)], item)
    assert found.mentions == item.mentions
    assert found.foreign == {D: 3, C: 1}
    assert found.problems == {FOREIGN: 4}
    sums = counts([item.mentions], [found.mentions], (C, D), foreign=[found.foreign]).sum(0)
    assert scores.precision(sums) == pytest.approx(2 / 6)
    assert scores.recall(sums) == 1.0


@pytest.mark.parametrize(
    ("words", "problems"),
    [("IL - 2", {}), ("il - 2", {"case": 1}), ("IL-2", {"punctuation": 1}), ("il2", {"punctuation": 1})],
)
def test_words_written_otherwise_are_found_and_told(words, problems):
    item = sentence("low IL - 2 levels")
    found = align([(words, C)], item)
    assert (found.mentions, found.problems, found.foreign) == ((Mention(1, 4, C),), problems, {})


def test_as_it_stands_goes_before_any_other_way():
    item = sentence("Fever or fever")
    assert align([("fever", D)], item).mentions == (Mention(2, 3, D),)
    assert align([], item).mentions == ()


def test_what_was_read_is_counted():
    item = sentence("fever and rash")
    read = [
        align([("fever", D), ("Rash", D), ("cough", D)], item),
        None,
        align([("rash", D)] * 2, item),
        align([], item),
    ]
    assert tally(read) == {"aligned": 3, "unparsable": 1, FOREIGN: 1, REPEATED: 1, "case": 1}
    assert tally([]) == {"aligned": 0, "unparsable": 0, FOREIGN: 0, REPEATED: 0}


@given(
    st.lists(st.sampled_from(["a", "b", "A", "a-b", "-", "c"]), min_size=1, max_size=8),
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "a b", "A", "ab", "-", "", "z"]), st.sampled_from([C, D])), max_size=6
    ),
)
@settings(max_examples=60)
def test_each_mention_is_placed_or_foreign(tokens, named):
    found = align(named, Entities("1", tuple(tokens), ()))
    assert len(found.mentions) + sum(found.foreign.values()) == len(named)
    assert found.problems.get(FOREIGN, 0) + found.problems.get(REPEATED, 0) == sum(found.foreign.values())
    assert all(0 <= mention.start < mention.end <= len(tokens) for mention in found.mentions)


@pytest.mark.parametrize(("name", "ambiguous"), [("ncbi-disease", 3), ("bc5cdr-disease", 0), ("bc5cdr-chem", 1)])
def test_gold_of_real_sentences_is_found_again(name, ambiguous):
    # Words alone do not say which of their places is meant: so few sentences come out otherwise.
    folder = os.environ.get("BIOINSTRUCT_DATA")
    file = UPath(folder or ".") / name / "test.tsv"
    if not folder or not file.exists():
        pytest.skip(f"BIOINSTRUCT_DATA has no {name}/test.tsv")
    wrong = total = 0
    for item in columns.read(file, {"disease": D, "chemical": C, "": D}):
        found = align([(item.words(mention), mention.type) for mention in item.mentions], item)
        assert not found.foreign
        wrong += found.mentions != item.mentions
        total += len(item.mentions)
    assert total > 900
    assert wrong == ambiguous
