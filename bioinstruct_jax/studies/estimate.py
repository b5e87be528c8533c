"""What a study will take, before it is run: its grid with rows, steps, hours and cost, and what is missing."""

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from bioinstruct_jax import files
from bioinstruct_jax.config import Train
from bioinstruct_jax.evaluation.runner import planned as planning
from bioinstruct_jax.evaluation.runner.questions import chosen_split
from bioinstruct_jax.reporting.terminal import columns, say
from bioinstruct_jax.resources import shipped_base
from bioinstruct_jax.studies import arms, cells, commands, folder, learners, warmup
from bioinstruct_jax.studies.found import Rows
from bioinstruct_jax.studies.grid import Cell
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import check_folder

HEAD = ("cell", "rows", "target tokens", "steps", "hours", "USD", "state")
UNKNOWN = "?"


@dataclass(frozen=True)
class Speed:
    """How fast a model is tuned.

    Attributes:
        seconds: of a step; None: not known, as `why` says.
        steps: of the rows that it was looked at with; None: not known.
        rows: how many these were; of two arms of one pool, steps are nearly as their rows.
        chips: of the slice; None: this machine.
    """

    seconds: float | None = None
    steps: int | None = None
    rows: int | None = None
    chips: int | None = None
    why: str = ""


def said(job: Study, wanted: Sequence[Cell]) -> str:
    """The grid as a table, the sum, and what is missing or not known.

    Raises ValueError or OSError for settings, or a folder of the study, that cannot be used.
    """
    folder.check(job)
    lost, notes = missing(job)
    if folder.at_work(job):
        notes.append("the study is at work there: a cell that runs is shown as it was before")
    if not lost and (old := arms.stale(job)):
        notes.append(f"the arms that stand there were made of something else, and will be made anew: {'; '.join(old)}")
    notes += folder.changes(job)
    with _rows(job, bool(lost)) as (rows, source):
        if not rows:
            notes.append("the arms are not made yet, which needs what is missing: rows and target tokens are not known")
        lost += _short(job, wanted, rows, source)
        speeds = {one.name: speed(job, one.name, rows, source) for one in job.models}
    notes += [f"{name}: hours are unknown: {one.why}" for name, one in speeds.items() if one.why]
    lines, hours, dollars = [], [], []
    scoring = {cell.model: _scoring(job, cell, wanted) for cell in wanted}
    for cell in wanted:
        state = cells.state(job, cell)
        here = arms.of(rows, cell)
        steps = _steps(job, cell, here, speeds.get(cell.model))
        time = _hours(steps, speeds.get(cell.model), scoring[cell.model]) if cell.kind == "tuned" else None
        if cell.kind != "tuned" and scoring[cell.model] is not None:
            time = (scoring[cell.model] or 0) / 3600
        if state.status == "finished":
            time = (state.seconds or 0) / 3600
        chips = speeds[cell.model].chips if cell.model in speeds else None
        cost = time * chips * job.price if time is not None and chips and job.price else None
        if state.status != "finished":
            hours.append(time)
            dollars.append(cost)
        known = [f"{here.rows:,}", f"{here.target_tokens:,}"] if here else [UNKNOWN] * 2
        tuned = [*known, UNKNOWN if steps is None else f"{steps:,}"] if cell.kind == "tuned" else ["", "", ""]
        lines.append([cell.name, *tuned, _number(time), _number(cost), state.status])
    if any(value is None for value in scoring.values()):
        notes.append("the time of evaluation is not included where no cell of that model is finished yet")
    if job.price is None:
        notes.append("cost is unknown: give --price=USD for a chip and hour")
    elif job.slice is None:
        notes.append("cost is unknown: give --slice=NAME, whose chips are counted")
    sums = [f"{len(wanted)} cells, {len(hours)} to be run"]
    sums += [_sum("hours", hours), _sum("USD", dollars)] if hours else []
    told = [*(f"missing: {one}" for one in lost), *(f"note: {one}" for one in notes)]
    return "\n".join([columns(HEAD, lines), "", ", ".join(sums), *told])


def missing(job: Study) -> tuple[list[str], list[str]]:
    """What the study needs and is not on this machine; and what it does without."""
    lost: dict[str, None] = {}
    notes = []
    for source in job.pool:
        if source.path != "seeds" and not _here(source.path):
            lost[f"rows of the pool: {source.path}"] = None
    for one in job.models:
        tuning = learners.train_settings(one)
        for name, what in ((tuning.model.weights, "weights"), (tuning.tokenizer.path or "tiny", "tokenizer")):
            if name != "tiny" and not _here(name):
                lost[f"{what} of {one.name}: {name}"] = None
    for other in job.comparators:
        for place in (other.model, other.adapter, other.predictions):
            if place is not None and not _here(place):
                lost[f"{'predictions' if other.predictions else 'weights'} of {other.name}: {place}"] = None
    scored, corpora = folder.scored(job), files.path(job.corpora)
    try:
        check_folder(corpora)
    except FileNotFoundError as error:
        lost[str(error)] = None
    left = []
    for name, task in TASKS.items():
        named = name in scored.tasks
        if not (named or "all" in scored.tasks or task.family.category in scored.tasks):
            continue
        split = chosen_split(scored, task, corpora)
        if split is not None and planning.empty(task, split, corpora):
            if named:
                lost[task.empty(split)] = None
            else:
                notes.append(f"not scored: {task.empty(split)}")
        elif split is None and named:
            lost[f"{name}, which is scored: {task.title} ({task.licence.kind}) in {corpora / task.folder}"] = None
        elif split is None:
            left.append(name)
    if left:
        notes.append(f"not there, so not scored: {', '.join(left)} (`prepare --list` says where they are to be had)")
    return list(lost), notes


