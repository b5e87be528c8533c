"""Charts as SVG in the page itself: sharp at every size, their text can be selected and searched, both themes, paper.

Colours and strokes stand in `page.css`, because the page's policy allows no style elsewhere. Each chart is an image
with a name for those who do not see it; each of its shapes tells its values when it is pointed at. What a colour says
is said by a shape or a word too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.reporting.page import escape

WIDTH = 720.0
_HEIGHT = 260.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 16.0, 12.0, 48.0


@dataclass(frozen=True)
class Bar:
    """A bar.

    Attributes:
        value: its length; ``span``: an interval around it; ``beside``: a value to compare with, drawn as a diamond.
        says: its value in words, written at its end.
    """

    label: str
    value: float
    says: str
    span: tuple[float, float] | None = None
    beside: float | None = None


@dataclass(frozen=True)
class Line:
    """Points of a line, from left to right; the second of two lines is dashed."""

    label: str
    points: Sequence[tuple[float, float]]


def figure(caption: str, chart: str, *, large: bool = False) -> str:
    """A chart with the words under it; a large one is not made smaller on a narrow screen, but moves sideways."""
    kind = ' class="large" tabindex="0"' if large else ""
    return f"<figure{kind}>\n{chart}\n<figcaption>{escape(caption)}</figcaption>\n</figure>"


def image(name: str, width: float, height: float, *parts: str) -> str:
    """The ``<svg>`` around shapes; `name` says what is seen."""
    return (
        f'<svg viewBox="0 0 {px(width)} {px(height)}" role="img" aria-label="{escape(name)}">\n'
        f"<title>{escape(name)}</title>\n" + "\n".join(parts) + "\n</svg>"
    )


def text(x: float, y: float, words: str, *, anchor: str = "start", turn: float = 0.0, kind: str = "") -> str:
    """Words at a place, turned by so many degrees around it."""
    turned = f' transform="rotate({px(turn)} {px(x)} {px(y)})"' if turn else ""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{px(x)}" y="{px(y)}" text-anchor="{anchor}"{named}{turned}>{escape(words)}</text>'


def bars(name: str, rows: Sequence[Bar], *, most: float | None = None) -> str:
    """Bars that lie, one below the other, on one scale from 0 to `most` (the greatest value where none is given)."""
    top = most or max([1e-12, *(max(one.value, one.beside or 0.0, *(one.span or (0.0,))) for one in rows)])
    left, right, step = 190.0, 160.0, 30.0
    room = WIDTH - left - right
    parts = []
    for place, one in enumerate(rows):
        y = 8 + place * step
        told = f"{one.label}: {one.says}"
        parts += [
            text(left - 8, y + 15, short(one.label, 26), anchor="end"),
            f'<rect class="fill0" x="{px(left)}" y="{px(y)}" width="{px(room * one.value / top)}" height="20">'
            f"<title>{escape(told)}</title></rect>",
        ]
        end = one.value
        if one.span:
            low, high = (left + room * value / top for value in one.span)
            y_mid = y + 10
            parts.append(
                f'<path class="span" d="M{px(low)} {px(y_mid)}H{px(high)}M{px(low)} {px(y_mid - 4)}v8'
                f'M{px(high)} {px(y_mid - 4)}v8"/>'
            )
            end = max(end, one.span[1])
        if one.beside is not None:
            x = left + room * one.beside / top
            parts.append(f'<path class="fill1" d="M{px(x)} {px(y - 1)}l7 11l-7 11l-7 -11z"/>')
            end = max(end, one.beside)
        parts.append(text(left + room * end / top + 12, y + 15, one.says))
    return image(name, WIDTH, 16 + len(rows) * step, *parts)


def histogram(
    name: str, counts: Sequence[int], *, edges: Sequence[float], across: str, up: str, open_end: bool = False
) -> str:
    """Columns side by side.

    Args:
        edges: where the columns begin, and where the last one ends.
        across, up: what the two axes are.
        open_end: the last column also counts all that lies above it.
    """
    if len(edges) != len(counts) + 1:
        raise ValueError(f"{len(counts)} columns need {len(counts) + 1} edges, not {len(edges)}")
    most = max([1, *counts])
    width = (WIDTH - _LEFT - _RIGHT) / max(1, len(counts))
    parts = [_axes(across, up, most)]
    for place, count in enumerate(counts):
        last = open_end and place == len(counts) - 1
        span = f"{edges[place]:g} and above" if last else f"{edges[place]:g} to {edges[place + 1]:g}"
        height = (_HEIGHT - _TOP - _BOTTOM) * count / most
        parts.append(
            f'<rect class="fill0" x="{px(_LEFT + place * width + 1)}" y="{px(_HEIGHT - _BOTTOM - height)}" '
            f'width="{px(width - 2)}" height="{px(height)}"><title>{escape(f"{span}: {count:,}")}</title></rect>'
        )
    every = math.ceil(len(edges) / 11)
    for place in range(0, len(edges) - open_end, every):
        parts.append(text(_LEFT + place * width, _HEIGHT - _BOTTOM + 16, f"{edges[place]:g}", anchor="middle"))
    return image(name, WIDTH, _HEIGHT, *parts)


def lines(name: str, series: Sequence[Line], *, across: str, up: str) -> str:
    """One or two lines over the same axes, both from 0."""
    if not 1 <= len(series) <= 2:
        raise ValueError(f"{len(series)} lines; one or two can be told apart")
    right = max([1.0, *(x for one in series for x, _ in one.points)])
    most = max([1.0, *(y for one in series for _, y in one.points)])
    room, height = WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    parts = [_axes(across, up, most)]
    for tick in ticks(right):
        parts.append(text(_LEFT + room * tick / right, _HEIGHT - _BOTTOM + 16, f"{tick:,g}", anchor="middle"))
    for place, one in enumerate(series):
        path = "L".join(
            f"{px(_LEFT + room * x / right)} {px(_HEIGHT - _BOTTOM - height * y / most)}" for x, y in one.points
        )
        y = _TOP + 10 + 18 * place
        parts += [
            f'<path class="line{place}" d="M{path}"><title>{escape(one.label)}</title></path>' if one.points else "",
            f'<path class="line{place}" d="M{px(_LEFT + 12)} {px(y - 4)}h24"/>',
            text(_LEFT + 42, y, one.label),
        ]
    return image(name, WIDTH, _HEIGHT, *parts)


def curve(name: str, points: Sequence[tuple[float, float, tuple[float, float]]], *, across: str, up: str) -> str:
    """Values with intervals along an axis, both from 0, joined by a line: (x, value, (low, high)), none negative."""
    right = max([1.0, *(x for x, _, _ in points)])
    most = max([1e-12, *(max(value, high) for _, value, (_, high) in points)])
    room, height = WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM

    def across_(x: float) -> str:
        return px(_LEFT + room * x / right)

    def down(y: float) -> str:
        return px(_HEIGHT - _BOTTOM - height * y / most)

    parts = [_axes(across, up, most)]
    for tick in ticks(right):
        parts.append(text(_LEFT + room * tick / right, _HEIGHT - _BOTTOM + 16, f"{tick:,g}", anchor="middle"))
    if points:
        parts.append(f'<path class="line0" d="M{"L".join(f"{across_(x)} {down(y)}" for x, y, _ in points)}"/>')
    for x, value, (low, high) in points:
        told = f"<title>{escape(f'{across} {x:g}: {value:.3f} ({low:.3f} to {high:.3f})')}</title>"
        parts += [
            f'<path class="span" d="M{across_(x)} {down(low)}V{down(high)}">{told}</path>',
            f'<path class="fill0" d="M{across_(x)} {down(value)}m0 -5l5 5l-5 5l-5 -5z">{told}</path>',
        ]
    return image(name, WIDTH, _HEIGHT, *parts)


def short(words: str, most: int) -> str:
    """Words in at most so many characters, for a place that holds no more."""
    return words if len(words) <= most else words[: most - 1] + "…"


def ticks(most: float) -> list[float]:
    """Round numbers from 0 to at most `most`: three to seven of them."""
    step = 10.0 ** math.floor(math.log10(most))
    for part in (0.2, 0.5, 1.0, 2.0):
        if most / (step * part) <= 6:
            step *= part
            break
    return [round(place * step, 12) for place in range(int(most / step + 1e-9) + 1)]


def _axes(across: str, up: str, most: float) -> str:
    bottom = _HEIGHT - _BOTTOM
    parts = []
    for tick in ticks(most):
        y = bottom - (bottom - _TOP) * tick / most
        parts.append(f'<path class="grid" d="M{px(_LEFT)} {px(y)}H{px(WIDTH - _RIGHT)}"/>')
        parts.append(text(_LEFT - 6, y + 4, f"{tick:,g}", anchor="end"))
    parts += [
        f'<path class="axis" d="M{px(_LEFT)} {px(bottom)}H{px(WIDTH - _RIGHT)}"/>',
        text((_LEFT + WIDTH - _RIGHT) / 2, _HEIGHT - 8, across, anchor="middle"),
        text(14, (_TOP + bottom) / 2, up, anchor="middle", turn=-90),
    ]
    return "\n".join(parts)


def px(value: float) -> str:
    """A coordinate: two digits are a hundredth of a pixel."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
