"""The folder of a study: where its files stand, whose it is, and that one command at a time works in it.

<out>/  study.yaml  evaluation.yaml  history.jsonl  compiled/  arms/
        runs/<cell>/  scores/<cell>/  logs/<cell>.log, <cell>.json
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from bioinstruct_jax import files, settings, yaml12
from bioinstruct_jax.evaluation.runner import planned
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.studies import history
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.tasks.table import TASKS

STUDY, EVALUATION, LOCK = "study.yaml", "evaluation.yaml", "study.lock"
RUNS, SCORES, LOGS, COMPILED = "runs", "scores", "logs", "compiled"
WHICH = ("tasks", "split", "protocols")  # keys of the evaluation by which a group has its tasks


def place(job: Study) -> Path:
    """The folder, which need not be there. Raises ValueError where it is no local one."""
    if not files.is_local(files.path(job.out)):
        raise ValueError(f"out {job.out}: a study stands in a local folder; give --out=FOLDER, and copy it later")
    return Path(files.path(job.out).path)


def begin(job: Study) -> Path:
    """Make the folder, or look whether the one that is there is a study; write its settings and those of evaluation.

    Arms, seeds, models and tasks may be added and taken away: a cell is finished or not by its own folders. What is
    changed after a cell was scored is kept in `history`, and every report tells it.

    Raises:
        ValueError: as `check`.
        OSError: it cannot be read or written.
    """
    out, old = place(job), check(job)
    text = evaluation(replace(job.scored(), tasks=_kept(job, out) or _named(job)))
    if old is not None:
        history.note(out, old, job, len(_scored_cells(out)))
    files.write_text(files.path(out / STUDY), settings.dump(job))
    files.write_text(files.path(out / EVALUATION), text)
    return out


def check(job: Study) -> Study | None:
    """The settings that the study in the folder had before; None where it begins.

    Raises:
        ValueError: the folder holds something else, or hypotheses were changed after a cell had been scored.
        OSError: it cannot be read.
    """
    out = place(job)
    if out.exists() and not out.is_dir():
        raise ValueError(f"out {out}: this is a file; give another --out=FOLDER")
    if not (out / STUDY).is_file():
        if out.is_dir() and any(one.name != LOCK for one in out.iterdir()):
            raise ValueError(f"out {out} is no study and not empty: nothing is overwritten. Give another --out=FOLDER")
        return None
    old = settings.loads(files.read_text(files.path(out / STUDY)), job=Study, where=str(out / STUDY))
    _declared(old, job, out, _scored_cells(out))
    return old


def _scored_cells(out: Path) -> list[str]:
    """Names of the cells that are or were scored."""
    found = {one.parent.parent.name for one in out.glob(f"{SCORES}/*/*/results_*.json")}
    return sorted(found | {one.parent.name for one in out.glob(f"{SCORES}/*/finished.json")})


def scored(job: Study) -> Evaluate:
    """The evaluation that every cell has, its tasks by the names that they had when the study began.

    So that every cell scores the same tasks, whatever corpora come and go. Before it began: as declared.
    """
    declared = job.scored()
    return replace(declared, tasks=_kept(job, place(job)) or declared.tasks)


def evaluation(scored: Evaluate) -> str:
    """The settings of every cell's evaluation, as YAML; folder and model are given with each."""
    keys = yaml12.read(settings.dump(scored)).value
    assert isinstance(keys, dict)
    return yaml12.write({name: value for name, value in keys.items() if name not in ("out", "models")})


def changes(job: Study) -> list[str]:
    """What a reader must know of how it came about: what was changed after scores, and which corpora since then."""
    told = history.told(place(job))
    kept, now = _kept(job, place(job)), _named(job)
    if kept and files.path(job.corpora).is_dir():
        for names, what in ((set(now) - set(kept), "have come"), (set(kept) - set(now), "are gone")):
            if names:
                told.append(
                    f"corpora of {', '.join(sorted(names))} {what} since the study began: every cell scores the tasks "
                    f"of {EVALUATION}, as it was then"
                )
    return told


def _kept(job: Study, out: Path) -> tuple[str, ...] | None:
    """The tasks of the study that stands in a folder, by name; None where it has others, or groups."""
    try:
        texts = [files.read_text(files.path(out / name)) for name in (STUDY, EVALUATION)]
        tasks, which = _read(*texts)
    except (FileNotFoundError, KeyError):
        return None
    same = all(which[key] == _plain(job.evaluation.get(key)) for key in WHICH)
    return tasks if same and all(name in TASKS for name in tasks) else None


@lru_cache(maxsize=4)  # it is asked for each cell
def _read(study: str, evaluation: str) -> tuple[tuple[str, ...], dict[str, object]]:
    """The tasks that stand in the text of an evaluation, and what the text of its study declares of them."""
    declared, written = yaml12.read(study).value, yaml12.read(evaluation).value
    assert isinstance(declared, dict)
    assert isinstance(written, dict)
    return tuple(written["tasks"]), {key: _plain(declared["evaluation"].get(key)) for key in WHICH}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, list | tuple) else value


def _named(job: Study) -> tuple[str, ...]:
    """The tasks by name, groups as what of them is there; as they are declared where nothing is."""
    declared = job.scored()
    if all(name in TASKS for name in declared.tasks) or not files.path(job.corpora).is_dir():
        return declared.tasks
    return planned.names(declared, files.path(job.corpora)) or declared.tasks


@contextmanager
def claimed(job: Study) -> Iterator[int]:
    """The folder is this command's, and that of the commands which it starts, as long as one of them runs.

    Yields the descriptor that they are to inherit.

    Raises:
        ValueError: another command works there, or no folder can be made.
        OSError: the folder cannot be written.
    """
    out = place(job)
    if out.is_file():
        raise ValueError(f"out {out}: this is a file; give another --out=FOLDER")
    if wrong := files.hindrance(files.path(out)):
        raise ValueError(f"out {out}: {wrong}; give another --out=FOLDER")
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


def at_work(job: Study) -> bool:
    """Whether a study, or a cell that it began, is at work in the folder.

    One that begins in the very instant of the question is refused as if another were.
    """
    try:
        descriptor = os.open(place(job) / LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _declared(old: Study, job: Study, out: Path, scored: Sequence[str]) -> None:
    """Raises ValueError where hypotheses are others than those declared before the first cell was scored."""
    if scored and (changed := settings.changes({"hypotheses": old.hypotheses}, {"hypotheses": job.hypotheses})):
        raise ValueError(
            f"out {out}: cells are scored already ({', '.join(scored[:3])}), and hypotheses are declared before that "
            f"({'; '.join(changed)}): undo the change, or give another --out=FOLDER"
        )
