"""Who is asked, and which seeds are shown: of each request by its number, whatever was answered before."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation.job import Generate, Teacher
from bioinstruct_jax.generation.seeds import task


@dataclass(frozen=True)
class Draw:
    """What a request for instructions is made of."""

    teacher: Teacher
    seeds: tuple[Record, ...]


def draw(job: Generate, seeds: Sequence[Record], number: int) -> Draw:
    """A pure function of the job's seed, its teachers and seed tasks, and the number of the request, from 0.

    The teacher is drawn by weight; of the seed tasks, `shown` different ones, and of each one instance. The draw is by
    hash, so it is the same on every machine and version.
    """
    tasks: dict[str, list[Record]] = {}
    for record in seeds:
        tasks.setdefault(task(record), []).append(record)
    ranked = sorted(tasks, key=lambda name: _hash(job.seed, number, "seed", name))[: job.shown]
    shown = [tasks[name][_hash(job.seed, number, "instance", name) % len(tasks[name])] for name in ranked]
    return Draw(_teacher(job, number), tuple(shown))


def _teacher(job: Generate, number: int) -> Teacher:
    place = _hash(job.seed, number, "teacher") / 2**64 * sum(teacher.weight for teacher in job.teachers)
    for teacher in job.teachers:
        place -= teacher.weight
        if place < 0:
            return teacher
    return job.teachers[-1]  # a sum that was rounded


def _hash(*words: object) -> int:
    """0 to 2^64 - 1."""
    return int.from_bytes(hashlib.blake2b("\0".join(map(str, words)).encode(), digest_size=8).digest(), "big")
