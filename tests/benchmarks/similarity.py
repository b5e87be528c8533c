"""How many training rows of the corpora at hand meet their evaluation rows, by each test, and how long that takes.

    BIOINSTRUCT_DATA=FOLDER python -m tests.benchmarks.similarity [--rendered]

Inputs are compared, with their outputs where those are free text. Lines that all inputs of a task share, such as its
classes, say nothing of a row and would make every row of it meet: they are left out, unless `--rendered`.
"""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from upath import UPath

from bioinstruct_jax.similarity.duplicates import Exact, NearDuplicates
from bioinstruct_jax.similarity.join import Near
from bioinstruct_jax.similarity.ngrams import Ngrams
from bioinstruct_jax.tasks.table import TASKS

FREE_TEXT = ("open_answer", "summary", "note")
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


def rows(corpora: UPath, *, rendered: bool) -> tuple[list[Row], list[Row]]:
    """Training rows and evaluation rows of every task whose files are there."""
    found: tuple[list[Row], list[Row]] = ([], [])
    for task in TASKS.values():
        pairs = []
        for split in task.splits:
            try:
                for item in task.items(corpora, split.name):
                    asked, answer = task.family.render(item, task, task.family.formats[0])
                    text = f"{asked}\n{answer}" if task.family.name in FREE_TEXT else asked
                    pairs.append((split.name, Row(task.name, f"{task.name}/{split.name}/{item.id}", text)))
            except FileNotFoundError:
                continue
        shared = set.intersection(*(set(row.text.splitlines()) for _, row in pairs)) if len(pairs) > 1 else set()
        for name, row in pairs:
            own = "\n".join(line for line in row.text.splitlines() if rendered or line not in shared)
            found[name != "train"].append(replace(row, text=own))
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


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rendered", action="store_true", help="compare inputs with the lines that all of them share")
    options = parser.parse_args(arguments)
    if "BIOINSTRUCT_DATA" not in os.environ:
        print("BIOINSTRUCT_DATA is not set: give it the folder of corpora", file=sys.stderr)
        return 2
    report = Report()
    with report.timed("reading"):
        training, held_out = rows(UPath(os.environ["BIOINSTRUCT_DATA"]), rendered=options.rendered)
    print(
        f"{len(training)} training rows, {len(held_out)} evaluation rows, {report.seconds['reading'][0]:.1f} s to read"
    )
    print(measure(training, held_out))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
