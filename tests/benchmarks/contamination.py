"""How long it takes to compare generated rows with every evaluation row at hand.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.contamination [--rows=25005]

Training rows of the corpora stand in for generated ones, in turn by task: real text, of which some meets evaluation.
"""

import argparse
import os
import resource
import sys
import time
from collections import Counter

from upath import UPath

from bioinstruct_jax.generation.contamination import HeldOut
from bioinstruct_jax.generation.job import Decontamination
from bioinstruct_jax.preparation.rows import rendered
from bioinstruct_jax.tasks.table import TASKS


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=25_005)
    wanted = parser.parse_args(argv).rows
    if "BIOINSTRUCT_DATA" not in os.environ:
        print("BIOINSTRUCT_DATA is not set: give it the folder of corpora", file=sys.stderr)
        return 2
    corpora = UPath(os.environ["BIOINSTRUCT_DATA"])
    streams = [
        rendered(task, corpora, "train", seed=0, format=None)
        for task in TASKS.values()
        if any(split.name == "train" for split in task.splits) and not task.missing(corpora, "train")
    ]
    rows = []
    while streams and len(rows) < wanted:
        streams = [stream for stream in streams if (row := next(stream, None)) and (rows.append(row) or True)]
    rows = rows[:wanted]
    begun = time.process_time()
    held_out = HeldOut.read(Decontamination(corpora=str(corpora)), lambda done, of: None)
    read = time.process_time() - begun
    met: Counter[str] = Counter()
    begun = time.process_time()
    for row in rows:
        sample = row.sample
        met.update({one.test for one in held_out.find(sample.instruction, sample.input, sample.output)})
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{sum(held_out.tasks.values()):,} evaluation rows of {len(held_out.tasks)} tasks read in {read:.1f} s")
    print(f"{len(rows):,} rows compared in {seconds:.1f} s of one core, {peak:.2f} GiB at most")
    print("rows that met one: " + ", ".join(f"{test} {count:,}" for test, count in sorted(met.items())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