def _short(job: Study, wanted: Sequence[Cell], rows: Sequence[Rows], source: Path) -> list[str]:
    """Arms whose steps are fewer than the warm-up, once for each model and file."""
    told: dict[tuple[str, str], str] = {}
    for cell in wanted:
        here = arms.of(rows, cell)
        if here is None or (cell.model, here.file) in told:
            continue
        why = warmup.short(commands.training(job, cell), source / here.file, here)
        told[cell.model, here.file] = f"steps for {cell.name}: {why}" if why else ""
    return [one for one in told.values() if one]


def speed(job: Study, learner: str, rows: Sequence[Rows], source: Path) -> Speed:
    """How fast a model is tuned: by `plan` for the study's slice, else as its finished cells were.

    Args:
        rows: of the arms, if they are known; the plan is made for the largest.
        source: folder in which their files stand.
    """
    one = learners.of(job, learner)
    tuning = learners.train_settings(one)
    if job.slice is None:
        return _measured(job, learner, rows)
    largest = max(rows, key=lambda here: here.rows, default=None)
    words = [one.settings, *learners.options(one), "--json", f"--slice={job.slice}"]
    if largest is not None:
        words.append(f"--data.sources=[{{path: {json.dumps(str(source / largest.file))}}}]")
    elif tuning.training.steps is None:
        words.append("--rows=1")  # which gives no hours, but the seconds of a step
    say(f"{learner}: asking plan about {job.slice} ...")
    command = [sys.executable, "-m", "bioinstruct_jax.plan", *words]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if done.returncode not in (0, 1) or not done.stdout.strip():
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        return Speed(why=f"`plan` says: {lines[-1].removeprefix('error: ')}")
    return planned(json.loads(done.stdout)["rows"][0], largest, tuning)


def planned(row: dict[str, Any], largest: Rows | None, tuning: Train) -> Speed:
    """What a row of `plan --json` says, made for the rows of an arm, or for one row if there is none."""
    if row["outcome"] != "fits":
        reason = f" ({row['reason']})" if row.get("reason") else ""
        return Speed(chips=row["chips"], why=f"`plan` says: {row['outcome']} on {row['slice']}{reason}")
    steps = row["steps"] if largest is not None or tuning.training.steps else None
    return Speed(row["step_seconds"], steps, largest.rows if largest else None, row["chips"])


def _measured(job: Study, learner: str, rows: Sequence[Rows]) -> Speed:
    from bioinstruct_jax.studies import grid

    out = folder.place(job)
    for cell in grid.cells(job):
        if cell.model != learner or cell.kind != "tuned":
            continue
        run = out / folder.RUNS / cell.name
        seconds, steps = cells.trained_seconds(run), cells.trained_steps(run)
        if seconds is not None and steps:
            here = arms.of(rows, cell)
            return Speed(seconds / steps, steps, here.rows if here else None)
    return Speed(why="give --slice=NAME, or run one cell")


def _steps(job: Study, cell: Cell, here: Rows | None, known: Speed | None) -> int | None:
    """Steps of a tuned cell: of the settings, or its own, or by its share of rows whose steps are known."""
    if cell.kind != "tuned":
        return None
    if made := cells.trained_steps(folder.place(job) / folder.RUNS / cell.name):
        return made
    training = learners.train_settings(learners.of(job, cell.model)).training
    if training.steps is not None:
        return training.steps
    if here is None or known is None or known.steps is None or not known.rows:
        return None
    return max(1, math.ceil(known.steps * here.rows / known.rows))


def _hours(steps: int | None, known: Speed | None, scoring: float | None) -> float | None:
    if steps is None or known is None or known.seconds is None:
        return None
    return (steps * known.seconds + (scoring or 0)) / 3600


def _scoring(job: Study, cell: Cell, wanted: Sequence[Cell]) -> float | None:
    """Seconds of an evaluation of the same model, as finished cells took; None: none is finished."""
    out = folder.place(job)
    took = [cells.scored_seconds(out / folder.SCORES / one.name) for one in wanted if one.model == cell.model]
    known = [seconds for seconds in took if seconds is not None]
    return fmean(known) if known else None


@contextmanager
def _rows(job: Study, lost: bool) -> Iterator[tuple[list[Rows], Path]]:
    """The rows of the arms and the folder of their files: as they stand there, else made for a look and left nowhere.

    No rows where something is missing to make them of.
    """
    out = folder.place(job)
    if (out / arms.ARMS / arms.INDEX).is_file():
        yield arms.read(out)[0], out
    elif lost:
        yield [], out
    else:
        with tempfile.TemporaryDirectory() as place:
            yield arms.make(replace(job, out=place), say), Path(place)


def _here(name: str) -> bool:
    return "://" in name or shipped_base(name) is not None or files.path(name).exists()


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:,.2f}" if value >= 0.1 else f"{value:.1g}"


def _sum(name: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    more = f" and {len(values) - len(known)} unknown" if len(known) < len(values) else ""
    return f"{name} {sum(known):,.2f}{more}" if known else f"{name} unknown"
