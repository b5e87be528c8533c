"""What of an item is compared with other texts, wherever rows are looked for that evaluation would meet again."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from upath import UPath

from bioinstruct_jax.tasks.task import Task


class Texts(NamedTuple):
    """The texts of an item.

    Attributes:
        id: of its row.
        about: the text it is about, without what a prompt adds.
        question: what it asks in words of its own; empty where its family asks the same of every item.
        free: the answer, where it is free text and may hold another item's; else empty.
    """

    id: str
    about: str
    question: str
    free: str


def texts(task: Task[Any, Any], corpora: UPath, split: str) -> Iterator[Texts]:
    """The items of a split in the publisher's order; raises FileNotFoundError and CorpusError as `Task.items`."""
    family = task.family
    for number, item in enumerate(task.items(corpora, split), 1):
        _, output = family.render(item, task, family.formats[0])
        yield Texts(row_id(task, split, number, item), family.text(item), family.question(item), free(task, output))


def row_id(task: Task[Any, Any], split: str, number: int, item: Any) -> str:
    """The id of an item's row: ``task/split/id``. Restricted ones are named by number, as a file's ids may say more."""
    return f"{task.name}/{split}/{f'item {number}' if task.licence.restricted else item.id}"


def free(task: Task[Any, Any], output: str) -> str:
    """An item's answer if it is free text; else empty."""
    return "" if task.labels else output
