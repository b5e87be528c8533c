"""A stage: a verb run as a command, shown, heard, told of signals, and never left behind."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

from bioinstruct_jax.interrupt import Terminated


class StageError(Exception):
    """A verb ended with a code that is not 0: `code`, and its last words."""

    def __init__(self, verb: str, code: int, words: str):
        super().__init__(f"{verb} ended with code {code}: {words}")
        self.code = code


def shown(verb: str, words: list[str]) -> str:
    """The command of a stage, as a shell takes it."""
    return f"python -m bioinstruct_jax.{verb} {shlex.join(words)}"


def run(verb: str, words: list[str], log: Path, lock: int) -> None:
    """Run a verb to its end; what it says goes to the screen and to `log`.

    A signal that ends this process is passed on once, and the verb's tidy end awaited; a second one kills the verb. The
    hub is not asked for anything. The verb holds the lock of the folder too, so that a call made after this process was
    killed begins when nobody writes there any more.

    Args:
        lock: descriptor of the folder's lock.

    Raises:
        StageError: the verb failed.
        KeyboardInterrupt: this process was told to stop (Terminated: by SIGTERM).
    """
    print(f"\n$ {shown(verb, words)}", flush=True)
    log.parent.mkdir(exist_ok=True)
    with (
        log.open("w", encoding="utf-8") as kept,
        subprocess.Popen(
            [sys.executable, "-m", f"bioinstruct_jax.{verb}", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            env=os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONIOENCODING": "utf-8"},
            start_new_session=True,  # Ctrl-C comes here alone, and is passed on once
            pass_fds=(lock,),
        ) as child,
    ):
        assert child.stdout is not None
        last = ""
        try:
            try:
                for line in child.stdout:
                    last = line.strip() or last
                    kept.write(line)
                    print(f"  {line}", end="", flush=True)
            except KeyboardInterrupt as stop:
                child.send_signal(signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)
                kept.write(child.stdout.read())
                child.wait()
                raise
            code = child.wait()
        except BaseException:
            child.kill()  # which does nothing to one that has ended
            raise
    if code:
        raise StageError(verb, 128 - code if code < 0 else code, last or "it said nothing")
