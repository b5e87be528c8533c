"""What a run is doing right now: a live bar on a terminal, plain lines elsewhere.

Everything goes to standard error, so that standard output holds results only.
"""

import io
import os
import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as Bar
    from rich.progress import TaskID


class Progress:
    """Progress of a run, phase by phase (loading, tokenising, compiling, training, saving).

        with Progress() as progress:
            progress.phase("compiling")
            progress.phase("training")
            progress.train(step, steps, loss=..., tokens_per_second=...)

    Args:
      stream: where to write; standard error if none is given.
      live: draw a bar; None: if the stream is a terminal that can.
      every: seconds between the plain lines of a phase.
      silent: write nothing, in a process that is not the first of its job.
    """

    def __init__(
        self, *, stream: TextIO | None = None, live: bool | None = None, every: float = 10.0, silent: bool = False
    ) -> None:
        self._every = every
        self._stream = io.StringIO() if silent else stream or sys.stderr
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._name, self._began, self._printed = "", 0.0, 0.0
        self._previous: tuple[float, int] | None = None  # when which step was reported in this phase
        self._done, self._seconds = 0, 0.0  # steps trained in this process, and how long they took
        if live or (live is None and self._stream.isatty() and os.environ.get("TERM") != "dumb"):
            self._bar = _bar(self._stream)

    def __enter__(self) -> "Progress":
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._end("stopped after" if kind else "done in")
        if self._bar:
            self._bar.stop()

    def phase(self, name: str) -> None:
        """End the phase that is running and begin the next."""
        self._end("done in")
        self._name, self._began, self._previous = name, time.monotonic(), None
        self._printed = self._began
        if self._bar:
            self._task = self._bar.add_task(name, total=None, text="")
        else:
            self._line(f"{name} ...")

    def within(self, phase: str, done: int, total: int) -> None:
        """So much of `phase` is done; begins it if another one is running."""
        if phase != self._name:
            self.phase(phase)
        self.update(done, total)

    def update(self, done: int, total: int) -> None:
        """So much of this phase is done, e.g. rows tokenised."""
        self._show(done, total, f"{done:,} of {total:,}", last=False)

    def told(self, done: int, total: int, text: str) -> None:
        """So much of this phase is done, in words of the caller."""
        self._show(done, total, text, last=done >= total)

    def train(self, step: int, steps: int, *, loss: float, tokens_per_second: float) -> None:
        """A step is done: `step` counts from 1 to `steps`, `loss` is nats a target token."""
        now = time.monotonic()
        if self._previous:
            self._seconds += now - self._previous[0]
            self._done += step - self._previous[1]
        self._previous = now, step
        text = f"step {step:,} of {steps:,}  loss {loss:.4f}  {tokens_per_second:,.0f} tokens/s"
        if self._done:
            text += f"  {duration((steps - step) * self._seconds / self._done)} left"
        self._show(step, steps, text, last=step >= steps)

    def note(self, text: str) -> None:
        """A line that stays, above the bar."""
        if self._bar:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._line(text)

    def _show(self, done: int, total: int, text: str, *, last: bool) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, completed=done, total=total, text=text)
        elif not self._bar and (last or time.monotonic() - self._printed >= self._every):
            self._printed = time.monotonic()
            self._line(f"{self._name}: {text}")

    def _end(self, how: str) -> None:
        if not self._name:
            return
        if self._bar and self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self.note(f"{self._name} {how} {duration(time.monotonic() - self._began)}")
        self._name = ""

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """Seconds for people: '0.4 s', '42 s', '3 min 05 s', '2 h 07 min'."""
    whole = round(seconds)
    if whole < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _bar(stream: TextIO) -> "Bar":
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    return Bar(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        console=Console(file=stream, force_terminal=True),
        redirect_stdout=False,  # results go to standard output, which may be a file
    )
