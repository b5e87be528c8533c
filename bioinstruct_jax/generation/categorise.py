"""Categories for instructions that were made elsewhere: the published BioInstruct rows come without theirs.

What is written stands beside the rows of a generation and replaces none of them.
"""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.errors import BudgetError
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.config import Source
from bioinstruct_jax.data import readers
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.records import BadRow, Record
from bioinstruct_jax.generation import folder, labelling, prompts
from bioinstruct_jax.generation.item import CATEGORIES
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.generation.seeds import seeds_hash

ROWS, TOLD = "categorised.jsonl", "categorised.json"


def categorise(job: Generate, seeds: list[Record], source: str) -> tuple[int, str]:
    """Write the rows of a source, each with a category of `CATEGORIES`, empty where nobody said, to `job.out`.

    `job.categories` says who gives them. What a teacher answered stays in the journal: the same command goes on, and
    asks for nothing twice.

    Returns:
        The exit code (0; 3 the budget ended; 4 the server stopped it) and what to tell.

    Raises:
        ValueError: categories.by is off, a row is no single instruction, or the folder is not one of a generation.
        RestrictedError: a row is restricted.
        FileNotFoundError, SourceError: as `readers.read`.
    """
    if job.categories.by == "off":
        raise ValueError("categories.by is off, so nobody gives categories; set it to classifier or teacher")
    records, unreadable = _read(source)
    origin = {"prompt": prompts.prompt_hash(), "seeds": seeds_hash(seeds)}
    out = folder.begin(job, origin, accept_changes=False)
    numbered = [replace(record, id=str(number)) for number, record in enumerate(records)]
    with Journal.open(out / folder.JOURNAL) as journal:
        folder.record(out, job, origin)
        if job.categories.by == "classifier":
            labels = labelling.by_classifier(numbered, seeds)
        else:
            endpoints = {teacher.name: teacher for teacher in job.teachers}
            labels = asyncio.run(_asked(job, numbered, seeds, Client(endpoints, journal=journal, budget=job.budget)))
    given = [labels.found.get(row.id, "") for row in numbered]
    counts = Counter(given)
    told = {
        "source": source,
        "sha256": readers.digest(Source(path=source)),
        "rows": len(records),
        "unreadable": unreadable,
        "categories": {name: counts[name] for name in CATEGORIES},
        "none": counts[""],
        "agreement": labels.told,
    }
    _write(out, records, given, told)
    failure = labels.failure
    return (0 if failure is None else 3 if isinstance(failure, BudgetError) else 4), _said(out, told, failure)


def _read(source: str) -> tuple[list[Record], int]:
    """Its records, and how many rows are none."""
    found, bad = list[Record](), 0
    for row in readers.read(Source(path=source)):
        if isinstance(row, BadRow):
            bad += 1
        elif row.restricted:
            raise RestrictedError(f"{source}: has restricted rows, whose text is not copied; leave them out")
        elif row.history or row.system:
            raise ValueError(f"{source}: row {row.id} has other turns or a system text; categories are of instructions")
        else:
            found.append(row)
    return found, bad


async def _asked(job: Generate, rows: list[Record], seeds: list[Record], client: Client) -> labelling.Labels:
    async with client:
        return await labelling.by_teacher(job, rows, seeds, client, ask=True)


def _write(out: Path, records: list[Record], given: list[str], told: dict[str, Any]) -> None:
    """The rows, and what is told of them last, so that it is there for whole files alone."""
    (out / TOLD).unlink(missing_ok=True)
    with (out / ROWS).open("w", encoding="utf-8", newline="\n") as file:
        for record, category in zip(records, given, strict=True):
            row = {name: getattr(record, name) for name in ("id", "instruction", "input", "output")}
            file.write(json.dumps({**row, "category": category}, ensure_ascii=False) + "\n")
    (out / TOLD).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def _said(out: Path, told: dict[str, Any], failure: Exception | None) -> str:
    share = {name: count / max(told["rows"], 1) for name, count in told["categories"].items()}
    lines = [
        f"{told['rows']:,} instructions: " + ", ".join(f"{name} {part:.1%}" for name, part in share.items()),
        f"by {told['agreement']['by']}",
    ]
    if (accuracy := told["agreement"].get("accuracy")) is not None:
        low, high = told["agreement"]["low"], told["agreement"]["high"]
        lines[-1] += f"; right on {accuracy:.0%} of the seed tasks (95 % interval {low:.0%} to {high:.0%})"
    if told["unreadable"]:
        lines.append(f"{told['unreadable']:,} rows cannot be read and are left out")
    if told["none"]:
        lines.append(f"{told['none']:,} have no category" + (f": {failure}" if failure else ""))
    return "\n".join([*lines, f"rows    {out / ROWS}"])
