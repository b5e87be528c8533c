"""One file of rows, written as they come: JSON lines, a JSON array, or Parquet."""

import hashlib
import io
import json
import re
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.output.errors import OutputError
from bioinstruct_jax.data.prompts import question
from bioinstruct_jax.data.records import from_fields
from bioinstruct_jax.data.sample import Sample

COLUMNS = tuple(field.name for field in fields(Sample))
PROSE = ("open_answer", "summary", "note", "own_instruction")  # families whose answers are sentences
ROW_GROUP = 1000  # rows in memory at a time, and in a row group of Parquet
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")  # some readers of lines end one here; JSON itself does not


def columns(sample: Sample) -> dict[str, Any]:
    """A row by its columns, `labels` as a list.

    Raises:
      OutputError: our own readers would refuse it, or read another row; names it, and never shows its text.
    """
    row = {name: getattr(sample, name) for name in COLUMNS} | {"labels": list(sample.labels)}
    try:
        record = from_fields(row, {}, default_id="", source="")
        if not sample.id or record.id != sample.id:
            raise ValueError("its id is empty, or begins or ends with white space")
        "".join([sample.source, sample.family, sample.split, sample.format, *sample.labels]).encode("utf-8")
    except UnicodeEncodeError:
        raise OutputError(f"row {sample.id!a}: a lone surrogate in its labels or names: not valid Unicode") from None
    except ValueError as error:
        raise OutputError(f"row {sample.id!a} cannot be written: {error}") from error
    return row


def chat(sample: Sample) -> dict[str, Any]:
    """A row as `messages`, instruction and input joined as the chat templates join them, and what is known of it.

    Raises OutputError as `columns` does.
    """
    row = columns(sample)
    said = [
        {"role": "user", "content": question(row.pop("instruction"), row.pop("input"))},
        {"role": "assistant", "content": row.pop("output").strip()},
    ]
    return {"id": row.pop("id"), "messages": said, **row}


def text(sample: Sample) -> dict[str, Any]:
    """A row as text to train a base on: what an item is about, and its answer where that is prose; no instruction.

    Annotations (tags, labels, choices) are left out, so that a base has not met what it is tuned for later.

    Raises OutputError as `columns` does.
    """
    row = columns(sample)
    told = [row["input"], row["output"] if sample.family in PROSE else ""]
    known = {name: row[name] for name in ("id", "licence", "category", "source", "family", "split")}
    return {**known, "text": "\n".join(part for part in told if part.strip()) or row["instruction"]}


class Sink(io.RawIOBase):
    """A file that is being written, with the size and digest of what was handed to it."""

    def __init__(self, file: UPath):
        files.make_folder(file.parent)
        self.size = 0
        self.digest = hashlib.sha256()
        self._file = file
        self._raw = file.open("wb")

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        size = memoryview(data).nbytes
        self._raw.write(data)
        self.digest.update(data)
        self.size += size
        return size

    def tell(self) -> int:
        return self.size

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._raw.close()
            files.settle(self._file)


class JsonShard:
    """JSON lines, or with `array` one JSON array with a row a line; `shape` makes the object of a row."""

    def __init__(self, file: UPath, *, shape: Callable[[Sample], dict[str, Any]], array: bool = False):
        self.sink = Sink(file)
        self._stream = io.BufferedWriter(self.sink, 1 << 20)
        self._shape = shape
        self._before, self._end = ("[\n", "\n]\n") if array else ("", "\n")
        self._between = ",\n" if array else "\n"

    def add(self, sample: Sample) -> None:
        text = json.dumps(self._shape(sample), ensure_ascii=False)
        text = _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # they stand within strings only
        self._stream.write((self._before + text).encode("utf-8"))
        self._before = self._between

    def close(self) -> None:
        self._stream.write(self._end.encode())
        self._stream.close()


class ParquetShard:
    """Parquet with one column a field: text, but for `wording`, a number, and `labels`, a list of text."""

    def __init__(self, file: UPath):
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"wording": pa.int32(), "labels": pa.list_(pa.string())}
        self.sink = Sink(file)
        self._schema = pa.schema([(name, kinds.get(name, pa.string())) for name in COLUMNS])
        self._writer = pq.ParquetWriter(self.sink, self._schema, compression="zstd", version="2.6", store_schema=False)
        self._rows: list[dict[str, Any]] = []

    def add(self, sample: Sample) -> None:
        self._rows.append(columns(sample))
        if len(self._rows) == ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self._rows = []

    def close(self) -> None:
        self._flush()
        self._writer.close()
        self.sink.close()
