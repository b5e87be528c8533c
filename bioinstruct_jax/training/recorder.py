"""What is noted of each step: the metrics of `metrics.jsonl`, the speed of `timing.jsonl`, the line on the screen."""

import math
import time
from typing import Protocol

import jax
import numpy as np

from bioinstruct_jax.config import Train
from bioinstruct_jax.training.flops import StepFlops
from bioinstruct_jax.training.metrics import Metrics
from bioinstruct_jax.training.step import StepMetrics


class Screen(Protocol):
    """What the recorder needs of a progress display."""

    def note(self, text: str) -> None: ...
    def train(self, step: int, total: int, *, loss: float, tokens_per_second: float) -> None: ...


class Recorder:
    """Notes steps in order; reading a step's values waits for the device, so it is given each step one step late.

    Args:
        job: for the batch's size.
        steps: of the whole run.
        rates: learning rate of each step, [steps].
        cost, peak: FLOPs a token; FLOP/s of all devices together, None where unknown (then no MFU and HFU).
        metrics, screen: where the notes go.
    """

    def __init__(
        self,
        job: Train,
        steps: int,
        rates: np.ndarray,
        cost: StepFlops,
        peak: float | None,
        metrics: Metrics,
        screen: Screen,
    ):
        self.slots = job.training.batch_rows * job.data.length
        self.steps, self.rates, self.cost, self.peak = steps, rates, cost, peak
        self.metrics, self.screen = metrics, screen
        self.clock = time.perf_counter()

    def start_clock(self) -> None:
        """Count seconds from now, leaving out what was done between steps."""
        self.clock = time.perf_counter()

    def step(self, step: int, measured: StepMetrics) -> None:
        """Note optimizer step `step` (from 1); waits until the device has computed it."""
        loss, grad_norm, targets, tokens = (float(value) for value in jax.device_get(measured))
        if not (math.isfinite(loss) and math.isfinite(grad_norm)):
            raise ValueError(
                f"step {step}: loss {loss}, gradient norm {grad_norm}: not finite, so nothing after this step would be "
                "either. Lower optimizer.learning_rate or set optimizer.clip_norm, and give the run another --name"
            )
        seconds = time.perf_counter() - self.clock
        self.start_clock()
        self.metrics.write(
            step,
            {
                "loss": loss,
                "grad_norm": grad_norm,
                "learning_rate": self.rates[step - 1],
                "target_tokens": int(targets),
                "tokens": int(tokens),
                "padding": 1 - tokens / self.slots,
            },
        )
        speed = {"seconds": seconds, "tokens_per_second": tokens / seconds}
        if self.peak:
            computed = self.slots / seconds / self.peak  # padding is computed too, but only tokens are useful
            speed |= {
                "mfu": speed["tokens_per_second"] * self.cost.useful / self.peak,
                "hfu": computed * self.cost.executed,
            }
        self.metrics.time(step, speed)
        self.screen.train(step, self.steps, loss=loss, tokens_per_second=speed["tokens_per_second"])

    def held_out(self, step: int, loss: float, targets: int) -> None:
        """Note the held-out loss after `step` steps."""
        self.metrics.write(step, {"held_out_loss": loss, "held_out_tokens": targets})
        self.screen.note(f"step {step:,}: held-out loss {loss:.4f} over {targets:,} target tokens")
