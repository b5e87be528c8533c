import re
from xml.etree import ElementTree

import pytest

from bioinstruct_jax.reporting import page
from bioinstruct_jax.reporting.dots import SERIES, Block, Dot, Point, dots, reliability

EVIL = '</svg><script>\u202e\ud800"'


def read(chart):
    chart.encode("utf-8")
    return ElementTree.fromstring(chart)


def shapes(chart):
    """(name told, x, y) of every shape that tells something."""
    for path in read(chart).iter("path"):
        title = path.find("title")
        if title is not None and "dot" in path.get("class"):
            x, y = map(float, re.match(r"M(-?[\d.]+) (-?[\d.]+)", path.get("d")).groups())
            yield title.text, x, y


def test_dots_stand_at_their_values():
    # Mutations: the scale from 0 with a value below; the intervals of the first dot for all.
    scores = [Dot("a", value, str(value)) for value in (0.0, 50.0, 100.0)]
    chart = dots("d", [Block("t", scores, [("majority", 25.0)])], ["a"], most=100)
    places = [x + 5.5 for _, x, _ in shapes(chart)]  # a circle's path begins at its left
    assert places[1] - places[0] == pytest.approx(places[2] - places[1])
    mark = re.search(r'class="mark0" d="M([\d.]+) [\d.]+v57', chart)
    assert float(mark[1]) == pytest.approx((places[0] + places[1]) / 2, abs=0.02)
    below = dots("d", [Block("t", [Dot("a", -20.0, "", (-30.0, 0.0)), Dot("a", 0.0, "")])], ["a"], most=100)
    assert min(x for _, x, _ in shapes(below)) > 150
    span = re.search(r'class="span" d="M([\d.]+) [\d.]+H([\d.]+)', below)
    assert float(span[1]) < float(span[2])


def test_series_differ_by_shape_and_colour():
    # Mutation: the shape of the fifth is that of the first.
    names = [str(place) for place in range(2 * SERIES)]
    drawn = read(dots("d", [Block("t", [Dot(name, 50.0, "") for name in names])], names, most=100))
    kinds = {
        (path.get("class"), re.sub(r"[-\d. ]+", " ", path.get("d")))
        for path in drawn.iter("path")
        if (path.get("class") or "").startswith("dot")
    }
    assert len(kinds) == 2 * SERIES


def test_reliability_is_up_by_across():
    # Mutation: accuracy and confidence exchanged.
    chart = reliability("r", [("a", [Point(0.5, 0.5, 1, ""), Point(1.0, 0.5, 3, "")])])
    (line,) = (path.get("d") for path in read(chart).iter("path") if path.get("class") == "thin0")
    (x0, y0), (x1, y1) = ([float(part) for part in point.split()] for point in line[1:].split("L"))
    assert y0 == y1
    assert x1 > x0
    assert read(reliability("r", [("a", [])])) is not None


def test_words_are_words():
    # Mutation: a title without `escape`.
    for chart in (
        dots(EVIL, [Block(EVIL, [Dot(EVIL, 1.0, EVIL, (0.0, 2.0))], [(EVIL, 1.0)])], [EVIL], most=2, bars=True),
        reliability(EVIL, [(EVIL, [Point(0.1, 0.2, 3, EVIL)])]),
    ):
        drawn = read(chart)
        assert {one.tag for one in drawn.iter()} <= {"svg", "title", "text", "rect", "path"}


def test_a_matrix_is_shaded_by_its_rows():
    # Mutation: shaded by the share of all.
    made = page.matrix(EVIL, "c", ["a", "b", "none"], [("a", [9, 1, 0]), ("b", [0, 0, 1])])
    assert "<script>" not in made
    assert re.findall("<td.*?</td>", made) == [
        '<td class="shade5 right">9</td>',
        '<td class="shade1">1</td>',
        "<td>0</td>",
        "<td>0</td>",
        '<td class="right">0</td>',
        '<td class="shade5">1</td>',
    ]
