"""JSON lines and one JSON array, read so that a broken row never takes a good one with it."""

import json
import re
from collections.abc import Collection, Iterator
from itertools import islice
from typing import BinaryIO

from bioinstruct_jax.data.records import Row

BOM = b"\xef\xbb\xbf"
NEWLINE = "\n"
SPACE = re.compile(r"[ \t\r\n]*")
SURROGATE = re.compile("[\ud800-\udfff]")
OPENINGS = 64  # first keys by which the next element of an array is known
PATIENCE = 4  # times the length of an array that may be read in vain before an element's reach is bounded
REACH = 1000  # and then by so many beginnings of elements behind it


def json_rows(file: BinaryIO, *, lines: bool, keys: Collection[str]) -> Iterator[Row]:
    """The rows of a JSON file, either way it is written; ``lines``: its name says that it has JSON lines."""
    opens = b""
    while not opens and (block := file.read(4096)):
        opens = block.removeprefix(BOM).lstrip()[:1]
    file.seek(0)
    return array_rows(file, keys) if opens == b"[" and not lines else line_rows(file)


def line_rows(file: BinaryIO) -> Iterator[Row]:
    """One row for each line that is not blank; lines end with LF or CRLF.

    A BOM before a line is skipped: where files were put one behind the other, it stands in the middle.
    """
    for number, line in enumerate(file, 1):
        line = line.removeprefix(BOM)
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

    An element that was cut off inside a list of its own swallows those behind it before it is found broken. Where that
    has cost ``PATIENCE`` times the whole array, an element is read no further than over ``REACH`` others, so that time
    does not grow with the square of their number.
    """
    text = file.read().decode("utf-8", "surrogateescape")  # invalid bytes become surrogates, found row by row
    decode = json.JSONDecoder().raw_decode
    openings = set(keys)
    end = len(text.rstrip())
    place, counted, line = text.index("[") + 1, 0, 1
    block, base, renewed = text, 0, 0  # elements are decoded from block, which begins at base of the text
    vain = 0  # characters read by elements that turned out to be broken
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
        if vain > PATIENCE * end and place >= renewed:
            starts = [*islice(_starts(text, place, openings), 2 * REACH), *[len(text)] * 2 * REACH]
            block, base, renewed = text[place : starts[2 * REACH - 1]], place, starts[REACH - 1]
        value, stop, reason = None, place, "not an object"
        if text[place] == "{":
            try:
                value, stop = decode(block, place - base)
                stop += base
                if len(openings) < OPENINGS:
                    openings.update(list(value)[:1])
                reason = "invalid UTF-8" if SURROGATE.search(text, place, stop) else ""
            except json.JSONDecodeError as error:
                at = base + error.pos
                vain += at - place
                if place - base > 1 << 22:  # an error counts the lines before it: keep them few
                    block, base = block[place - base :], place
                where = f"line {line + text.count(NEWLINE, place, at)}, column {at - text.rfind(NEWLINE, 0, at)}"
                reason = f"broken JSON: {error.msg} ({where})"
            except (ValueError, RecursionError) as error:
                vain += end - place  # how far it came is not known
                reason = _other(error)
        if value is None:
            stop = next(_starts(text, place, openings), end)
            if "\0" in text[place:stop]:
                reason = "NUL byte"
        yield Row(line, value, _shown(text[place : min(stop, place + 800)]), reason)
        if value is None and stop == end:
            return
        place = stop


def _starts(text: str, place: int, keys: Collection[str]) -> Iterator[int]:
    """Where elements may begin behind `place`: objects that open with one of `keys`, but after : or [ it is nested."""
    names = "|".join(re.escape(json.dumps(key, ensure_ascii=False)) for key in sorted(keys))
    for found in re.compile(rf"\{{\s*(?:{names})\s*:").finditer(text, place + 1):
        before = found.start() - 1
        while before > place and text[before].isspace():
            before -= 1
        if not text[before].isspace() and text[before] not in ":[":
            yield found.start()


def _shown(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _other(error: Exception) -> str:
    return f"broken JSON: {'nested too deeply' if isinstance(error, RecursionError) else error}"
