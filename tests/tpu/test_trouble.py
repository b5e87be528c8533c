"""The launch scripts before a stand-in cloud that fails at awkward moments."""

import os
import signal
import sys
import time

import pytest

from tests.tpu.cloud import ROOT, Cloud

pytestmark = pytest.mark.slow

PAID = "still exists (READY) and is PAID FOR"
QUOTA = "ERROR: RESOURCE_EXHAUSTED: Quota limit 'TPUV5sLitepodPerProjectPerZone' has been exceeded. Limit: 4"
FULL = 'ERROR: RESOURCE_EXHAUSTED: There is no more capacity in the zone "zone"'
BROKEN = "ERROR: UNAVAILABLE: the service is currently unavailable"


def order(cloud: Cloud) -> list[str]:
    """What the cloud was told to change, in order."""
    return [" ".join(line.split()[2:4]) for line in cloud.calls("compute") if "describe" not in line]


# -------------------------------------------------------------------- making the TPU


def test_a_refused_request_is_not_made_again(cloud: Cloud):
    # Mutation: quota taken for a zone that is full.
    cloud.has(rules=[{"match": "tpu-vm create", "times": 9, "rc": 1, "stderr": QUOTA}])
    done = cloud.run("run")
    assert done.returncode == 1
    assert order(cloud) == ["tpu-vm create"]
    assert "Quota is asked for" in done.stderr
    assert "There is no TPU or request named job" in done.stdout


def test_a_full_zone_is_asked_again(cloud: Cloud):
    cloud.has(rules=[{"match": "tpu-vm create", "times": 2, "rc": 1, "stderr": FULL}])
    done = cloud.run("create")
    assert done.returncode == 0, done.stderr
    assert order(cloud) == ["tpu-vm create"] * 3
    assert PAID in done.stdout


def test_a_zone_that_stays_full_is_asked_so_many_times_and_no_more(cloud: Cloud):
    # Mutation: requests not counted.
    cloud.has(rules=[{"match": "tpu-vm create", "times": 99, "rc": 1, "stderr": FULL}])
    done = cloud.run("create")
    assert done.returncode == 1
    assert order(cloud) == ["tpu-vm create"] * 3
    assert "no TPU after 3 requests" in done.stderr


@pytest.mark.parametrize("left", ["PREEMPTED", "TERMINATED"])
def test_preempted_while_it_is_made(cloud: Cloud, left):
    # The request fails and leaves a TPU behind. Mutation: the next request without a deletion.
    cloud.has(rules=[{"match": "tpu-vm create", "rc": 1, "stderr": BROKEN, "set": {"node": left}}])
    done = cloud.run("create")
    assert done.returncode == 0, done.stderr
    assert order(cloud) == ["tpu-vm create", "tpu-vm delete", "tpu-vm create"]


def test_a_request_that_fails_and_yet_succeeds(cloud: Cloud):
    # The answer is lost, the TPU is there.
    cloud.has(rules=[{"match": "tpu-vm create", "rc": 1, "stderr": BROKEN, "set": {"node": "READY"}}])
    assert cloud.run("create").returncode == 0
    assert order(cloud) == ["tpu-vm create"]


def test_a_tpu_that_never_becomes_ready(cloud: Cloud):
    cloud.has(node="CREATING")
    done = cloud.run("create")
    assert done.returncode == 1
    assert "not READY after 3 looks" in done.stderr
    assert "still exists (CREATING) and is PAID FOR" in done.stdout
    assert not order(cloud)


def test_a_tpu_that_a_person_stopped_is_left_alone(cloud: Cloud):
    cloud.has(node="STOPPED")
    done = cloud.run("run")
    assert done.returncode == 1
    assert "is STOPPED, by somebody's hand" in done.stderr
    assert not order(cloud)


def test_a_queued_request_waits_and_is_made_again_when_it_fails(cloud: Cloud):
    # Mutation: FAILED taken for waiting.
    rules = [{"match": "queued-resources describe", "skip": 1, "set": {"queue": "FAILED", "node": None}}]
    cloud.has(rules=rules)
    done = cloud.run("create", PROVISIONING="queued-spot")
    assert done.returncode == 0, done.stderr
    assert order(cloud) == ["queued-resources create", "queued-resources delete", "queued-resources create"]
    (first, _) = cloud.calls("queued-resources create")
    assert "--spot" in first
    assert "--valid-until-duration=6h" in first
    assert cloud.there["node"] == "READY"


