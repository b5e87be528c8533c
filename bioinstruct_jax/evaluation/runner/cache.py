"""Outputs that a model has already given, by what it was asked: on disk as soon as they are there.

One file of JSON lines for each model, task and protocol, only ever appended to. A line that a dying machine left torn
is passed over, and its question is asked again. Of restricted tasks
nothing is kept: a hash of a short text gives it away, as `guard.shown` says.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bioinstruct_jax.evaluation.runner.outputs import Output


def key(*parts: Any) -> str:
    """Hex SHA-256 of what an answer depends on: texts, numbers, and lists of these."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True, sort_keys=True).encode()).hexdigest()


class Cache:
    """The outputs of one file, by key; texts stay on disk until they are asked for. Make it with `opened`."""

    def __init__(self, file: Path, stream: IO[bytes], places: dict[str, int]) -> None:
        self.file, self._stream, self._places = file, stream, places

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> Output:
        self._stream.seek(self._places[key])
        return _output(json.loads(self._stream.readline()))

    def put(self, key: str, output: Output) -> None:
        """Keep an output; one with a problem is not kept, so that it is asked for again."""
        if output.problem:
            return
        self._stream.seek(0, os.SEEK_END)
        place = self._stream.tell()
        self._stream.write(json.dumps({"key": key, **_row(output)}).encode() + b"\n")
        self._stream.flush()
        self._places[key] = place


@contextmanager
def opened(file: Path) -> Iterator[Cache]:
    """The cache in a file, made if it is not there. Raises OSError where it cannot be."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+b") as stream:
        stream.seek(0)
        places, place, line = {}, 0, b"\n"
        for line in stream:
            if (found := _key(line)) is not None:
                places[found] = place
            place += len(line)
        if not line.endswith(b"\n"):
            stream.write(b"\n")
            stream.flush()
        yield Cache(file, stream, places)


def _key(line: bytes) -> str | None:
    """The key of a whole line; None of a torn or foreign one."""
    try:
        row = json.loads(line)
        _output(row)
        return str(row["key"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _row(output: Output) -> dict[str, Any]:
    row: dict[str, Any] = {}
    if output.text is not None:
        row |= {"text": output.text, "finish": output.finish}
    if output.loglikelihoods:
        row |= {"loglikelihoods": output.loglikelihoods, "greedy": output.greedy}
    if output.unfit:
        row["unfit"] = output.unfit
    return row


def _output(row: dict[str, Any]) -> Output:
    unfit = row.get("unfit")
    return Output(
        text=row.get("text"),
        finish=row.get("finish", ""),
        loglikelihoods=tuple(float(value) for value in row.get("loglikelihoods", ())),
        greedy=tuple(bool(value) for value in row.get("greedy", ())),
        unfit=(int(unfit[0]), int(unfit[1])) if unfit else None,
    )
