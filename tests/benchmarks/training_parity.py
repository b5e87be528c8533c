"""Fifty steps of ours beside fifty of transformers + peft + torch, as a figure.

    python -m tests.benchmarks.training_parity --out docs/training_parity.png

The two jobs of tests/interop/test_training_parity.py: a small LLaMA with sharp attention, an adapter whose B is not
zero, packed rows here and one example a row there, AdamW with decay and clipping, a cosine schedule; one of them with
two micro-batches a step and a warm-up. Both sides run on the CPU, where float32 products are float32.
"""

import argparse
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

if TYPE_CHECKING:
    from tests.interop.training_pair import Curve, Difference

PACKAGES = ("jax", "flax", "optax", "torch", "transformers", "peft")
LOSS, ADAPTER = 1e-4, 1e-3


def plot(runs: "dict[str, tuple[Curve, Curve, Difference]]", out: Path) -> None:
    """Losses of both above; below, their relative difference at each step beside the tolerance."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 6.5), layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2]})
    for (name, (ours, theirs, seen)), colour in zip(runs.items(), ("tab:blue", "tab:orange"), strict=True):
        steps = range(1, len(ours.losses) + 1)
        above.plot(steps, theirs.losses, color=colour, alpha=0.35, linewidth=5, label=f"transformers + peft: {name}")
        above.plot(steps, ours.losses, color=colour, linewidth=1.3, label=f"bioinstruct-jax: {name}")
        below.semilogy(steps, seen.losses.clip(1e-9), color=colour, marker=".", linewidth=0.8, label=name)
    below.axhline(LOSS, color="black", linestyle="--", linewidth=1, label="tolerance")
    above.set_ylabel("loss (nats per target token)")
    below.set_ylabel("relative difference (0 at 1e-9)")
    below.set_ylim(5e-10, 1e-2)
    below.set_xlabel("step")
    for axes in (above, below):
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize="small", loc="upper right")
    figure.savefig(out, dpi=120, metadata={"Software": None})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("training_parity.png"), help="where the figure goes")
    options = parser.parse_args()

    from transformers.utils import logging

    from tests.interop.training_pair import VARIANTS, difference, make_pair, ours, theirs

    logging.disable_progress_bar()
    runs = {}
    for name, variant in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            pair = make_pair(Path(folder), **variant)
            left, right = ours(pair), theirs(pair)
            seen = difference(pair, left, right)
        runs[name] = left, right, seen
        worst = max(seen.adapter, key=lambda weight: seen.adapter[weight])
        print(f"{name}: {len(left.losses)} steps, loss {left.losses[0]:.4f} -> {left.losses[-1]:.4f}")
        print(f"  largest relative difference of a loss {seen.losses.max():.1e} (step {seen.losses.argmax() + 1})")
        print(f"  largest difference of an A or B beside its change {seen.adapter[worst]:.1e} ({worst})")
    plot(runs, options.out)
    print(", ".join(f"{package} {version(package)}" for package in PACKAGES))
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.machine()}; figure: {options.out}")
    held = all(seen.losses.max() < LOSS and max(seen.adapter.values()) < ADAPTER for *_, seen in runs.values())
    print("within" if held else "NOT within", f"the tolerances ({LOSS:.0e} for a loss, {ADAPTER:.0e} for an A or B)")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
