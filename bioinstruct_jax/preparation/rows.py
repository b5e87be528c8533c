"""The items of a task as instruction rows."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from upath import UPath

from bioinstruct_jax.data.sample import Sample
from bioinstruct_jax.tasks import compared
from bioinstruct_jax.tasks.task import Task


class Rendered(NamedTuple):
    """A row, and what of it is compared with others.

    Attributes:
        about: the text the item is about, without what the prompt adds.
        free: the answer, where it is free text and may hold another item's; else empty.
    """

    sample: Sample
    about: str
    free: str


def rendered(task: Task[Any, Any], corpora: UPath, split: str, *, seed: int, format: str | None) -> Iterator[Rendered]:
    """The rows of a split in the publisher's order. Restricted ones are named by number, as a file's ids may say more.

    Args:
        corpora: the user's folder of corpora.
        seed: draws the wordings, row by row.
        format: of the answer; None: the family's first.

    Raises:
        FileNotFoundError, CorpusError: as `Task.items`.
        ValueError: the family has no such format.
    """
    form = answer_format(task, format)
    for number, item in enumerate(task.items(corpora, split), 1):
        asked, output = task.family.render(item, task, form)
        wording = task.family.wording(seed, item.id)
        sample = Sample(
            id=compared.row_id(task, split, number, item),
            instruction=instructed(task, item, wording, form),
            input=asked,
            output=output,
            category=task.family.category,
            source=task.name,
            family=task.family.name,
            split=split,  # type: ignore[arg-type]  # Task.items has checked it
            licence=task.licence.kind,
            format=form,
            wording=wording,
            labels=_labels(task, item),
        )
        yield Rendered(sample, task.family.text(item), compared.free(task, output))


def answer_format(task: Task[Any, Any], format: str | None) -> str:
    """The format that a task's answers are written in; raises ValueError for one that its family does not have."""
    if format is not None and format not in task.family.formats:
        raise ValueError(
            f"{task.name}: there is no answer format {format!r} for {task.family.name}; "
            f"it is {' or '.join(task.family.formats)}"
        )
    return format or task.family.formats[0]


def instructed(task: Task[Any, Any], item: Any, wording: int, format: str) -> str:
    """The instruction of an item's row: its own where it has one, else a wording of the family."""
    return task.family.instruction(item) or instruction(task, wording, format)


def instruction(task: Task[Any, Any], wording: int, format: str) -> str:
    """A wording of the task's family, and how the answer is to be written."""
    words = task.family.wordings[wording].replace("{subject}", task.subject)
    return f"{words} {task.family.form(task, format)}".rstrip()


def _labels(task: Task[Any, Any], item: Any) -> tuple[str, ...]:
    """What the gold answer names of the task's closed set."""
    if not task.labels:
        return ()
    gold = task.family.gold(item)
    if isinstance(gold, str):
        return (gold,)
    return tuple(part if isinstance(part, str) else part.type for part in gold)
