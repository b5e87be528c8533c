"""A cloud of one folder: the few commands of gcloud that tpu/ uses, with faults at chosen moments.

CLOUD names the folder: `bucket/` is gs://bkt, `worker-N/` is the home of worker N, `cloud.json` is what there is and
the rules of what goes wrong, `calls` is every command line in the order it came. What ssh is given is run by bash. A
rule is {match: regular expression over the command line, skip, times: which matches count, set: new states, kill:
signal for every training process, rc and stderr: the command fails and does nothing}. Matches of a rule that kills
count from when training runs on every worker.
"""

import contextlib
import fcntl
import glob
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

CLOUD = os.environ["CLOUD"]


@contextlib.contextmanager
def state():
    with open(f"{CLOUD}/cloud.json", "r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        found = json.load(file)
        yield found
        file.seek(0)
        file.truncate()
        json.dump(found, file)


def kill(number):
    for name in ("wrapper", "child") if number == signal.SIGKILL else ("child",):
        for file in glob.glob(f"{CLOUD}/worker-*/bioinstruct/state/{name}"):
            with contextlib.suppress(ProcessLookupError):
                if process := Path(file).read_text().strip():  # else it is being written
                    os.kill(int(process), number)


def began(workers):
    files = (Path(f"{CLOUD}/worker-{number}/bioinstruct/state/child") for number in range(workers))
    known = all(file.exists() and file.read_text().strip() for file in files)
    return known and all(os.path.exists(f"{CLOUD}/starts-{number}") for number in range(workers))


def fail(text, code=1):
    sys.stderr.write(text + "\n")
    sys.exit(code)


def fault(line):
    """Apply the first rule that this command line meets."""
    with state() as now:
        for rule in now["rules"]:
            if rule.get("times", 1) and re.search(rule["match"], line):
                if "kill" in rule and not began(now["workers"]):
                    continue
                if rule.get("skip", 0):
                    rule["skip"] -= 1
                    continue
                rule["times"] = rule.get("times", 1) - 1
                now.update(rule.get("set", {}))
                break
        else:
            return
    if "kill" in rule:
        kill(getattr(signal, "SIG" + rule["kill"]))
    if "rc" in rule:
        fail(rule.get("stderr", ""), rule["rc"])


def describe(kind, value):
    if value is None:
        fail(f"ERROR: (gcloud.compute.tpus.{kind}.describe) NOT_FOUND: Resource was not found")
    print(value)


def ssh(words, now):
    if now["node"] != "READY":
        fail("ERROR: TPU is not in state READY")
    command, worker = (next(w.split("=", 1)[1] for w in words if w.startswith(name)) for name in ("--comm", "--worker"))
    bad = 0
    for number in range(now["workers"]) if worker == "all" else [int(worker)]:
        home = f"{CLOUD}/worker-{number}"
        os.makedirs(home, exist_ok=True)
        environment = os.environ | {"HOME": home, "TPU_WORKER_ID": str(number)}
        bad |= subprocess.run(["bash", "-c", command], env=environment, cwd=home).returncode
    sys.exit(1 if bad else 0)


def storage(words):
    def local(name):
        return name.replace("gs://bkt", f"{CLOUD}/bucket")

    verb, *names = [local(word) for word in words if not word.startswith("--")]
    if verb == "cat":
        files = sorted(glob.glob(names[0]))
        if not files:
            fail("ERROR: (gcloud.storage.cat) The following URLs matched no objects or files")
        for file in files:
            sys.stdout.buffer.write(Path(file).read_bytes())
    elif verb == "cp":
        *sources, to = names
        os.makedirs(to if to.endswith("/") else os.path.dirname(to), exist_ok=True)
        for source in sources:
            if source == "-":
                Path(to).write_bytes(sys.stdin.buffer.read())
            else:
                shutil.copy(source, to)
    elif verb == "rsync":
        skipped = re.compile(next(w.split("=", 1)[1] for w in words if w.startswith("--exclude")))
        source, to = names
        if not os.path.isdir(source):
            fail("ERROR: (gcloud.storage.rsync) Did not find existing container at: " + source)
        for folder, _, files in os.walk(source):
            for file in files:
                name = os.path.relpath(os.path.join(folder, file), source)
                if not skipped.match(name):
                    os.makedirs(os.path.dirname(os.path.join(to, name)), exist_ok=True)
                    shutil.copy(os.path.join(source, name), os.path.join(to, name))


def gone():
    """The machines and all on them."""
    kill(signal.SIGKILL)
    for home in glob.glob(f"{CLOUD}/worker-*"):
        shutil.rmtree(home, ignore_errors=True)


def main(words):
    line = " ".join(words)
    with open(f"{CLOUD}/calls", "a") as file:
        file.write(line.replace("\n", " ") + "\n")
    fault(line)
    if words[0] == "storage":
        storage(words[1:])
        return
    with state() as now:
        match words[2:4]:
            case ["tpu-vm", "create"]:
                if now["node"]:
                    fail("ERROR: ALREADY_EXISTS: the TPU exists")
                now["node"] = "READY"
            case ["tpu-vm", "delete"]:
                now["node"] = None
                gone()
            case ["queued-resources", "create"]:
                if now["queue"]:
                    fail("ERROR: ALREADY_EXISTS: the request exists")
                now["queue"] = "WAITING_FOR_RESOURCES"
            case ["queued-resources", "delete"]:
                now["queue"] = now["node"] = None
                gone()
            case ["queued-resources", "describe"]:
                queue = now["queue"]
                if queue == "WAITING_FOR_RESOURCES":  # for this once
                    now["queue"], now["node"] = "ACTIVE", "READY"
                describe("queued-resources", queue)
            case ["tpu-vm", "describe"] if "networkEndpoints" in line:
                describe("tpu-vm", now["node"] and ";".join(f"10.0.0.{n}" for n in range(now["workers"])))
            case ["tpu-vm", "describe"]:
                describe("tpu-vm", now["node"])
    if words[2:4] == ["tpu-vm", "ssh"]:
        ssh(words, now)


try:
    main(sys.argv[1:])
except Exception as error:  # a mistake of the stand-in must not pass for one of the cloud
    Path(f"{CLOUD}/broken").write_text(repr(error))
    raise
