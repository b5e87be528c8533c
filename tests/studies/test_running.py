import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from bioinstruct_jax.interrupt import Interrupt, Terminated
from bioinstruct_jax.reporting.progress import Progress
from bioinstruct_jax.studies import cells, folder, grid, running
from bioinstruct_jax.studies.commands import Command
from tests.studies import grids

# Stands in for both commands: what it does, its first word says.
STAND_IN = """
import os, signal, sys, time
from pathlib import Path
verb, what, place = sys.argv[1:4]
with open(Path(place) / "ran.txt", "a") as file:
    file.write(f"{verb} {what}\\n")
if what.startswith("exit"):
    print("loading ...", flush=True)
    sys.exit(f"error: no {place}" if what == "exit1" else int(what[4:]))
if what == "wait":  # ends as `train` does: saves after its step
    heard = []
    signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    signal.signal(signal.SIGINT, lambda number, _: heard.append(number))
    (Path(place) / "ready").touch()
    while not heard:
        time.sleep(0.02)
    time.sleep(0.3)
    with open(Path(place) / "heard.txt", "a") as file:
        file.write(f"{heard}\\n")
    sys.exit({signal.SIGTERM: 75, signal.SIGINT: 130}[heard[-1]])
if what == "deaf":
    (Path(place) / "ready").touch()
    time.sleep(600)
if what == "meet":  # two at once, or never
    number = len(list(Path(place).glob("met*")))
    (Path(place) / f"met{os.getpid()}").touch()
    while len(list(Path(place).glob("met*"))) < 2:
        time.sleep(0.02)
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setattr(running, "PYTHON", (sys.executable, str(script)))
    monkeypatch.setattr(running, "POLL", 0.02)
    made = grids.job(tmp_path)
    folder.begin(made)
    return made


def doing(monkeypatch, place: Path, *what: str) -> None:
    """Every cell is one training that does this, cell by cell; then an evaluation."""
    waiting = list(what)

    def ahead(job, cell):
        words = (waiting.pop(0), str(place))
        return [Command("train", words), Command("evaluate", ("exit0", str(place)))]

    monkeypatch.setattr(cells, "ahead", ahead)


def run(study, count: int, at_once: int = 1) -> None:
    tuned = [cell for cell in grid.cells(study) if cell.kind == "tuned"][:count]
    with folder.claimed(study) as claim, Progress(silent=True) as progress, Interrupt() as interrupt:
        running.run(study, tuned, at_once, claim, progress, interrupt)


def ran(place: Path) -> list[str]:
    return [line.removeprefix("bioinstruct_jax.") for line in (place / "ran.txt").read_text().splitlines()]


def codes(study) -> list[int | None]:
    return [cells.ended(folder.place(study), cell) for cell in grid.cells(study) if cell.kind == "tuned"]


def test_a_cell_that_fails_does_not_stop_the_next(study, tmp_path, monkeypatch):
    # Mutations: the evaluation begun after a failed training; the loop left at the first failure.
    doing(monkeypatch, tmp_path, "exit1", "exit0", "exit3")
    run(study, 3)
    assert ran(tmp_path) == ["train exit1", "train exit0", "evaluate exit0", "train exit3"]
    assert codes(study) == [1, 0, 3]
    log = (tmp_path / "study/logs/small-all-natural-s0.log").read_text().splitlines()
    assert log[0].startswith(f"$ {sys.executable} -m bioinstruct_jax.train exit1")
    assert log[1:] == ["loading ...", f"error: no {tmp_path}"]


def test_as_many_at_once_as_wanted(study, tmp_path, monkeypatch):
    # Mutation: `at_once` read as 1: the first would wait for the second for ever.
    doing(monkeypatch, tmp_path, "meet", "meet")
    run(study, 2, at_once=2)
    assert codes(study)[:2] == [0, 0]


@pytest.mark.parametrize(
    ("number", "raised", "code"), [(signal.SIGTERM, Terminated, 75), (signal.SIGINT, KeyboardInterrupt, 130)]
)
def test_a_signal_reaches_the_command_once_and_ends_the_study(study, tmp_path, monkeypatch, number, raised, code):
    # Mutations: not passed on; passed on at every look; the evaluation or the next cell begun all the same.
    doing(monkeypatch, tmp_path, "wait", "exit0")
    told(tmp_path / "ready", number)
    with pytest.raises(raised) as caught:
        run(study, 2)
    assert caught.type is raised
    assert ran(tmp_path) == ["train wait"]
    assert (tmp_path / "heard.txt").read_text() == f"[{int(number)}]\n"
    assert codes(study)[:2] == [code, None]


def test_one_that_cannot_listen_yet_counts_as_stopped(study, tmp_path, monkeypatch):
    # Mutation: STOPPED empty: a cell told to stop while it imports would be reported as failed.
    doing(monkeypatch, tmp_path, "deaf")
    told(tmp_path / "ready", signal.SIGTERM)
    with pytest.raises(Terminated):
        run(study, 1)
    assert codes(study)[0] == 75


def told(ready: Path, number: int) -> None:
    """This process gets a signal as soon as a file is there."""
    code = f"""
