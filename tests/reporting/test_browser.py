import json
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.reporting import browser, page
from bioinstruct_jax.reporting.browser import Column, level
from tests.generation.pool import HOSTILE
from tests.reporting.document import Document

ANY_TEXT = st.text(st.characters(blacklist_categories=()), max_size=30)
COLUMNS = (Column("id"), Column("kind", "value"), Column("text"), Column("hidden", listed=False), Column("n", "number"))


def parts(rows, columns=COLUMNS):
    return list(browser.section("Rows", "rows", columns, rows, stands="The rows stand in rows.jsonl."))


def whole(rows):
    made = "".join(page.pieces("Report", parts(rows), scripts=[browser.SCRIPT]))
    made.encode("utf-8")
    return Document(made)


def read(document):
    """Rows as the script reads them: (cells, whole lengths of those that were cut)."""
    (columns,) = (json.loads(text) for attrs, text in document.scripts if attrs.get("class") == "columns")
    rows = []
    for attrs, text in document.scripts:
        if attrs.get("class") == "rows":
            rows += json.loads(text)
    for row in rows:
        for place, column in enumerate(columns):
            if column["kind"] == "value":
                row[place] = column["values"][row[place]]
    return rows


@settings(max_examples=50)
@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT, ANY_TEXT, st.none() | st.integers(-5, 5) | st.floats(0, 1))))
def test_rows_come_back_as_they_were(rows):
    # Mutations: `<` not escaped ends the block at "</script>"; ensure_ascii=False cannot write half surrogates.
    document = whole(rows)
    document.check()
    assert read(document) == [list(row) for row in rows]
    assert document.of("section")[0]["data-rows"] == str(len(rows))


def test_hostile_text_stays_in_its_block():
    rows = [(text[:50] or "none", text[:50], text, text, None) for text in HOSTILE]
    document = whole(rows)
    document.check()
    for attrs, text in document.scripts:
        if attrs.get("type"):
            assert text.isascii()
            assert not re.search("[<>&\u2028\u2029]", text)
    for row, due in zip(read(document), rows, strict=True):
        assert row[2] == due[2] or row[2] == [due[2][: len(row[2][0])], len(due[2])]


def test_many_blocks_are_one_table(monkeypatch):
    # Mutation: the rows that are held when the last block begins are forgotten.
    monkeypatch.setattr(browser, "_BLOCK", 200)
    rows = [(str(place), "a", "text " * 5, "", place) for place in range(50)]
    document = whole(rows)
    assert sum(attrs.get("class") == "rows" for attrs, _ in document.scripts) > 5
    assert read(document) == [list(row) for row in rows]


def test_long_texts_are_cut_and_say_so(monkeypatch):
    # Mutations: the limit alone is told; short texts are cut too; characters that need six bytes count as one.
    monkeypatch.setattr(browser, "BYTES", 3000)
    rows = [(str(place), "a", "x" * 40 * place, "\u65e5" * 10 * place, None) for place in range(10)]
    document = whole(rows)
    made = read(document)
    for row, due in zip(made, rows, strict=True):
        for place in (2, 3):
            if isinstance(row[place], list):
                assert row[place][1] == len(due[place])
                assert due[place].startswith(row[place][0])
            else:
                assert row[place] == due[place]
    cut = sum(isinstance(cell, list) for row in made for cell in row)
    assert f"{cut} long texts are cut" in document.text("p")
    size = sum(len(text) for attrs, text in document.scripts if attrs.get("class") == "rows")
    assert 2500 < size < 3600
    assert read(whole(rows[:2])) == [list(row) for row in rows[:2]]
    assert "cut" not in whole(rows[:2]).text("p")


@given(st.dictionaries(st.integers(0, 50), st.integers(1, 9), max_size=9), st.integers(0, 2000))
def test_the_level_is_the_greatest_that_fits(sizes, room):
    # Mutation: room // all of them, which cuts long texts more than it must.
    sizes = Counter(sizes)

    def needed(limit):
        return sum(min(size, limit) * texts for size, texts in sizes.items())

    found = level(sizes, room)
    assert found == 1 or needed(found) <= room
    assert needed(found + 1) > room or found >= max(sizes, default=1)


def test_an_iterator_will_do():
    rows = [("a", "b", "c", "d", 1), ("e", "f", "g", "h", None)]
    assert parts(iter(rows)) == parts(rows)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (("a",), "row 2: 1 cells for 5 columns"),
        (("a", "b", 3, "d", 1), "row 2: text is '3', which is no text"),
        (("a", "b", "c", "d", "1"), "row 2: n is '1', which is no number"),
        (("a", None, "c", "d", 1), "row 2: kind is 'None', which is no value"),
        (("a", "b", "c", "d", float("nan")), "row 2: n is 'nan', which is no number"),
        (("a", "b", "c", "d", float("inf")), "row 2: n is 'inf', which is no number"),
    ],
)
def test_wrong_rows_are_named(row, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        parts([("a", "b", "c", "d", 1), row])


def test_what_a_reader_needs_without_sight_or_script():
    document = whole([("a", "b", "c", "d", 1)])
    document.check()
    assert "The rows stand in rows.jsonl." in document.text("p")
    assert "Without JavaScript" in document.text("p")
    assert [attrs["role"] for attrs in document.of("p") if attrs.get("aria-live") == "polite"] == ["status"]
    for name in ("form", "nav"):
        assert "hidden" in document.of(name)[0]
    heads = document.of("th")
    assert [attrs.get("aria-sort") for attrs in heads] == [None, None, None, "none"]
    assert [attrs.get("data-place") for attrs in heads] == [None, None, None, "4"]
    assert document.of("dialog")[0]["aria-labelledby"] == "rows-row"
    assert all(attrs["type"] == "button" for attrs in document.of("button"))


def test_the_script_reads_text_as_text_and_asks_nobody():
    # Mutation: `cell.innerHTML = text`.
    banned = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|fetch|XMLHttp|WebSocket|https?:|</script"
    )
    assert not re.search(banned, browser.SCRIPT)
    assert browser.SCRIPT.isascii()
    for name in set(re.findall(r'part\("([a-z-]+)"\)', browser.SCRIPT)):
        assert re.search(rf'class="{name}[" ]', "".join(parts([("a", "b", "c", "d", 1)]))), name


def test_columns_that_stand_beside_others_are_told():
    # Mutation: `beside` left out of what the script reads.
    columns = (Column("id"), Column("base"), Column("tuned", beside=True))
    document = Document("".join(page.pieces("Report", parts([("a", "b", "c")], columns), scripts=[browser.SCRIPT])))
    (told,) = (json.loads(text) for attrs, text in document.scripts if attrs.get("class") == "columns")
    assert [one["beside"] for one in told] == [False, False, True]
