"""Which tasks are scored, on which of their items, before any model is loaded."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from upath import UPath

from bioinstruct_jax.evaluation import shots
from bioinstruct_jax.evaluation.runner import asking, shown
from bioinstruct_jax.evaluation.runner.job import Evaluate, Protocol
from bioinstruct_jax.evaluation.runner.questions import Question, chosen_split, protocols, questions
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import CATEGORIES, CorpusError, Item, Task, check_folder


@dataclass(frozen=True)
class Planned:
    """One task that is scored.

    Attributes:
        split: that is scored.
        protocols: in which it is asked.
        items: how many are asked; `whole`: how many the split has.
        most: tokens that a generated answer may have.
        shots_from: split that shots come from; empty without shots.
    """

    job: Evaluate
    task: Task[Any, Any]
    corpora: UPath
    split: str
    protocols: tuple[Protocol, ...]
    items: int
    whole: int
    most: int
    shots_from: str
    pool: tuple[Item, ...]

    def questions(self) -> Iterator[Question]:
        """The items that are asked, the same and in the same order whenever they are gone through."""
        return questions(self.job, self.task, self.split, self.corpora, self.pool)


def names(job: Evaluate, corpora: UPath) -> tuple[str, ...]:
    """The tasks that `planned` gives, by name, before all is read; one that is named need not be there."""
    found = []
    for name, task in TASKS.items():
        named = name in job.tasks
        if not named:
            if "all" not in job.tasks and task.family.category not in job.tasks:
                continue
            split = chosen_split(job, task, corpora)
            if split is None or (split == "train" and job.split is None) or empty(task, split, corpora):
                continue
        if protocols(job, task):
            found.append(name)
    return tuple(found)


def empty(task: Task[Any, Any], split: str, corpora: UPath) -> bool:
    """Whether the files of a split are there, and have no item; not where they are damaged, which `planned` tells."""
    try:
        return next(task.items(corpora, split), None) is None
    except (CorpusError, OSError):
        return False


def planned(job: Evaluate, corpora: UPath) -> tuple[list[Planned], list[str]]:
    """The tasks in the order of the table, and what to know of those that are left out.

    A task that is named must be there, and have items. A group has its tasks whose test or development files are there,
    with items in them: what has but a training split is scored only where it is named.

    Raises:
        FileNotFoundError: the folder, a named task, or every one, is not there; says where it is to be had.
        CorpusError: a file is not what its publisher ships.
        ValueError: a named task has no item, nothing is to be asked, or a pool is too small for the shots.
    """
    check_folder(corpora)
    found, notes, missing = [], [], []
    for name, task in TASKS.items():
        named = name in job.tasks
        if not named and "all" not in job.tasks and task.family.category not in job.tasks:
            continue
        split = chosen_split(job, task, corpora)
        if split is None:
            if named:
                split = task.split(job.split or task.splits[-1].name).name
                next(iter(task.items(corpora, split)))  # which says what is missing, and where to get it
            missing.append(name)
            continue
        if split == "train" and not named and job.split is None:
            notes.append(f"{name} has a training split alone, and is scored only where it is named")
            continue
        one = _planned(job, task, corpora, split)
        if one is None:
            notes.append(f"{name} is not asked: none of the protocols {', '.join(job.protocols)} suits it")
        elif one.items:
            found.append(one)
            if one.shots_from == split:
                notes.append(f"{name}: shots come from the split that is scored, {split}; answers of it are shown")
            if job.shots.balanced and one.pool and not shots.pool(task, one.pool[:1]).by_label:
                notes.append(f"{name}: its shots are drawn freely, as its answers are not one label of few to balance")
        elif named:
            raise ValueError(f"corpora {corpora}: {task.empty(split)}")
        else:
            notes.append(f"not scored: {task.empty(split)}")
    if missing:
        notes.append(f"not there, so not scored: {', '.join(missing)} (`prepare --list` says where they are to be had)")
    if not found:
        groups = [name for name in job.tasks if name in (*CATEGORIES, "all")]
        raise FileNotFoundError(
            f"corpora {corpora}: no file of any task of {', '.join(groups or job.tasks)} is to be scored there. "
            + ("; ".join(notes) or "Give --corpora=FOLDER; `python -m bioinstruct_jax.prepare --list` names the files")
        )
    return found, notes


def _planned(job: Evaluate, task: Task[Any, Any], corpora: UPath, split: str) -> Planned | None:
    asked = protocols(job, task)
    if not asked:
        return None
    source, pool = shown.pool(job, task, split, corpora)
    bare = Planned(job, task, corpora, split, tuple(asked), 0, 0, 0, source, tuple(pool))
    count = longest = 0
    for question in bare.questions():
        count += 1
        longest = max(longest, len(question.record.output))
    whole = count if job.limit is None or count < job.limit else sum(1 for _ in task.items(corpora, split))
    most = job.max_tokens or asking.most_tokens(longest)
    return Planned(job, task, corpora, split, tuple(asked), count, whole, most, source, tuple(pool))
