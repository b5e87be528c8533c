"""Charts of scores: dots with their intervals, line by line, and a reliability diagram. Drawn as `svg` draws.

Which of several series a dot belongs to is said by its shape and by words beside it, not by its colour alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bioinstruct_jax.reporting.page import escape
from bioinstruct_jax.reporting.svg import WIDTH, image, px, short, text, ticks

SERIES = 4  # colours, and shapes, there are; a fifth series has the first colour and the second shape
_LEFT, _RIGHT, _STEP, _HEAD = 150.0, 190.0, 19.0, 22.0
_SIDE = 380.0  # of a reliability diagram
_MARGIN = 54.0


@dataclass(frozen=True)
class Dot:
    """A score in a block of lines.

    Attributes:
        series: whose it is; the same name has the same shape and colour throughout.
        says: the score in words, written at the end of its line.
        span: an interval around it.
    """

    series: str
    value: float
    says: str
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Block:
    """Dots that are compared with each other, one below the other.

    Attributes:
        marks: values that need no model, by name: lines across the block; the second name is dashed.
    """

    label: str
    dots: Sequence[Dot]
    marks: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Point:
    """A bin of a reliability diagram; a greater `weight` has a larger dot."""

    across: float
    up: float
    weight: float
    says: str


def dots(
    name: str, blocks: Sequence[Block], series: Sequence[str], *, most: float, unit: str = "", bars: bool = False
) -> str:
    """Blocks on one scale, from 0 (or the least value, where one is below) to `most`.

    Args:
        series: all that there are, in the order of their shapes.
        bars: a bar leads from 0 to each dot.
    """
    least = min([0.0, *(min(one.value, *(one.span or (one.value,))) for block in blocks for one in block.dots)])
    room = WIDTH - _LEFT - _RIGHT

    def x(value: float) -> float:
        return _LEFT + room * (value - least) / (most - least)

    kinds = list(dict.fromkeys(kind for block in blocks for kind, _ in block.marks))
    parts, y = [], _HEAD
    for block in blocks:
        tall = _STEP * len(block.dots)
        parts.append(text(_LEFT - 10, y + 13, short(block.label, 22), anchor="end", kind="strong"))
        for kind, value in block.marks:
            told = f"{block.label}, {kind}: {value:.3g}{unit}"
            parts.append(
                f'<path class="mark{kinds.index(kind) % 2}" d="M{px(x(value))} {px(y - 1)}v{px(tall)}">'
                f"<title>{escape(told)}</title></path>"
            )
        for one in block.dots:
            y += _STEP
            if bars:
                colour, (start, end) = series.index(one.series) % SERIES, sorted((x(0), x(one.value)))
                parts.append(
                    f'<rect class="fill{colour} pale" x="{px(start)}" y="{px(y - _STEP + 3)}" '
                    f'width="{px(end - start)}" height="{px(_STEP - 6)}"/>'
                )
            parts += _dot(x, y - _STEP / 2, one, series.index(one.series), block.label)
        y += 9
        parts.append(f'<path class="grid" d="M0 {px(y - 6)}H{px(WIDTH)}"/>')
    bottom = y - 6
    for tick in ticks(most):
        parts.insert(0, f'<path class="grid" d="M{px(x(tick))} {px(_HEAD - 6)}V{px(bottom)}"/>')
        parts.append(text(x(tick), bottom + 14, f"{tick:,g}{unit}", anchor="middle"))
    return image(name, WIDTH, bottom + 22, *_key(series, kinds), *parts)


def reliability(name: str, series: Sequence[tuple[str, Sequence[Point]]]) -> str:
    """How often each series is right (up) where it is so sure (across); a dot's area is its share of the items."""
    room = _SIDE - _MARGIN - 12
    low = _SIDE - _MARGIN
    parts = []
    for place in range(6):
        at, said = place / 5, f"{place * 20}%"
        parts += [
            f'<path class="grid" d="M{px(_MARGIN)} {px(low - room * at)}h{px(room)}"/>',
            text(_MARGIN - 6, low - room * at + 4, said, anchor="end"),
            text(_MARGIN + room * at, low + 16, said, anchor="middle"),
        ]
    parts += [
        f'<path class="axis" d="M{px(_MARGIN)} {px(low)}h{px(room)}"/>',
        f'<path class="mark1" d="M{px(_MARGIN)} {px(low)}L{px(_MARGIN + room)} {px(low - room)}"/>',
        text(_MARGIN + room / 2, _SIDE - 14, "how sure: mean probability of the choice taken", anchor="middle"),
        text(14, low - room / 2, "how often right", anchor="middle", turn=-90),
    ]
    for place, (label, points) in enumerate(series):
        total = sum(one.weight for one in points) or 1.0
        spots = [(_MARGIN + room * one.across, low - room * one.up) for one in points]
        if spots:
            path = "L".join(f"{px(a)} {px(b)}" for a, b in spots)
            parts.append(f'<path class="thin{place % SERIES}" d="M{path}"/>')
        for one, (a, b) in zip(points, spots, strict=True):
            size = 3 + 9 * (one.weight / total) ** 0.5
            parts.append(shape(place, a, b, size, f"{label}: {one.says}"))
        y = 30 + 20 * place
        parts += [shape(place, _SIDE + 24, y - 4, 6, ""), text(_SIDE + 38, y, short(label, 44))]
    y = 30 + 20 * len(series)
    parts += [
        f'<path class="mark1" d="M{px(_SIDE + 14)} {px(y - 4)}h20"/>',
        text(_SIDE + 38, y, "as sure as it is right"),
    ]
    return image(name, WIDTH, _SIDE, *parts)


