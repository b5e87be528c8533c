"""Solved items that are shown before the one that is asked, for every kind of task."""

from collections.abc import Callable, Sequence
from typing import Any

from upath import UPath

from bioinstruct_jax.evaluation import shots
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.tasks.task import Item, Task


def pool(job: Evaluate, task: Task[Any, Any], split: str, corpora: UPath) -> tuple[str, list[Item]]:
    """The split that shots come from, and its items; empty without shots."""
    if not job.shots.count:
        return "", []
    there = [one.name for one in task.splits if not task.missing(corpora, one.name)]
    wanted = (job.shots.split,) if job.shots.split else ("train", "dev", split)
    source = next((name for name in wanted if name in there), None)
    if source is None:
        raise ValueError(
            f"{task.name}: no files of split {job.shots.split!r} to draw shots from; there are {', '.join(there)}"
        )
    return source, list(task.items(corpora, source))


def shown(job: Evaluate, task: Task[Any, Any], items: Sequence[Item]) -> Callable[[Item], list[Any]]:
    """What draws the shots of an item: a pure function of seed, pool and item, as `shots.draw`."""
    if not job.shots.count:
        return lambda item: []
    drawn = shots.pool(task, items)
    balanced = job.shots.balanced and bool(drawn.by_label)
    return lambda item: shots.draw(drawn, item, job.shots.count, seed=job.seed, balanced=balanced)
