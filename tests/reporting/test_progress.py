import io
import re
import subprocess
import sys

import pytest

from bioinstruct_jax.reporting.progress import Progress, duration


def run(progress: Progress) -> None:
    progress.phase("loading data")
    progress.update(5, 10)
    progress.phase("training")
    for step in range(1, 6):
        progress.train(step, 5, loss=3 / step, tokens_per_second=12345.6)
    progress.note("step 5: held-out loss [red]2.5")
    progress.phase("saving")


def test_plain_lines_without_a_terminal():
    stream = io.StringIO()
    with Progress(stream=stream) as progress:
        run(progress)
    lines = [re.sub(r"\d+\.\d s", "T", line) for line in stream.getvalue().splitlines()]
    assert lines == [
        "loading data ...",
        "loading data done in T",
        "training ...",
        "training: step 5 of 5  loss 0.6000  12,346 tokens/s  T left",  # Mutation: without `last` it is never shown
        "step 5: held-out loss [red]2.5",
        "training done in T",
        "saving ...",
        "saving done in T",
    ]
    assert "\x1b" not in stream.getvalue()


def test_every_step_when_asked():
    stream = io.StringIO()
    with Progress(stream=stream, every=0.0) as progress:
        run(progress)
    assert stream.getvalue().count("tokens/s") == 5
    assert "loading data: 5 of 10" in stream.getvalue()


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "150")
    stream = io.StringIO()
    with Progress(stream=stream, live=True) as progress:
        progress.phase("training")
        progress.train(1, 5, loss=3.0, tokens_per_second=10.0)
        progress._bar.refresh()
        run(progress)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "\x1b[" in stream.getvalue()
    assert "step 1 of 5  loss 3.0000  10 tokens/s" in text
    assert "loading data done in" in text
    assert "held-out loss [red]2.5" in text  # Mutation: rich takes [red] for markup
    assert "saving done in" in text


def test_a_phase_that_failed_says_so():
    stream = io.StringIO()
    progress = Progress(stream=stream)
    progress.phase("compiling")
    with pytest.raises(KeyError), progress:
        raise KeyError
    assert stream.getvalue().splitlines()[-1].startswith("compiling stopped after")


def test_time_left_counts_only_training(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("bioinstruct_jax.reporting.progress.time.monotonic", lambda: clock[0])
    stream = io.StringIO()
    with Progress(stream=stream, every=0.0) as progress:
        progress.phase("training")
        for step in (101, 102, 103):  # a run that goes on from step 100
            clock[0] += 2
            progress.train(step, 110, loss=1.0, tokens_per_second=1.0)
        progress.phase("saving")
        clock[0] += 1000
        progress.phase("training")
        clock[0] += 50  # the first step after a pause is not timed
        progress.train(104, 110, loss=1.0, tokens_per_second=1.0)
    assert stream.getvalue().count("left") == 3
    assert "step 104 of 110  loss 1.0000  1 tokens/s  12 s left" in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (9.4, "9.4 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.7, "1 h 00 min"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_rich_is_not_imported_without_a_terminal():
    code = (
        "import io, sys\nfrom bioinstruct_jax.reporting.progress import Progress\n"
        "with Progress(stream=io.StringIO()) as p: p.phase('x')\nprint('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
