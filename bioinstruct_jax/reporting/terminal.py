"""Talking to a person at a terminal, or to a program through a pipe: standard output is for results alone."""

import contextlib
import io
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence


def say(text: str) -> None:
    """A line on standard error, dim on a terminal."""
    dim = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    print(f"\x1b[2m{text}\x1b[0m" if dim else text, file=sys.stderr, flush=True)


def put(text: str) -> None:
    """Print what a command was asked to show; where its reader has gone (`| head -1`), the command ends quietly.

    Raises SystemExit with 141, as a shell calls a command that a closed pipe ended.
    """
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left is flushed when the process ends
        raise SystemExit(141) from None


def lines() -> Iterator[tuple[int, str]]:
    """Standard input, each line with its number; one that ends in a backslash goes on with the next.

    Bytes that are no text stay in their line, as `undecoded` knows them: the lines after it can be read all the same.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")
    with contextlib.suppress(ImportError):
        if sys.stdin.isatty() and sys.stdout.isatty():
            import readline  # noqa: F401  - gives `input` its line editing
    held, first, number = "", 1, 0
    while (line := read_line("... " if held else "> ")) is not None:
        number += 1
        if line.endswith("\\"):
            held += line[:-1] + "\n"
            continue
        yield first, held + line
        held, first = "", number + 1
    if held:
        yield first, held


def read_line(prompt: str) -> str | None:
    """The next line of standard input, None at its end; `prompt` is shown at a terminal only."""
    try:
        if sys.stdin.isatty() and sys.stdout.isatty():
            return input(prompt)
        if sys.stdin.isatty():
            print(prompt, end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        return line.removesuffix("\n") if line else None
    except EOFError:
        print(file=sys.stderr)
        return None


def undecoded(text: str) -> tuple[int, str]:
    """The first byte of a text of `lines` that was no text, and where in its line it stands; empty if all was.

    Before it: how many lines of the text that line comes after the first, whose number `lines` gives.
    """
    for place, char in enumerate(text):
        if "\udc80" <= char <= "\udcff":
            before = text[:place].rpartition("\n")[2].encode("utf-8", "surrogatepass")
            encoding = (sys.stdin.encoding or "utf-8").upper()
            lower = text.count("\n", 0, place)
            return lower, f"byte {len(before) + 1} is {ord(char) - 0xDC00:#x}, which is not {encoding}"
    return 0, ""


def harmless(text: str) -> str:
    """Text without the control characters that command a terminal."""
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


def columns(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in plain text, each column as wide as its widest cell."""
    table = [head, *body]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
