import re
from xml.etree import ElementTree

import pytest

from bioinstruct_jax.reporting.sunburst import Slice, sunburst


def read(slices):
    chart = sunburst("verbs", slices)
    chart.encode("utf-8")
    return ElementTree.fromstring(chart)


def test_the_rings_are_shared_by_count():
    # Mutation: an outer part begins where the one before its own slice ended.
    chart = read([Slice("list", 2, [("drug", 1)]), Slice("explain", 2, [("dose", 2)])])
    arcs = list(chart.iter("path"))
    assert [arc.find("title").text for arc in arcs] == ["list: 2", "list drug: 1", "explain: 2", "explain dose: 2"]
    starts = [tuple(map(float, re.match(r"M(\S+) ([\d.]+)", arc.get("d")).groups())) for arc in arcs]
    assert starts == [(360, 290), (360, 155), (360, 430), (360, 565)]  # half of the turn each: the top, the bottom
    assert [text.text for text in chart.iter("text")] == ["list", "drug", "explain", "dose"]


def test_a_slice_alone_is_a_whole_ring():
    # Mutation: an arc that ends where it begins is not drawn at all.
    (arc,) = read([Slice("list", 5, [])]).iter("path")
    assert "A205 205 0 1 1 359.87 155.00" in arc.get("d")


def test_neighbours_have_other_colours():
    # Mutation: place % 7 alone: of 8 slices the last and the first, which meet at the top, are alike.
    for number in range(2, 30):
        fills = [arc.get("fill") for arc in read([Slice("v", 1, [])] * number).iter("path")]
        assert all(one != other for one, other in zip(fills, fills[1:] + fills[:1], strict=True)), number


def test_thin_parts_are_named_when_pointed_at_alone():
    chart = read([Slice("common", 10_000, []), Slice("</svg><script>", 1, [])])
    assert [text.text for text in chart.iter("text")] == ["common"]
    assert [title.text for title in chart.iter("title")][-1] == "</svg><script>: 1"


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ValueError, match="list: its parts are more than its 1"):
        sunburst("v", [Slice("list", 1, [("a", 2)])])
    with pytest.raises(ValueError, match="nothing is counted"):
        sunburst("v", [])
