"""`loss.png`: how the loss of a run fell."""

import io
import math
import os
from typing import TYPE_CHECKING

from bioinstruct_jax import files
from bioinstruct_jax.training.metrics import read_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = tuple[list[float], list[float]]


def loss_plot(metrics_file: str | os.PathLike[str], out_png: str | os.PathLike[str], title: str) -> None:
    """Draw training loss (each step thin, smoothed thick), held-out loss and learning rate against the step.

    Steps without a value and values that are not finite are left out; a file without rows gives an empty figure that
    says so. Losses are in nats a target token.

    Raises:
      MetricsError: a line before the last is no metrics row.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_rows(files.path(metrics_file))
    losses, held_out, rates = (_points(rows, name) for name in ("loss", "held_out_loss", "learning_rate"))
    figure = Figure(figsize=(8, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
    above.set_title(title, parse_math=False)
    above.set_ylabel("loss (nats per target token)")
    _line(above, losses, color="tab:blue", linewidth=0.8, alpha=0.35, label="training, each step")
    _line(above, (losses[0], smoothed(losses[1])), color="tab:blue", linewidth=1.8, label="training, smoothed")
    _line(above, held_out, color="tab:orange", linewidth=1.8, label="held-out", marker="o")
    _line(below, rates, color="tab:gray", linewidth=1.4, label="learning rate")
    below.set_ylabel("learning rate")
    below.set_xlabel("step")
    below.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    below.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    if losses[0] or held_out[0]:
        above.legend(frameon=False)
    else:
        above.text(0.5, 0.5, "no steps recorded", ha="center", va="center", transform=above.transAxes)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=120, metadata={"Software": None})
    files.path(out_png).write_bytes(png.getvalue())


def smoothed(values: list[float]) -> list[float]:
    """Exponential moving average over about a twentieth of the values, without bias towards zero at the start.

    m_t = d m_{t-1} + (1 - d) v_t, divided by 1 - d^t (Kingma and Ba, 2015, section 3).
    """
    decay = 1 - 1 / max(1, len(values) / 20)
    average, averages = 0.0, []
    for count, value in enumerate(values, 1):
        average = decay * average + (1 - decay) * value
        averages.append(average / (1 - decay**count))
    return averages


def _points(rows: list[dict[str, int | float | str | None]], name: str) -> Points:
    steps, values = [], []
    for row in rows:
        value, step = row.get(name), row["step"]
        if value is not None and step is not None and math.isfinite(float(value)):
            steps.append(float(step))
            values.append(float(value))
    return steps, values


def _line(
    axes: "Axes", points: Points, *, color: str, linewidth: float, label: str, alpha: float = 1.0, marker: str = ""
) -> None:
    """A line; a single point, which a line would not show, as a dot."""
    if points[0]:
        marker = marker or ("o" if len(points[0]) == 1 else "")
        axes.plot(*points, color=color, linewidth=linewidth, alpha=alpha, label=label, marker=marker, markersize=4)
