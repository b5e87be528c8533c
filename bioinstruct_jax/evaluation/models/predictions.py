"""Answers that were made elsewhere, read from a file or from the samples of an evaluation."""

import contextlib
import json
import re
import tempfile
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.jsonlines import json_rows
from bioinstruct_jax.data.records import Row
from bioinstruct_jax.evaluation.models import prediction_rows
from bioinstruct_jax.evaluation.models.prediction_rows import Prediction
from bioinstruct_jax.evaluation.runner.job import PROTOCOLS, Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.tasks.table import TASKS

SHOWN = 5  # examples in a message
_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<date>\d{4}-\d{2}-\d{2}T[^/]*?)\.jsonl(?:\.gz)?")
_KEYS = ("task", "id", "doc_id")

Item = str | int


@dataclass(frozen=True, slots=True)
class BadPrediction:
    """A row that is no prediction; nothing of its text is kept."""

    file: str
    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """How predictions of a task and the items that are scored meet.

    Attributes:
        missing: items without a prediction.
        unknown: predictions for what is no item here: another split, or items beyond `limit`.
        repeated: items with more than one prediction, all the same; the first counts.
        contradicted: items with more than one that differ.
    """

    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    repeated: tuple[str, ...]
    contradicted: tuple[str, ...]


@dataclass(slots=True)
class _Held:
    """Predictions of one task and protocol: where each stands, and the items that have several."""

    places: dict[Item, int] = field(default_factory=dict)
    repeated: list[Item] = field(default_factory=list)
    contradicted: list[Item] = field(default_factory=list)


