"""What each arm is tuned on, as files that `train` reads.

<out>/arms/  <arm>-natural.jsonl  <arm>-matched-s<seed>.jsonl  <arm>-<share>-s<seed>.jsonl   rows, in alpaca form
             removed.jsonl   rows of the pool that were left out, and why
             arms.json       what is in these files, and what they were made of; written last

Rows of a restricted licence say so in their file, as `prepare` writes them, and go nowhere else.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from upath import UPath

from bioinstruct_jax import files, settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.data import readers
from bioinstruct_jax.data import tokenizer as tokenizers
from bioinstruct_jax.data.output.shards import Sink
from bioinstruct_jax.data.prompts import Template, template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation.contamination import DATA
from bioinstruct_jax.evaluation.runner import inputs
from bioinstruct_jax.evaluation.runner.job import Shots
from bioinstruct_jax.evaluation.runner.planned import Planned, planned
from bioinstruct_jax.studies import folder, grid, matching, unmatched
from bioinstruct_jax.studies import pool as pools
from bioinstruct_jax.studies.found import Rows
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.studies.learners import train_settings
from bioinstruct_jax.studies.pool import Pool

ARMS, INDEX, REMOVED = "arms", "arms.json", "removed.jsonl"
VERSION = 1  # raise it when the same pool and settings would give other rows
ADVICE = "Give the study another out, or take these runs and their scores away"


@dataclass(frozen=True)
class _Made:
    """What stands in `INDEX`."""

    made_of: dict[str, Any]
    rows: list[Rows]
    removed: dict[str, int]


@dataclass(frozen=True, eq=False)
class _Part:
    """Rows of one file: their places in the pool."""

    arm: str
    size: str
    seed: int | None
    places: np.ndarray

    @property
    def name(self) -> str:
        return _name(self.arm, self.size, self.seed)


def make(job: Study, told: Callable[[str], None]) -> list[Rows]:
    """Makes the files of all arms, or reads what is there where nothing that they depend on has changed.

    Args:
        told: a line of what is done.

    Raises:
        FileNotFoundError, ValueError: the pool, the corpora or the settings cannot be used; an arm is empty; arms
            cannot be matched; or a file that a run was tuned on would change. Says what, where and what to do.
        OSError: a file cannot be written.
    """
    out = folder.place(job)
    train, form, plan, notes = _ground(job)
    made_of = _made_of(job, train, form, plan)
    before = _index(out)
    if before and before.made_of == made_of and _whole(out, before):
        return before.rows
    for note in notes:
        told(f"evaluation: {note}")
    pool = pools.read(job, train, form, form.tokenizer, plan, told)
    parts = list(_parts(job, pool, told))
    _refuse_changes(job, out, pool, parts, before, made_of)
    rows = [_write(out, part, pool) for part in parts]
    told(f"arms: {len(rows)} files of rows")
    for note in unmatched.notes(job, rows, out):
        told(note)
    lines = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in pool.told)
    files.write_text(files.path(out / ARMS / REMOVED), lines)
    index = {"made_of": made_of, "rows": [asdict(one) for one in rows], "removed": pool.removed}
    files.write_text(files.path(out / ARMS / INDEX), json.dumps(index, ensure_ascii=False, indent=1) + "\n")
    files.settle(files.path(out / ARMS / INDEX))
    return rows


def read(out: Path) -> tuple[list[Rows], dict[str, int]]:
    """What the arms of a study's folder have, and the rows of the pool that were left out, by reason.

    Raises:
        FileNotFoundError: there is no index of arms, or it was being written when the machine died.
    """
    found = _index(out)
    if found is None:
        raise FileNotFoundError(f"{out / ARMS / INDEX}: not there, or cut off. Run the study, which makes it")
    return found.rows, found.removed


def stale(job: Study) -> list[str]:
    """What the arms in the study's folder were made of and would not be now, a line each; raises as `make`."""
    before = _index(folder.place(job))
    if before is None:
        return []
    train, form, plan, _ = _ground(job)
    return settings.changes(before.made_of, _made_of(job, train, form, plan))


def file(job: Study, cell: grid.Cell) -> Path:
    """The rows of a tuned cell. Raises ValueError for another one, which is tuned on nothing."""
    return folder.place(job) / ARMS / name(cell)


def name(cell: grid.Cell) -> str:
    """The file's name; raises as `file`."""
    if cell.kind != "tuned":
        raise ValueError(f"cell {cell.name}: a {cell.kind} is tuned on nothing")
    return _name(cell.arm, cell.size, cell.seed)


def of(rows: Sequence[Rows], cell: grid.Cell) -> Rows | None:
    """What a tuned cell's rows are, of those of all arms; None for another one, or where they are not there."""
    for one in rows:
        if (one.arm, one.size) == (cell.arm, cell.size) and one.seed in (None, cell.seed):
            return one
    return None


def _ground(job: Study) -> tuple[Train, Template, list[Planned], list[str]]:
    """What arms are made on: settings of training, the template with its tokenizer, what is scored, and notes on it."""
    train = train_settings(job.models[0])
    scored = replace(folder.scored(job), limit=None, shots=Shots())  # every item that might be asked, shots aside
    plan, notes = planned(scored, files.path(job.corpora))
    return train, template(train.data.template, tokenizers.of_job(train)), plan, notes


def _name(arm: str, size: str, seed: int | None) -> str:
    return f"{arm}-natural.jsonl" if size == "natural" else f"{arm}-{size}-s{seed}.jsonl"


