"""Several processes on one machine, each with a disk of its own: together they are one run."""

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from safetensors.numpy import load_file

from tests.tiny_run import metric_rows, write

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]  # several starts each, on a machine that may be busy
DEVICES, STEPS = 4, 20


def _job(folder: Path, name: str) -> Path:
    """Settings whose cache lies in each process's own home folder."""
    folder.mkdir(exist_ok=True)
    training = {"steps": STEPS, "eval_every": 5, "checkpoint_every": 2}
    file = write(folder, name=name, mesh={"data": 1, "fsdp": 2, "tensor": 2}, training=training)
    settings = yaml.safe_load(file.read_text())
    settings["data"]["cache_dir"] = "~/cache"
    file.write_text(yaml.safe_dump(settings))
    return file


def _free_port() -> int:
    """A port below those that the system gives to whoever asks for any: nobody is given it before it is used."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as free, contextlib.suppress(OSError):
            free.bind(("localhost", port))
            return port


def _start(file: Path, count: int, *options: str) -> list[subprocess.Popen]:
    """One process for each of `count` hosts, on free ports of this machine."""
    made, port = [], _free_port()
    for index in range(count):
        home = file.parent / f"host{count}{index}"
        home.mkdir(exist_ok=True)
        flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={DEVICES // count}"  # the last holds
        command = [sys.executable, "-m", "bioinstruct_jax.train", str(file), *options]
        if count > 1:
            command += [f"--coordinator=localhost:{port}", f"--processes={count}", f"--process={index}"]
        log = (home / "log").open("w")
        made.append(
            subprocess.Popen(
                command, env={**os.environ, "HOME": str(home), "XLA_FLAGS": flags}, stdout=log, stderr=log, text=True
            )
        )
    return made


def _ended(processes: list[subprocess.Popen], seconds: float = 500) -> list[int]:
    try:
        end = time.monotonic() + seconds
        return [process.wait(max(end - time.monotonic(), 0.1)) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _logs(file: Path, count: int) -> str:
    return "\n".join((file.parent / f"host{count}{index}" / "log").read_text() for index in range(count))


def _same(one: Path, other: Path) -> None:
    """Metrics and adapter of two runs agree to the rounding of sums over devices."""
    ours, theirs = (metric_rows(file.parent / "runs" / "run") for file in (one, other))
    assert [row["step"] for row in ours] == [row["step"] for row in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose([a[key] for key in a], [b[key] for key in a], rtol=1e-5, err_msg=str(a["step"]))
    weights = "runs/run/adapter/adapter_model.safetensors"
    mine, others = load_file(one.parent / weights), load_file(other.parent / weights)
    for name, array in mine.items():
        np.testing.assert_allclose(array, others[name], rtol=1e-3, atol=1e-4 * np.abs(array).max(), err_msg=name)


def _wait_for(checkpoints: Path, step: int, name: str, processes: list[subprocess.Popen], seconds: float = 400) -> None:
    """Until a file of the checkpoint of this step is there, or of a later one: the oldest do not stay."""
    end = time.monotonic() + seconds
    while not any(int(place.name) >= step and (place / name).exists() for place in checkpoints.glob("[0-9]*")):
        ended = [process.poll() for process in processes]
        if time.monotonic() > end or any(code is not None for code in ended):
            for process in processes:
                process.kill()
            raise AssertionError(f"{checkpoints}/{step}/{name} did not come; exit codes {ended}")
        time.sleep(0.01)


@pytest.fixture(scope="module")
def alone(tmp_path_factory) -> Path:
    """The same run by one process with four devices."""
    file = _job(tmp_path_factory.mktemp("alone"), "run")
    assert _ended(_start(file, 1)) == [0], _logs(file, 1)
    return file


def test_two_processes_train_save_are_told_to_stop_and_resume_as_one_would(alone, tmp_path):
    # levanter#486, marin#5319.
    # Mutations: every process writes metrics.jsonl; the batch not divided; a save that process 0 alone begins (hangs).
    file = _job(tmp_path / "two", "run")
    processes = _start(file, 2)
    _wait_for(tmp_path / "two" / "runs" / "run" / "checkpoints", 2, "manifest.json", processes)
    processes[1].send_signal(signal.SIGTERM)  # one host is told; both stop after the same step
    codes = _ended(processes)
    assert codes in ([75, 75], [0, 0]), _logs(file, 2)  # it may have been at its last step
    assert _ended(_start(file, 2)) == [0, 0], _logs(file, 2)
    _same(file, alone)
    environment = json.loads((tmp_path / "two" / "runs" / "run" / "environment.json").read_text())
    assert environment["processes"] == 2
    for index in range(2):  # each tokenised for itself
        assert list((tmp_path / "two" / f"host2{index}" / "cache").iterdir())


def test_four_processes_one_of_them_killed_then_two_go_on(alone, tmp_path):
    # A process that dies makes the others stop with a message, none hangs; another number of hosts takes over.
    # Mutation: each process with a share of its own of the rows, where two of them stand side by side along `tensor`.
    file = _job(tmp_path / "four", "run")
    processes = _start(file, 4)
    _wait_for(tmp_path / "four" / "runs" / "run" / "checkpoints", 2, "", processes)
    processes[2].kill()
    codes = _ended(processes)  # fails where one hangs
    assert codes[2] == -signal.SIGKILL
    assert all(code not in (0, 2) for code in codes), (codes, _logs(file, 4))
    # Ours, from a collective that failed, or that of JAX's own abort after HEARTBEAT seconds of silence.
    assert re.search("another process of this job ended|another task died", _logs(file, 4)), _logs(file, 4)
    assert _ended(_start(file, 2)) == [0, 0], _logs(file, 2)
    _same(file, alone)


def test_all_killed_and_the_newest_checkpoint_torn_then_one_goes_on(alone, tmp_path):
    # Mutation: a manifest that names the files of process 0 alone, so that the other's torn file is not noticed.
    file = _job(tmp_path / "all", "run")
    checkpoints = tmp_path / "all" / "runs" / "run" / "checkpoints"
    processes = _start(file, 2)
    _wait_for(checkpoints, 6, "", processes)  # the one before is complete then
    for process in processes:
        process.kill()
    assert _ended(processes) == [-signal.SIGKILL] * 2
    newest = max((manifest.parent for manifest in checkpoints.glob("*/manifest.json")), key=lambda at: int(at.name))
    torn = max((newest / "state" / "ocdbt.process_1" / "d").iterdir(), key=lambda at: at.stat().st_size)
    os.truncate(torn, torn.stat().st_size // 2)
    assert _ended(_start(file, 1)) == [0], _logs(file, 1)
    assert f"the checkpoint of step {newest.name}" in _logs(file, 1)
    assert "going on from step" in _logs(file, 1)
    _same(file, alone)


def test_processes_with_other_rows_are_refused(tmp_path):
    file = _job(tmp_path / "differ", "run")
    settings = yaml.safe_load(file.read_text())
    settings["data"]["sources"] = [{"path": "~/rows.jsonl"}]
    file.write_text(yaml.safe_dump(settings))
    lines = (file.parent / "rows.jsonl").read_text().splitlines(keepends=True)
    for index in range(2):
        home = file.parent / f"host2{index}"
        home.mkdir()
        (home / "rows.jsonl").write_text("".join(lines[index:]))
    assert _ended(_start(file, 2)) == [2, 2]
    assert "data of process 1 is not that of process 0" in _logs(file, 2)
