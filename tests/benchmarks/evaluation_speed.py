"""How fast choice tasks are scored, beside lm-evaluation-harness with transformers on the same machine.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.evaluation_speed [--items 100] [--rounds 3] [--vocabulary 32000]
    python -m tests.benchmarks.evaluation_speed --stored 100000

Needs lm-eval 0.4.13. A small LLaMA with random weights, float32, is scored zero-shot on MedQA, MedMCQA, PubMedQA and
MMLU by the harness and by our runner, with JAX and with transformers; items, texts and the model's files are the same,
and log-likelihoods more than 1e-3 apart fail the benchmark. Each run is a process of its own, the sides take turns, the
median counts: seconds from the loaded model to scores and samples, reading the corpora included. Batch size and torch's
threads are tuned on a part of the items; ours with JAX has neither. On a machine that others use, threads that wait for
each other at every product are slowed far more than their share: --cores=1 and CPU-seconds tell more there. What XLA
compiles is kept in a folder: `cold` is the run that fills it. Memory is each process's peak, less what it had with the
model loaded, for a quarter of the items and for all.

With --stored nothing is run: the whole verb scores so many outputs that stand in a file, and a quarter as many.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from upath import UPath

from bioinstruct_jax.evaluation.runner.job import Evaluate, Model
from bioinstruct_jax.evaluation.runner.planned import Planned, planned
from tests.benchmarks import harness

CONTEXT = 2048
TASKS = ("medqa", "medmcqa", "pubmedqa")
MMLU = ("anatomy", "clinical_knowledge", "college_biology", "college_medicine", "medical_genetics")
SIDES = ("harness", "ours_jax", "ours_transformers")
BATCHES = (1, 4, 8, 16, 32, 64)
PART = 12  # items of each task to tune on
TOLERANCE = 1e-3
Run = dict[str, Any]


def job(data: Path, out: Path, model: Model, items: int | None) -> Evaluate:
    """Our evaluation of the tasks that are there."""
    there = [f"mmlu_{name}" for name in MMLU if (data / "mmlu" / f"{name}_test.csv").exists()]
    return Evaluate(
        out=str(out), corpora=str(data), tasks=(*TASKS, *there), protocols=("harness",), limit=items, models=(model,)
    )


def plan(data: Path, items: int | None) -> list[Planned]:
    """The tasks, and the items of each that are drawn."""
    return planned(job(data, Path(), Model(model="none"), items), UPath(data))[0]


def model_files(folder: Path, vocabulary: int | None, layers: int) -> None:
    """A LLaMA as wide as that of `configs/small_cpu.yaml`; no text has the tokens above the tokenizer's own."""
    from bioinstruct_jax.data import tokenizer
    from tests.interop import llama_pairs

    tiny = tokenizer.load("tiny")
    settings = {
        "vocab_size": vocabulary or len(tiny),
        "hidden_size": 256,
        "intermediate_size": 704,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": CONTEXT,
    }
    llama_pairs.reference(1, **settings).save_pretrained(folder)
    tiny.save_pretrained(folder)


def task_files(data: Path, items: int | None, folder: Path) -> None:
    """The harness's packaged tasks over the items that our runner draws, in its order."""
    folder.mkdir(parents=True)
    for one in plan(data, items):
        docs = {item.id: doc for doc, item in harness.documents(one.task, data)}
        harness.task_file(one.task, [docs[asked.item.id] for asked in one.questions()], folder)


