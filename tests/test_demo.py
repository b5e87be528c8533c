"""`demo` from its command line: offline, killed and gone on with, and nothing of it left behind."""

import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioinstruct_jax import demo
from bioinstruct_jax.demonstration import folder
from bioinstruct_jax.demonstration.job import Demo

SMALL = ["--instructions=120", "--held_out=20", "--steps=12"]
GUARD = """
import ipaddress, os, socket
def guarded(connect):
    def checked(self, address):
        if self.family in (socket.AF_INET, socket.AF_INET6) and not ipaddress.ip_address(address[0]).is_loopback:
            with open(os.environ["REACHED"], "a") as file:
                print(address, file=file)
            raise OSError(f"{address} is not this machine")
        return connect(self, address)
    return checked
def resolved(host, *words, **keys):
    if host not in (None, "localhost", "127.0.0.1", b"127.0.0.1"):
        with open(os.environ["REACHED"], "a") as file:
            print(host, file=file)
        raise OSError(f"{host} is not this machine")
    return resolve(host, *words, **keys)
socket.socket.connect, socket.socket.connect_ex = map(guarded, (socket.socket.connect, socket.socket.connect_ex))
resolve, socket.getaddrinfo = socket.getaddrinfo, resolved
"""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out=here/file"], "out here/file: this is a file"),
        (["--out=gs://bucket/demo"], "out gs://bucket/demo: the demo needs a local folder"),
        (["--out=here"], "out here is no demo and not empty: nothing is overwritten"),
        (["--instructions=20", "--held_out=20"], "held_out 20 of 20 instructions: none is left to tune on"),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_is_left_alone(words, said, tmp_path, monkeypatch, capsys):
    # Mutation: the folder taken because it is there.
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    Path("here/file").write_text("mine")
    assert demo.main(words) == 2
    assert said in capsys.readouterr().err
    assert [file.name for file in tmp_path.rglob("*")] == ["here", "file"]


def test_a_folder_made_with_other_settings_is_not_mixed_with(tmp_path, capsys):
    # Mutation: `out` compared too, so that a folder could not be moved.
    made = Demo(out="elsewhere", instructions=50, held_out=9)
    (tmp_path / folder.SETTINGS).write_text(demo.settings.dump(made))
    assert demo.main([f"--out={tmp_path}", "--instructions=60", "--held_out=9"]) == 2
    assert "was made with other settings (instructions: 50 -> 60)" in capsys.readouterr().err


def test_settings_of_the_tuning_are_looked_at_before_anything_is_done(tmp_path, capsys):
    # Mutation: left to `train`, which begins when all instructions are written.
    assert demo.main([f"--out={tmp_path / 'out'}", "--steps=4"]) == 2
    said = capsys.readouterr()
    assert "optimizer.warmup_steps 10 is more than training.steps 4" in said.err
    assert not said.out


def test_a_failing_verb_ends_the_demo_with_its_code_and_last_words(tmp_path, capsys):
    # Mutations: exit code 1 for all; the words lost; the teacher left at work.
    out = tmp_path / "out"
    out.mkdir()
    (out / folder.SETTINGS).write_text(demo.settings.dump(Demo(out=str(out))))
    (out / folder.INSTRUCTIONS).write_text("mine")
    assert demo.main([f"--out={out}"]) == 2
    said = capsys.readouterr()
    assert f"error: generate ended with code 2: error: out {out / folder.INSTRUCTIONS}: this is a file" in said.err
    port = int(re.search(r"--port=(\d+)", said.out)[1])
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)
    assert (out / "logs" / "generate.log").read_text().startswith("error: out")
    assert not (out / folder.FINISHED).exists()


@pytest.fixture
def begin(tmp_path):
    """Starts the demo where nothing but this machine can be reached."""
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "sitecustomize.py").write_text(GUARD)
    here = os.pathsep.join([str(guard), str(Path(demo.__file__).parent.parent)])
    env = os.environ | {"PYTHONPATH": here, "REACHED": str(tmp_path / "reached")}
    env |= {"XLA_FLAGS": "--xla_backend_optimization_level=0"}  # one device, as on a reader's machine

    running = []

    def started() -> subprocess.Popen:
        words = [sys.executable, "-m", "bioinstruct_jax.demo", f"--out={tmp_path / 'out'}", *SMALL]
        running.append(
            subprocess.Popen(words, env=env, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )
        return running[-1]

    yield started
    for one in running:
        if one.poll() is None:  # what has been heard to its end has no open pipe left
            one.terminate()
            one.communicate()


def heard(running: subprocess.Popen, words: str) -> str:
    """What a process says up to and with some words."""
    said = ""
    for line in running.stdout:
        said += line
        if words in line:
            return said
    pytest.fail(f"{words!r} was never said: {said}")


def nobody_is_at_work(out: Path) -> bool:
    """Whether no process holds the lock of the folder, which every stage does."""
    with (out / folder.LOCK).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


@pytest.mark.slow
@pytest.mark.timeout(1800)  # on a machine that does other things, too
def test_killed_at_two_moments_the_same_command_goes_on_and_nothing_else_is_reached(begin, tmp_path):
    # Mutations: no signal passed on; the lock not given to stages; a teacher of a process of its own.
    out = tmp_path / "out"
    first = begin()
    said = heard(first, "bioinstruct_jax.generate")  # before it asks, for it may soon have asked all
    port = int(re.search(r"--port=(\d+)", said)[1])
    socket.create_connection(("127.0.0.1", port), timeout=60).close()
    heard(first, "asking ...")
    first.send_signal(signal.SIGTERM)
    assert "told to stop; the same command goes on" in first.communicate(timeout=300)[0]
    assert first.returncode == 75
    assert nobody_is_at_work(out)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port), timeout=5)

    second = begin()
    said = heard(second, "training ...")
    second.kill()
    second.communicate()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(re.search(r"--port=(\d+)", said)[1])), timeout=5)

    third = begin()
    said = third.communicate(timeout=1500)[0]
    assert third.returncode == 0, said
    assert nobody_is_at_work(out)
    assert "no language model wrote it" in said
    assert said.rstrip().endswith(f"report        {out / 'scores' / 'report.html'}")
    for model in ("base", "tuned"):
        [samples] = (out / "scores" / model).glob("samples_own_instructions_*.jsonl")
        assert len(samples.read_text(encoding="utf-8").splitlines()) == 20
    tuning = json.loads((out / "scores" / "comparisons.json").read_text())["tuning_data"]["tuned"]
    assert tuning["complete"]
    assert tuning["tasks"]["own_instructions"]["flagged"] == 0  # mutation: rows that share text are tuned on
    assert "no language model wrote it" in (out / "README.md").read_text(encoding="utf-8")
    assert not (tmp_path / "reached").exists()

    began = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    fourth = begin()
    said = fourth.communicate(timeout=300)[0]
    assert fourth.returncode == 0
    assert said.startswith(f"The demo in {out} is finished; nothing was changed.\n")
    assert f"report        {out / 'scores' / 'report.html'}" in said
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == began


@pytest.mark.slow
def test_ctrl_c_ends_the_stage_with_the_demo(begin, tmp_path):
    running = begin()
    heard(running, "asking ...")
    running.send_signal(signal.SIGINT)
    said = running.communicate(timeout=300)[0]
    assert running.returncode == 130, said
    assert "interrupted; the same command goes on" in said
    deadline = time.monotonic() + 60
    while not nobody_is_at_work(tmp_path / "out"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
