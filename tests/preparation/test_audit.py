"""The sample for the readers, and the sheets that they get."""

import csv
import io
import random
import tracemalloc
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.sample import Sample
from bioinstruct_jax.preparation import audit
from bioinstruct_jax.preparation.audit import KEY, SHEETS, Stratum, allocate, draw, stratum, write


def sample(number: int, source: str = "gad", *labels: str, **changes: object) -> Sample:
    made = Sample(
        f"{source}/train/{number}", "open", f"Is it so? ({number % 3})", f"BRCA1 and {number} cases", "Yes.", "IE",
        source, "relations", "train", "word", number % 3, labels,
    )  # fmt: skip
    return replace(made, **changes)


def mixed(rows: int, seed: int = 0) -> list[Sample]:
    """Rows of five sources, of very unequal sizes, some with labels."""
    choose = random.Random(seed)
    made = []
    for number in range(rows):
        source = choose.choices(["gad", "hoc", "medqa", "ddi", "tiny"], [400, 200, 100, 20, 1])[0]
        labels = {"gad": [choose.choice("yn")], "hoc": choose.choices("abc", k=choose.randrange(3))}.get(source, [])
        made.append(sample(number, source, *labels))
    return made


# -------------------------------------------------------------------- the draw


def plainly(rows: list[Sample], count: int, seed: int) -> set[str]:
    """What `draw` is to give, with all rows in memory."""
    strata: dict[Stratum, list[Sample]] = {}
    for row in rows:
        strata.setdefault(stratum(row), []).append(row)
    seats = dict.fromkeys(strata, 1)
    for _ in range(count - len(strata)):
        free = [place for place in strata if seats[place] < len(strata[place])]
        due = max(Fraction(len(strata[place]), 2 * seats[place] + 1) for place in free)
        seats[min(place for place in free if Fraction(len(strata[place]), 2 * seats[place] + 1) == due)] += 1
    return {
        row.id
        for place, members in strata.items()
        for row in sorted(members, key=lambda row: audit._hashed(seed, "draw", row.id))[: seats[place]]
    }


@pytest.mark.parametrize(("rows", "count"), [(40, 40), (60, 20), (700, 50), (3000, 200), (3000, 12)])
@pytest.mark.parametrize("seed", range(4))
def test_one_pass_draws_what_a_sort_of_all_rows_would(rows, count, seed):
    # Mutations: SPARE 1 (strata run short); rows of a full heap dropped rather than moved to `other`; the
    # smallest taken off a heap; the method of d'Hondt (given + 1).
    made = mixed(rows, seed)
    random.Random(seed).shuffle(made)
    drawn = draw(iter(made), count, seed=seed)
    assert len(drawn.samples) == count
    assert {row.id for row in drawn.samples} == plainly(made, count, seed)
    assert drawn.sizes == dict(Counter(map(stratum, made)))


@pytest.mark.parametrize("seed", [35, 42, 48, 50])
def test_many_small_strata_never_run_short(seed):
    # Mutation: KEPT 1, with which each of these seeds leaves a stratum one row instead of its two.
    rows = [sample(number, f"s{number % 200}") for number in range(4000)]
    found = Counter(row.source for row in draw(rows, 400, seed=seed).samples)
    assert set(found.values()) == {2}


@given(st.permutations(mixed(60)), st.integers(0, 3))
def test_the_order_of_the_rows_changes_nothing(rows, seed):
    # Mutation: reservoir sampling with random.Random(seed).
    assert draw(iter(rows), 20, seed=seed) == replace(draw(mixed(60), 20, seed=seed))


def test_seeds_differ_and_each_stratum_has_its_share():
    rows = mixed(3000)
    drawn = {seed: draw(rows, 200, seed=seed) for seed in (0, 1)}
    assert {row.id for row in drawn[0].samples} != {row.id for row in drawn[1].samples}
    found = Counter(map(stratum, drawn[0].samples))
    for place, size in drawn[0].sizes.items():
        assert found[place] >= 1
        assert abs(found[place] - 200 * size / 3000) < 1 or found[place] == 1, place


def test_a_row_added_to_one_source_leaves_the_draw_of_the_others():
    # Mutation: a draw by the place of a row in the stream.
    rows = mixed(300)
    before = {row.id for row in draw(rows, 40, seed=0).samples if row.source != "gad"}
    after = {row.id for row in draw([sample(999, "gad", "y"), *rows], 40, seed=0).samples if row.source != "gad"}
    assert before == after


def test_memory_does_not_grow_with_the_rows():
    # Mutation: `held` keeps what was dropped from `other`: a row of 1,000 characters each.
    peaks = []
    for rows in (2_000, 20_000):
        tracemalloc.start()
        draw((sample(n, "gad", input=f"{n} " + "x" * 1000) for n in range(rows)), 20, seed=0)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_restricted_rows_are_counted_and_never_drawn():
    # Mutation: the check of `sample.restricted` left out of `draw`, or of `write`.
    rows = mixed(100) + [sample(n, "mednli", "neutral", licence="restricted") for n in range(30)]
    drawn = draw(rows, 50, seed=0)
    assert drawn.restricted == 30
    assert "mednli" not in {row.source for row in drawn.samples}
    assert Stratum("mednli", "neutral") not in drawn.sizes


