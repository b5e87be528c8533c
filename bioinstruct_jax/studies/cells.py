"""How far the cells of a study are, by what stands in their folders."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bioinstruct_jax import files, run_folder, settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.evaluation.runner import folder as scored
from bioinstruct_jax.evaluation.runner import inputs
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.studies import arms, commands, folder, learners, warmup
from bioinstruct_jax.studies.commands import Command
from bioinstruct_jax.studies.found import Rows, State
from bioinstruct_jax.studies.grid import Cell
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.training.metrics import read_rows

SAVED = (75, 130)  # a command that was told to stop has saved what it did
LAST = 3  # lines of a log


def states(job: Study, cells: Sequence[Cell]) -> list[State]:
    """How far each cell is."""
    return [state(job, cell) for cell in cells]


def state(job: Study, cell: Cell) -> State:
    """How far a cell is: finished by the marks of its run and scores, if they have the settings of its commands.

    Raises ValueError for settings of the study that cannot be used.
    """
    out = folder.place(job)
    run, scores, log = (f"{folder.RUNS}/{cell.name}", f"{folder.SCORES}/{cell.name}", f"{folder.LOGS}/{cell.name}.log")
    known = State(
        cell,
        "waiting",
        seconds=_seconds(out / run, out / scores),
        run=run if (out / run).is_dir() else "",
        scores=scores if (out / scores).is_dir() else "",
        log=log if (out / log).is_file() else "",
    )
    try:
        left = ahead(job, cell)
    except RunError as error:
        return replace(known, status="failed", why=str(error))
    if not left:
        return replace(known, status="finished")
    code = ended(out, cell)
    if code not in (None, 0, *SAVED):
        return replace(known, status="failed", why=why(out / log) or f"exit code {code}, and no word of why")
    told = _behind(job, cell, out) or [_kept(out, cell).get("unusable", "")] if left[0].verb == "evaluate" else []
    return replace(known, status="stopped" if known.run or known.scores else "waiting", why="; ".join(told))


class RunError(ValueError):
    """A cell that cannot be run: another run stands in its place and is left as it is, or `train` would refuse."""


def ahead(job: Study, cell: Cell) -> list[Command]:
    """The commands of a cell that are still to be run.

    Raises:
        RunError: its run was made with other settings, of other rows or another base; or its arm is too small.
        ValueError: settings of the study cannot be used.
    """
    out = folder.place(job)
    if cell.kind == "tuned" and not _trained(job, cell, out):
        if told := warmup.short(commands.training(job, cell), arms.file(job, cell), _rows(out, cell)):
            raise RunError(f"{arms.file(job, cell)}: {told}")
        return commands.commands(job, cell)
    return [] if _scored(job, cell, out) else [commands.evaluate(job, cell)]


def begin(job: Study, cell: Cell, ahead: Sequence[Command]) -> None:
    """What stands before commands that are to be run: scores of a cell that is trained first are of an older run."""
    if ahead[0].verb == "train":
        (folder.place(job) / folder.SCORES / cell.name / scored.FINISHED).unlink(missing_ok=True)


def unscored(job: Study, state: State, why: str) -> State:
    """A cell whose scores cannot be used: they are not finished any more, and the reason is kept until they are."""
    out = folder.place(job)
    _keep(out, state.cell, unusable=why)
    (out / folder.SCORES / state.cell.name / scored.FINISHED).unlink(missing_ok=True)
    return replace(state, status="stopped", why=why)


def base(job: Study, cell: Cell) -> None:
    """Keep which base a tuned cell has, when its evaluation begins."""
    if cell.kind == "tuned" and (digest := _base(job, cell)):
        _keep(folder.place(job), cell, base=digest)


def note(out: Path, cell: Cell, code: int) -> None:
    """Keep with which exit code the last command of a cell ended."""
    _keep(out, cell, code=code)


def ended(out: Path, cell: Cell) -> int | None:
    """The exit code of the last command of a cell that a study ran; None: it ran none."""
    return _kept(out, cell).get("code")


def _keep(out: Path, cell: Cell, **told: Any) -> None:
    files.write_text(files.path(_file(out, cell)), json.dumps(_kept(out, cell) | told) + "\n")


def _kept(out: Path, cell: Cell) -> dict[str, Any]:
    return _read(_file(out, cell))


def _file(out: Path, cell: Cell) -> Path:
    return out / folder.LOGS / f"{cell.name}.json"


def _base(job: Study, cell: Cell) -> str:
    return inputs.place(learners.train_settings(learners.of(job, cell.model)).model.weights)


def _moved(cell: Cell, place: Path, new: Evaluate) -> list[str]:
    """What a finished evaluation had read and is another now; what a cell tunes itself, `_trained` looks at."""
    before = scored.read(place)
    return [
        name
        for name, digest in inputs.inputs(new).items()
        if before.get(name, digest) != digest and not (cell.kind == "tuned" and name.startswith(f"{cell.name}/"))
    ]


def _rows(out: Path, cell: Cell) -> Rows | None:
    try:
        return arms.of(arms.read(out)[0], cell)
    except FileNotFoundError:
        return None


def _trained(job: Study, cell: Cell, out: Path) -> bool:
    place = files.path(out / folder.RUNS / cell.name)
    old = run_folder.begun(place)
    if old is None:
        return False
    finished = run_folder.RunFolder(place).finished
    new = commands.training(job, cell)
    if changed := run_folder.changes(_anywhere(old, new) if finished else old, new):
        raise RunError(
            f"{place} was made with other settings ({'; '.join(changed)}): undo the change, or move that folder away, "
            "or give another --out=FOLDER"
        )
    read = _read(place / "data.json")
    used = {one.get("sha256") for one in read.get("sources", ())}
    file = arms.file(job, cell)
    if used and Path(file).is_file() and used != {files.sha256(files.path(file))}:
        raise RunError(
            f"{place} was tuned on other rows than {file} has now: undo what changed them, or move that folder away, "
            "or give another --out=FOLDER"
        )
    base, now = _kept(out, cell).get("base"), _base(job, cell)
    if finished and base and now and base != now:
        raise RunError(
            f"{place} was tuned on another base than {new.model.weights} is now: put that one back, or move that "
            f"folder and {_file(out, cell)} away, or give another --out=FOLDER"
        )
    return finished


def _anywhere(old: Train, new: Train) -> Train:
    """A finished run, wherever the study's folder stood then; its rows are known by their bytes."""
    data = replace(old.data, sources=new.data.sources, cache_dir=new.data.cache_dir)
    return replace(old, runs_dir=new.runs_dir, data=data)


