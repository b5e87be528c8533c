"""The folder of a demonstration: whose it is, who is at work in it, and what it says of itself.

<out>/  settings.yaml  README.md  instructions/ (of `generate`)  rows/train.jsonl  corpora/own-instructions/test.jsonl
        runs/tuned/ (of `train`)  scores/ (of `evaluate`)  logs/  finished.json
"""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bioinstruct_jax import files, settings
from bioinstruct_jax.demonstration.job import Demo
from bioinstruct_jax.demonstration.rows import Parted
from bioinstruct_jax.reporting.terminal import say

SETTINGS, README, FINISHED, LOCK = "settings.yaml", "README.md", "finished.json", ".lock"
INSTRUCTIONS, TRAIN, CORPORA, RUNS, RUN, SCORES = (
    "instructions",
    "rows/train.jsonl",
    "corpora",
    "runs",
    "tuned",
    "scores",
)
TRUE = """\
The teacher's text is composed by a script, by rule; no language model wrote it, and it stands for none. All else is
real: the requests and the filters, the tuning, the answers, the scores with their intervals and tests. The rows that
are held out are of the same few kinds of task as those to tune on, though none shares its text with one: what tuning
gains here is skill at the script's tasks, and says nothing of medicine or of other instructions."""

YOURS = """\
The same on your rows, {"instruction": ..., "input": ..., "output": ...} in JSON lines: those to tune on in
MINE/train.jsonl, those to be asked in MINE/own-instructions/test.jsonl; then

    python -m bioinstruct_jax.train demo --name=mine --data.sources.0.path=MINE/train.jsonl
    python -m bioinstruct_jax.evaluate demo --corpora=MINE --models.0.model=small --models.1.adapter=runs/mine \\
        --out=scores"""


def begin(job: Demo) -> Path:
    """Make the folder, or look whether the one that is there is this demonstration's.

    Raises:
        ValueError: it is no local folder, holds something else, or was made with other settings.
    """
    if "://" in job.out:
        raise ValueError(f"out {job.out}: the demo needs a local folder; give another --out=FOLDER")
    out = Path(files.path(job.out).path)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out {out}: this is a file; give another --out=FOLDER")
    saved = out / SETTINGS
    if saved.is_file():
        made = settings.loads(files.read_text(files.path(saved)), job=Demo, where=str(saved))
        if different := settings.changes(replace(made, out=job.out), job):
            raise ValueError(f"{out} was made with other settings ({'; '.join(different)}). Give another --out=FOLDER")
    elif out.is_dir() and any(file.name != LOCK for file in out.iterdir()):
        raise ValueError(f"out {out} is no demo and not empty: nothing is overwritten. Give another --out=FOLDER")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out {out}: no folder can be made there ({error.strerror}); give another one") from error
    return out


@contextmanager
def locked(out: Path) -> Iterator[int]:
    """Hold the folder alone, waiting for whoever does now; yields the lock's descriptor, for stages to hold it too."""
    descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another demo, or the last stage of one that was killed, is at work in {out}: waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def finished(out: Path) -> bool:
    """Whether all stages were done; what they made is still there."""
    try:
        json.loads((out / FINISHED).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # torn while the machine died
        return False
    return (out / SCORES / "report.html").is_file()


def finish(out: Path, parted: Parted, commands: list[str]) -> None:
    """Write what the folder is, and last that it is finished."""
    lines = "\n".join(f"    {command}" for command in commands)
    (out / README).write_text(
        f"# A demonstration of bioinstruct-jax\n\n{TRUE}\n\n{parted.said()}\n\n{paths(out)}\n\n"
        f"The commands, of which the first has to go on while the second is at work:\n\n{lines}\n\n{YOURS}\n",
        encoding="utf-8",
    )
    told = {"held_out": parted.held_out, "tuned_on": parted.tuned_on, "met": parted.met, "commands": commands}
    (out / FINISHED).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def paths(out: Path) -> str:
    """Where a reader looks."""
    return "\n".join(
        (
            f"instructions  {out / INSTRUCTIONS / 'report.html'}",
            f"tuning        {out / RUNS / RUN / 'report.html'}",
            f"answers       {out / SCORES}/base and {out / SCORES}/tuned, samples_*.jsonl",
            f"report        {out / SCORES / 'report.html'}",
        )
    )
