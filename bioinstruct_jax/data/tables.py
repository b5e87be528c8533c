"""CSV and Parquet, streamed row by row."""

import csv
import io
from collections import deque
from collections.abc import Collection, Iterator
from typing import BinaryIO

from bioinstruct_jax.data.records import Row, SourceError


def csv_rows(file: BinaryIO) -> Iterator[Row]:
    """One row for each record of a CSV file with a header; ``line`` is where it starts, for fields may hold newlines.

    Commas and double quotes as in RFC 4180. Where quotes do not close, the first line is a broken row and each line
    after it is read again as a row of its own, so that one stray quote does not take the rows behind it along; and so
    it is where two stray quotes have swallowed what stands between them, seen by the number of fields. Fields of any
    length are read. Raises SourceError if there is no usable header.
    """
    csv.field_size_limit(2**31 - 1)  # of the whole process; 131,072 characters otherwise
    lines = iter(io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline=""))
    again: deque[str] = deque()
    taken: list[str] = []

    def feed() -> Iterator[str]:
        while (line := again.popleft() if again else next(lines, None)) is not None:
            taken.append(line)
            yield line

    header: list[str] = []
    number = 1
    reader = csv.reader(feed(), strict=True)
    while True:
        taken.clear()
        try:
            cells = next(reader)
            broken = ""
        except StopIteration:
            return
        except csv.Error as error:
            broken = f"broken CSV: {error}; the lines after this one are read as rows of their own"
            again.extendleft(reversed(taken[1:]))
            del taken[1:]
            reader = csv.reader(feed(), strict=True)
        if not broken and header and len(cells) != len(header) and _swallowed(taken, len(header)):
            broken = f"broken CSV: {len(cells)} fields, but the header has {len(header)}, over {len(taken)} lines that "
            broken += "look like rows; those after this one are read as rows of their own"
            again.extendleft(reversed(taken[1:]))
            del taken[1:]
        text = "".join(taken)[:800]
        line, number = number, number + len(taken)
        if broken and not header:
            raise SourceError(f"the header in line {line} is {broken}")
        if broken:
            yield Row(line, None, text, broken)
        elif not "".join(taken).strip():
            continue
        elif not header:
            header = _header(cells)
        elif len(cells) != len(header):
            yield Row(line, None, text, f"{len(cells)} fields, but the header has {len(header)}")
        elif _undecodable(cells):
            yield Row(line, None, text, "invalid UTF-8")
        else:
            yield Row(line, dict(zip(header, cells, strict=True)), text)


def _swallowed(lines: list[str], width: int) -> bool:
    """Whether nine of ten lines between the first and the last of a record are rows of `width` fields by themselves."""
    between = [line for line in lines[1:-1] if line.strip()]
    return bool(between) and sum(_width(line) == width for line in between) >= 0.9 * len(between)


def _width(line: str) -> int:
    try:
        return len(next(csv.reader([line], strict=True)))
    except csv.Error:
        return 0


def _header(cells: list[str]) -> list[str]:
    names = [cell.strip() for cell in cells]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        told = [ascii(name) if len(name.split()) < 4 else "a sentence (or is it a row?)" for name in twice]
        raise SourceError(f"the header names {', '.join(told)} twice; rename one of them")
    return names


def _undecodable(cells: list[str]) -> bool:
    try:
        "".join(cells).encode("utf-8")
    except UnicodeEncodeError:
        return True
    return False


def parquet_rows(file: BinaryIO, columns: Collection[str]) -> Iterator[Row]:
    """One row for each row of a Parquet file, a thousand in memory at a time; ``line`` is the number of the row.

    Only ``columns`` are read, the other fields are there as None.
    Raises SourceError if the file is no Parquet or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(file)
        names = table.schema_arrow.names
        wanted = [name for name in names if name in columns]
        line = 0
        for batch in table.iter_batches(batch_size=1000, columns=wanted):
            try:
                values = batch.to_pylist()
            except (ValueError, OverflowError):
                values = [_decoded(batch.slice(place, 1)) for place in range(batch.num_rows)]
            for value in values:
                line += 1
                if isinstance(value, str):
                    yield Row(line, None, reason=value)
                else:
                    yield Row(line, dict.fromkeys(names) | value)
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: a damaged name of a column
        raise SourceError(f"not a readable Parquet file: {error}") from error


def _decoded(row) -> dict[str, object] | str:  # type: ignore[no-untyped-def]  # a pyarrow batch of one row
    """The values of a row, or why Python has none of that kind."""
    try:
        return row.to_pylist()[0]
    except UnicodeDecodeError:
        return "invalid UTF-8"
    except (ValueError, OverflowError) as error:  # a date beyond the year 9999
        return f"a value that cannot be read: {error}"
