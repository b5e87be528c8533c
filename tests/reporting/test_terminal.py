"""What is said to a person at a terminal, and to a program through a pipe."""

import io
import os
import subprocess
import sys

import pytest

from bioinstruct_jax import cli
from bioinstruct_jax.reporting import terminal


class Terminal(io.StringIO):
    """Text streams as they stand at a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_is_shown_dim_lines_unless_it_asks_for_none(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    said = Terminal()
    monkeypatch.setattr("sys.stderr", said)
    terminal.say("loading")
    monkeypatch.setenv("NO_COLOR", "")
    terminal.say("loading")
    assert said.getvalue() == "\x1b[2mloading\x1b[0m\nloading\n"


@pytest.mark.parametrize(
    "words",
    [
        *(f"{verb} --help" for verb in cli.VERBS),
        "--help",
        "prepare --list --corpora=.",
        "generate scripted --preview=3",
        "generate scripted --dry-run",
    ],
)
def test_output_that_nobody_reads_any_more_ends_quietly(words, tmp_path):
    # `| head -1` said "[Errno 32] Broken pipe". Mutations: print in place of put; what is left in the buffer is flushed
    # at the end of the process, and complained of.
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from bioinstruct_jax import cli; sys.exit(cli.main())"
    with open(writer, "wb") as closed:
        done = subprocess.run(
            [sys.executable, "-c", code, *words.split()], stdout=closed, stderr=subprocess.PIPE, text=True, cwd=tmp_path
        )
    assert (done.returncode, done.stderr) == (141, "")


def test_a_program_is_shown_neither_prompt_nor_colour(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("one\\\ntwo\nthree\nfour\\"))
    assert list(terminal.lines()) == [(1, "one\ntwo"), (3, "three"), (4, "four\n")]
    terminal.say("loading")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "loading\n")


def test_answers_that_go_to_a_file_leave_the_prompt_at_the_terminal(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", Terminal("What is a stent?\n"))
    assert terminal.read_line("> ") == "What is a stent?"
    assert terminal.read_line("> ") is None
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "> > ")


def test_a_terminal_is_asked_line_by_line(monkeypatch, capsys):
    asked = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        if len(asked) == 3:
            raise EOFError
        return "go on\\" if len(asked) == 1 else "here"

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("sys.stdout", Terminal())
    monkeypatch.setattr("builtins.input", answer)
    assert list(terminal.lines()) == [(1, "go on\nhere")]
    assert asked == ["> ", "... ", "> "]
    assert capsys.readouterr().err == "\n"


@pytest.mark.parametrize("errors", ["strict", "surrogateescape"])
def test_what_is_no_text_is_told_and_the_rest_is_read(monkeypatch, errors):
    # Mutations: strict left on, by which one byte ends everything; a place counted in letters, or over two lines; the
    # line told that the text begins with, and the byte counted in another.
    given = "Größe?\nGröße\\\nµ".encode() + b"\xe9?\nand\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(given), encoding="utf-8", errors=errors))
    found = [(number, terminal.undecoded(line)) for number, line in terminal.lines()]
    assert found == [(1, (0, "")), (2, (1, "byte 3 is 0xe9, which is not UTF-8")), (4, (0, ""))]


def test_control_characters_do_not_reach_a_terminal():
    assert terminal.harmless("a\x1b[2J\tb\n\x07é") == "a\ufffd[2J\tb\n\ufffdé"


def test_columns_are_as_wide_as_their_widest_cell():
    table = terminal.columns(("cell", "rows"), [("small-base", ""), ("x", "1,387")])
    assert table == "cell        rows\n----------  -----\nsmall-base\nx           1,387"