def run(work: Path, side: str, items: int | None, batches: list[int], threads: int, cores: int) -> list[Run]:
    """What one process of a side measured on so many cores, for each batch size in turn; `threads` are torch's."""
    out = work / f"{side}.json"
    tasks = work / f"tasks_{items}"
    if not tasks.exists():
        task_files(Path(os.environ["BIOINSTRUCT_DATA"]), items, tasks)
    command = [sys.executable, "-m", "tests.benchmarks.evaluation_speed_side", side, str(work / "model"), str(tasks)]
    command += [str(items or 0), str(out), *map(str, batches)]
    kept = {"JAX_COMPILATION_CACHE_DIR": str(work / "compiled"), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    settings = os.environ | kept | {"OMP_NUM_THREADS": str(threads), "SCORED_CORES": str(cores)}
    ended = subprocess.run(command, env=settings, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{side} ended with {ended.returncode}:\n{ended.stderr[-3000:]}")
    if side != "harness" and len(batches) == 1 and "left" not in ended.stderr and items is None:
        raise SystemExit(f"{side} never said how much time is left:\n{ended.stderr[-3000:]}")
    return json.loads(out.read_text())


def apart(theirs: Run, ours: Run) -> float:
    """Largest difference of a log-likelihood; raises SystemExit if it is too large."""
    worst = 0.0
    for name, rows in theirs["loglikelihoods"].items():
        for place, (left, right) in enumerate(zip(rows, ours["loglikelihoods"][name], strict=True)):
            worst = max(worst, *(abs(a - b) for a, b in zip(left, right, strict=True)))
            if worst > TOLERANCE:
                raise SystemExit(f"{name}, item {place}: log-likelihoods are {worst} apart")
    return worst


def tuned(work: Path, side: str, cores: int) -> tuple[int, int]:
    """The fastest batch size and number of torch's threads on a part of the items."""
    if side == "ours_jax":
        return 1, cores
    tried = {
        (one["batch"], threads): one["cpu" if cores == 1 else "seconds"]
        for threads in sorted({1, cores})
        for one in run(
            work, side, PART, [16, *BATCHES], threads, cores
        )  # the first warms up, the last of a size counts
    }
    listed = ", ".join(f"{batch} x {threads}: {seconds:.1f} s" for (batch, threads), seconds in tried.items())
    print(f"{side}, {PART} items of each task, batch x threads: {listed}", flush=True)
    return min(tried, key=tried.__getitem__)


def compare(work: Path, items: int | None, rounds: int, cores: int) -> None:
    """Tune, take turns, print."""
    best = {side: tuned(work, side, cores) for side in SIDES}

    def once(side: str, items: int | None) -> Run:
        batch, threads = best[side]
        return run(work, side, items, [batch], threads, cores)[0]

    cold = once("ours_jax", items)
    found: dict[str, list[Run]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            found[side].append(once(side, items))
    widest = {side: max(apart(found["harness"][0], one) for one in found[side]) for side in SIDES}
    quarter = {side: once(side, max(1, items // 4) if items else 400) for side in SIDES}
    many, few = (sum(map(len, one["loglikelihoods"].values())) for one in (cold, quarter["harness"]))
    base, base_cpu = (statistics.median(one[unit] for one in found["harness"]) for unit in ("seconds", "cpu"))
    print(f"\n{many:,} items, {cores} cores, medians of {rounds} rounds; memory above the loaded model in MiB")
    print(f"{'':18}batch threads  seconds  ratio  CPU-seconds  ratio  compiling  programs  ", end="")
    print(f"MiB of {few:,}, {many:,} items     apart  seconds of each round")
    for name, runs in [("ours_jax, cold", [cold]), *found.items()]:
        side = name.split(",")[0]
        took, cpu, compiling = (
            statistics.median(one[unit] for one in runs) for unit in ("seconds", "cpu", "compiling")
        )
        least, most = quarter[side]["peak"] - quarter[side]["loaded"], max(one["peak"] - one["loaded"] for one in runs)
        batch = f"{best[side][0]:5} {best[side][1]:7}" if side != "ours_jax" else f"{'':5} {cores:7}"
        print(
            f"{name:18}{batch}  {took:7.1f}  {base / took:5.2f}  {cpu:11.1f}  {base_cpu / cpu:5.2f}  {compiling:9.1f}  "
            f"{runs[0]['programs']:8}  {least:12.0f}, {most:12.0f}  {widest.get(name, 0):8.1e}  "
            + " ".join(f"{one['seconds']:.1f}" for one in runs)
        )
    for name in cold["loglikelihoods"]:
        parts = {side: statistics.median(one["tasks"][name] for one in found[side]) for side in SIDES[1:]}
        print(f"  {name:26}" + ", ".join(f"{side} {part:.1f} s" for side, part in parts.items()))


def stored(count: int) -> None:
    """Time and peak memory of the whole verb for outputs in a file, each count in a process of its own."""
    from tests.benchmarks.evaluation_speed_side import stored_files

    for rows in (max(1, count // 4), count):
        with tempfile.TemporaryDirectory() as place:
            arguments = stored_files(Path(place), rows)
            command = [sys.executable, "-m", "tests.benchmarks.evaluation_speed_side", "stored", *arguments]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            if ended.returncode:
                raise SystemExit(ended.stderr[-3000:])
            print(f"{rows:,} stored outputs: {ended.stdout.splitlines()[-1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, help="of each task (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--vocabulary", type=int, help="of the model (default: the tokenizer's)")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="of each process")
    parser.add_argument("--stored", type=int, metavar="ROWS", help="score stored outputs instead")
    given = parser.parse_args()
    names = ("lm_eval", "transformers", "torch", "jax", "bioinstruct-jax")
    print(", ".join(f"{name} {metadata.version(name)}" for name in names))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if given.stored:
        stored(given.stored)
        return
    with tempfile.TemporaryDirectory() as place:
        model_files(Path(place, "model"), given.vocabulary, given.layers)
        compare(Path(place), given.items, given.rounds, given.cores)
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    main()
