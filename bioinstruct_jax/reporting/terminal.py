"""Talking to a person at a terminal, or to a program through a pipe: standard output is for results alone."""

import contextlib
import os
import sys
import unicodedata
from collections.abc import Iterator, Sequence


def say(text: str) -> None:
    """A line on standard error, dim on a terminal."""
    dim = sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and "NO_COLOR" not in os.environ
    print(f"\x1b[2m{text}\x1b[0m" if dim else text, file=sys.stderr, flush=True)


def lines() -> Iterator[str]:
    """Standard input; a line that ends in a backslash goes on with the next."""
    with contextlib.suppress(ImportError):
        if sys.stdin.isatty() and sys.stdout.isatty():
            import readline  # noqa: F401  - gives `input` its line editing
    held = ""
    while (line := read_line("... " if held else "> ")) is not None:
        if line.endswith("\\"):
            held += line[:-1] + "\n"
            continue
        yield held + line
        held = ""
    if held:
        yield held


def read_line(prompt: str) -> str | None:
    """The next line of standard input, None at its end; `prompt` is shown at a terminal only.

    Raises:
        ValueError: bytes that are no text.
    """
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
    except UnicodeDecodeError as error:
        raise ValueError(f"standard input is not {error.encoding} text: {error.reason}") from error


def harmless(text: str) -> str:
    """Text without the control characters that command a terminal."""
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" and c not in "\n\t" else c for c in text)


def columns(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A table in plain text, each column as wide as its widest cell."""
    table = [head, *body]
    widths = [max(len(row[place]) for row in table) for place in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])
