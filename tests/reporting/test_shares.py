"""Scores by share of the data, as a browser reads the chart."""

import re

import pytest

from bioinstruct_jax.reporting import page, shares
from bioinstruct_jax.reporting.shares import Point, Series
from tests.reporting.document import Document

POINTS = [Point(0.01, 20.0, "20", (18.0, 22.0), (19.0, 21.0)), Point(0.1, 30.0, "30"), Point(1.0, 40.0, "40")]


def drawn(*series, **more):
    given = {"across": "share", "up": "score, %"} | more
    return Document(page.page("p", [shares.shares("<b>", series, **given)]))


def test_equal_factors_are_equally_far_apart():
    # Mutations: a linear axis; each seed left out; the dashed level of the base left out.
    document = drawn(Series("a & b", POINTS, 15.0))
    document.check()
    line = next(attrs["d"] for attrs in document.of("path") if attrs.get("class") == "trend0")
    xs = [float(x) for x in re.findall(r"[ML]([\d.]+) ", line)]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.02)
    assert len(document.of("circle")) == 2
    assert sum(attrs.get("class") == "level0" for attrs in document.of("path")) == 1
    assert "a & b: 20" in document.text("title")
    assert {"1%", "10%", "100%", "a & b", "base, untuned"} <= {text for tag, text in document.texts if tag == "text"}


@pytest.mark.parametrize("values", [(0.0,), (50.0, 50.0), (12.3, 12.4), (-3.0, 4.0), (99.9, 100.0)])
def test_any_values_lie_within_the_chart(values):
    document = drawn(Series("a", [Point(0.5 + at / 10, value, "") for at, value in enumerate(values)]))
    document.check()
    _, _, width, height = map(float, document.of("svg")[0]["viewbox"].split())
    line = next(attrs["d"] for attrs in document.of("path") if attrs.get("class") == "trend0")
    for x, y in re.findall(r"([\d.-]+) ([\d.-]+)", line):
        assert 0 <= float(x) <= width
        assert 0 <= float(y) <= height - 50


@pytest.mark.parametrize(
    ("series", "said"),
    [
        ([], "0 lines"),
        ([Series("a", POINTS)] * 5, "5 lines"),
        ([Series("a", [Point(0.0, 1.0, "")])], "above 0"),
        ([Series("a", [])], "cannot stand"),
    ],
)
def test_what_cannot_be_drawn_is_refused(series, said):
    with pytest.raises(ValueError, match=said):
        drawn(*series)
