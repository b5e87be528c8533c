"""How long it takes to compare generated rows with the evaluation items of the corpora at hand, and what is found.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.contamination [--rows=25005] [--seed=0]

Training rows of every task stand in for generated ones, drawn by seed. One core.
"""

import argparse
import os
import random
import resource
import sys
import time
from collections import Counter

from upath import UPath

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


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.contamination")
    parser.add_argument("--rows", type=int, default=25_005)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(args)
    if "BIOINSTRUCT_DATA" not in os.environ:
        print("BIOINSTRUCT_DATA is not set: give it the folder of corpora", file=sys.stderr)
        return 2
    corpora = os.environ["BIOINSTRUCT_DATA"]
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
