"""How many training rows of the corpora at hand meet their evaluation rows, by each test, and how long that takes.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.similarity

What an item is about is compared, with its answer where that is free text.
"""

import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from upath import UPath

from bioinstruct_jax.preparation.rows import rendered
from bioinstruct_jax.similarity.duplicates import Exact, NearDuplicates
from bioinstruct_jax.similarity.join import Near
from bioinstruct_jax.similarity.ngrams import Ngrams
from bioinstruct_jax.tasks.table import TASKS

TESTS = ("same", "n-gram", "ROUGE-L", "near-duplicate")


@dataclass(frozen=True)
class Row:
    task: str
    id: str
    text: str


@dataclass
class Report:
    """Rows that each test names, by task and test; seconds of each stage, wall and processor."""

    rows: Counter[str] = field(default_factory=Counter)
    named: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    slowest: dict[str, float] = field(default_factory=dict)  # one text, wall

    def __str__(self) -> str:
        lines = [" ".join([f"{'task':24}", f"{'rows':>7}", *(f"{test:>15}" for test in TESTS)])]
        for task, rows in [*self.rows.items(), ("all", self.rows.total())]:
            counts = [
                sum(n for (of, by), n in self.named.items() if by == test and task in (of, "all")) for test in TESTS
            ]
            lines.append(" ".join([f"{task:24}", f"{rows:7}", *(f"{count:15}" for count in counts)]))
        for stage, (wall, processor) in self.seconds.items():
            worst = f", slowest text {self.slowest[stage] * 1000:.0f} ms" if stage in self.slowest else ""
            lines.append(f"{stage:24} {wall:7.1f} s, processor {processor:.1f} s{worst}")
        return "\n".join(lines)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        wall, processor = time.perf_counter(), time.process_time()
        yield
        self.seconds[stage] = time.perf_counter() - wall, time.process_time() - processor


def rows(corpora: UPath) -> tuple[list[Row], list[Row]]:
    """Training rows and evaluation rows of every task whose files are there."""
    found: tuple[list[Row], list[Row]] = ([], [])
    for task in TASKS.values():
        for split in task.splits:
            if task.missing(corpora, split.name):
                continue
            for row in rendered(task, corpora, split.name, seed=0, format=None):
                text = f"{row.about}\n{row.free}".rstrip()
                found[split.name != "train"].append(Row(task.name, row.sample.id, text))
    return found


def measure(training: list[Row], held_out: list[Row]) -> Report:
    """Every test of every training row against all evaluation rows, and against earlier training rows."""
    report = Report(rows=Counter(row.task for row in training))
    for test, index in (("same", Exact()), ("n-gram", Ngrams()), ("ROUGE-L", Near())):
        with report.timed(f"{test}: index"):
            for row in held_out:
                index.add(row.id, row.text)
            index.find(held_out[0].text)  # makes the tables of the n-grams
        _ask(report, test, training, lambda row, index=index: index.find(row.text))
    kept = NearDuplicates()
    _ask(report, "near-duplicate", training, lambda row: kept.see(row.id, row.text))
    return report


def _ask(report: Report, test: str, training: list[Row], find) -> None:
    stage, slowest = f"{test}: rows", 0.0
    with report.timed(stage):
        for row in training:
            begun = time.perf_counter()
            report.named[row.task, test] += find(row) is not None
            slowest = max(slowest, time.perf_counter() - begun)
    report.slowest[stage] = slowest


def main() -> int:
    if "BIOINSTRUCT_DATA" not in os.environ:
        print("BIOINSTRUCT_DATA is not set: give it the folder of corpora", file=sys.stderr)
        return 2
    report = Report()
    with report.timed("reading"):
        training, held_out = rows(UPath(os.environ["BIOINSTRUCT_DATA"]))
    print(
        f"{len(training)} training rows, {len(held_out)} evaluation rows, {report.seconds['reading'][0]:.1f} s to read"
    )
    print(measure(training, held_out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
