"""The category of each accepted instruction, and how far whoever gave it agrees with the labels of the seeds."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation import rubric
from bioinstruct_jax.generation.item import CATEGORIES, Accepted
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.generation.parsing import parse_categories

Row = tuple[str, str, str]  # id, instruction, input
ROUNDS = 2  # an instruction that an answer left out is asked for once more


async def by_teacher(job: Generate, accepted: Sequence[Accepted], seeds: Sequence[Record], client: Client) -> "Labels":
    """By a teacher with the rubric, in batches; the seeds are asked as well, apart from the others.

    Raises BudgetError or StoppedError as the client does; what was answered is in the journal.
    """
    from bioinstruct_jax.generation.classifier import agreement

    name = job.categories.teacher or job.teachers[0].name
    own = [(seed.id, seed.instruction, seed.input) for seed in seeds if seed.category in CATEGORIES]
    of_seeds = await _asked(own, f"category/seeds/{name}", name, job.categories.rows, client)
    rows = [(row.id, row.instruction, row.input) for row in accepted]
    found = await _asked(rows, f"category/{name}", name, job.categories.rows, client)
    told: dict[str, Any] = {"by": f"teacher {name}", "rubric": rubric.version()}
    if own:
        told |= asdict(agreement({seed.id: seed.category for seed in seeds if seed.category in CATEGORIES}, of_seeds))
    return Labels(found, told)


async def _asked(rows: list[Row], key: str, teacher: str, size: int, client: Client) -> dict[str, str]:
    found: dict[str, str] = {}
    for turn in range(ROUNDS):
        left = [row for row in rows if row[0] not in found]
        batches = [left[start : start + size] for start in range(0, len(left), size)]
        asked = [
            Request(f"{key}/{turn}/{batch[0][0]}", teacher, rubric.messages(batch), rubric.SCHEMA) for batch in batches
        ]
        for batch, reply in zip(batches, await client.ask_all(asked), strict=True):
            found |= {} if reply.problem else parse_categories(reply.text, [row[0] for row in batch])
    return found


def by_classifier(accepted: Sequence[Accepted], seeds: Sequence[Record]) -> "Labels":
    """By the local classifier, trained on the seeds' labels; its accuracy is that of cross-validation."""
    from bioinstruct_jax.generation.classifier import Classifier, cross_validated, examples

    known = examples(seeds)
    try:
        told = {"by": "classifier trained on the seeds", **asdict(cross_validated(known))}
        given = Classifier.train(known).predict([row.instruction for row in accepted])
    except ValueError as error:  # seeds of the user's own, with too few categories to learn from
        return Labels({}, {"by": f"nobody: {error}"})
    return Labels({row.id: label for row, label in zip(accepted, given, strict=True)}, told)


class Labels:
    """Categories by id, and what `statistics.json` says of how they were come by."""

    def __init__(self, found: dict[str, str], told: dict[str, Any]):
        self.found, self.told = found, told

    def given(self, accepted: Sequence[Accepted]) -> list[Accepted]:
        """The rows with their categories; empty where nobody said."""
        return [replace(row, category=self.found.get(row.id, "")) for row in accepted]
