"""Scores by the share of the data they were reached with, on a logarithmic axis. Drawn as `svg` draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.reporting.dots import SERIES, shape
from bioinstruct_jax.reporting.page import escape
from bioinstruct_jax.reporting.svg import WIDTH, image, px, short, text, ticks

_HEIGHT = 300.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 170.0, 14.0, 50.0


@dataclass(frozen=True)
class Point:
    """A score; `each` are those it is the mean of, drawn faint."""

    share: float
    value: float
    says: str
    span: tuple[float, float] | None = None
    each: Sequence[float] = ()


@dataclass(frozen=True)
class Series:
    """Points from the least share on; `level`: what is reached with nothing, a dashed line across."""

    label: str
    points: Sequence[Point]
    level: float | None = None


def shares(name: str, series: Sequence[Series], *, across: str, up: str) -> str:
    """Up to four lines over the same axes; the upright one begins near the least value, not at 0.

    Raises:
        ValueError: more lines than can be told apart, or a share that is not above 0.
    """
    if not 1 <= len(series) <= SERIES:
        raise ValueError(f"{len(series)} lines; 1 to {SERIES} can be told apart")
    at = sorted({point.share for one in series for point in one.points})
    if not at or at[0] <= 0:
        raise ValueError(f"shares {at} cannot stand on a logarithmic axis: each must be above 0")
    seen = [
        value for one in series for point in one.points for value in (point.value, *point.each, *(point.span or ()))
    ]
    seen += [one.level for one in series if one.level is not None]
    low, high = _ends(min(seen), max(seen))
    room, tall = WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    width = math.log(at[-1] / at[0]) or 1.0

    def x(share: float) -> float:
        return _LEFT + 20 + (room - 40) * math.log(share / at[0]) / width

    def y(value: float) -> float:
        return _TOP + tall * (high - value) / (high - low)

    parts = []
    for tick in ticks(high - low):
        parts.append(f'<path class="grid" d="M{px(_LEFT)} {px(y(low + tick))}h{px(room)}"/>')
        parts.append(text(_LEFT - 6, y(low + tick) + 4, f"{low + tick:,.10g}", anchor="end"))
    for share in at:
        parts.append(f'<path class="grid" d="M{px(x(share))} {px(_TOP)}v{px(tall)}"/>')
        parts.append(text(x(share), _TOP + tall + 16, f"{100 * share:g}%", anchor="middle"))
    parts += [
        f'<path class="axis" d="M{px(_LEFT)} {px(_TOP + tall)}h{px(room)}"/>',
        text(_LEFT + room / 2, _HEIGHT - 10, across, anchor="middle"),
        text(14, _TOP + tall / 2, up, anchor="middle", turn=-90),
    ]
    for place, one in enumerate(series):
        if one.level is not None:
            told = escape(f"{one.label}, base: {one.level:.3g}")
            line = f"M{px(_LEFT)} {px(y(one.level))}h{px(room)}"
            parts.append(f'<path class="level{place}" d="{line}"><title>{told}</title></path>')
        path = "L".join(f"{px(x(point.share))} {px(y(point.value))}" for point in one.points)
        parts.append(f'<path class="trend{place}" d="M{path}"/>')
        for point in one.points:
            parts += [
                f'<circle class="fill{place} pale" cx="{px(x(point.share))}" cy="{px(y(value))}" r="2.5"/>'
                for value in point.each
            ]
            if point.span:
                bottom, top = (px(y(end)) for end in point.span)
                caps = "".join(f"M{px(x(point.share) - 4)} {end}h8" for end in (bottom, top))
                ends = f"M{px(x(point.share))} {bottom}V{top}{caps}"
                parts.append(f'<path class="trend{place}" d="{ends}"/>')
            parts.append(shape(place, x(point.share), y(point.value), 5, f"{one.label}: {point.says}"))
        key = _TOP + 12 + 20 * place
        parts += [
            shape(place, WIDTH - _RIGHT + 16, key - 4, 5, ""),
            text(WIDTH - _RIGHT + 28, key, short(one.label, 22)),
        ]
    key = _TOP + 12 + 20 * len(series)
    if any(one.level is not None for one in series):
        parts += [
            f'<path class="mark1" d="M{px(WIDTH - _RIGHT + 8)} {px(key - 4)}h16"/>',
            text(WIDTH - _RIGHT + 28, key, "base, untuned"),
        ]
    return image(name, WIDTH, _HEIGHT, *parts)


def _ends(least: float, most: float) -> tuple[float, float]:
    """Round numbers around two values."""
    step = 10.0 ** math.floor(math.log10(max(most - least, abs(most) / 1e3, 1e-9)))
    low, high = step * math.floor(least / step), step * math.ceil(most / step)
    return low, high if high > low else low + step
