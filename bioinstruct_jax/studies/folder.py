"""The folder of a study: where its files stand, whose it is, and that one command at a time works in it.

<out>/  study.yaml  evaluation.yaml  arms/  runs/<cell>/  scores/<cell>/  logs/<cell>.log, <cell>.json
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bioinstruct_jax import files, settings, yaml12
from bioinstruct_jax.studies.job import Study

STUDY, EVALUATION, LOCK = "study.yaml", "evaluation.yaml", "study.lock"
RUNS, SCORES, LOGS = "runs", "scores", "logs"


def place(job: Study) -> Path:
    """The folder, which need not be there. Raises ValueError where it is no local one."""
    if "://" in job.out:
        raise ValueError(f"out {job.out}: the files of a study are written line by line: give a local folder")
    return Path(files.path(job.out).path)


def begin(job: Study) -> Path:
    """Make the folder, or look whether the one that is there is a study; write its settings and those of evaluation.

    Arms, seeds, models and tasks may be added and taken away: a cell is finished or not by its own folders.

    Raises:
        ValueError: it holds something else; or hypotheses were changed after a cell had been scored.
        OSError: it cannot be written.
    """
    out = place(job)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out {out}: this is a file; give another --out=FOLDER")
    if out.is_dir() and any(one.name != LOCK for one in out.iterdir()) and not (out / STUDY).is_file():
        raise ValueError(f"out {out} is no study and not empty: nothing is overwritten. Give another --out=FOLDER")
    if (out / STUDY).is_file():
        _declared(job, out)
    files.write_text(files.path(out / STUDY), settings.dump(job))
    files.write_text(files.path(out / EVALUATION), evaluation(job))
    return out


def evaluation(job: Study) -> str:
    """The settings of every cell's evaluation, as YAML; folder and model are given with each."""
    keys = yaml12.read(settings.dump(job.scored())).value
    assert isinstance(keys, dict)
    return yaml12.write({name: value for name, value in keys.items() if name not in ("out", "models")})


@contextmanager
def claimed(job: Study) -> Iterator[int]:
    """The folder is this command's, and that of the commands which it starts, as long as one of them runs.

    Yields the descriptor that they are to inherit.

    Raises:
        ValueError: another command works there.
        OSError: the folder cannot be written.
    """
    out = place(job)
    if out.is_file():
        raise ValueError(f"out {out}: this is a file; give another --out=FOLDER")
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"out {out}: another study is at work there, or a cell that it began; wait for it, or end it"
            ) from None
        yield descriptor
    finally:
        os.close(descriptor)


def _declared(job: Study, out: Path) -> None:
    """Raises ValueError where hypotheses are others than those declared before the first cell was scored."""
    old = settings.loads(files.read_text(files.path(out / STUDY)), job=Study, where=str(out / STUDY))
    scored = sorted(one.parent.name for one in out.glob(f"{SCORES}/*/finished.json"))
    if scored and (changed := settings.changes({"hypotheses": old.hypotheses}, {"hypotheses": job.hypotheses})):
        raise ValueError(
            f"out {out}: cells are scored already ({', '.join(scored[:3])}), and hypotheses are declared before that "
            f"({'; '.join(changed)}): undo the change, or give another --out=FOLDER"
        )