def _dot(x: Callable[[float], float], y: float, one: Dot, place: int, label: str) -> list[str]:
    parts = []
    if one.span:
        low, high = x(one.span[0]), x(one.span[1])
        parts.append(
            f'<path class="span" d="M{px(low)} {px(y)}H{px(high)}M{px(low)} {px(y - 4)}v8M{px(high)} {px(y - 4)}v8"/>'
        )
    parts.append(shape(place, x(one.value), y, 5.5, f"{label}, {one.series}: {one.says}"))
    parts.append(text(WIDTH - _RIGHT + 12, y + 4, one.says))
    return parts


def shape(place: int, x: float, y: float, size: float, told: str) -> str:
    """A circle, diamond, square or triangle around a place."""
    colour, kind = place % SERIES, (place + place // SERIES) % SERIES
    s = size
    path = (
        f"M{px(x - s)} {px(y)}a{px(s)} {px(s)} 0 1 0 {px(2 * s)} 0a{px(s)} {px(s)} 0 1 0 {px(-2 * s)} 0z",
        f"M{px(x)} {px(y - 1.25 * s)}l{px(1.25 * s)} {px(1.25 * s)}l{px(-1.25 * s)} {px(1.25 * s)}"
        f"l{px(-1.25 * s)} {px(-1.25 * s)}z",
        f"M{px(x - 0.9 * s)} {px(y - 0.9 * s)}h{px(1.8 * s)}v{px(1.8 * s)}h{px(-1.8 * s)}z",
        f"M{px(x)} {px(y - 1.2 * s)}l{px(1.2 * s)} {px(2.1 * s)}h{px(-2.4 * s)}z",
    )[kind]
    title = f"<title>{escape(told)}</title>" if told else ""
    return f'<path class="dot fill{colour}" d="{path}">{title}</path>'


def _key(series: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """The shapes with their names, in one line at the top."""
    parts, x = [], 8.0
    for place, name in enumerate(series):
        said = short(name, 24)
        parts += [shape(place, x, 8, 5, ""), text(x + 11, 12, said)]
        x += 30 + 6.6 * len(said)
    for place, name in enumerate(kinds):
        parts += [f'<path class="mark{place % 2}" d="M{px(x)} 1v14"/>', text(x + 7, 12, name)]
        x += 26 + 6.6 * len(name)
    return parts
