"""The seed tasks that a teacher is shown."""

import hashlib
import json
import re
from collections import Counter

from bioinstruct_jax import files
from bioinstruct_jax.config import Source
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.readers import read
from bioinstruct_jax.data.records import BadRow, Record
from bioinstruct_jax.generation.job import Generate

_INSTANCE = re.compile(r"\.[0-9]+$")  # behind the id of a seed task, where it has several


def seeds(job: Generate) -> list[Record]:
    """All of them, in the order of their files.

    Raises:
        FileNotFoundError, ValueError: there are none, fewer than are to be shown, a bad one (named with its line), or
            two of one id.
        RestrictedError: one of them is restricted: a teacher that is shown it may repeat it.
    """
    place = job.seeds or "seeds"
    folder = place != "seeds" and files.path(place).is_dir()
    found, bad = list[Record](), list[BadRow]()
    for row in read(Source(path=place, format="seeds" if folder else "auto")):
        if isinstance(row, BadRow):
            bad.append(row)
        else:
            found.append(row)
    if bad:
        told = "\n  ".join(f"{row.source}, line {row.line}: {row.reason}" for row in bad[:10])
        raise ValueError(f"{place}: {len(bad)} seed tasks cannot be used; mend or remove them:\n  {told}")
    if restricted := sum(record.restricted for record in found):
        raise RestrictedError(
            f"{place}: {restricted:,} seed tasks are restricted, and a teacher that is shown them may repeat them; "
            "leave them out"
        )
    if twice := [id for id, times in Counter(record.id for record in found).items() if times > 1]:
        raise ValueError(f"{place}: the id {twice[0]} stands there twice; rows name their seeds by id")
    if (tasks := len({task(record) for record in found})) < job.shown:
        raise ValueError(f"{place} has {tasks} seed tasks and {job.shown} are to be shown; set shown or add seeds")
    return found


def task(record: Record) -> str:
    """The id of the seed task that an instance is of; one that stands alone is its own."""
    return _INSTANCE.sub("", record.id)


def seeds_hash(found: list[Record]) -> str:
    """The first 16 hex digits of the SHA-256 of their ids and texts, in order."""
    texts = [[seed.id, seed.instruction, seed.input, seed.output] for seed in found]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]
