"""What a run notices of its own numbers: spikes, steps left out, the best of a metric so far, when to stop early.

Everything follows from the rows of ``metrics.jsonl``, so a run that is resumed notices what an uninterrupted one does.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

WINDOW = 64  # finite losses that a spike is measured against
FEWEST = 16  # of them before anything is called a spike
SPIKE = 6.0  # robust standard deviations above their median


class Watch:
    """Give it each row in order, those of an earlier process first.

    Attributes:
        updates: steps that changed the weights.
        skipped: steps left out because loss or gradient was not finite.
        best: lowest held-out loss so far, None before the first; the one before training does not count.
        since_best: held-out losses after it.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.updates = self.skipped = self.since_best = 0
        self.best: float | None = None
        self._losses: deque[float] = deque(maxlen=WINDOW)
        for row in rows:
            if "held_out_loss" in row:
                if row["step"]:
                    self.held_out(float(row["held_out_loss"]))
            elif "loss" in row:
                self.step(float(row["loss"]), float(row["grad_norm"]), int(row["target_tokens"]))

    def step(self, loss: float, grad_norm: float, targets: int) -> dict[str, bool]:
        """Note a step; the flags for its row.

        ``skipped``: loss or gradient was not finite. ``spike``: the loss is more than 6 robust standard deviations
        (1.4826 times the median distance from the median, at least 1 % of it) above the median of up to 64 finite
        losses before it.
        """
        loss = as_written(loss)
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            self.skipped += 1
            return {"skipped": True}
        spike = False
        if len(self._losses) >= FEWEST:
            losses = np.array(self._losses)
            middle = float(np.median(losses))
            spread = max(1.4826 * float(np.median(np.abs(losses - middle))), 0.01 * middle)
            spike = targets > 0 and loss > middle + SPIKE * spread
        if targets > 0:
            self.updates += 1
            self._losses.append(loss)
        return {"spike": True} if spike else {}

    def held_out(self, loss: float) -> bool:
        """Note a held-out loss; whether it is the lowest so far, which one that is no number never is."""
        loss = as_written(loss)
        if not math.isnan(loss) and (self.best is None or loss < self.best):
            self.best, self.since_best = loss, 0
            return True
        self.since_best += 1
        return False

    def exhausted(self, patience: int | None) -> bool:
        """Whether so many held-out losses came without a new lowest; None: never."""
        return patience is not None and self.since_best >= patience


class Best:
    """The best value so far of one metric; a resumed run knows it from its rows.

    Args:
        name: in the rows of ``metrics.jsonl``; the row before training does not count.
        highest: whether more is better.
        rows: of an earlier process.
    """

    def __init__(self, name: str, *, highest: bool, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.name, self.highest = name, highest
        self.value: float | None = None
        for row in rows:
            if row["step"]:
                self.note(row)

    def note(self, values: Mapping[str, Any]) -> bool:
        """Note a row; whether it has the metric, better than any before, which what is no number never is."""
        if values.get(self.name) is None:
            return False
        value = as_written(float(values[self.name]))
        if math.isnan(value) or (
            self.value is not None and (value <= self.value if self.highest else value >= self.value)
        ):
            return False
        self.value = value
        return True


def as_written(value: float) -> float:
    """The value as ``metrics.jsonl`` keeps it, in float32: a run that reads it back must decide as this one does."""
    with np.errstate(over="ignore"):
        return float(np.float32(value))