def _parts(job: Study, pool: Pool, told: Callable[[str], None]) -> Iterator[_Part]:
    """The rows of every file: natural, matched by seed, shares of the curve by seed."""
    of_arm = {arm.name: pool.of(arm) for arm in job.arms}
    of_size = {size: [arm.name for arm in job.arms if size in job.sizes_of(arm)] for size in job.sizes}
    for name in of_size.get("natural", ()):
        yield _Part(name, "natural", None, of_arm[name])
    ids = {name: [pool.records[place].id for place in places] for name, places in of_arm.items()}
    if matched := of_size.get("matched"):
        lengths = {name: pool.target_tokens[of_arm[name]] for name in matched}
        wanted = matching.target(lengths, job.match.rows, job.match.tolerance)
        told(
            f"arms: matched ones have {wanted.rows:,} rows and {wanted.tokens:,} target tokens, up to "
            f"{wanted.within:,.0f}; at most {wanted.most:,} rows could be matched"
        )
        for seed in job.seeds:
            for name in matched:
                drawn = matching.draw(ids[name], lengths[name], wanted, seed=job.seed, arm=name, training=seed)
                yield _Part(name, "matched", seed, of_arm[name][drawn.places])
    if job.curve is not None:
        name = job.curve.arm
        for seed in job.seeds:
            for share in sorted(job.curve.shares):
                taken = matching.part(ids[name], share, seed=job.seed, arm=name, training=seed)
                yield _Part(name, format(share, "g"), seed, of_arm[name][taken])


def _lines(part: _Part, pool: Pool) -> Iterator[bytes]:
    for place in part.places.tolist():
        yield _line(pool.records[place])


def _line(record: Record) -> bytes:
    row = {"id": record.id, "licence": "restricted"} if record.restricted else {"id": record.id}
    row |= {"instruction": record.instruction, "input": record.input, "output": record.output}
    row |= {"category": record.category} | ({"system": record.system} if record.system else {})
    return (json.dumps(row) + "\n").encode()


def _digest(lines: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()


def _write(out: Path, part: _Part, pool: Pool) -> Rows:
    """Writes the file of a part."""
    with Sink(files.path(out / ARMS / part.name)) as sink:
        for line in _lines(part, pool):
            sink.write(line)
    categories: dict[str, tuple[int, int]] = {}
    for place in part.places.tolist():
        category = pools.shown_category(pool.records[place])
        rows, tokens = categories.get(category, (0, 0))
        categories[category] = rows + 1, tokens + int(pool.target_tokens[place])
    return Rows(
        arm=part.arm,
        size=part.size,
        seed=part.seed,
        file=f"{ARMS}/{part.name}",
        sha256=sink.digest.hexdigest(),
        rows=len(part.places),
        target_tokens=int(pool.target_tokens[part.places].sum()),
        categories=categories,
    )


def _made_of(job: Study, train: Train, form: Template, plan: Sequence[Planned]) -> dict[str, Any]:
    """All that the files depend on, as plain JSON."""
    given = {
        "version": VERSION,
        "pool": [asdict(source) | {"sha256": readers.digest(source)} for source in job.pool],
        "arms": {arm.name: asdict(arm) for arm in job.arms},
        "sizes": sorted(job.sizes),
        "match": asdict(job.match),
        "curve": asdict(job.curve) if job.curve else None,
        "seeds": job.seeds,
        "seed": job.seed,
        "contamination": asdict(job.contamination),
        "evaluated": {f"{one.task.name}/{one.split}": inputs.corpus(one.task, one.split, one.corpora) for one in plan},
        "tokenizer": tokenizers.fingerprint(form.tokenizer),
        "template": form.hash,
        "data": {key: getattr(train.data, key) for key in ("length", "over_length", "on_bad_row")},
    }
    return json.loads(json.dumps(given))


def _index(out: Path) -> _Made | None:
    """What was made before; None where it was not finished."""
    try:
        told = json.loads(files.read_text(files.path(out / ARMS / INDEX)))
        rows = [
            Rows(**{**one, "categories": {name: tuple(two) for name, two in one["categories"].items()}})
            for one in told["rows"]
        ]
        return _Made(told["made_of"], rows, told["removed"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # torn, or of another version
        return None


def _whole(out: Path, made: _Made) -> bool:
    """Whether every file is there and what it was."""
    places = [(files.path(out / one.file), one.sha256) for one in made.rows]
    return all(place.is_file() and files.sha256(place) == sha256 for place, sha256 in places)


def _refuse_changes(
    job: Study, out: Path, pool: Pool, parts: Sequence[_Part], before: _Made | None, made_of: dict[str, Any]
) -> None:
    """Raises ValueError if a run was tuned on a file that would become another one."""
    by_name = {part.name: part for part in parts}
    digests: dict[str, str] = {}
    moved: list[str] = []
    for cell in grid.cells(job):
        if cell.kind != "tuned" or not (read_ := _read_by(files.path(out / folder.RUNS / cell.name))):
            continue
        name = file(job, cell).name
        if name not in digests:
            digests[name] = _digest(_lines(by_name[name], pool))
        if digests[name] != read_:
            moved.append(cell.name)
    if moved:
        why = settings.changes(before.made_of, made_of) if before else []
        more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
        raise ValueError(
            f"{out / ARMS}: the rows that {', '.join(moved[:3])}{more} in {out / folder.RUNS} were tuned on would "
            "change. " + (f"What is new: {'; '.join(why[:8])}. " if why else "") + ADVICE
        )


def _read_by(run: UPath) -> str:
    """SHA-256 of the rows that a run read; empty where it has not come so far."""
    try:
        return json.loads(files.read_text(run / DATA))["sources"][0]["sha256"]
    except (FileNotFoundError, ValueError, KeyError, IndexError, TypeError):
        return ""