def test_a_queued_run_that_is_suspended_goes_on(cloud: Cloud):
    cloud.training("hang", "0")
    gone = {"queue": "SUSPENDED", "node": None}
    cloud.has(rules=[{"match": "cat .*/exits/", "skip": 2, "set": gone, "kill": "KILL"}])
    done = cloud.run("run", "--delete", PROVISIONING="queued-spot")
    assert done.returncode == 0, done.stderr
    assert len(cloud.starts()) == 2
    assert [kind for kind in order(cloud) if "ssh" not in kind] == [
        "queued-resources create",
        "queued-resources delete",
    ] * 2


# -------------------------------------------------------------------- workers


@pytest.mark.parametrize("step", ["worker.sh setup", "worker.sh start"])
def test_ssh_that_fails_once(cloud: Cloud, step):
    cloud.training("0 0")
    cloud.has(rules=[{"match": step, "rc": 255, "stderr": "ssh: connection reset"}])
    done = cloud.run("run")
    assert done.returncode == 0, done.stderr
    assert [len(cloud.starts(worker)) for worker in (0, 1)] == [1, 1]


def test_ssh_that_is_cut_after_training_was_started_starts_it_once(cloud: Cloud):
    # Mutation: `start` does not look whether the attempt is there already.
    cloud.training("hang")
    watcher = cloud.start("run")
    wait_for(cloud.starts)
    attempt = (cloud.folder / "bucket/jobs/job/attempt").read_text().strip()
    again = f"bash ~/bioinstruct/source/tpu/worker.sh start gs://bkt/jobs/job {attempt}"
    environment = cloud.environment() | {"HOME": str(cloud.folder / "worker-0"), "TPU_WORKER_ID": "0"}
    assert os.spawnvpe(os.P_WAIT, "bash", ["bash", "-c", again], environment) == 0
    other = again.replace(attempt, "another")
    assert os.spawnvpe(os.P_WAIT, "bash", ["bash", "-c", other], environment) == 1  # while the first runs
    assert len(cloud.starts()) == 1
    os.killpg(watcher.pid, signal.SIGINT)
    watcher.communicate(timeout=120)


def test_ssh_that_never_works_ends_with_what_is_paid_for(cloud: Cloud):
    cloud.has(rules=[{"match": "tpu-vm ssh", "times": 99, "rc": 255, "stderr": "ssh: no route"}])
    done = cloud.run("run")
    assert done.returncode == 1
    assert len(cloud.calls("tpu-vm ssh")) == 3
    assert "cannot be set up" in done.stderr
    assert PAID in done.stdout


