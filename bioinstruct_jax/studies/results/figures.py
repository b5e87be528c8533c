"""The figures of a study for a paper: PNG and SVG, the same bytes whenever they are drawn of the same scores."""

import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.reporting.svg import short
from bioinstruct_jax.studies.found import Found, Score
from bioinstruct_jax.studies.results import tables, verdicts, views
from bioinstruct_jax.studies.results.views import Curve, Heat

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart; the first two are the ends of the differences' scale.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_DARK = 0.18  # luminance below which white is read better than black
_ACROSS = 4  # panels beside each other


def figures(found: Found) -> Iterator[tuple[str, bytes]]:
    """Every figure as (file name, bytes), each as PNG and as SVG."""
    for heat in views.heats(found):
        name = f"differences-{heat.model}-{heat.size}-{heat.protocol}-from-{heat.against}"
        yield from _files(name, _heat(heat))
    curves = views.curves(found)
    for model, protocol, arm in dict.fromkeys((one.model, one.protocol, one.arm) for one in curves):
        these = [one for one in curves if (one.model, one.protocol, one.arm) == (model, protocol, arm)]
        groups = [one for one in these if one.on == one.group]
        tasks = [one for one in these if one.on != one.group]
        for kind, panels in (("groups", [groups]), ("tasks", [[one] for one in tasks])):
            if panels and panels[0]:
                title = f"{model}: score by share of the rows of {arm} ({words.of_protocol(protocol)})"
                yield from _files(f"curve-{kind}-{model}-{protocol}-{arm}", _curves(title, panels))


def _files(name: str, figure: "Figure") -> Iterator[tuple[str, bytes]]:
    from matplotlib import rc_context

    stem = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
    for kind in ("png", "svg"):
        held = io.BytesIO()
        metadata = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
        with rc_context({"svg.hashsalt": stem}):
            figure.savefig(held, format=kind, dpi=150, metadata=metadata)
        yield f"{stem}.{kind}", held.getvalue()


def _heat(heat: Heat) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb

    wide, tall = len(heat.columns), len(heat.arms)
    names, arms = [short(name, 34) for name in heat.names], [short(name, 34) for name in heat.arms]
    left, foot = 0.085 * max(map(len, arms)) + 0.3, 0.075 * max(map(len, names)) + 0.2
    size = (left + 0.62 * wide + 0.4, foot + 0.42 * tall + 1.1)
    figure = _empty(max(size[0], 7.0), size[1])
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("differences", [_COLOURS[1], "#ffffff", _COLOURS[0]])
    scale = Normalize(-heat.most, heat.most)
    for row, arm in enumerate(heat.arms):
        for column, on in enumerate(heat.columns):
            square = heat.squares.get((arm, on))
            colour = colours(scale(square.good)) if square is not None and square.good is not None else "#eeeeee"
            axes.fill([column, column + 1, column + 1, column], [row, row, row + 1, row + 1], color=colour)
            if square is not None:
                ink = "#ffffff" if _luminance(to_rgb(colour)) < _DARK else "#000000"
                weight = "bold" if square.primary else "normal"
                axes.text(
                    *(column + 0.5, row + 0.5, square.text), ha="center", va="center", parse_math=False,
                    color=ink, fontsize=8, fontweight=weight,
                )  # fmt: skip
    axes.set(xlim=(0, wide), ylim=(tall, 0))
    axes.set_xticks([place + 0.5 for place in range(wide)], names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks([place + 0.5 for place in range(tall)], arms, fontsize=8)
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels()):
        label.set_parse_math(False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(heat.title, parse_math=False, fontsize=10, loc="left")
    said = tables.MARKED.replace("; ", "\n", 1)
    figure.supxlabel(
        f"Blue: better, orange: worse, full colour from {heat.most:.3g} points on. Bold: primary.\n{said}",
        fontsize=7,
        x=0.01,
        ha="left",
    )
    return figure


def _luminance(colour: tuple[float, float, float]) -> float:
    """Relative luminance of sRGB, 0 to 1 (WCAG 2.2)."""
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def _curves(title: str, panels: Sequence[Sequence[Curve]]) -> "Figure":
    from matplotlib.ticker import FixedLocator, NullLocator

    across = min(_ACROSS, len(panels))
    down = math.ceil(len(panels) / across)
    figure = _empty(max(7.0, 3.0 * across), 1.0 + (3.6 if across == 1 else 2.4) * down)
    spread = figure.subplots(down, across, squeeze=False)
    shares = sorted({share for panel in panels for one in panel for share, _ in one.points})
    for place, axes in enumerate(spread.flat):
        if place >= len(panels):
            axes.set_axis_off()
            continue
        for at, curve in enumerate(panels[place]):
            _curve(axes, curve, _COLOURS[at % len(_COLOURS)], "osD^"[at % 4])
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator(shares))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(shares, [f"{100 * share:g}%" for share in shares])
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        if len(panels) == 1:
            axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
        else:
            one = panels[place][0]
            way = "" if one.points[0][1].higher_is_better else " (lower is better)"
            axes.set_title(f"{short(one.on, 30)}\n{one.points[0][1].metric}{way}", fontsize=8, parse_math=False)
            axes.tick_params(labelsize=7)
    figure.suptitle(title, fontsize=10, parse_math=False)
    figure.supxlabel("share of the rows (log scale); dashed: base, untuned; faint: each seed", fontsize=8)
    figure.supylabel("score", fontsize=8)
    return figure


def _curve(axes: "Axes", curve: Curve, colour: str, shape: str) -> None:
    def scaled(value: float, one: Score) -> float:
        return value * verdicts.scale(one.unit)

    across = [share for share, _ in curve.points]
    axes.plot(across, [scaled(one.value, one) for _, one in curve.points], color=colour, marker=shape, label=curve.on)
    for share, one in curve.points:
        axes.plot([share] * len(one.seeds), [scaled(value, one) for value in one.seeds], ".", color=colour, alpha=0.35)
        if one.low is not None and one.high is not None:
            axes.plot([share, share], [scaled(one.low, one), scaled(one.high, one)], color=colour, linewidth=1)
    if curve.base is not None:
        axes.axhline(scaled(curve.base.value, curve.base), color=colour, linestyle="--", linewidth=1)


def _empty(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure
