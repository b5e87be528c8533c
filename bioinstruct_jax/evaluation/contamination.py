"""Which items of an evaluation stand in what a model was tuned on: all of its rows that can still be read.

The items of all tasks are looked up at once, so that the rows stream by once, however many tasks there are. Words are
compared in their order (`tasks.held_out`): an item that was thoroughly rephrased is not found, nor one of fewer than 8
words.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from upath import UPath

from bioinstruct_jax import files, settings
from bioinstruct_jax.config import Source, Train
from bioinstruct_jax.data import readers
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation.runner.job import Contamination
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.tasks.compared import Texts, free
from bioinstruct_jax.tasks.held_out import TESTS, Items, Met
from bioinstruct_jax.tasks.task import Task

SETTINGS, DATA = "config.yaml", "data.json"  # of a run folder
MADE = ("adapter", "model")  # folders in it


@dataclass(frozen=True)
class TuningSource:
    """Rows that a model was tuned on.

    Attributes:
        path: as its run or the user names it; of a model that says nothing of its rows, that model.
        source: to be read; None where `problem` says why it cannot be.
        sha256: of the file when the run read it; empty where that is not recorded.
        run: the run folder that names it; empty where the user does.
        problem: why nothing can be looked up; else empty.
    """

    path: str
    source: Source | None
    sha256: str = ""
    run: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Looked:
    """What became of a source.

    Attributes:
        path, run: as in `TuningSource`.
        status: ``read``: to its end; ``unknown``: not, or no longer, what the model was tuned on, so that no flag does
            not mean clean.
        rows: compared.
        note: why unknown; or what else a reader must know, or empty.
    """

    path: str
    run: str
    status: Literal["read", "unknown"]
    rows: int
    note: str


@dataclass(frozen=True)
class Hit:
    """How a row met an item: by which of `TESTS`, how closely, and the row, by id; a restricted one is not named."""

    test: str
    score: float
    row: str


def tuning_sources(folder: UPath) -> list[TuningSource]:
    """The sources of a run, given its folder or the adapter or model in it, and of the runs that it went on from.

    All rows of a source count, also those that the run held out, or by weight left out. A folder that no run of this
    project made gives one source with a problem. Raises OSError where a file is there and cannot be read.
    """
    return _of_run(folder, set())


def named(names: Iterable[str]) -> list[TuningSource]:
    """The files or folders of rows that a user names, run folders too."""
    found: list[TuningSource] = []
    for name in names:
        try:
            folder = files.path(name)
        except ValueError as error:
            found.append(TuningSource(name, None, problem=str(error)))
            continue
        found += tuning_sources(folder) if _run(folder) else [TuningSource(name, Source(path=name))]
    return found


def _run(folder: UPath) -> UPath | None:
    """The run folder that a folder is or lies in."""
    places = (folder, folder.parent) if folder.name in MADE else (folder,)
    return next((place for place in places if (place / SETTINGS).exists()), None)


def _of_run(folder: UPath, seen: set[str]) -> list[TuningSource]:
    run = _run(folder)
    if run is None:
        why = f"no {SETTINGS} of a run beside it, so its rows are not known; name them in tuned_on"
        return [TuningSource(str(folder), None, problem=why)]
    if str(run) in seen:
        return []
    seen.add(str(run))
    try:
        job = settings.loads(files.read_text(run / SETTINGS), job=Train, where=str(run / SETTINGS))
    except ValueError as error:
        return [TuningSource(str(folder), None, run=str(run), problem=str(error))]
    recorded = _recorded(run / DATA)
    found = [
        TuningSource(source.path, source, recorded.get((place, source.path), ""), str(run))
        for place, source in enumerate(job.data.sources)
    ]
    if job.lora.start is not None and job.trainable == "lora":
        found += _earlier(job.lora.start, run, seen)
    if job.model.weights != "random" and _run(files.path(job.model.weights)):
        found += _of_run(files.path(job.model.weights), seen)
    return found


def _earlier(name: str, run: UPath, seen: set[str]) -> list[TuningSource]:
    """Of the adapter that a run went on from."""
    folder = files.path(name)
    if not folder.is_dir():
        why = f"{run} went on from this adapter, which is not there, so the rows of its run are not known"
        return [TuningSource(name, None, run=str(run), problem=why)]
    return _of_run(folder, seen)


def _recorded(file: UPath) -> dict[tuple[int, str], str]:
    """Digest of each source by place and path, as a run wrote it down; empty where it did not come so far."""
    try:
        told = json.loads(files.read_text(file))["sources"]
        return {(place, one["path"]): one["sha256"] for place, one in enumerate(told)}
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # torn, or of another version
        return {}


def items(thresholds: Contamination) -> Items:
    """An index without items; `add` puts those of each task in."""
    return Items(thresholds.share_13, None, thresholds.rouge_l)


def add(index: Items, task: Task[Any, Any], questions: Iterable[Question]) -> None:
    """The items of a task, to be met by rows."""
    for question in questions:
        about, asked = task.family.text(question.item), task.family.question(question.item)
        index.add(task.name, Texts(question.id, about, asked, free(task, question.record.output)))


@dataclass(frozen=True)
class Tuned:
    """What a model was tuned on, as far as it meets the items of an index.

    Attributes:
        sources: what became of each.
        hits: by task and id of the item: the closest of each test. Ids alone: texts may be restricted.
        items, short: of each task, how many were looked up, and how many had no text of 8 words.
    """

    sources: tuple[Looked, ...]
    hits: Mapping[str, Mapping[str, tuple[Hit, ...]]]
    items: Mapping[str, int]
    short: Mapping[str, int]

    @classmethod
    def read(
        cls,
        sources: Sequence[TuningSource],
        index: Items,
        progress: Callable[[str, int], None] = lambda path, rows: None,
    ) -> "Tuned":
        """Compares the rows of all sources with the items of an index, each file once.

        Args:
            progress: called with the path of a source and how many of its rows were compared.
        """
        best: dict[tuple[str, str, str], Hit] = {}  # by task, item and test
        looked: list[Looked] = []
        known: set[tuple[str, str]] = set()
        for one in sources:
            key = (repr(one.source), one.sha256)
            if one.source is not None and key in known:
                continue
            known.add(key)
            looked.append(_look(one, index, best, progress))
        hits: dict[str, dict[str, list[Hit]]] = {}
        for (task, item, _), hit in sorted(best.items(), key=lambda pair: (*pair[0][:2], TESTS.index(pair[0][2]))):
            hits.setdefault(task, {}).setdefault(item, []).append(hit)
        found = {task: {item: tuple(own) for item, own in of_task.items()} for task, of_task in hits.items()}
        return cls(tuple(looked), found, dict(index.tasks), dict(index.short))

    @property
    def complete(self) -> bool:
        """Whether all that the model was tuned on was compared; without any source it is not known, so not."""
        return bool(self.sources) and all(one.status == "read" for one in self.sources)

    def flag(self, task: str) -> dict[str, str]:
        """The items of a task that were met, by id, and how: ``13-gram 0.93, ROUGE-L 0.88 (rows.jsonl:7)``."""
        return {item: _how(hits) for item, hits in self.hits.get(task, {}).items()}

    def flags(self, task: str, ids: Sequence[str]) -> np.ndarray | None:
        """Whether each item was met, bool [N]; None where nothing could be compared."""
        if not any(one.rows for one in self.sources):
            return None
        met = self.hits.get(task, {})
        return np.array([id in met for id in ids], bool)

    def told(self) -> dict[str, Any]:
        """As plain JSON, without words of rows or items."""
        return {
            "complete": self.complete,
            "sources": [
                {"path": one.path, "run": one.run, "status": one.status, "rows": one.rows, "note": one.note}
                for one in self.sources
            ],
            "tasks": {
                task: {
                    "items": count,
                    "too_short": self.short.get(task, 0),
                    "flagged": len(self.hits.get(task, {})),
                    "by_test": dict(Counter(hit.test for own in self.hits.get(task, {}).values() for hit in own)),
                }
                for task, count in self.items.items()
            },
        }


def _how(hits: Sequence[Hit]) -> str:
    row = max(hits, key=lambda hit: hit.score).row
    return ", ".join(f"{hit.test} {hit.score:.2f}" for hit in hits) + (f" ({row})" if row else "")


def _look(
    one: TuningSource,
    index: Items,
    best: dict[tuple[str, str, str], Hit],
    progress: Callable[[str, int], None],
) -> Looked:
    """Compares the rows of a source, and adds to `best`."""
    if one.source is None:
        return Looked(one.path, one.run, "unknown", 0, one.problem)
    rows = 0
    wanted = {category.strip().casefold() for category in one.source.categories}
    try:
        with readers.unchanged(one.source) as sha256:
            if one.sha256 and sha256 and sha256 != one.sha256:
                why = f"the run read another file here: its sha256 was {one.sha256[:12]}, now it is {sha256[:12]}"
                return Looked(one.path, one.run, "unknown", 0, why)
            bad = 0
            for row in readers.read(one.source):
                if not isinstance(row, Record):
                    bad += 1
                elif not wanted or row.category.casefold() in wanted:
                    _meet(row, index, best)
                    rows += 1
                    progress(one.path, rows)
    except (OSError, ValueError) as error:
        return Looked(one.path, one.run, "unknown", rows, str(error))
    notes = [f"{bad:,} rows are not readable"] if bad else []
    if one.run and not (one.sha256 and sha256):
        notes.append("whether it is what the run read cannot be checked")
    return Looked(one.path, one.run, "read", rows, "; ".join(notes))


def meets(row: Record, index: Items) -> list[Met]:
    """Every item that a row meets in any of its turns, as `Items.find` gives them, turn by turn."""
    turns = [(row.instruction, row.input, row.output), *((asked, "", said) for asked, said in row.history)]
    return [met for turn in turns for met in index.find(*turn)]


def _meet(row: Record, index: Items, best: dict[tuple[str, str, str], Hit]) -> None:
    for met in meets(row, index):
        key = (met.task, met.item, met.test)
        if key not in best or met.score > best[key].score:
            best[key] = Hit(met.test, met.score, "" if row.restricted else row.id)