def test_preempted_while_it_is_set_up(cloud: Cloud):
    cloud.has(rules=[{"match": "worker.sh setup", "set": {"node": "PREEMPTED"}}])
    done = cloud.run("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert order(cloud).count("tpu-vm create") == 2
    assert len(cloud.starts()) == 1


# -------------------------------------------------------------------- how training ends


@pytest.mark.parametrize("codes", ["75 75", "5 134", "0 137", "143 0"])
def test_started_again_on_the_tpu_that_stands(cloud: Cloud, codes):
    cloud.training(codes, "0 0")
    done = cloud.run("run", GRACE_POLLS=999)  # patient: the workers' codes may come one long after another
    assert done.returncode == 0, done.stdout + done.stderr
    assert [len(cloud.starts(worker)) for worker in (0, 1)] == [2, 2]
    assert "tpu-vm delete" not in order(cloud)


def test_told_to_stop_by_a_preemption(cloud: Cloud):
    cloud.training("hang hang", "0 0")
    rule = {"match": "cat .*/exits/", "skip": 2, "set": {"node": "PREEMPTED"}, "kill": "TERM"}
    cloud.has(rules=[rule])
    done = cloud.run("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(cloud.starts()) == 2
    assert order(cloud).count("tpu-vm create") == 2


def test_a_worker_that_mistakes_a_preemption_for_a_fault_of_its_own(cloud: Cloud):
    # Its code is 1 because its peer vanished. Mutations: 1 counted before all are known, or beside a preemption.
    cloud.training("hang 1", "0 0")
    rule = {"match": "cat .*/exits/", "skip": 20, "set": {"node": "PREEMPTED"}, "kill": "KILL"}
    cloud.has(rules=[rule])
    done = cloud.run("run", GRACE_POLLS=999)
    assert done.returncode == 0, done.stdout + done.stderr
    assert order(cloud).count("tpu-vm create") == 2


@pytest.mark.parametrize(
    ("code", "words"), [(1, "would not mend"), (3, "not finite"), (4, "bucket"), (130, "by a person")]
)
def test_codes_that_starting_again_would_not_mend(cloud: Cloud, code, words):
    cloud.training(str(code))
    done = cloud.run("run", "--delete")
    assert done.returncode == code
    assert len(cloud.starts()) == 1
    assert words in done.stdout
    assert cloud.there["node"] is None


@pytest.mark.parametrize("delete", [False, True])
def test_a_run_is_started_again_so_many_times_and_no_more(cloud: Cloud, delete):
    # Mutations: restarts not counted; --delete forgotten where the watcher gives up.
    cloud.training(*["75"] * 9)
    done = cloud.run("run", *["--delete"] * delete)
    assert done.returncode == 1
    assert len(cloud.starts()) == 4
    assert "started again 3 times" in done.stderr
    assert (PAID in done.stdout) == (not delete)
    assert (cloud.there["node"] is None) == delete


@pytest.mark.parametrize("other", ["0", "hang"])
def test_a_worker_that_vanishes_is_missed(cloud: Cloud, other):
    # It was rebooted: the TPU is READY, and no exit code will ever come. Mutation: `alive` never asked.
    cloud.training(f"{other} vanish", "0 0")
    done = cloud.run("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [len(cloud.starts(worker)) for worker in (0, 1)] == [2, 2]


def test_a_code_that_does_not_reach_the_bucket_is_asked_for(cloud: Cloud):
    cloud.training("3")
    cloud.has(rules=[{"match": "storage cp - ", "times": 5, "rc": 1}])
    assert cloud.run("run").returncode == 3


def test_training_itself_and_its_last_words(cloud: Cloud):
    # The real program in the place of the stand-in: its command line as the worker's shell makes it, its code, its log.
    (cloud.folder / "train").write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} "$@"\n')
    done = cloud.run("run", TRAIN="tiny --optimizer.learning_rat=1 --lora.targets='[q_proj, v_proj]'")
    assert done.returncode == 2
    (log,) = (cloud.folder / "bucket/jobs/job/logs").iterdir()
    assert "--optimizer.learning_rat: unknown key" in log.read_text()
    assert "training ended with exit code 2" in log.read_text()
    assert log.name in done.stdout


# -------------------------------------------------------------------- watching


def test_a_cloud_that_does_not_answer_for_a_while(cloud: Cloud):
    # Mutation: UNKNOWN taken for ABSENT, which would make a second TPU or give up a run.
    cloud.training("hang", "0")
    blind = {"match": "tpu-vm describe", "skip": 4, "times": 4, "rc": 1, "stderr": BROKEN}
    preempted = {"match": "cat .*/exits/", "skip": 12, "set": {"node": "PREEMPTED"}, "kill": "KILL"}
    cloud.has(rules=[blind, preempted])
    done = cloud.run("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the cloud does not answer" in done.stderr
    assert order(cloud).count("tpu-vm create") == 2


def test_a_cloud_that_never_answers(cloud: Cloud):
    cloud.has(rules=[{"match": "describe", "times": 999, "rc": 1, "stderr": BROKEN}])
    done = cloud.run("create")
    assert done.returncode == 1
    assert BROKEN in done.stderr
    assert "does not say whether all of job in zone still exists" in done.stdout
    assert not order(cloud)


def test_a_tpu_deleted_by_hand_is_not_made_again(cloud: Cloud):
    cloud.training("hang")
    cloud.has(rules=[{"match": "cat .*/exits/", "skip": 2, "set": {"node": None}, "kill": "KILL"}])
    done = cloud.run("run")
    assert done.returncode == 1
    assert "deleted by hand" in done.stderr
    assert order(cloud).count("tpu-vm create") == 1, done.stdout + done.stderr


def test_a_second_watcher_a_second_launch_and_a_stop(cloud: Cloud):
    # Mutations: launch over a running attempt; `stop` that sends TERM, whose 75 the watcher would start again.
    cloud.training("hang hang")
    first = cloud.start("run")
    wait_for(lambda: cloud.starts() and cloud.starts(1))
    refused = cloud.run("launch")
    assert refused.returncode == 2
    assert "training runs on job" in refused.stderr
    second = cloud.start("watch")
    wait_for(lambda: "0 running\n1 running\n" in cloud.run("status").stdout)
    assert cloud.run("stop").returncode == 0
    said = [watcher.communicate(timeout=120)[0] for watcher in (first, second)]
    assert [first.returncode, second.returncode] == [130, 130], said
    assert [len(cloud.starts(worker)) for worker in (0, 1)] == [1, 1]


def test_an_attempt_that_another_watcher_started_is_followed(cloud: Cloud):
    # Mutation: two watchers that end each other's attempts for ever.
    cloud.training("hang", "0")
    watcher = cloud.start("run")
    wait_for(lambda: cloud.began() and len(cloud.calls("/exits/")) > 1)
    other = cloud.folder / "bucket/jobs/job/exits/other"
    other.mkdir(parents=True)
    (other / "worker-0").write_text("0 0\n")
    (cloud.folder / "bucket/jobs/job/attempt").write_text("other\n")
    os.kill(cloud.process(), signal.SIGTERM)
    said, _ = watcher.communicate(timeout=120)
    assert watcher.returncode == 0, said
    assert "watching attempt other" in said
    assert len(cloud.starts()) == 1


def test_preempted_just_after_the_results_were_written(cloud: Cloud):
    # Mutation: a TPU rented again, only to say that the run is finished.
    cloud.training("0 hang", "0 0")
    cloud.has(rules=[{"match": "cat .*/exits/", "skip": 30, "set": {"node": "PREEMPTED"}, "kill": "KILL"}])
    done = cloud.run("run", GRACE_POLLS=999)
    assert done.returncode == 0, done.stdout + done.stderr
    assert order(cloud).count("tpu-vm create") == 1, done.stdout + done.stderr


def test_a_bucket_that_does_not_answer_at_first(cloud: Cloud):
    # Mutation: silence taken for a run that was never launched.
    assert cloud.run("run").returncode == 0
    cloud.has(rules=[{"match": "cat .*/attempt$", "times": 2, "rc": 1, "stderr": BROKEN}])
    assert cloud.run("watch").returncode == 0


def test_a_tpu_stopped_by_hand_ends_the_watching(cloud: Cloud):
    # Mutation: any state that is not known looked at for ever.
    cloud.training("hang")
    cloud.has(rules=[{"match": "cat .*/exits/", "skip": 2, "set": {"node": "STOPPED"}, "kill": "KILL"}])
    done = cloud.run("run")
    assert done.returncode == 1
    assert "is STOPPED, by somebody's hand" in done.stderr
    assert "still exists (STOPPED)" in done.stdout


def test_a_watcher_that_finds_no_run(cloud: Cloud):
    done = cloud.run("watch")
    assert done.returncode == 1
    assert "no run named job was launched" in done.stderr


def test_fetching_what_is_not_there(cloud: Cloud):
    done = cloud.run("fetch")
    assert done.returncode == 1
    assert "gs://bkt/runs/job cannot be copied" in done.stderr


# -------------------------------------------------------------------- deleting


def test_a_deletion_that_fails_is_tried_again(cloud: Cloud):
    cloud.has(node="READY", rules=[{"match": "tpu-vm delete", "times": 2, "rc": 1, "stderr": BROKEN}])
    done = cloud.run("delete", "--yes")
    assert done.returncode == 0, done.stderr
    assert cloud.there["node"] is None


@pytest.mark.parametrize("silent", [False, True])
def test_a_deletion_that_never_works_says_that_the_tpu_is_paid_for(cloud: Cloud, silent):
    # Silent: the command says that it worked, and the TPU stands. Mutation: success taken from the exit status.
    rule = {"match": "tpu-vm delete", "times": 99, "rc": 0 if silent else 1, "stderr": BROKEN}
    cloud.has(node="READY", rules=[rule])
    done = cloud.run("delete", "--yes")
    assert done.returncode == 1
    assert "could not be deleted in 3 tries" in done.stderr
    assert PAID in done.stdout


def test_what_an_earlier_provisioning_left_is_deleted_too(cloud: Cloud):
    # Settings now say on-demand; the request was made as queued. Mutation: the queue asked only where it is configured.
    cloud.has(queue="ACTIVE", node="READY")
    assert cloud.run("delete", "--yes").returncode == 0
    assert (cloud.there["queue"], cloud.there["node"]) == (None, None)


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
