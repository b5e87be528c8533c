"""The steps of `beam.py`: each is given what a worker is, and calls what one machine would."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import groupby
from operator import attrgetter, itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import apache_beam
import numpy as np
from apache_beam.pvalue import TaggedOutput
from apache_beam.utils.shared import Shared

from bioinstruct_jax import files
from bioinstruct_jax.data.output.folder import Form, write_index, write_shard
from bioinstruct_jax.data.output.index import Shard
from bioinstruct_jax.data.sample import Sample
from bioinstruct_jax.preparation import folder, overlaps, pipeline, report, spool
from bioinstruct_jax.preparation.composition import Composition, in_order
from bioinstruct_jax.preparation.job import Overlap, Prepare
from bioinstruct_jax.preparation.rows import Rendered
from bioinstruct_jax.preparation.sources import Missing
from bioinstruct_jax.preparation.spool import Part
from bioinstruct_jax.tasks.table import TASKS

BUCKETS = 4096  # that rows fall into, by what they ask and answer, where only equal ones of their part count


@dataclass(frozen=True)
class Row:
    """A rendered row.

    Attributes:
        part: its place among the parts of the recipe, then those of other tasks.
        place: of the row in its part, from 0.
        numbers: three, as `Part.numbers` has them.
    """

    part: int
    place: int
    numbers: tuple[int, ...]
    rendered: Rendered


@dataclass(frozen=True)
class Judged:
    """A row, whether it may be taken, and what is told of it."""

    row: Row
    keep: bool
    found: tuple[overlaps.Overlapping, ...] = ()


@dataclass(frozen=True)
class Ledger:
    """Of every row of a part, by place: whether it may be taken, [rows] bool; a number drawn for it, [rows] uint64."""

    part: int
    keep: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True)
class Text:
    """What an evaluation row is about, and its answer where that is free text."""

    part: int
    place: int
    id: str
    about: str
    free: str


Met = tuple[Row, overlaps.Overlapping | None]  # a training row, and the leak that it is


def read(numbered: tuple[int, Part]) -> Iterator[Any]:
    """The rows of a part; one that cannot be read gives none, and its place and why to ``errors``."""
    number, part = numbered
    with TemporaryDirectory(prefix="bioinstruct-prepare-") as work:
        part = replace(part, file=Path(work) / "rows.jsonl")
        _, error = spool.attempt(part)
        if error:
            yield TaggedOutput("errors", (number, error))
            return
        for place, (rendered, numbers) in enumerate(zip(part.rows(), part.numbers, strict=True)):
            yield Row(number, place, tuple(numbers.tolist()), rendered)


def text(row: Row) -> Text:
    """What a row is compared by."""
    return Text(row.part, row.place, row.rendered.sample.id, row.rendered.about, row.rendered.free)


class Leaks(apache_beam.DoFn):
    """Compares training rows with all evaluation rows; a process has one index of these."""

    def __init__(self, settings: Overlap) -> None:
        self._settings = settings
        self._shared = Shared()
        self._index: overlaps.HeldOut | None = None  # `Shared` itself holds on to nothing

    def process(self, row: Row, texts: Iterable[Text]) -> Iterator[Any]:
        if self._index is None:
            self._index = self._shared.acquire(lambda: self._made(texts))
        yield row, self._index.find(row.rendered)

    def _made(self, texts: Iterable[Text]) -> overlaps.HeldOut:
        ordered = sorted(texts, key=attrgetter("part", "place"))
        return overlaps.held_out(((one.id, one.about, one.free) for one in ordered), self._settings)


def judge(met: Met, settings: Overlap) -> Judged:
    """A training row, where it does not matter what others say."""
    row, leak = met
    keep, found = overlaps.judged(row.rendered, leak, None, settings)
    return Judged(row, keep, tuple(found))


def by_kind(met: Met, parts: list[Part]) -> tuple[str, Met]:
    """Under one key whatever may repeat each other: rows of a kind, or equal ones where only one part is of that."""
    part = parts[met[0].part]
    kind = overlaps.kind(part)
    alone = overlaps.sources(parts)[kind] == 1
    return repr((*kind, met[0].numbers[0] % BUCKETS if alone else 0)), met


def judge_kind(group: tuple[str, Iterable[Met]], parts: list[Part], settings: Overlap) -> Iterator[Judged]:
    """Training rows in the order of the recipe, those of a key."""
    duplicates = overlaps.Duplicates(parts, settings)
    ordered = sorted(group[1], key=lambda met: (met[0].part, met[0].place))
    for number, some in groupby(ordered, key=lambda met: met[0].part):
        of_part = list(some)
        duplicates.begin(parts[number], np.array([row.numbers[:2] for row, _ in of_part], np.uint64))
        for row, leak in of_part:
            keep, found = overlaps.judged(row.rendered, leak, duplicates, settings)
            yield Judged(row, keep, tuple(found))


def kept(row: Row) -> Judged:
    """A row that nothing speaks against."""
    return Judged(row, True)


def told(judged: Judged) -> Iterator[tuple[int, int, tuple[overlaps.Overlapping, ...]]]:
    """Part, place and what was met of a row in which something was."""
    if judged.found:
        yield judged.row.part, judged.row.place, judged.found


def by_part(judged: Judged) -> tuple[int, bytes]:
    """What its ledger is made of: three uint64, which Beam's coder of integers does not take."""
    entry = (judged.row.place, int(judged.keep), judged.row.numbers[2])
    return judged.row.part, np.array(entry, "<u8").tobytes()


