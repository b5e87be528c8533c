import json
import statistics as exact
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.generation.item import CATEGORIES
from bioinstruct_jax.generation.statistics import CountsError, check, statistics
from tests.generation.pool import HOSTILE, made, numbers

ACCEPTED, REJECTED = made(200, 150, words=40, seed=3)


def told(good=ACCEPTED, bad=REJECTED, **changed):
    return statistics(good, **{**numbers(good, bad), **changed})


def test_everything_is_counted():
    found = told()
    assert found["totals"] == {
        "seen": 350,
        "accepted": 200,
        "rejected": 150,
        "waiting": 0,
        "acceptance": 200 / 350,
        "dollars_each": 13.5 / 200,
    }
    for name in ("one", "two"):
        rows = sum(row.teacher == name for row in ACCEPTED)
        lost = sum(row.teacher == name for row in REJECTED)
        assert found["teachers"][name] == {"accepted": rows, "rejected": lost, "models": {"a-model": rows}}
    for field in ("instruction", "input", "output"):
        words = sorted(len(getattr(row, field).split()) for row in ACCEPTED)
        lengths = found["lengths"][field]
        assert (lengths["min"], lengths["max"]) == (words[0], words[-1])
        assert lengths["mean"] == pytest.approx(exact.mean(words))
        assert lengths["median"] == exact.median_low(words)
        assert lengths["p95"] == words[189]  # Mutation: words[190], the place above 95 %
    empty = sum(not row.input for row in ACCEPTED)
    assert found["empty_input"] == {"rows": empty, "share": empty / 200}
    for name in CATEGORIES:
        assert found["categories"]["shares"][name]["rows"] == sum(row.category == name for row in ACCEPTED)
    assert sum(found["similarity"]["counts"]) == 200
    assert sum(found["seeds"]["rows"].values()) == 600
    assert found["decontamination"] == {"gad": {"n_gram_13": 1}, "medqa": {"n_gram_13": 4, "rouge_l": 2}}


def test_the_same_rows_give_the_same_bytes():
    # Mutations: seeds or tasks in the order in which they were met; reasons of one count in theirs.
    one = {
        "ended": {},
        "failed": {},
        "seen": 4,
        "waiting": 0,
        "compared": {},
        "turned_down": {"one": 2},
        "requests": [],
        "roots": [("list", "drug"), ("name", "dose")],
        "client": {},
        "agreement": {},
    }
    rows = ACCEPTED[:2]
    first = statistics(rows, rejected={"a": 1, "b": 1}, decontamination={"x": {"p": 1, "q": 2}, "y": {}}, **one)
    turned = one | {"roots": one["roots"][::-1]}
    other = [replace(row, seeds=row.seeds[::-1]) for row in rows[::-1]]
    second = statistics(other, rejected={"b": 1, "a": 1}, decontamination={"y": {}, "x": {"q": 2, "p": 1}}, **turned)
    assert json.dumps(first) == json.dumps(second)


def test_whatever_a_teacher_wrote_can_be_told():
    accepted, rejected = made(30, 30, words=5, seed=0, hostile=True)
    assert json.loads(json.dumps(told(accepted, rejected)))["totals"]["accepted"] == 30
    assert any("\ud800" in text for text in HOSTILE)


def test_nothing_accepted_is_no_error():
    # Mutation: a share of no rows divides by zero.
    for rejected in ([], REJECTED):
        found = told([], rejected)
        assert found["totals"]["dollars_each"] is None
        assert found["categories"]["shares"]["other"]["share"] is None
        assert found["lengths"]["input"]["median"] is None
        json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seen": 351}, "items seen: 350 instead of 351"),
        ({"rejected": {"refusal": 149}}, "items seen: 349 instead of 350; rejected by teacher: 150 instead of 149"),
        ({"requests": [(1, 199, 150)]}, "accepted by request: 199 instead of 200"),
        ({"roots": [("list", "")]}, "root verbs: 1 instead of 200"),
        ({"requests": [(1, 5, 0), (2, 4, 0)]}, r"runs back: \(1, 5, 0\), then \(2, 4, 0\)"),
        ({"requests": [(2, 5, 0), (2, 5, 0)]}, "runs back"),
    ],
)
def test_counts_that_do_not_add_up_are_told_with_their_values(changed, said):
    # Mutation: `check` is not called.
    with pytest.raises(CountsError, match=said):
        told(**changed)


def test_a_file_that_was_changed_is_found():
    found = json.loads(json.dumps(told()))
    check(found)
    found["lengths"]["output"]["histogram"]["counts"][3] += 1
    with pytest.raises(CountsError, match="words of the output: 201 instead of 200"):
        check(found)


def test_an_unknown_category_is_refused_and_none_is_counted():
    rows = [replace(ACCEPTED[0], category=""), *ACCEPTED[1:]]
    found = told(rows)["categories"]
    assert found["none"] == 1
    assert sum(one["share"] for one in found["shares"].values()) == pytest.approx(1)  # Mutation: of all rows
    with pytest.raises(ValueError, match="categories 'poem'"):
        told([replace(ACCEPTED[0], category="poem"), *ACCEPTED[1:]])


def test_root_verbs_and_their_objects():
    # Mutations: an empty object among the four; rows without a verb as a verb.
    roots = [("list", thing) for thing in "aaabbcccddeef"] + [("list", "")] * 9 + [("", "")] * 5
    roots += [(f"verb{place:02}", "x") for place in range(30)]
    rows = ACCEPTED[: len(roots)]
    verbs = statistics(rows, **numbers(rows, []) | {"roots": roots, "seen": len(rows)})["verbs"]
    assert (verbs["instructions"], verbs["with_verb"], verbs["different"]) == (57, 52, 31)
    assert verbs["common"][0] == {"verb": "list", "rows": 22, "objects": {"a": 3, "c": 3, "b": 2, "d": 2}}
    assert [one["verb"] for one in verbs["common"][1:]] == [f"verb{place:02}" for place in range(19)]


@given(st.integers(1, 5000))
@settings(max_examples=30)
def test_a_long_series_is_thinned_and_keeps_its_end(requests):
    series = [(at, at // 2, at // 3) for at in range(1, requests + 1)]
    rows = [ACCEPTED[0]] * (requests // 2)
    rest = numbers(rows, []) | {
        "requests": series,
        "rejected": {"a": requests // 3},
        "turned_down": {"one": requests // 3},
    }
    kept = statistics(rows, **rest | {"seen": requests // 2 + requests // 3})["requests"]
    assert len(kept) <= 201
    assert kept[0] == list(series[0])
    assert kept[-1] == list(series[-1])  # Mutation: series[::step] alone


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=40))
@settings(max_examples=30)
def test_bins_hold_every_row_and_most_below_the_last(words):
    rows = [replace(ACCEPTED[0], output="w " * count) for count in words]
    bins = told(rows, [])["lengths"]["output"]["histogram"]
    due = [0] * 20
    for count in words:
        due[min(19, count // bins["width"])] += 1
    assert bins["counts"] == due
    assert str(bins["width"]).rstrip("0") in ("1", "2", "5")
    assert bins["counts"][-1] <= 0.05 * len(words)
