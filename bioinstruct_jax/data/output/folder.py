"""An output folder, written row by row: shards cut by number of rows, then the index. It never holds more than a few
rows, and its bytes follow from rows and settings alone."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, get_args

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.output import arrays, claim, index
from bioinstruct_jax.data.output.card import SPLITS, Card, Tally, licences, readme
from bioinstruct_jax.data.output.errors import OutputError, refuse_restricted
from bioinstruct_jax.data.output.shards import JsonShard, ParquetShard, chat, columns, text
from bioinstruct_jax.data.sample import Sample

Form = Literal["alpaca", "alpaca-json", "chat", "parquet", "hub", "tfds", "text"]
FORMS: tuple[Form, ...] = get_args(Form)
SHAPES: dict[str, Callable[[Sample], dict[str, Any]]] = {"chat": chat, "text": text}  # of JSON rows; else `columns`
PUBLISHED = ("hub", "tfds")  # made to be passed on: no restricted row, and a data card


@dataclass
class _Open:
    """The shard of a split that is being written, and those before it."""

    done: list[index.Shard]
    name: str = ""
    shard: JsonShard | ParquetShard | arrays.ArrayShard | None = None
    rows: int = 0
    payload: int = 0


class Output:
    """Takes the rows of a folder; `writing` makes it. `tally` counts them; `finished`: the index, once there is one."""

    finished: index.Index

    def __init__(self, folder: UPath, *, form: Form, rows_per_shard: int, card: Card | None):
        self.tally = Tally()
        self._folder, self._form, self._rows_per_shard, self._card = folder, form, rows_per_shard, card
        self._splits: dict[str, _Open] = {}
        self._refused: dict[str, int] = {}

    def add(self, sample: Sample) -> None:
        """Writes a row behind those of its split.

        A restricted row is not written where it may not be; the end of `writing` then raises, with all their counts.

        Raises:
          OutputError: our own readers would refuse the row, its source is not in the card as the row has it, or the
            folder cannot be written.
        """
        if self._card is not None:
            if sample.restricted:
                self._refused[sample.source] = self._refused.get(sample.source, 0) + 1
                return
            self._card.expect(sample)
        with _telling(self._folder):
            self._write(sample)

    def _write(self, sample: Sample) -> None:
        split = SPLITS[sample.split] if self._form in PUBLISHED else sample.split
        part = self._splits.setdefault(split, _Open([]))
        if part.shard is None:
            part.name = self._name(split, len(part.done))
            file = self._folder / part.name
            part.shard = arrays.ArrayShard(file) if self._form == "tfds" else _begin(file, self._form)
        part.shard.add(sample)
        part.rows += 1
        self.tally.add(sample)
        if part.rows == self._rows_per_shard:
            self._end(part)

    def _name(self, split: str, place: int) -> str:
        if self._form == "tfds":
            return f"{self._version()}/{arrays.name_of(self._version().split('/')[0], split, place)}"
        return f"data/{split}-{place:05d}.parquet" if self._form == "hub" else _name(self._form, split, place)

    def _version(self) -> str:
        assert self._card is not None
        return f"{self._card.name}/{self._card.version}"

    def _end(self, part: _Open) -> None:
        assert part.shard is not None
        part.shard.close()
        if isinstance(part.shard, arrays.ArrayShard):
            file = self._folder / part.name
            part.payload += part.shard.payload
            part.done.append(index.Shard(part.name, file.stat().st_size, files.sha256(file), part.rows))
        else:
            part.done.append(_told(part.name, part.shard, part.rows))
        part.shard, part.rows = None, 0

    def finish(self) -> None:
        """Ends the shards, writes what stands beside them, and the index last."""
        refuse_restricted(self._refused, form=self._form)
        if not self._splits:
            raise OutputError(f"{self._folder}: not one row was given; nothing is written")
        with _telling(self._folder):
            self._finish()

    def _finish(self) -> None:
        for part in self._splits.values():
            if part.shard is not None:
                self._end(part)
        splits = _ordered({name: tuple(part.done) for name, part in self._splits.items()})
        self.finished = index.Index(form=self._form, splits=splits, files=tuple(self._beside(splits)))
        index.write(self._folder, self.finished)

    def _beside(self, splits: dict[str, tuple[index.Shard, ...]]) -> Iterator[index.File]:
        if self._card is None:
            return
        if self._form == "tfds":
            written = arrays.write_metadata(
                self._folder / self._version(),
                splits={name: [shard.rows for shard in shards] for name, shards in splits.items()},
                payload={name: self._splits[name].payload for name in splits},
                description=self._card.summary,
                citation=self._card.citation,
                licence=licences(self._card, self.tally),
            )
            for file in written:
                yield index.File(f"{self._version()}/{file.file}", file.bytes, file.sha256)
        shards = {name: f"data/{name}-*.parquet" for name in splits} if self._form == "hub" else {}
        text = readme(self._card, self.tally, files=shards)
        files.write_text(self._folder / "README.md", text)
        yield index.File("README.md", len(text.encode()), hashlib.sha256(text.encode()).hexdigest())

    def abandon(self) -> None:
        """Lets go of open files; without an index the folder is unfinished."""
        for part in self._splits.values():
            if part.shard is not None:
                with suppress(Exception):  # the reason why is under way already
                    part.shard.close()


def _name(form: Form, split: str, place: int) -> str:
    suffix = {"parquet": "parquet", "alpaca-json": "json"}.get(form, "jsonl")
    return f"{split}-{place:05d}.{suffix}"


def _begin(file: UPath, form: Form) -> JsonShard | ParquetShard:
    if form in ("hub", "parquet"):
        return ParquetShard(file)
    return JsonShard(file, shape=SHAPES.get(form, columns), array=form == "alpaca-json")


def _told(name: str, shard: JsonShard | ParquetShard, rows: int) -> index.Shard:
    return index.Shard(name, shard.sink.size, shard.sink.digest.hexdigest(), rows)


def _ordered(splits: dict[str, tuple[index.Shard, ...]]) -> dict[str, tuple[index.Shard, ...]]:
    return {name: splits[name] for name in ("train", "dev", "validation", "test") if name in splits}


def write_shard(folder: UPath, form: Form, split: str, place: int, samples: Iterable[Sample]) -> index.Shard:
    """One shard by itself, for machines that write a folder together: the bytes are those that `writing` gives it.

    The folder is claimed before, and `write_index` ends it.

    Args:
        form: not one of `PUBLISHED`, which have a data card.
        place: of the shard among those of its split, from 0.

    Raises OutputError as `Output.add` does.
    """
    name, rows = _name(form, split, place), 0
    with _telling(folder):
        shard = _begin(folder / name, form)
        try:
            for sample in samples:
                shard.add(sample)
                rows += 1
        finally:
            shard.close()
    return _told(name, shard, rows)


def write_index(folder: UPath, form: Form, splits: dict[str, tuple[index.Shard, ...]]) -> None:
    """Ends a folder of shards by `write_shard`, in their order. Raises OutputError where it cannot be written."""
    with _telling(folder):
        index.write(folder, index.Index(form=form, splits=_ordered(splits)))


@contextmanager
def _telling(folder: UPath) -> Iterator[None]:
    """Has a full disk, a forbidden bucket and the like say which folder they are about."""
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) or files.from_bucket(error):
            said = " ".join(str(error).split())
            raise OutputError(f"{folder}: cannot be written ({type(error).__name__}: {said})") from error
        raise


@contextmanager
def writing(
    folder: str | PathLike[str], *, form: Form, rows_per_shard: int = 50_000, card: Card | None = None
) -> Iterator[Output]:
    """Around the writing of a folder: gives what takes the rows; when it ends without an error the index is written.

    An unfinished output in the folder is removed first. After an error the folder is left unfinished, and emptied where
    rows were refused.

    Args:
        folder: local or in a bucket; local for tfds.
        form: alpaca (JSON lines), alpaca-json (an array a shard), chat (JSON lines), parquet, hub or tfds.
        card: what the data card says; hub and tfds need one and the others have none.

    Raises:
      OutputError: the folder holds something else, cannot take the form or cannot be written; or not one row came.
      RestrictedError: at the end, if restricted rows were added to hub or tfds.
    """
    place = files.path(folder)
    if form not in FORMS:
        raise OutputError(f"unknown form {form!r}; the forms are {', '.join(FORMS)}")
    if rows_per_shard < 1:
        raise OutputError(f"rows_per_shard is {rows_per_shard}; a shard holds at least one row")
    if (card is not None) != (form in PUBLISHED):
        raise OutputError(f"form {form} {'needs a data card' if card is None else 'has no data card'}")
    if form == "tfds" and not files.is_local(place):
        raise OutputError(f"{place}: tfds is written to a local folder only; write it there, then copy it")
    if form == "tfds":
        arrays.need()
    with _telling(place):
        claim.claim(place)
    output = Output(place, form=form, rows_per_shard=rows_per_shard, card=card)
    try:
        yield output
        output.finish()
    except BaseException as error:
        output.abandon()
        if isinstance(error, OutputError):
            with suppress(Exception):  # what cannot be written may not let itself be removed either
                claim.clear(place)
        raise
    with _telling(place):
        claim.release(place)
