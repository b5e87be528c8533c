"""The Slurm example, with stand-ins for srun, squeue and scontrol."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tpu" / "slurm.sbatch"
SRUN = """#!/bin/bash
echo "$JAX_COMPILATION_CACHE_DIR $*" >srun
[ "$CODE" = wait ] || exit "$CODE"
trap 'exit 75' TERM
touch waiting
for _ in $(seq 3000); do sleep 0.1; done
"""


@pytest.fixture
def slurm(tmp_path):
    """A function of (code of srun, more environment) that starts the script; its folder notes what was called."""
    scripts = {"srun": SRUN, "squeue": "echo ${STATE-RUNNING}\n"}
    scripts["scontrol"] = 'echo "$*" >scontrol; exit ${REFUSE:-0}\n'
    (tmp_path / "bin").mkdir()
    for name, text in scripts.items():
        (tmp_path / "bin" / name).write_text(text if text.startswith("#!") else "#!/bin/bash\n" + text)
        (tmp_path / "bin" / name).chmod(0o755)

    def start(code, *words, **more):
        path = f"{tmp_path}/bin:{os.environ['PATH']}"
        environment = os.environ | {"PATH": path, "CODE": str(code), "SLURM_JOB_ID": "7"} | more
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        pipe = subprocess.PIPE
        return subprocess.Popen(["bash", SCRIPT, *words], cwd=tmp_path, env=environment, stderr=pipe, text=True)

    return tmp_path, start


@pytest.mark.parametrize(
    ("code", "more", "requeued"),
    [
        (0, {}, False),
        (75, {}, True),
        (75, {"SLURM_RESTART_COUNT": "99"}, True),
        (75, {"SLURM_RESTART_COUNT": "100"}, False),
        (75, {"STATE": "CANCELLED"}, False),
        (75, {"STATE": ""}, True),
        *[(code, {"SLURM_RESTART_COUNT": "2"}, True) for code in (5, 134, 137, 139, 143)],
        (134, {"SLURM_RESTART_COUNT": "3"}, False),
        *[(code, {}, False) for code in (1, 2, 3, 4, 130)],
    ],
)
def test_what_is_queued_again(slurm, code, more, requeued):
    # Mutations: 4 or 130 among those that are requeued; restarts not counted; a cancelled job requeued.
    folder, start = slurm
    job = start(code, "tiny", "--name=a b", **more)
    job.communicate(timeout=60)
    assert (folder / "scontrol").exists() == requeued
    assert job.returncode == (0 if requeued else code)
    cache, rest = (folder / "srun").read_text().split(" ", 1)
    assert cache == f"{folder}/.jax-cache"
    assert rest.strip().endswith("-m bioinstruct_jax.train tiny --name=a b --distributed")


def test_the_notice_reaches_training_and_its_code_the_queue(slurm):
    # Mutations: no trap; one `wait` in place of the loop, which would return 143 before training has saved.
    folder, start = slurm
    job = start("wait", "tiny")
    end = time.monotonic() + 120
    while not (folder / "waiting").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    job.send_signal(signal.SIGTERM)
    _, said = job.communicate(timeout=60)
    assert job.returncode == 0, said
    assert (folder / "scontrol").read_text() == "requeue 7\n"
    assert "exit code 75: requeued, for the time 1" in said


def test_a_queue_that_refuses_and_an_empty_command_line(slurm):
    folder, start = slurm
    job = start(75, "tiny", REFUSE="1")
    _, said = job.communicate(timeout=60)
    assert job.returncode == 75
    assert "cannot requeue" in said
    (folder / "srun").unlink()
    job = start(0)
    assert "usage: sbatch" in job.communicate(timeout=60)[1]
    assert job.returncode == 2
    assert not (folder / "srun").exists()
