"""Two rings: what is common, and inside each what goes with it, e.g. verbs and their objects."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.reporting.page import escape
from bioinstruct_jax.reporting.svg import image, short, text

SIZE = 720.0
_HOLE, _BETWEEN, _EDGE = 70.0, 205.0, 345.0  # radii
# The light colours of P. Tol, "Colour schemes" (2021), which the colour-blind tell apart; black is read on all of them.
_COLOURS = ("#77AADD", "#EE8866", "#EEDD88", "#FFAABB", "#99DDFF", "#44BB99", "#BBCC33")
_THIN = 11.0  # pixels of arc that a line of text needs


@dataclass(frozen=True)
class Slice:
    """A part of the inner ring, and the parts of it in the outer one; what these leave of `count` stays empty."""

    name: str
    count: int
    parts: Sequence[tuple[str, int]]


def sunburst(name: str, slices: Sequence[Slice]) -> str:
    """The chart; `name` says what is seen. The first part begins at the top, and the others follow clockwise.

    Raises:
        ValueError: parts count more than their slice, or nothing is counted.
    """
    total = sum(one.count for one in slices)
    if total <= 0:
        raise ValueError("nothing is counted")
    drawn = []
    begin = 0.0
    for place, one in enumerate(slices):
        if sum(count for _, count in one.parts) > one.count:
            raise ValueError(f"{one.name}: its parts are more than its {one.count}")
        # The first and the last slice are neighbours too.
        at = 3 if place and place == len(slices) - 1 and place % len(_COLOURS) == 0 else place
        colour = _COLOURS[at % len(_COLOURS)]
        end = begin + one.count / total
        drawn += _arc(begin, end, _HOLE, _BETWEEN, colour, one.name, f"{one.name}: {one.count:,}", 1.0)
        inner = begin
        for part, count in one.parts:
            outer = inner + count / total
            told = f"{one.name} {part}: {count:,}"
            drawn += _arc(inner, outer, _BETWEEN, _EDGE, colour, part, told, 0.65)
            inner = outer
        begin = end
    return image(name, SIZE, SIZE, *drawn)


def _arc(
    begin: float, end: float, inner: float, outer: float, colour: str, label: str, told: str, solid: float
) -> list[str]:
    """A ring's part between two shares of the whole turn, and its label along the radius where there is room."""
    middle = SIZE / 2
    full = end - begin > 0.9999
    to = begin + 0.9999 if full else end

    def at(share: float, radius: float) -> str:
        angle = 2 * math.pi * share
        return f"{middle + radius * math.sin(angle):.2f} {middle - radius * math.cos(angle):.2f}"

    large = int(to - begin > 0.5)
    path = (
        f"M{at(begin, inner)}L{at(begin, outer)}A{outer:g} {outer:g} 0 {large} 1 {at(to, outer)}"
        f"L{at(to, inner)}A{inner:g} {inner:g} 0 {large} 0 {at(begin, inner)}Z"
    )
    shapes = [f'<path class="arc" fill="{_lighter(colour, solid)}" d="{path}"><title>{escape(told)}</title></path>']
    share = (begin + end) / 2
    radius = (inner + outer) / 2
    if 2 * math.pi * (inner + radius) / 2 * (end - begin) >= _THIN:
        angle = 2 * math.pi * share
        x, y = middle + radius * math.sin(angle), middle - radius * math.cos(angle)
        turn = 360 * share - 90 if share <= 0.5 else 360 * share + 90
        words = short(label, int((outer - inner) / 6))
        down = math.radians(turn + 90)  # the line of text stands in the middle of its part
        x, y = x + 3.5 * math.cos(down), y + 3.5 * math.sin(down)
        shapes.append(text(x, y, words, anchor="middle", turn=turn, kind="on"))
    return shapes


def _lighter(colour: str, solid: float) -> str:
    """So much of a colour over white, on the dark theme too, so that black is read on it."""
    parts = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * solid):02X}" for part in parts)
