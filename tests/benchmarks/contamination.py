"""How long it takes to compare generated rows with the evaluation items of the corpora at hand, and what is found.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.contamination [--rows=25005] [--seed=0]

Training rows of every task stand in for generated ones, drawn by seed. One core.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.contamination --tuned [--rows=25005] [--items=10000] [--seed=0]

The other way round: how long it takes an evaluation to look so many of its items up in a file of such rows that a model
was tuned on, and which it finds. Tasks with restricted text are left out, as rows are written to a temporary folder.
"""

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from upath import UPath

from bioinstruct_jax.evaluation import contamination
from bioinstruct_jax.evaluation.runner.job import Contamination, Evaluate, Model
from bioinstruct_jax.evaluation.runner.questions import questions
from bioinstruct_jax.generation.contamination import TESTS, HeldOut
from bioinstruct_jax.generation.job import Decontamination
from bioinstruct_jax.preparation.rows import rendered
from bioinstruct_jax.tasks.table import TASKS


def rows(corpora: UPath, count: int, seed: int) -> list[tuple[str, str, str, str]]:
    """Task, instruction, input and output of so many training rows; some twice where there are fewer."""
    found = [
        (task.name, row.sample.instruction, row.sample.input, row.sample.output)
        for task in TASKS.values()
        if "train" in {split.name for split in task.splits} and not task.missing(corpora, "train")
        for row in rendered(task, corpora, "train", seed=0, format=None)
    ]
    return random.Random(seed).choices(found, k=count) if found else []


def tuned(corpora: UPath, count: int, items: int, seed: int) -> None:
    """Items of all evaluation splits, drawn by seed, looked up in rows of a file."""
    job = Evaluate(out="nowhere", models=(Model(model="none"),), seed=seed)
    open_tasks = [task for task in TASKS.values() if not task.licence.restricted]
    asked = [
        (task, question)
        for task in open_tasks
        for split in task.splits
        if split.name != "train" and not task.missing(corpora, split.name)
        for question in questions(job, task, split.name, corpora)
    ]
    asked = random.Random(seed).sample(asked, min(items, len(asked)))
    names = {task.name for task in open_tasks}
    drawn = [row for row in rows(corpora, count, seed) if row[0] in names]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.jsonl"
        with file.open("w", encoding="utf-8") as stream:
            for _, instruction, input, output in drawn:
                stream.write(json.dumps({"instruction": instruction, "input": input, "output": output}) + "\n")
        begun = time.process_time()
        index = contamination.items(Contamination())
        for task, question in asked:
            contamination.add(index, task, [question])
        print(f"{len(asked):,} items: {time.process_time() - begun:.1f} s")
        begun = time.process_time()
        found = contamination.Tuned.read(contamination.named([str(file)]), index)
        print(f"{found.sources[0].rows:,} rows: {time.process_time() - begun:.1f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    for task, told in found.told()["tasks"].items():
        print(f"{task:20} {told['items']:6,} items  {told['too_short']} too short  {told['by_test'] or ''}")


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.contamination")
    parser.add_argument("--rows", type=int, default=25_005)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tuned", action="store_true")
    parser.add_argument("--items", type=int, default=10_000)
    asked = parser.parse_args(args)
    if "BIOINSTRUCT_DATA" not in os.environ:
        print("BIOINSTRUCT_DATA is not set: give it the folder of corpora", file=sys.stderr)
        return 2
    corpora = os.environ["BIOINSTRUCT_DATA"]
    if asked.tuned:
        tuned(UPath(corpora), asked.rows, asked.items, asked.seed)
        return 0
    begun = time.process_time()
    index = HeldOut.read(Decontamination(corpora=corpora), lambda done, total: None)
    index.find("makes the tables of the n-grams in a second", "", "")
    print(f"{sum(index.tasks.values()):,} items of {len(index.tasks)} tasks: {time.process_time() - begun:.1f} s")
    drawn, met, slowest = rows(UPath(corpora), asked.rows, asked.seed), Counter(), 0.0
    begun = time.process_time()
    for task, *row in drawn:
        one = time.process_time()
        met.update((task, test) for test in {found.test for found in index.find(*row)})
        slowest = max(slowest, time.process_time() - one)
    print(f"{len(drawn):,} rows: {time.process_time() - begun:.1f} s, slowest {slowest * 1000:.0f} ms")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    for task, count in sorted(Counter(task for task, *_ in drawn).items()):
        print(f"{task:20} {count:6,} rows", *(f"{test} {met[task, test]}" for test in TESTS), sep="  ")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
