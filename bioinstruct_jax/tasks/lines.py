"""A publisher's file of text, line by line, with errors that say where."""

import gzip
import zlib
from collections.abc import Iterator

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.tasks.task import CorpusError

BOM = b"\xef\xbb\xbf"


def text_lines(file: UPath) -> Iterator[tuple[int, str]]:
    """The lines of a UTF-8 file with their numbers from 1, without their ends (LF or CRLF); ``.gz`` is decompressed.

    Only LF ends a line: other characters that Unicode calls line ends may stand in a corpus's text.

    Raises:
        CorpusError: bytes that are no UTF-8, a NUL, a damaged ``.gz``.
    """
    number = 0
    try:
        with files.open_bytes(file) as stream:
            for number, raw in enumerate(stream, 1):
                yield number, _decode(raw.removeprefix(BOM) if number == 1 else raw, file, number)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(file, number, f"the compressed file is damaged ({error}); fetch it again") from error


def whole_text(file: UPath) -> str:
    """A UTF-8 file as it stands, for offsets into it; its byte order mark is left out.

    Raises CorpusError as `text_lines` does.
    """
    raw = file.read_bytes().removeprefix(BOM)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(error, file, raw.count(b"\n", 0, error.start) + 1) from error
    if "\0" in text:
        raise CorpusError(file, text.count("\n", 0, text.index("\0")) + 1, "a NUL character: this is no text file")
    return text


def _decode(raw: bytes, file: UPath, number: int) -> str:
    try:
        line = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(error, file, number) from error
    if "\0" in line:
        raise CorpusError(file, number, "a NUL character: this is no text file")
    return line.removesuffix("\n").removesuffix("\r")


def _not_utf8(error: UnicodeDecodeError, file: UPath, line: int) -> CorpusError:
    found = error.object[error.start]
    return CorpusError(file, line, f"byte 0x{found:02x} is not UTF-8; the publisher's file is: fetch it again")
