import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.reporting import page
from tests.reporting.document import Document

ANY_TEXT = st.text(st.characters(blacklist_categories=()), max_size=60)  # half surrogates too


def test_a_browser_may_run_and_load_nothing_else():
    # Mutations: a hash of the page's style without its last line; `script-src` left out; `style="..."` on a table.
    scripts = ['"use strict"; 1 < 2;', "2 && 3"]
    parts = [page.section("One", page.table(["a"], [[1]]), page.code("x"), page.note("n"), page.lead("l"))]
    Document(page.page("Title", parts)).check()
    Document("".join(page.pieces("Title", parts, scripts=scripts))).check()


@settings(max_examples=40)
@given(ANY_TEXT)
def test_text_is_text(text):
    # Mutations: `escape` without html.escape; html.escape alone (half surrogates cannot be written).
    made = page.page(text, [page.section(text, page.paragraph(text), page.table([text], [[text]]), page.code(text))])
    made.encode("utf-8")
    document = Document(made)
    document.check()
    assert {attrs["type"] for attrs in document.of("input")} == set()
    shown = page._UNSEEN.sub(lambda found: f"U+{ord(found[0]):04X}", text.replace("\r\n", "\n"))
    assert document.text("h1") == document.text("td") == document.text("code") == shown
    assert document.text("p") == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2\u202e01\u202c mg", "2U+202E01U+202C mg"),
        ("\x1b[31mred\x00", "U+001B[31mredU+0000"),
        ("half \ud800", "half U+D800"),
        ("a\r\n\tb\rc", "a\n\tbU+000Dc"),
        ("\u2028\U000e0041", "U+2028U+E0041"),
        ("Sjögren 😀 µg", "Sjögren 😀 µg"),
        ("<a href='x'>&\"", "&lt;a href=&#x27;x&#x27;&gt;&amp;&quot;"),
    ],
)
def test_what_would_not_be_seen_is_told(text, shown):
    assert page.escape(text) == shown


def test_figures_stand_to_the_right():
    # Mutation: `isinstance(value, int)` alone leaves "1,234" and "5.0%" to the left.
    cells = [1234, 0.5, "1,234", "42.9%", "$0.0045", "-3", "qa_001", "12 of 13", "", True]
    made = page.table(["a"] * len(cells), [cells])
    assert made.count('<td class="number">') == 6
    assert '<td class="number">1,234</td>' in made


def test_pieces_are_made_as_they_are_asked_for():
    # Mutation: `list(sections)` in `pieces` holds a whole report in memory.
    def sections():
        yield "<p>first</p>"
        raise KeyError("asked for too early")

    made = page.pieces("t", sections())
    assert next(made).startswith("<!doctype html>")
    assert next(made) == "<p>first</p>"
    with pytest.raises(KeyError):
        list(made)


def test_a_link_leads_beside_the_page():
    # Mutations: a path that is not quoted, which could be a scheme or leave its attribute.
    document = Document(page.page("p", [page.table(["a"], [[page.Link("<x>", 'javascript:1"/é b')]])]))
    assert [attrs["href"] for attrs in document.of("a")] == ["javascript%3A1%22/%C3%A9%20b"]
    assert document.text("a") == "<x>"


def test_differences_are_coloured_by_sign_and_strength():
    # Mutations: gain and loss exchanged; a frame for all.
    rows = [("x", [("+5", 5, True), ("-1", -1, False), ("0", 0, False)])]
    document = Document(page.page("p", [page.differences("<c>", "arm", ["a", "b", "<d>"], rows)]))
    document.check()
    assert [attrs.get("class") for attrs in document.of("td")] == ["gain5 right", "loss1", None]
    assert document.text("caption") == "<c>"
    assert document.text("th") == "armab<d>x"
