"""What is noted of each step: the metrics of `metrics.jsonl`, the speed of `timing.jsonl`, the line on the screen."""

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import jax
import numpy as np

from bioinstruct_jax.config import Train
from bioinstruct_jax.training.flops import StepFlops
from bioinstruct_jax.training.metrics import Metrics
from bioinstruct_jax.training.step import StepMetrics
from bioinstruct_jax.training.watch import Watch, as_written


class DivergenceError(ValueError):
    """More steps had a loss or gradient that is not finite than the settings tolerate."""


class Screen(Protocol):
    """What the recorder needs of a progress display."""

    def note(self, text: str) -> None: ...
    def train(self, step: int, total: int, *, loss: float, tokens_per_second: float) -> None: ...


class Recorder:
    """Notes steps in order; reading a step's values waits for the device, so it is given each step one step late.

    Args:
        job: for the batch's size and for what is tolerated.
        steps: of the whole run.
        rates: learning rate of each update, [steps].
        cost, peak: FLOPs a token; FLOP/s of all devices together, None where unknown (then no MFU and HFU).
        metrics, screen: where the notes go; no metrics in a process that does not write.
        watch: knows the steps of earlier processes.
        rows_of: numbers of the rows in the batch of a step.
        newest: step of the newest checkpoint.
    """

    def __init__(
        self,
        job: Train,
        steps: int,
        rates: np.ndarray,
        cost: StepFlops,
        peak: float | None,
        metrics: Metrics | None,
        screen: Screen,
        watch: Watch,
        rows_of: Callable[[int], list[int]],
        newest: Callable[[], int | None],
    ):
        self.job, self.slots = job, job.training.batch_rows * job.data.length
        self.steps, self.rates, self.cost, self.peak = steps, rates, cost, peak
        self.metrics, self.screen, self.watch, self.rows_of, self.newest = metrics, screen, watch, rows_of, newest
        self.values: dict[str, float] = {}
        self.clock = time.perf_counter()

    def start_clock(self) -> None:
        """Count seconds from now, leaving out what was done between steps."""
        self.clock = time.perf_counter()

    def step(self, step: int, measured: StepMetrics) -> None:
        """Note optimizer step `step` (from 1); waits until the device has computed it.

        Raises:
            DivergenceError: loss or gradient norm is not finite, and more such steps than training.skip_nonfinite.
        """
        loss, grad_norm, targets, tokens = (float(value) for value in jax.device_get(measured))
        rate = self.rates[self.watch.updates]
        flags = self.watch.step(loss, grad_norm, int(targets))
        if "skipped" in flags:
            self._not_finite(step, loss, grad_norm)
        self.values = {"loss": loss}
        seconds = time.perf_counter() - self.clock
        self.start_clock()
        row = {
            "loss": loss,
            "grad_norm": grad_norm,
            "learning_rate": rate,
            "target_tokens": int(targets),
            "tokens": int(tokens),
            "padding": 1 - tokens / self.slots,
        }
        speed = {"seconds": seconds, "tokens_per_second": tokens / seconds}
        if self.peak:
            computed = self.slots / seconds / self.peak  # padding is computed too, but only tokens are useful
            speed |= {
                "mfu": speed["tokens_per_second"] * self.cost.useful / self.peak,
                "hfu": computed * self.cost.executed,
            }
        if self.metrics:
            self.metrics.write(step, row | flags)
            self.metrics.time(step, speed)
        self.screen.train(step, self.steps, loss=loss, tokens_per_second=speed["tokens_per_second"])

    def _not_finite(self, step: int, loss: float, grad_norm: float) -> None:
        rows = self.rows_of(step)
        shown = ", ".join(map(str, rows[:16])) + (", ..." if len(rows) > 16 else "")
        what = (
            f"step {step}: loss {loss}, gradient norm {grad_norm}: not finite, on rows {shown} (rows.jsonl names them)"
        )
        tolerated = self.job.training.skip_nonfinite
        if self.watch.skipped > tolerated:
            raise DivergenceError(
                f"{what}. It changed no weight; the newest checkpoint is that of step {self.newest() or 0}, and every "
                "number in it is finite. Look at these rows; lower optimizer.learning_rate, set optimizer.clip_norm or "
                "allow some with training.skip_nonfinite, and go on with --accept_changes or start another --name"
            )
        self.screen.note(f"WARNING: {what}; left out, {self.watch.skipped} of {tolerated} tolerated")

    def held_out(self, step: int, loss: float, targets: int) -> bool:
        """Note the held-out loss after `step` steps; whether it is the lowest of the steps so far."""
        lowest = self.watch.held_out(loss) if step else False
        self.values["held_out_loss"] = loss
        if self.metrics:
            self.metrics.write(step, {"held_out_loss": loss, "held_out_tokens": targets})
        self.screen.note(f"step {step:,}: held-out loss {loss:.4f} over {targets:,} target tokens")
        return lowest

    def scores(self, step: int, values: Mapping[str, float | int | None]) -> None:
        """Note scores of tasks after `step` steps, by the names that they have in ``metrics.jsonl``."""
        self.values |= {name: as_written(value) for name, value in values.items() if value is not None}
        if self.metrics:
            self.metrics.write(step, values)