import os, time
from pathlib import Path
while not Path({str(ready)!r}).exists():
    time.sleep(0.02)
os.kill({os.getpid()}, {int(number)})
"""
    subprocess.Popen([sys.executable, "-c", code])


def test_a_run_that_is_anothers_is_told_and_left(study, tmp_path, monkeypatch, capsys):
    def refused(job, cell):
        raise cells.RunError("runs/x was made with other settings")

    monkeypatch.setattr(cells, "ahead", refused)
    run(study, 1)
    assert not (tmp_path / "ran.txt").exists()


def test_nothing_is_started_for_what_is_finished(study, monkeypatch):
    monkeypatch.setattr(cells, "ahead", lambda job, cell: [])
    run(study, 3)
    assert not (folder.place(study) / "logs").exists()


def test_a_second_study_is_refused(study):
    # Mutation: LOCK_EX left out.
    with (
        folder.claimed(study),
        pytest.raises(ValueError, match="another study is at work there"),
        folder.claimed(study),
    ):
        pass
    with folder.claimed(study):
        pass


@pytest.mark.slow
def test_a_command_whose_study_was_killed_still_holds_the_folder(study, tmp_path):
    # Mutation: `pass_fds` left out: a second study would train the same cell into the same folder.
    code = textwrap.dedent(f"""
        import sys
        from tests.studies import grids, test_running
        from bioinstruct_jax.studies import cells, running
        from bioinstruct_jax.studies.commands import Command
        from pathlib import Path
        running.PYTHON = (sys.executable, {str(tmp_path / "stand_in.py")!r})
        cells.ahead = lambda job, cell: [Command("train", ("wait", {str(tmp_path)!r}))]
        test_running.run(grids.job(Path({str(tmp_path)!r})), 1)
    """)
    killed = subprocess.Popen([sys.executable, "-c", code])
    until(lambda: (tmp_path / "ready").exists())
    killed.kill()
    killed.wait()
    with pytest.raises(ValueError, match="or a cell that it began"), folder.claimed(study):
        pass
    (left,) = [int(place.name) for place in Path("/proc").glob("[0-9]*") if _runs(place, tmp_path / "stand_in.py")]
    os.kill(left, signal.SIGTERM)
    until(lambda: _free(study))  # a process that ends has no command line any more, and still the lock


def _free(study) -> bool:
    try:
        with folder.claimed(study):
            return True
    except ValueError:
        return False


def _runs(place: Path, script: Path) -> bool:
    try:
        return str(script).encode() in (place / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False


def until(true, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came"
        time.sleep(0.02)


def test_cells_share_what_xla_compiles_unless_the_user_says_where(study, monkeypatch):
    for name in ("JAX_COMPILATION_CACHE_DIR", running.COMPILED_FROM):
        monkeypatch.delenv(name, raising=False)
    assert running.compiled(study)["JAX_COMPILATION_CACHE_DIR"] == str(folder.place(study).absolute() / "compiled")
    monkeypatch.setenv(running.COMPILED_FROM, "3")
    assert running.compiled(study)[running.COMPILED_FROM] == "3"
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    assert running.compiled(study) == dict(os.environ)
