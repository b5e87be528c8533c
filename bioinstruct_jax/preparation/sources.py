"""Which parts of a recipe can be made from a folder of corpora, and which cannot."""

from dataclasses import dataclass
from pathlib import Path

from bioinstruct_jax import files
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.preparation.listing import availability
from bioinstruct_jax.preparation.spool import Part
from bioinstruct_jax.tasks.table import TASKS


@dataclass(frozen=True)
class Missing:
    """A split that a recipe asks for and whose files are not there."""

    task: str
    split: str
    files: tuple[str, ...]

    def line(self) -> str:
        """What is missing, and where it is to be had under which terms."""
        task = TASKS[self.task]
        return (
            f"{self.task}/{self.split}: {', '.join(self.files)} missing ({task.licence.kind}, {task.licence.name}: "
            f"{task.licence.obtain})"
        )


@dataclass(frozen=True)
class Found:
    """The parts of a recipe.

    Attributes:
        parts: to be written, in the order of the recipe, train before dev before test.
        others: evaluation splits of other tasks, to compare with.
    """

    parts: list[Part]
    others: list[Part]
    missing: list[Missing]


def find(job: Prepare, work: Path) -> Found:
    """Look which files are there.

    Args:
        work: local folder in which the parts are to be rendered.

    Raises:
        FileNotFoundError: a source is missing and the recipe does not allow it, or all are; says where to get them.
        OSError: the folder cannot be looked into.
    """
    corpora = files.path(job.corpora)
    if not corpora.is_dir():
        raise FileNotFoundError(
            f"corpora {job.corpora}: no such folder. Give the folder that holds your corpora with --corpora=FOLDER, "
            "each in a folder as its publisher ships it; `--list` names them"
        )
    parts: list[Part] = []
    missing: list[Missing] = []
    for source in job.sources:
        task = TASKS[source.task]
        for split in source.made:
            lost = task.missing(corpora, split)
            if lost:
                missing.append(Missing(source.task, split, lost))
            else:
                parts.append(_part(job, work, len(parts), source.task, split, source.format))
    if missing and (job.missing == "raise" or not parts):
        lines = "\n  ".join(one.line() for one in missing)
        advice = "" if not parts else "; or leave them out with --missing=report"
        raise FileNotFoundError(f"in {job.corpora}:\n  {lines}\nPut the files there{advice}")
    others: list[Part] = []
    taken = {source.task for source in job.sources}
    if job.overlap.against == "all" and job.overlap.leaks != "ignore":
        for task in TASKS.values():
            there = availability(task, corpora).there if task.name not in taken else ()
            for split in there:
                if split != "train":
                    others.append(_part(job, work, len(parts) + len(others), task.name, split, None))
    return Found(parts, others, missing)


def _part(job: Prepare, work: Path, number: int, task: str, split: str, format: str | None) -> Part:
    return Part(task, split, format, job.seed, job.corpora, work / f"{number:03d}.jsonl")
