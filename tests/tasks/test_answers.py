"""Gold to text and back in both forms, and what is read out of a model's text that keeps to neither."""

import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.tasks import iob_answer, json_answer
from bioinstruct_jax.tasks.spans import Entities, Mention, ordered

ONE, TWO = ("Disease",), ("Disease", "Chemical")
FORMS = {"iob": iob_answer, "json": json_answer}

odd = [
    ":",
    " : ",
    "::",
    "a : B",
    "O",
    "B",
    "B-Disease",
    '"',
    "[",
    "]",
    "{",
    "}",
    "[]",
    "\\",
    "```",
    "```json",
    ",",
    "'",
]
odd += [
    "gout",
    "Gout",
    "GOUT",
    "gout-",
    "é",
    "e\u0301",
    "\u2028",
    "a\u2028b",
    "a b",
    "b",
    "a",
    "\x85x",
    "😷",
    "Ca2+",
    "\r",
]
token = st.sampled_from(odd) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=4)
token = token.filter(lambda text: text.strip() and "\n" not in text)


@st.composite
def items(draw, *, overlapping=False):
    """Any tokens, often the same ones, and any mentions among them."""
    tokens = draw(st.lists(token, min_size=1, max_size=9))
    tokens = draw(st.lists(st.sampled_from(tokens), min_size=1, max_size=12))
    spaces = draw(
        st.just(()) | st.lists(st.sampled_from(["", " ", "  "]), min_size=len(tokens), max_size=len(tokens)).map(tuple)
    )
    labels = draw(st.sampled_from([ONE, TWO]))
    cut = st.integers(0, len(tokens))
    if overlapping:
        pairs = draw(st.lists(st.tuples(cut, cut), max_size=6))
    else:
        cuts = sorted(draw(st.sets(cut)))
        pairs = [pair for pair in pairwise(cuts) if draw(st.booleans())]
    mentions = [Mention(*sorted(pair), draw(st.sampled_from(labels))) for pair in pairs if pair[0] != pair[1]]
    return Entities("x", tuple(tokens), ordered(mentions), spaces), labels


@settings(max_examples=400)
@given(items(), st.sampled_from(sorted(FORMS)))
def test_gold_comes_back(drawn, form):
    # lm-eval#3887.
    # Mutations: cut at the first " : "; split lines with splitlines(); a dict of token to label; count occurrences of
    # whole mentions only; count them from 0; leave out occurrence for the first one; strip tokens before comparing.
    item, labels = drawn
    answer = FORMS[form].parse(FORMS[form].render(item, labels), item, labels)
    assert answer.gold == item.mentions
    assert answer.problems == {}


@settings(max_examples=200)
@given(items(overlapping=True))
def test_mentions_that_share_tokens(drawn):
    # Mutations: keep the shortest in `flat`; leave the type out of json_answer.parse's `found`.
    item, labels = drawn
    answer = json_answer.parse(json_answer.render(item, labels), item, labels)
    assert answer.gold == item.mentions
    lost = set(iob_answer.inexpressible(item))
    answer = iob_answer.parse(iob_answer.render(item, labels), item, labels)
    assert answer.gold == tuple(mention for mention in item.mentions if mention not in lost)
    for one in lost:
        over = [kept for kept in answer.gold if kept.start < one.end and one.start < kept.end]
        assert max(kept.end - kept.start for kept in over) >= one.end - one.start


IOB_PROBLEMS = {"empty", "unparsable line", "unknown label", "label form", "case", "punctuation", "missing line"}
IOB_PROBLEMS |= {"extra line", "not in the text", "I without B"}
JSON_PROBLEMS = {
    "empty",
    "unparsable JSON",
    "malformed mention",
    "unknown type",
    "type form",
    "not in the text",
    "case",
}
JSON_PROBLEMS |= {"no such occurrence", "occurrence not given", "repeated mention", "punctuation"}


@settings(max_examples=300)
@given(items(), st.data())
def test_any_text_gives_sound_mentions(drawn, data):
    item, labels = drawn
    for form, known in ((iob_answer, IOB_PROBLEMS), (json_answer, JSON_PROBLEMS)):
        said = form.render(item, labels)
        begin, end = sorted(data.draw(st.tuples(*[st.integers(0, len(said))] * 2)))
        text = data.draw(st.sampled_from([said[begin:end], said[:begin] + said[end:], said[:begin] + "B" + said[end:]]))
        text = data.draw(st.text(max_size=8)) + text + data.draw(st.text(max_size=8))
        answer = form.parse(text, item, labels)
        assert set(answer.problems) <= known
        assert all(count > 0 for count in answer.problems.values())
        for start, behind, label in answer.gold or ():
            assert 0 <= start < behind <= len(item.tokens)
            assert label in labels


TEXT = Entities(
    "x",
    ("Fever", "and", "cough", ";", "no", "fever", "today", ",", "cough", "gone", "."),
    (Mention(0, 1, "Disease"), Mention(5, 6, "Disease"), Mention(8, 9, "Disease")),
)


