"""tpu.sh before a cloud of one folder: gcloud, uv and training are stand-ins; the workers' shell is run as it is."""

import fcntl
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tpu" / "tpu.sh"
SETTINGS = {"PROJECT": "project", "BUCKET": "gs://bkt", "NAME": "job", "ZONE": "zone", "PROVISIONING": "on-demand"}
SETTINGS |= {"POLL": "0.05", "TRIES": "3", "CREATE_TRIES": "3", "READY_POLLS": "3", "RESTARTS": "3", "BACKOFF": "0"}
SETTINGS |= {"GRACE_POLLS": "4", "CHECK_POLLS": "5", "TRAIN": "tiny --lora.targets='[q_proj, v_proj]'"}

UV = """#!/bin/bash
# The Python it makes is a training that ends, at its Nth start, as line N of $CLOUD/training says: a word a worker.
echo "uv $*" >>"$CLOUD/uv"
case $1 in
    --version) echo "uv ${BIO_UV:-0.9.9}" ;;
    venv) mkdir -p "${!#}/bin" && cp "$CLOUD/train" "${!#}/bin/python" ;;
esac
"""

TRAIN = """#!/bin/bash
echo "$JAX_COMPILATION_CACHE_DIR $*" >>"$CLOUD/starts-$TPU_WORKER_ID"
words=($(sed -n "$(wc -l <"$CLOUD/starts-$TPU_WORKER_ID")p" "$CLOUD/training"))
code=${words[$TPU_WORKER_ID]}
run=$CLOUD/bucket/runs/job
mkdir -p "$run/checkpoints/1"
echo "worker $TPU_WORKER_ID ends with $code"
case $code in
    vanish) kill -KILL "$(cat ../state/wrapper)" $$ ;;
    hang)
        trap 'exit 130' INT
        trap 'exit 75' TERM
        for _ in $(seq 6000); do sleep 0.1; done # longer than any test, on a slow machine too
        exit 1
        ;;
    0) touch "$run/checkpoints/1/weights" && echo '{}' >"$run/finished.json" ;;
esac
exit "$code"
"""


@dataclass
class Cloud:
    folder: Path

    def environment(self, **settings: Any) -> dict[str, str]:
        mine = {name: value for name, value in os.environ.items() if not name.startswith("BIO_")}
        given = {f"BIO_{name}": str(value) for name, value in (SETTINGS | settings).items()}
        return mine | given | {"CLOUD": str(self.folder), "PATH": f"{self.folder}/bin:{os.environ['PATH']}"}

    def run(self, *words: str, **settings: Any) -> subprocess.CompletedProcess[str]:
        """tpu.sh with these words, in the cloud's folder, without a terminal."""
        return subprocess.run(
            [str(SCRIPT), *words],
            env=self.environment(**settings),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def start(self, *words: str, **settings: Any) -> subprocess.Popen[str]:
        """The same in the background, as a process group of its own, as a terminal would make it."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
        return subprocess.Popen(
            [str(SCRIPT), *words],
            env=self.environment(**settings),
            cwd=self.folder,
            text=True,
            start_new_session=True,
            **pipes,
        )

    def has(self, **values: Any) -> None:
        """Set what there is: node, queue, workers, rules."""
        file = self.folder / "cloud.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    @property
    def there(self) -> dict[str, Any]:
        with (self.folder / "cloud.json").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH)  # gcloud may be writing it, called by a worker
            return json.load(file)

    def training(self, *attempts: str) -> None:
        """How training ends, a text an attempt, a word a worker: an exit code, `hang` or `vanish`."""
        (self.folder / "training").write_text("".join(line + "\n" for line in attempts))
        self.has(workers=len(attempts[0].split()))

    def starts(self, worker: int = 0) -> list[str]:
        """The command line of each start of training on a worker."""
        file = self.folder / f"starts-{worker}"
        return file.read_text().splitlines() if file.exists() else []

    def calls(self, part: str = "") -> list[str]:
        """The command lines that gcloud was given and that contain `part`."""
        file = self.folder / "calls"
        return [line for line in file.read_text().splitlines() if part in line] if file.exists() else []

    def began(self, worker: int = 0) -> bool:
        """Whether training runs on a worker and its process is known."""
        file = self.folder / f"worker-{worker}/bioinstruct/state/child"
        return bool(self.starts(worker)) and file.exists() and bool(file.read_text().strip())

    def process(self, worker: int = 0) -> int:
        """The training process of a worker."""
        return int((self.folder / f"worker-{worker}/bioinstruct/state/child").read_text())
