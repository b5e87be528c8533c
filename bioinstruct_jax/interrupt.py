"""Being told to stop: a signal or a platform's notice ends a run after its current step, with everything saved."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import NoReturn

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(Exception):
    """The run was told to stop and has saved what it did; `signal` is the one it got."""

    def __init__(self, signal_: int, step: int):
        super().__init__(f"stopped after step {step}, which is saved; the same command goes on from there")
        self.signal, self.step = signal_, step


class Terminated(KeyboardInterrupt):
    """SIGTERM came while there was nothing to save."""


def leave(code: int) -> NoReturn:
    """End the process at once, without the tidy end that would wait for others or trip over abandoned work."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def exit_code(work: Callable[[], int]) -> int:
    """The exit code of a verb's work: its own; 2 for unusable settings or input; 75 or 130 if told to stop."""
    try:
        return work()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Terminated:
        print("told to stop; the same command goes on", file=sys.stderr)
        return 75
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


class Interrupt:
    """Notes SIGTERM and SIGINT while it is entered; `armed` says whether there is something worth saving.

    While it is not armed, a signal raises Terminated or KeyboardInterrupt at once, as does a second SIGINT at any time.

    Args:
        many: one of several processes: then a notice to any of them stops all after the same step, and SIGTERM is JAX's
            own to catch.
    """

    def __init__(self, many: bool = False) -> None:
        self.many = many
        self.received: int | None = None
        self.armed = False
        self._old: dict[int, object] = {}

    def __enter__(self) -> "Interrupt":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if number == signal.SIGTERM and self.many:
                    continue
                self._old[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        again = self.received == number == signal.SIGINT
        self.received = number
        if not self.armed or again:
            raise Terminated if number == signal.SIGTERM else KeyboardInterrupt
        if self.many:
            os.kill(os.getpid(), signal.SIGTERM)  # JAX tells the others

    def check(self) -> None:
        """Raises for a signal whose exception somebody swallowed: one raised amid a callback is only printed."""
        if self.received is not None:
            raise Terminated if self.received == signal.SIGTERM else KeyboardInterrupt

    def arm(self) -> None:
        """From now on a signal is noted; raises as `check`."""
        self.check()
        self.armed = True

    def due(self, step: int) -> bool:
        """Whether the run shall stop after this step; with several processes the same answer in each."""
        if self.many:
            from jax.experimental import multihost_utils

            if not multihost_utils.reached_preemption_sync_point(step):
                return False
            self.received = self.received or signal.SIGTERM
        return self.received is not None