class Predictions:
    """The predictions of a model, by task, protocol and row id. Texts lie in an unnamed file, not in memory.

    Attributes:
        bad: rows that could not be read.
        notes: what else a person should know, a sentence each.
    """

    def __init__(self, place: str) -> None:
        """
        Args:
            place: a file of JSON lines or one JSON array, ``.gz`` too; or a folder of ``samples_*.jsonl``, of which the
                newest of each name count.

        Raises:
            FileNotFoundError: no such file, or no samples in the folder.
            ValueError: no row of it can be read; names the first.
        """
        self.bad: list[BadPrediction] = []
        self.notes: list[str] = []
        self._place = place
        self._held: dict[tuple[str, Protocol], _Held] = defaultdict(_Held)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # `close` closes it
        try:
            for file in self._files(files.path(place)):
                self._read(file)
            if not self._held:
                first = f": line {self.bad[0].line} of {self.bad[0].file}: {self.bad[0].reason}" if self.bad else ""
                raise ValueError(f"{place}: no prediction in it{first}")
        except BaseException:
            self.close()
            raise
        if self.bad:
            shown = "; ".join(f"{one.file}, line {one.line}: {one.reason}" for one in self.bad[:SHOWN])
            self.notes.append(f"{place}: {len(self.bad):,} rows are no predictions, and are left out: {shown}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._file.close()

    def protocols(self, task: str) -> tuple[Protocol, ...]:
        """The protocols of which there are predictions of a task."""
        return tuple(one for one in PROTOCOLS if (task, one) in self._held)

    def numbered(self, task: str) -> bool:
        """Whether predictions of a task know their items by number, so that `name` has to be called."""
        return any(
            isinstance(item, int) for (name, _), held in self._held.items() if name == task for item in held.places
        )

    def name(self, task: str, ids: Iterable[str]) -> None:
        """Give predictions that know their items by number the row ids of all items of the split, in its order."""
        row_ids = list(ids)
        for (name, _), held in self._held.items():
            if name == task:
                held.places = {_named(item, row_ids): place for item, place in held.places.items()}
                held.repeated = [_named(item, row_ids) for item in held.repeated]
                held.contradicted = [_named(item, row_ids) for item in held.contradicted]

    def coverage(self, task: str, protocol: Protocol, ids: Iterable[str]) -> Coverage:
        """How the predictions meet the items with these row ids, which are those that are scored."""
        held, wanted, used = self._held.get((task, protocol), _Held()), list(ids), set()
        missing, both = [], []
        for row in wanted:
            found = [item for item in (row, _bare(row)) if item in held.places]
            used.update(found)
            if not found:
                missing.append(row)
            elif len(found) == 2:
                both.append(row)
        same = [row for row in both if self._at(held.places[row]) == self._at(held.places[_bare(row)])]
        contradicted = [str(item) for item in held.contradicted] + [row for row in both if row not in set(same)]
        return Coverage(
            tuple(missing),
            tuple(str(item) for item in held.places if item not in used),
            tuple(str(item) for item in held.repeated) + tuple(same),
            tuple(contradicted),
        )

    def check(self, task: str, protocol: Protocol, ids: Sequence[str]) -> list[str]:
        """Holds the predictions against the items that are scored: two runs on different items cannot be compared.

        Returns:
            What a person should know, a sentence each: predictions of no item that is scored, and repeated ones.

        Raises:
            ValueError: items without a prediction, or with several that differ; counts, and examples of each.
        """
        found, problems = self.coverage(task, protocol, ids), []
        beyond = f"{len(found.unknown):,} predictions are of no item that is scored ({_some(task, found.unknown)})"
        if found.missing:
            problems.append(
                f"{len(found.missing):,} of {len(ids):,} items have no prediction ({_some(task, found.missing)})"
            )
        if found.contradicted:
            problems.append(
                f"{len(found.contradicted):,} items have several that differ ({_some(task, found.contradicted)})"
            )
        if problems:
            problems += [beyond] if found.unknown else []
            raise ValueError(
                f"{self._place}: {task}, {protocol}: {'; '.join(problems)}. Runs on different items cannot be "
                "compared: give one prediction for each item, by its row id (task/split/id) or the item's own"
            )
        notes = [f"{task}, {protocol}: {beyond}, and are left out"] if found.unknown else []
        if found.repeated:
            notes.append(
                f"{task}, {protocol}: {len(found.repeated):,} items have the same prediction more than once "
                f"({_some(task, found.repeated)})"
            )
        return notes

    def output(self, task: str, protocol: Protocol, id: str, *, question: str = "") -> Output | None:
        """The prediction for a row id; None: there is none.

        Args:
            question: words of the item that its prompt must have where it is known by number alone.

        Raises:
            ValueError: it has not: the other evaluation had its items in another order, or others.
        """
        held = self._held.get((task, protocol), _Held())
        place = held.places.get(id, held.places.get(_bare(id)))
        if place is None:
            return None
        output, prompt = self._at(place)
        if prompt and question and _plain(question) not in _plain(prompt):
            raise ValueError(
                f"{self._place}: {task}: the prediction numbered as {_some(task, [id])} was made for another question; "
                "the evaluation that wrote it has other items than this corpus, or another order. Give its predictions "
                "by id"
            )
        return output

    # -- reading -------------------------------------------------------------------------------------------------------

    def _files(self, place: UPath) -> Iterator[UPath]:
        if not place.is_dir():
            if not place.exists():
                raise FileNotFoundError(f"predictions {self._place!r}: there is no such file or folder")
            yield place
            return
        newest: dict[str, UPath] = {}
        for file in sorted(place.glob("samples_*.jsonl*"), key=lambda one: one.name):
            if match := _SAMPLES.fullmatch(file.name):
                if older := newest.get(match["task"]):
                    self.notes.append(f"{older}: left out, {file.name} is newer")
                newest[match["task"]] = file
        if not newest:
            deeper = sorted({str(file.parent) for file in place.glob("*/samples_*.jsonl*")})
            raise FileNotFoundError(
                f"predictions {self._place!r}: no samples_TASK_DATE.jsonl in this folder"
                + (f"; there are some in {', '.join(deeper[:SHOWN])}: give one of these" if deeper else "")
            )
        yield from newest.values()

    def _read(self, file: UPath) -> None:
        match, line = _SAMPLES.fullmatch(file.name), 0
        suffixes = [suffix.lower() for suffix in file.suffixes if suffix.lower() != ".gz"]
        filters: dict[tuple[str, Item], str] = {}
        with contextlib.ExitStack() as stack:
            stream = stack.enter_context(files.open_bytes(file))
            try:
                for row in json_rows(stream, lines=suffixes[-1:] == [".jsonl"], keys=_KEYS):
                    line = row.line
                    self._take(file, row, match["task"] if match else "", filters)
            except (EOFError, OSError, zlib.error) as error:
                self.bad.append(BadPrediction(str(file), line + 1, f"the file cannot be read on: {error}"))

    def _take(self, file: UPath, row: Row, named: str, filters: dict[tuple[str, Item], str]) -> None:
        try:
            if row.reason:
                raise ValueError(row.reason)
            found = prediction_rows.read(row.value, named)
        except ValueError as error:
            self.bad.append(BadPrediction(str(file), row.line, str(error)))
            return
        if found.filter and filters.setdefault((found.task, found.item), found.filter) != found.filter:
            return  # the same output through another filter of the harness
        held = self._held[found.task, found.protocol]
        if (before := held.places.get(found.item)) is None:
            held.places[found.item] = self._write(found)
        else:
            same = self._at(before)[0] == found.output
            (held.repeated if same else held.contradicted).append(found.item)

    def _write(self, found: Prediction) -> int:
        place = self._file.seek(0, 2)
        said = {key: value for key, value in asdict(found.output).items() if value is not None}
        self._file.write(json.dumps([said, found.prompt]).encode() + b"\n")
        return place

    def _at(self, place: int) -> tuple[Output, str]:
        self._file.seek(place)
        said, prompt = json.loads(self._file.readline())
        values: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in said.items()}
        return Output(**values), prompt


def _named(item: Item, row_ids: list[str]) -> Item:
    return row_ids[item] if isinstance(item, int) and item < len(row_ids) else item


def _bare(row: str) -> str:
    """The item's own id in a row id."""
    return row.split("/", 2)[2] if row.count("/") >= 2 else row


def _plain(text: str) -> str:
    return " ".join(text.split())


def _some(task: str, ids: Sequence[str]) -> str:
    """Examples; of a restricted task only ids that are ours, which are numbers."""
    if TASKS[task].licence.restricted:
        ids = [one if re.fullmatch(r"[\w/]*item \d+", one) else "an id of the file" for one in ids[:SHOWN]]
    return ", ".join(ids[:SHOWN]) + (", ..." if len(ids) > SHOWN else "")
