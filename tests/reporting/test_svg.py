from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.reporting import svg
from bioinstruct_jax.reporting.svg import Bar, Line, bars, curve, histogram, lines, ticks

EVIL = '</svg><script>\u202e\ud800"'


def read(chart):
    chart.encode("utf-8")
    return ElementTree.fromstring(chart)


def widths(chart):
    return [float(rect.get("width")) for rect in read(chart).iter("rect")]


def test_bars_are_as_long_as_their_values():
    # Mutation: the scale ends at the greatest value, not at the end of an interval, which then leaves the picture.
    rows = [Bar("a", 1.0, "1", (0.5, 4.0), 3.0), Bar("b", 2.0, "2"), Bar("c", 0.0, "0")]
    chart = bars("three", rows)
    one, two, none = widths(chart)
    assert two == pytest.approx(2 * one)
    assert none == 0
    assert one == pytest.approx((svg.WIDTH - 350) / 4, abs=0.01)
    assert bars("three", rows, most=8.0) != chart
    assert widths(bars("none", [Bar("a", 0.0, "0")])) == [0.0]
    assert list(read(bars("empty", [])).iter("rect")) == []


@pytest.mark.parametrize("counts", [[0, 3, 6], [0, 0, 0], [1, 1, 1]])
def test_columns_are_as_high_as_their_counts(counts):
    chart = read(histogram("h", counts, edges=[0, 5, 10, 15], across="words", up="rows", open_end=True))
    heights = [float(rect.get("height")) for rect in chart.iter("rect")]
    assert heights == pytest.approx([200 * count / max(1, *counts) for count in counts], abs=0.01)
    said = [title.text for title in chart.iter("title")]
    assert said == ["h", f"0 to 5: {counts[0]}", f"5 to 10: {counts[1]}", f"10 and above: {counts[2]}"]


def test_a_line_goes_through_its_points():
    chart = read(lines("l", [Line("a", [(0, 0), (10, 100)]), Line("b", [(10, 50)])], across="x", up="y"))
    first = next(path for path in chart.iter("path") if path.get("class") == "line0")
    assert first.get("d") == "M64 212L704 12"
    assert read(lines("l", [Line("a", [])], across="x", up="y")) is not None


def test_a_curve_has_every_value_within_its_interval():
    # Mutation: the scale ends at the greatest value, so that an interval leaves the picture.
    points = [(0.0, 0.2, (0.1, 0.4)), (10.0, 0.3, (0.2, 0.5))]
    chart = read(curve("c", points, across="step", up="acc"))
    paths = {
        kind: [path.get("d") for path in chart.iter("path") if path.get("class") == kind] for kind in ("line0", "span")
    }
    assert paths["line0"] == ["M64 132L704 92"]
    assert paths["span"] == ["M64 172V52", "M704 132V12"]
    assert "step 10: 0.300 (0.200 to 0.500)" in [title.text for title in chart.iter("title")]
    assert read(curve("none", [], across="step", up="acc")) is not None


def test_words_are_words():
    # Mutation: `text` without `escape`.
    for chart in (
        bars(EVIL, [Bar(EVIL, 1.0, EVIL)]),
        histogram(EVIL, [1], edges=[0, 1], across=EVIL, up=EVIL),
        lines(EVIL, [Line(EVIL, [(1, 1)])], across=EVIL, up=EVIL),
        curve(EVIL, [(1, 1, (0, 2))], across=EVIL, up=EVIL),
    ):
        drawn = read(chart)
        assert {one.tag for one in drawn.iter()} <= {"svg", "title", "text", "rect", "path"}
        assert drawn.get("aria-label") == '</svg><script>U+202EU+D800"'
    assert "<script>" not in svg.figure(EVIL, "")


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="2 columns need 3 edges, not 2"):
        histogram("h", [1, 2], edges=[0, 1], across="", up="")
    with pytest.raises(ValueError, match="3 lines"):
        lines("l", [Line("a", [])] * 3, across="", up="")


@given(st.floats(1, 1e9))
def test_ticks_are_few_and_round(most):
    # Mutation: without the parts of a step, 11 has two ticks and 9.9 has ten.
    found = ticks(most)
    assert 3 <= len(found) <= 7
    assert found[0] == 0
    assert found[-1] <= most * (1 + 1e-9)
    assert f"{found[1]:e}"[0] in "125"
    assert float(f"{found[1]:.0e}") == found[1]
