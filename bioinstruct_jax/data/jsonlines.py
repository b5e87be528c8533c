"""JSON lines and one JSON array, read so that a broken row never takes a good one with it."""

import json
import re
from collections.abc import Collection, Iterator
from typing import BinaryIO

from bioinstruct_jax.data.records import Row

SPACE = re.compile(r"[ \t\r\n]*")
SURROGATE = re.compile("[\ud800-\udfff]")


def json_rows(file: BinaryIO, *, lines: bool, keys: Collection[str]) -> Iterator[Row]:
    """The rows of a JSON file, either way it is written; ``lines``: its name says that it has JSON lines."""
    opens = b""
    while not opens and (block := file.read(4096)):
        opens = block.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    file.seek(0)
    return array_rows(file, keys) if opens == b"[" and not lines else line_rows(file)


def line_rows(file: BinaryIO) -> Iterator[Row]:
    """One row for each line that is not blank; lines end with LF or CRLF. A BOM before the first is skipped."""
    for number, line in enumerate(file, 1):
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        value, reason = None, ""
        try:
            if b"\0" in line:
                reason = "NUL byte"
            else:
                value = json.loads(line.decode("utf-8").rstrip())
        except UnicodeDecodeError as error:
            reason = f"invalid UTF-8 at byte {error.start + 1} of the line"
        except json.JSONDecodeError as error:
            reason = f"broken JSON: {error.msg} (column {error.pos + 1})"
        except (ValueError, RecursionError) as error:
            reason = _other(error)
        yield Row(number, value, line[:800].decode("utf-8", "backslashreplace").rstrip("\r\n"), reason)


def array_rows(file: BinaryIO, keys: Collection[str]) -> Iterator[Row]:
    """One row for each element of a JSON array of objects, which is read into memory as a whole.

    Where an element is broken, what follows is searched for the next object that opens with one of ``keys`` or with a
    key that opened an element before; everything up to there is one broken row, and without a next object all the rest.
    """
    text = file.read().decode("utf-8", "surrogateescape")  # invalid bytes become surrogates, found row by row
    decode = json.JSONDecoder().raw_decode
    openings = set(keys)
    end = len(text.rstrip())
    place, counted, line = text.index("[") + 1, 0, 1
    while True:
        place = SPACE.match(text, place).end()  # type: ignore[union-attr]  # it matches the empty string too
        if place < end and text[place] == ",":
            place += 1
            continue
        line, counted = line + text.count("\n", counted, place), place
        if place >= end:
            yield Row(line, None, reason="the array has no closing ]: the file is cut off")
            return
        if text[place] == "]" and place == end - 1:
            return
        value, stop, reason = None, place, "not an object"
        if text[place] == "{":
            try:
                value, stop = decode(text, place)
                openings.update(list(value)[:1])
                reason = "invalid UTF-8" if SURROGATE.search(text, place, stop) else ""
            except json.JSONDecodeError as error:
                reason = f"broken JSON: {error.msg} (line {error.lineno}, column {error.colno})"
            except (ValueError, RecursionError) as error:
                reason = _other(error)
        if value is None:
            names = "|".join(re.escape(json.dumps(key, ensure_ascii=False)) for key in sorted(openings))
            following = re.compile(rf"[^\s:\[]\s*(\{{\s*(?:{names})\s*:)").search(
                text, place
            )  # after : or [ it is nested
            stop = following.start(1) if following else end
            if "\0" in text[place:stop]:
                reason = "NUL byte"
        yield Row(line, value, _shown(text[place : min(stop, place + 800)]), reason)
        if value is None and stop == end:
            return
        place = stop


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _other(error: Exception) -> str:
    return f"broken JSON: {'nested too deeply' if isinstance(error, RecursionError) else error}"