def _scored(job: Study, cell: Cell, out: Path) -> bool:
    return scored.finished(out / folder.SCORES / cell.name) and not _behind(job, cell, out)


def _behind(job: Study, cell: Cell, out: Path) -> list[str]:
    """Why scores that are finished do not count any more; empty where they do, or none are finished."""
    place = out / folder.SCORES / cell.name
    if not scored.finished(place):
        return []
    old = settings.loads(files.read_text(files.path(place / scored.CONFIG)), job=Evaluate, where=str(place))
    new = commands.evaluation(job, cell)
    models = old.models
    if cell.kind == "tuned":  # the run beside it, wherever both stood then
        models = (replace(new.models[0], template=old.models[0].template),)
    tasks = new.tasks if old.tasks == job.scored().tasks else old.tasks  # groups, of a time before they were named
    old = replace(old, out=new.out, corpora=new.corpora, models=models, tasks=tasks)
    changed, moved = settings.changes(old, new), _moved(cell, place, new)
    return [
        *([f"scored with other settings ({'; '.join(changed)})"] if changed else []),
        *([f"{', '.join(moved)}: not what it was when the cell was scored"] if moved else []),
    ]


def _seconds(run: Path, scores: Path) -> float | None:
    """Of the steps of training, and of the evaluation; None: neither is told."""
    told = [trained_seconds(run), scored_seconds(scores)]
    known = [value for value in told if value is not None]
    return sum(known) if known else None


def trained_seconds(run: Path) -> float | None:
    """Of all steps of a run, without loading and compiling; None: not known."""
    file = files.path(run / "timing.jsonl")
    rows = read_rows(file) if file.exists() else []
    return sum(float(row["seconds"] or 0) for row in rows) if rows else None


def trained_steps(run: Path) -> int | None:
    """Steps of a finished run; None: it is not finished."""
    return _read(run / "finished.json").get("steps")


def scored_seconds(scores: Path) -> float | None:
    """Of an evaluation, answers that were kept included; None: not known."""
    found = [_read(file).get("total_evaluation_time_seconds") for file in sorted(scores.glob("*/results_*.json"))]
    return float(found[-1]) if found and found[-1] is not None else None


def _read(file: Any) -> dict[str, Any]:
    try:
        made = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return made if isinstance(made, dict) else {}


def why(log: Path) -> str:
    """The last words of a log: from its last line that begins with 'error' on, else its last lines."""
    try:
        lines = [line.rstrip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return ""
    lines = [line for line in lines if line and not line.startswith("$ ")][-20:]
    said = [number for number, line in enumerate(lines) if line.startswith("error")]
    return "\n".join(lines[said[-1] :][:LAST] if said else lines[-LAST:])