def ledger(group: tuple[int, Iterable[bytes]]) -> Ledger:
    """A part's rows in their order: which are kept, and their digests."""
    numbers = bytearray()
    for entry in group[1]:
        numbers += entry
    entries = np.frombuffer(numbers, "<u8").reshape(-1, 3)
    entries = entries[np.argsort(entries[:, 0])]
    return Ledger(group[0], entries[:, 1].astype(bool), entries[:, 2].copy())


def count(ledger: Ledger) -> tuple[int, tuple[int, int]]:
    """The part, its rows, and those of them that may be taken."""
    return ledger.part, (len(ledger.keep), int(ledger.keep.sum()))


def placed(
    ledger: Ledger, counts: dict[int, tuple[int, int]], job: Prepare, parts: list[Part]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Of every row that is taken, part and place: where its first copy stands in its split, and how many there are."""
    part = parts[ledger.part]
    may = {one.task: counts.get(number, (0, 0))[1] for number, one in enumerate(parts) if one.split == "train"}
    wanted = pipeline.wanted(job, may)
    before = sum(
        wanted[one.task] if one.split == "train" else counts.get(number, (0, 0))[0]
        for number, one in enumerate(parts[: ledger.part])
        if one.split == part.split
    )
    if part.split == "train":
        times = pipeline.taken(ledger.keep, ledger.draws, wanted[part.task])
    else:
        times = np.ones(len(ledger.keep), np.int64)
    first = before + np.cumsum(times) - times
    for place in np.flatnonzero(times).tolist():
        yield (ledger.part, place), (int(first[place]), int(times[place]))


def by_row(judged: Judged) -> Iterator[tuple[tuple[int, int], Sample]]:
    """The sample of a row that is kept, by part and place."""
    if judged.keep:
        yield (judged.row.part, judged.row.place), judged.row.rendered.sample


def by_shard(
    joined: tuple[tuple[int, int], dict[str, Any]], parts: list[Part], shard_rows: int
) -> Iterator[tuple[tuple[str, int], tuple[int, Sample]]]:
    """The copies of a row, each under split and shard with its place in the split."""
    (number, _), both = joined
    for sample in both["samples"]:
        for first, times in both["places"]:
            for place, copy in enumerate(pipeline.copies(sample, times), first):
                yield (parts[number].split, place // shard_rows), (place, copy)


def write(
    group: tuple[tuple[str, int], Iterable[tuple[int, Sample]]],
    errors: Iterable[Any],
    rows: str,
    form: Form,
    tokenizer: str | None,
) -> Iterator[Any]:
    """A shard; nothing after an error. A row that cannot be written gives none, and why to ``errors``."""
    if any(True for _ in errors):
        return
    (split, place), placed = group
    samples = [sample for _, sample in sorted(placed, key=itemgetter(0))]
    composition = Composition(tokenizer)
    for sample in samples:
        composition.add(sample)
    try:
        yield split, place, write_shard(files.path(rows), form, split, place, samples), composition
    except (ValueError, OSError) as error:
        yield TaggedOutput("errors", (split, place, str(error)))


def finish(
    missing: list[Missing],
    job: Prepare,
    parts: list[Part],
    counts: dict[int, tuple[int, int]],
    found: Iterable[tuple[int, int, tuple[overlaps.Overlapping, ...]]],
    shards: Iterable[tuple[str, int, Shard, Composition]],
    unread: Iterable[tuple[int, str]],
    unwritten: Iterable[tuple[str, int, str]],
) -> None:
    """The reports, and the index last; or what was wrong, and neither."""
    out = files.path(job.out)
    errors, failed, made = sorted(unread), sorted(unwritten), sorted(shards, key=itemgetter(0, 1))
    if errors or failed or not made:
        problems = [pipeline.unreadable([error for _, error in errors])] if errors else [one[2] for one in failed]
        text = "\n  ".join(problems) or f"{out / folder.ROWS}: not one row was given; nothing is written"
        files.write_text(out / folder.PROBLEMS, text)
        return
    whole = Composition(job.tokenizer)
    splits: dict[str, tuple[Shard, ...]] = {}
    for split, _, shard, composition in made:
        splits[split] = (*splits.get(split, ()), shard)
        whole.merge(composition)
    composition = in_order(whole, [(part.task, TASKS[part.task].family.name, part.split) for part in parts])
    reasons: dict[str, Counter[str]] = {part.task: Counter() for part in parts if part.split == "train"}
    with TemporaryDirectory(prefix="bioinstruct-prepare-") as work:
        lines = Path(work) / "overlaps.jsonl"
        with lines.open("w", encoding="utf-8") as file:
            for number, _, some in sorted(found, key=itemgetter(0, 1)):
                reasons[parts[number].task].update(one.reason for one in some)
                file.writelines(one.line() + "\n" for one in some)
        read_rows = {part.name: counts.get(number, (0, 0))[0] for number, part in enumerate(parts)}
        findings = pipeline.Findings(read_rows, missing, {task: dict(one) for task, one in reasons.items()}, lines)
        told = report.told(job, findings, composition)
        folder.tell(out, told, report.html(told), lines)
    write_index(out / folder.ROWS, job.form, splits)
