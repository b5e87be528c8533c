"""The cells of a study, run as the commands that they are: one after the other, or several at once."""

import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bioinstruct_jax.interrupt import Interrupt, Terminated
from bioinstruct_jax.reporting.progress import Progress, duration
from bioinstruct_jax.reporting.terminal import harmless
from bioinstruct_jax.studies import cells, folder
from bioinstruct_jax.studies.commands import Command, line
from bioinstruct_jax.studies.grid import Cell
from bioinstruct_jax.studies.job import Study

PYTHON = (sys.executable, "-m")
POLL = 0.2  # seconds between looks at the commands that run
COMPILED_FROM = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
SHOWN = 100  # letters of a log's last line
STOPPED = {-signal.SIGTERM: 75, -signal.SIGINT: 130}  # of a command that was told to stop before it could listen


@dataclass
class Running:
    """A cell whose command runs."""

    cell: Cell
    commands: deque[Command]
    log: Path
    began: float = 0.0  # of its first command, as `time.monotonic` says
    process: subprocess.Popen[bytes] | None = None


def run(job: Study, wanted: Sequence[Cell], at_once: int, claim: int, progress: Progress, interrupt: Interrupt) -> None:
    """Run what is not finished of some cells. A cell that fails is told, and the next is run.

    Args:
        at_once: cells that run at the same time.
        claim: descriptor that holds the study's folder; commands inherit it, and hold the folder while they run.
        interrupt: entered; a signal is passed on to the commands, which save and end, and then raised.

    Raises:
        KeyboardInterrupt, Terminated: the signal came.
        ValueError: settings of the study that cannot be used.
        OSError: a log cannot be written.
    """
    out = folder.place(job)
    waiting: deque[Running] = deque()
    for cell in wanted:
        try:
            ahead = cells.ahead(job, cell)
        except cells.RunError as error:
            progress.note(f"{cell.name}: failed: {error}")
            continue
        if ahead:
            cells.begin(job, cell, ahead)
            waiting.append(Running(cell, deque(ahead), out / folder.LOGS / f"{cell.name}.log"))
    if not waiting:
        return
    total, done = len(waiting), 0
    active: list[Running] = []
    progress.phase("running")
    interrupt.arm()
    passed = None  # the signal that commands were sent
    try:
        while active or (waiting and not interrupt.received):
            while waiting and len(active) < at_once and not interrupt.received:
                active.append(waiting.popleft())
                _start(job, active[-1], claim)
            if interrupt.received and passed is None:
                passed = interrupt.received
                progress.note("told to stop: waiting for what runs to save and end")
                _tell(active, passed)
            for one in list(active):
                if (code := _ended(out, one, passed)) is None:
                    continue
                if code == 0 and one.commands and not interrupt.received:
                    _start(job, one, claim)
                    continue
                active.remove(one)
                done += code not in cells.SAVED
                progress.note(_told(one, code, out))
            progress.told(done, total, _doing(done, total, active))
            time.sleep(POLL)
    except KeyboardInterrupt:  # a second Ctrl-C
        _tell(active, signal.SIGINT)
        for one in active:
            if one.process:
                one.process.wait()
        raise
    finally:
        interrupt.armed = False
    if interrupt.received:
        raise Terminated if interrupt.received == signal.SIGTERM else KeyboardInterrupt


def compiled(job: Study) -> dict[str, str]:
    """This environment, in which cells share the programs that XLA compiles, unless it says where they are kept."""
    own = {"JAX_COMPILATION_CACHE_DIR": str((folder.place(job) / folder.COMPILED).absolute()), COMPILED_FROM: "0.2"}
    return dict(os.environ) if "JAX_COMPILATION_CACHE_DIR" in os.environ else own | os.environ


def _start(job: Study, one: Running, claim: int) -> None:
    """Begin the next command of a cell, in a session of its own: a Ctrl-C comes from us, and once."""
    command = one.commands.popleft()
    one.began = one.began or time.monotonic()
    if command.verb == "evaluate":
        cells.base(job, one.cell)
    one.log.parent.mkdir(parents=True, exist_ok=True)
    with one.log.open("ab") as log:
        log.write(f"$ {line([command])}\n".encode())
        log.flush()
        one.process = subprocess.Popen(
            [*PYTHON, f"bioinstruct_jax.{command.verb}", *command.words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=compiled(job),
            pass_fds=(claim,),
        )


def _tell(active: Sequence[Running], number: int) -> None:
    for one in active:
        if one.process:
            one.process.send_signal(number)


def _ended(out: Path, one: Running, passed: int | None) -> int | None:
    """The exit code of a cell's command, which is kept; None while it runs."""
    assert one.process is not None
    code = one.process.poll()
    if code is None:
        return None
    if passed is not None:
        code = STOPPED.get(code, code)
    cells.note(out, one.cell, code)
    return code


def _told(one: Running, code: int, out: Path) -> str:
    took = duration(time.monotonic() - one.began)
    if code == 0 and not one.commands:
        return f"{one.cell.name}: finished in {took}"
    if code in (0, *cells.SAVED):
        return f"{one.cell.name}: stopped after {took}; the same command goes on"
    why = cells.why(one.log).partition("\n")[0]
    return f"{one.cell.name}: failed after {took}, exit code {code}: {why} (all of it: {one.log})"


def _doing(done: int, total: int, active: Sequence[Running]) -> str:
    now = "; ".join(f"{one.cell.name}: {_last(one.log)}" for one in active)
    return f"{done} of {total} cells  {now}"


def _last(log: Path) -> str:
    """The last line of a log, short and harmless to a terminal."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 2000))
        lines = file.read().decode("utf-8", errors="replace").split("\n")
    said = [text.rsplit("\r", 1)[-1].strip() for text in lines if text.strip() and not text.startswith("$ ")]
    return harmless(said[-1])[:SHOWN] if said else "starting"
