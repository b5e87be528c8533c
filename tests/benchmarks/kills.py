"""Kill a small training run at random moments, damage its files, start it again, and compare what it ends with.

    python -m tests.benchmarks.kills --kills 50 --seed 0

A run that nobody disturbs is the reference. Then, round after round, a fresh run is killed (SIGKILL most often, SIGTERM
and SIGINT else; half of the times just after a checkpoint was begun, else at any moment), sometimes its newest
checkpoint, its metrics or its finished.json are damaged as a torn write would, and the same command is started again
until it ends by itself. In every other round renaming files is forbidden, as in an object store. Compared bit for bit:
trained weights, optimizer state and step count of the last checkpoint, metrics.jsonl, the adapter.

Runs are forked from one process that has imported everything, so that a start costs a second and not ten.
"""

import argparse
import hashlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bioinstruct_jax import train

STEPS = 14
SETTINGS = """\
name: run
runs_dir: {folder}
platform: cpu
model:
  weights: random
  dtype: float32
  shape: {{hidden_size: 16, intermediate_size: 24, num_hidden_layers: 2, num_attention_heads: 2,
    max_position_embeddings: 512, initializer_range: 0.1}}
lora: {{rank: 2, dropout: 0.1}}
tokenizer: {{path: tiny}}
data:
  sources: [{{path: seeds}}]
  length: 512
  held_out: 0.1
  cache_dir: {cache}
optimizer: {{learning_rate: 0.01, warmup_steps: 2}}
training: {{steps: 14, batch_rows: 4, micro_batches: 2, eval_every: 4, checkpoint_every: 1, keep_checkpoints: 2,
  best: held_out_loss}}
"""
SIGNALS = (signal.SIGKILL,) * 6 + (signal.SIGTERM, signal.SIGINT)
ALLOWED = {0, 75, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}  # the last two before handlers stand


@dataclass
class Report:
    """What happened: kills by signal, starts that went on from a checkpoint, damages, and what differed (nothing)."""

    kills: Counter = field(default_factory=Counter)
    damages: Counter = field(default_factory=Counter)
    rounds: int = 0
    resumes: int = 0
    reported: int = 0
    differences: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [
            f"kills        {self.kills.total()}: {', '.join(f'{n} {name}' for name, n in self.kills.items())}",
            f"damages      {self.damages.total()}: {', '.join(f'{n} {name}' for name, n in self.damages.items())}",
            f"runs         {self.rounds}, gone on from a checkpoint {self.resumes} times, "
            f"damaged checkpoints reported {self.reported} times",
            f"differences  {len(self.differences)}",
            *self.differences,
        ]


# -------------------------------------------------------------------- processes