@pytest.mark.parametrize(
    ("rows", "count", "says"),
    [
        ([], 1, "there are 0"),
        (mixed(10), 11, "there are 10. Ask for fewer"),
        ([sample(1), sample(2, licence="restricted")], 2, "there are 1; 1 restricted ones"),
        ([sample(n, f"source {n}") for n in range(5)], 4, "there are 5 strata"),
        ([sample(1), sample(1)], 1, "'gad/train/1'"),
        (mixed(10), 0, "1 or more"),
    ],
)
def test_a_draw_that_cannot_be_says_why(rows, count, says):
    with pytest.raises(ValueError, match=says):
        draw(rows, count, seed=0)


def test_strata():
    assert stratum(sample(1)) == ("gad", "")
    assert stratum(sample(1, "gad", "yes")) == ("gad", "yes")
    assert stratum(sample(1, "bc5cdr", "Disease", "Disease")) == ("bc5cdr", "Disease")
    assert stratum(sample(1, "bc5cdr", "Disease", "Chemical")) == ("bc5cdr", "several")


def test_a_stratum_that_runs_short_leaves_its_rows_to_the_others():
    sizes = {Stratum("a", ""): 90, Stratum("b", ""): 10}
    assert allocate(sizes, sizes, 10) == {Stratum("a", ""): 9, Stratum("b", ""): 1}
    assert allocate(sizes, {Stratum("a", ""): 7, Stratum("b", ""): 10}, 10) == {
        Stratum("a", ""): 7,
        Stratum("b", ""): 3,
    }


# -------------------------------------------------------------------- the sheets


def written(folder, rows, seed=0):
    write(draw(rows, len(rows), seed=seed), UPath(folder), seed=seed)
    texts = [(folder / name).read_bytes().decode("utf-8-sig") for name in (*SHEETS, KEY)]
    return [list(csv.DictReader(io.StringIO(text, newline=""))) for text in texts]


def test_sheets_are_blind_and_in_orders_of_their_own(tmp_path):
    # Mutations: a column with the source; rows in the order of the key, or of their ids; one order for both.
    rows = mixed(40)
    one, two, key = written(tmp_path, rows)
    names = ["number", "instruction", "input", "answer", "correct", "harmful", "comment"]
    assert list(one[0]) == list(two[0]) == names
    text = (tmp_path / SHEETS[0]).read_text(encoding="utf-8")
    for word in ("gad", "medqa", "train", "open"):
        assert word not in text
    orders = [[row["number"] for row in sheet] for sheet in (one, two)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] not in (orders[1], orders[1][::-1])
    by_number = {row["number"]: row["id"] for row in key}
    sources = [by_number[number].split("/")[0] for number in orders[0]]
    assert sources != sorted(sources)
    originals = {row.id: row for row in rows}
    for sheet in (one, two):
        for row in sheet:
            original = originals[by_number[row["number"]]]
            assert (row["instruction"], row["input"], row["answer"]) == (
                original.instruction, original.input, original.output,
            )  # fmt: skip
            assert row["correct"] == row["harmful"] == row["comment"] == ""
    assert (tmp_path / SHEETS[0]).read_bytes().startswith(b"\xef\xbb\xbfnumber,")


def test_the_same_seed_writes_the_same_bytes(tmp_path):
    rows = mixed(30)
    for name, seed, order in (("a", 0, rows), ("b", 0, rows[::-1]), ("c", 1, rows)):
        (tmp_path / name).mkdir()
        written(tmp_path / name, order, seed)
    content = [[(tmp_path / name / file).read_bytes() for file in (*SHEETS, KEY)] for name in "abc"]
    assert content[0] == content[1]
    assert content[0][0] != content[2][0]


def test_two_rows_stand_in_two_orders(tmp_path):
    # Mutation: no `reverse`.
    for seed in range(8):
        (tmp_path / str(seed)).mkdir()
        one, two, _ = written(tmp_path / str(seed), [sample(1), sample(2)], seed)
        assert [row["number"] for row in one] == ["1", "2"]
        assert [row["number"] for row in two] == ["2", "1"]


HOSTILE = ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\r=1", "\n\n@x", "\uff1d1", "=cmd|' /C calc'!A0", '"=1"', ""]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_begins_a_formula(tmp_path, text):
    # Mutations: no apostrophe; `text.startswith` without lstrip.
    one, *_ = written(tmp_path, [sample(1, input=text, output=text, instruction=f"{text}?")])
    for column in ("instruction", "input", "answer"):
        cell = one[0][column]
        assert not cell.lstrip().startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))
        assert cell.removeprefix("'").startswith(text)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30))
def test_any_text_comes_back(text):
    from bioinstruct_jax.preparation.audit import _cell, _csv

    (_, (cell,)) = csv.reader(io.StringIO(_csv(["a"], [[_cell(text) + "."]]).removeprefix("\ufeff"), newline=""))
    assert cell in (f"{text}.", f"'{text}.")


def test_a_cell_longer_than_a_spreadsheet_holds_is_cut_and_says_so(tmp_path):
    one, *_ = written(tmp_path, [sample(1, input="x" * 40_000)])
    assert one[0]["input"].endswith("x [8,000 more characters]")
    assert len(one[0]["input"]) < 32_767


def test_what_stands_there_is_not_written_over(tmp_path):
    written(tmp_path, mixed(5))
    with pytest.raises(FileExistsError, match="filled in"):
        written(tmp_path, mixed(5))


def test_a_restricted_row_is_written_into_no_sheet(tmp_path):
    drawn = draw(mixed(5), 5, seed=0)
    secret = replace(drawn, samples=[*drawn.samples, sample(9, licence="restricted")])
    with pytest.raises(RestrictedError, match="1 of the rows"):
        write(secret, UPath(tmp_path), seed=0)
    assert not list(tmp_path.iterdir())
