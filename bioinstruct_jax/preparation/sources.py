"""Which parts of a recipe can be made from a folder of corpora, and which cannot."""

from dataclasses import dataclass
from pathlib import Path

from bioinstruct_jax import files
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.output.folder import PUBLISHED
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.preparation.listing import availability
from bioinstruct_jax.preparation.spool import Part
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import check_folder


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
        others: evaluation splits that are not to be written, to compare with.
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
        RestrictedError: restricted rows would go to a bucket.
        OSError: the folder cannot be looked into.
    """
    corpora = files.path(job.corpora)
    check_folder(corpora)
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
    restricted = dict.fromkeys(part.task for part in parts if TASKS[part.task].licence.restricted)
    if restricted and job.form in PUBLISHED:
        raise RestrictedError(
            f"form {job.form} is made to be passed on, and {', '.join(restricted)} are restricted: their text may not "
            "leave this machine. Leave them out, or give alpaca, chat or parquet and a folder of your own"
        )
    if restricted and not files.is_local(files.path(job.out)):
        raise RestrictedError(
            f"out {job.out}: rows of {', '.join(restricted)} are restricted and stay on this machine. Give a folder on "
            "its own disk, or leave these sources out"
        )
    others: list[Part] = []
    if job.overlap.leaks != "ignore":
        compared = TASKS if job.overlap.against == "all" else [source.task for source in job.sources]
        made = {part.name for part in parts}
        for name in compared:
            for split in availability(TASKS[name], corpora).there:
                if split != "train" and f"{name}/{split}" not in made:
                    others.append(_part(job, work, len(parts) + len(others), name, split, None))
    return Found(parts, others, missing)


def fingerprint(job: Prepare) -> dict[str, str]:
    """SHA-256 of every file that a recipe reads, by its path among the corpora; raises as `find`."""
    there, corpora = find(job, Path()), files.path(job.corpora)
    names = {
        f"{TASKS[part.task].folder}/{file}"
        for part in there.parts + there.others
        for file in TASKS[part.task].split(part.split).files
    }
    return {name: files.sha256(corpora / name) for name in sorted(names)}


def _part(job: Prepare, work: Path, number: int, task: str, split: str, format: str | None) -> Part:
    file = work / f"{number:03d}.jsonl"
    return Part(task, split, format, job.seed, job.corpora, file, text=job.form == "text")