def fork(work: Callable[[], int | None], log: Path) -> int:
    """The process id of a child that does `work`, its output appended to `log`."""
    child = os.fork()
    if child:
        return child
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # before its own handler stands, a Ctrl-C ends it as SIGTERM does
        output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(output, 1)
        os.dup2(output, 2)
        code = work() or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def wait(child: int, seconds: float = 300) -> int:
    """The child's exit code, negative for a signal."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise SystemExit(f"a run did not end within {seconds} s")


def _train(settings: Path, renames: bool) -> int:
    if not renames:

        def forbidden(*_: object, **__: object) -> None:
            raise OSError("an object store has no rename")

        for place, name in ((os, "rename"), (os, "replace"), (os, "link"), (shutil, "move"), (Path, "rename")):
            setattr(place, name, forbidden)
    return train.main([str(settings)])


def digest(run: Path) -> dict[str, str]:
    """Hashes of everything that must be the same; in a child, for it starts a backend."""
    import jax
    import orbax.checkpoint as ocp

    newest = max((run / "checkpoints").iterdir(), key=lambda place: int(place.name))
    state = ocp.StandardCheckpointer().restore(newest / "state")
    found = {
        f"state{name}": hashlib.sha256(jax.device_get(array).tobytes()).hexdigest() for name, array in state.items()
    }
    for name in ("metrics.jsonl", "adapter/adapter_model.safetensors", "finished.json"):
        found[name] = hashlib.sha256((run / name).read_bytes()).hexdigest()
    return found


def _written_digest(run: Path, out: Path) -> None:
    out.write_text(json.dumps(digest(run)))


# -------------------------------------------------------------------- harm


def moment(run: Path, child: int, longest: float, chance: random.Random) -> None:
    """Wait for the moment of the kill: any, or one just after a new checkpoint was begun."""
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0, longest))
        return
    steps = lambda: {place.name for place in (run / "checkpoints").glob("*")}  # noqa: E731
    before, end, wanted = steps(), time.monotonic() + longest, chance.randint(1, 5)
    while len(steps() - before) < wanted and time.monotonic() < end:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.12))


def damage(run: Path, chance: random.Random) -> str | None:
    """Tear something as a crash can; what it was."""
    kind = chance.choice(["checkpoint", "metrics", "finished", None, None])
    if kind == "checkpoint":
        places = sorted((run / "checkpoints").glob("*"), key=lambda place: int(place.name))
        files = [file for file in places[-1].rglob("*") if file.is_file()] if places else []
        if not files:
            return None
        file = chance.choice(files)
        content = bytearray(file.read_bytes())
        match chance.choice(["cut", "flipped", "gone"]):
            case "cut":
                file.write_bytes(content[: len(content) // 2])
            case "flipped" if content:
                content[chance.randrange(len(content))] ^= 0x40
                file.write_bytes(content)
            case _:
                file.unlink()
    elif kind == "metrics" and (run / "metrics.jsonl").exists():
        with (run / "metrics.jsonl").open("a") as stream:
            stream.write('{"step": 3, "lo')
    elif kind == "finished":
        if not run.exists():
            return None
        (run / "finished.json").write_text('{"made": ')
    else:
        return None
    return kind


# -------------------------------------------------------------------- the harness


def torment(folder: Path, kills: int, seed: int) -> Report:
    """Kill runs in `folder` until `kills` signals were sent, and compare each run with the reference."""
    import jax
    import orbax.checkpoint  # noqa: F401

    from bioinstruct_jax.data import dataset  # noqa: F401
    from bioinstruct_jax.interop import results  # noqa: F401
    from bioinstruct_jax.training import checkpoint  # noqa: F401

    jax.config.update("jax_compilation_cache_dir", str(folder / "compiled"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    chance, report = random.Random(seed), Report()

    def prepared(name: str) -> tuple[Path, Path, Path]:
        place = folder / name
        place.mkdir()
        (place / "run.yaml").write_text(SETTINGS.format(folder=place, cache=folder / "cache"))
        return place / "run.yaml", place / "run", place / "log"

    def digested(run: Path, log: Path) -> dict[str, str]:
        if code := wait(fork(lambda: _written_digest(run, run.parent / "digest.json"), log)):
            raise SystemExit(f"the digest of {run} failed with {code}:\n{log.read_text()[-2000:]}")
        return json.loads((run.parent / "digest.json").read_text())

    for name in ("first", "reference"):  # the first fills the caches, so that the second tells how long a run takes
        settings, run, log = prepared(name)
        began = time.monotonic()
        if code := wait(fork(lambda s=settings: _train(s, True), log)):
            raise SystemExit(f"the run that nobody disturbed ended with {code}:\n{log.read_text()[-2000:]}")
        longest = time.monotonic() - began
    reference = digested(run, log)

    while report.kills.total() < kills:
        report.rounds += 1
        settings, run, log = prepared(f"round{report.rounds}")
        left = min(chance.randint(1, 8), kills - report.kills.total())
        code = None
        while code != 0:
            child = fork(lambda s=settings: _train(s, report.rounds % 2 == 0), log)
            if left:
                moment(run, child, longest, chance)
                chosen = chance.choice(SIGNALS)
                os.kill(child, chosen)
                report.kills[chosen.name] += 1
                left -= 1
            code = wait(child)
            if code not in ALLOWED:
                report.differences.append(f"round {report.rounds} ended with {code}: {log.read_text()[-2000:]}")
                break
            if code == -signal.SIGKILL and (torn := damage(run, chance)):
                report.damages[torn] += 1
                code = None
        else:
            found = digested(run, log)
            report.differences += [
                f"round {report.rounds}: {name}" for name in reference if found.get(name) != reference[name]
            ]
        said = log.read_text()
        report.resumes += said.count("going on from step")
        report.reported += said.count("cannot be used")
        if not report.differences:
            shutil.rmtree(settings.parent)
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="keep everything here; default: a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        report = torment(folder, asked.kills, asked.seed)
        print("\n".join([*report.lines(), f"seconds      {time.monotonic() - began:.0f}"]))
    sys.exit(bool(report.differences))


if __name__ == "__main__":
    main()