def test_the_rendered_forms():
    # Golden: what models are trained on; a change here needs a new version of the task.
    assert json_answer.render(TEXT, ONE) == '[{"text":"Fever"},{"text":"fever"},{"text":"cough","occurrence":2}]'
    assert iob_answer.render(TEXT, ONE).split("\n")[4:7] == ["no : O", "fever : B", "today : O"]
    two = Entities("x", ("Lithium", "tremor"), (Mention(0, 1, "Chemical"), Mention(1, 2, "Disease")))
    assert json_answer.render(two, TWO) == '[{"text":"Lithium","type":"Chemical"},{"text":"tremor","type":"Disease"}]'
    assert iob_answer.render(two, TWO) == "Lithium : B-Chemical\ntremor : B-Disease"
    assert json_answer.render(Entities("x", ("Well", "."), ()), ONE) == "[]"


def test_occurrences_overlap_and_need_not_be_mentions():
    item = Entities("x", ("na", "na", "na", "."), (Mention(1, 3, "Disease"),))
    assert json_answer.render(item, ONE) == '[{"text":"na na","occurrence":2}]'


def test_without_an_index_some_answers_are_ambiguous():
    # What the index is for: the same words, first without and then with the disease meant.
    item = Entities("x", ("cough", ",", "cough"), (Mention(2, 3, "Disease"),))
    bare = [{"text": row["text"]} for row in json.loads(json_answer.render(item, ONE))]
    answer = json_answer.parse(json.dumps(bare), item, ONE)
    assert answer.gold == (Mention(0, 1, "Disease"),)
    assert answer.problems == {"occurrence not given": 1}


def _places(answer):
    return None if answer.gold is None else [(start, end) for start, end, _ in answer.gold]


@pytest.mark.parametrize(
    ("said", "places", "problems"),
    [
        ('```json\n[{"text":"Fever"}]\n```', [(0, 1)], {}),
        ('The mentions are [1]: [{"text":"Fever"}]. I hope [this] helps!', [(0, 1)], {}),
        ('{"mentions": [{"text":"Fever"}]}', [(0, 1)], {}),
        ('{"text":"Fever"}', [(0, 1)], {}),
        (json.dumps({"text": TEXT.text, "mentions": [{"text": "Fever"}]}), [(0, 1)], {}),
        ('["Fever"]', [(0, 1)], {}),
        ("None found: []", [], {}),
        ("No diseases.", None, {"unparsable JSON": 1}),
        ("", None, {"empty": 1}),
        (" \n", None, {"empty": 1}),
        ('[{"text":"Fever"', None, {"unparsable JSON": 1}),
        ("[" * 100_000, None, {"unparsable JSON": 1}),
        ('[{"text":"Fever","occurrence":' + "9" * 5000 + "}]", None, {"unparsable JSON": 1}),
        ('[{"text":"sepsis"},{"text":"Fever"}]', [(0, 1)], {"not in the text": 1}),
        ('[{"text":"ever"}]', [], {"not in the text": 1}),
        ('[{"text":"cough","occurrence":3}]', [], {"no such occurrence": 1}),
        ('[{"text":"cough","occurrence":"2"}]', [(8, 9)], {}),
        ('[{"text":"cough"},{"text":"cough"}]', [(2, 3), (8, 9)], {"occurrence not given": 2}),
        ('[{"text":"Fever"},{"text":"Fever"}]', [(0, 1)], {"repeated mention": 1}),
        ('[{"text":"COUGH","occurrence":2}]', [(8, 9)], {"case": 1}),
        ('[{"text":"FEVER"}]', [(0, 1)], {"case": 1, "occurrence not given": 1}),
        ('[{"text":"fever today,"}]', [(5, 7)], {"punctuation": 1}),
        ('[{"text":"no fever-today"}]', [(4, 7)], {"punctuation": 1}),
        ('[{"text":5},{"words":"Fever"},{"text":" "},{"text":"Fever","occurrence":0},7]', [], {"malformed mention": 5}),
        ('[{"text":"Fever","occurrence":true}]', [], {"malformed mention": 1}),
        ('[{"text":"Fever","type":"Disease"}]', [(0, 1)], {"type form": 1}),
        ('[{"text":"Fever","type":"Drug"}]', [], {"unknown type": 1}),
        ('[{"text":";"},{"text":"."}]', [(3, 4), (10, 11)], {}),
        ('[{"text":"!"}]', [], {"not in the text": 1}),
    ],
)
def test_json_from_models(said, places, problems):
    # Mutations: take the first list whatever it holds; a bracket at a time without a bound; bool is an int; `places[0]`
    # for the first free place; compare but for case before exactly.
    answer = json_answer.parse(said, TEXT, ONE)
    assert (_places(answer), answer.problems) == (places, problems)


def test_without_an_index_each_place_is_used_once():
    # Mutation: once for each type: both mentions are the first word.
    item = Entities("x", ("ACE", "and", "ACE"), ())
    said = '[{"text":"ACE","type":"Disease"},{"text":"ACE","type":"Chemical"}]'
    assert json_answer.parse(said, item, TWO).gold == (Mention(0, 1, "Disease"), Mention(2, 3, "Chemical"))


def test_case_is_nearer_than_punctuation():
    # Mutation: `close` in place of `alike or close`.
    item = Entities("x", ("X", "-", "ray", "then", "X", "ray"), ())
    answer = json_answer.parse('[{"text":"x ray"}]', item, ONE)
    assert (answer.gold, answer.problems) == ((Mention(4, 6, "Disease"),), {"case": 1})


def test_json_types_from_models():
    item = Entities("x", ("Lithium", "tremor"), ())
    said = '[{"text":"Lithium","type":"chemical"},{"text":"tremor"},{"text":"tremor","type":["Disease"]}]'
    answer = json_answer.parse(said, item, TWO)
    assert answer.gold == (Mention(0, 1, "Chemical"),)
    assert answer.problems == {"type form": 1, "unknown type": 2}


GOOD = iob_answer.render(TEXT, ONE)
GOLD = [(0, 1), (5, 6), (8, 9)]


@pytest.mark.parametrize(
    ("said", "places", "problems"),
    [
        (f"```\n{GOOD}\n```", GOLD, {}),
        (f"\n{GOOD}\n\n", GOLD, {}),
        (GOOD.replace("\n", "\r\n"), GOLD, {}),
        (f"Here are the labels.\n{GOOD}", GOLD, {"unparsable line": 1}),
        ("No diseases.", None, {"unparsable line": 1}),
        ("", None, {"empty": 1}),
        ("fever : B\n" + GOOD, GOLD, {"not in the text": 1}),
        (GOOD + "\nseptic : B\nshock : I\nnow : O", GOLD, {"not in the text": 1, "extra line": 1}),
        (GOOD.replace("cough : O\n", ""), GOLD, {"missing line": 1}),
        ("fever : B", [(5, 6)], {"missing line": 10}),
        ("cough : B", [(2, 3)], {"missing line": 10}),
        ("cough : B\ncough : B", [(2, 3), (8, 9)], {"missing line": 9}),
        (GOOD.replace("Fever : B", "FEVER : B"), GOLD, {"case": 1}),
        (GOOD.replace("cough : B", "cough- : B"), GOLD, {"punctuation": 1}),
        (GOOD.replace("Fever : B", "Fever: B"), GOLD, {"punctuation": 1}),
        (GOOD.replace("Fever : B", "Fever : b"), GOLD, {"label form": 1}),
        (GOOD.replace("Fever : B", "Fever : B-Disease"), GOLD, {"label form": 1}),
        (GOOD.replace("Fever : B", "Fever : Disease"), GOLD[1:], {"unknown label": 1}),
        (GOOD.replace("Fever : B", "Fever : B-Drug"), GOLD[1:], {"unknown label": 1}),
        (GOOD.replace("Fever : B", "Fever : I"), GOLD, {"I without B": 1}),
        (GOOD.replace("and : O", "and : I"), [(0, 2), *GOLD[1:]], {}),
    ],
)
def test_lines_from_models(said, places, problems):
    # Mutations: align by number of line; align the first equal token behind the last one (a stray first line takes all
    # with it); count each line of a foreign mention.
    answer = iob_answer.parse(said, TEXT, ONE)
    assert (_places(answer), answer.problems) == (places, problems)


def test_a_mention_never_goes_on_in_another_type():
    # Mutation: spans that look at B, I and O alone.
    item = Entities("x", ("Lithium", "tremor"), ())
    answer = iob_answer.parse("Lithium : B-Chemical\ntremor : I-Disease", item, TWO)
    assert answer.gold == (Mention(0, 1, "Chemical"), Mention(1, 2, "Disease"))
    assert answer.problems == {"I without B": 1}
    assert iob_answer.parse("Lithium : B", item, TWO).problems == {"unknown label": 1, "missing line": 1}


def test_a_word_stands_for_the_first_token_that_it_can():
    # Mutation: leave out the last pass of `align`: what ends alike is matched from the end.
    assert iob_answer.align(["cough"], ("a", "cough", "cough")) == [1]
    assert iob_answer.align(["Cough"], ("a", "cough", "cough")) == [1]
    assert iob_answer.align(["x", "cough", "."], ("cough", "and", "cough", ".", ".")) == [None, 0, 3]


@given(st.lists(st.sampled_from("abcA"), max_size=7), st.lists(st.sampled_from("abcA"), max_size=7))
def test_as_many_lines_as_can_be_find_their_token(words, tokens):
    # Mutation: greedy search in `align`. The reference tries all matchings.
    where = iob_answer.align(words, tuple(tokens))
    pairs = [(word, place) for word, place in enumerate(where) if place is not None]
    assert all(one[1] < two[1] for one, two in pairwise(pairs))
    assert all(words[word].lower() == tokens[place].lower() for word, place in pairs)

    def best(some, more):
        if not some or not more:
            return 0
        found = max(best(some[1:], more), best(some, more[1:]))
        return max(found, 1 + best(some[1:], more[1:])) if some[0].lower() == more[0].lower() else found

    if len(words) * len(tokens) <= 25:
        assert len(pairs) == best(words, tokens)
