"""The category of each accepted instruction, and how far whoever gave it agrees with the labels of the seeds."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation import rubric
from bioinstruct_jax.generation.item import CATEGORIES, Accepted
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.generation.parsing import parse_categories

Row = tuple[str, str, str]  # id, instruction, input
ROUNDS = 2  # an instruction that an answer left out is asked for once more


async def by_teacher(
    job: Generate, accepted: Sequence[Accepted | Record], seeds: Sequence[Record], client: Client, *, ask: bool
) -> "Labels":
    """By a teacher with the rubric, in batches; the seeds are asked as well, apart from the others.

    What an instruction was once called is kept in the journal by its texts, rubric and model, so that other filters or
    another target ask for the new ones alone.

    Args:
        ask: else only what the journal knows is given.
    """
    from bioinstruct_jax.generation.classifier import agreement

    name = job.categories.teacher or job.teachers[0].name
    known = {seed.id: seed.category for seed in seeds if seed.category in CATEGORIES}
    own = [(seed.id, seed.instruction, seed.input) for seed in seeds if seed.id in known]
    rows = [(row.id, row.instruction, row.input) for row in accepted]
    failure: BudgetError | StoppedError | None = None
    if ask and not client.offline:
        try:
            await _ask(own, f"category/seeds/{name}", name, job.categories.rows, client)
            await _ask(rows, f"category/{name}", name, job.categories.rows, client)
        except (BudgetError, StoppedError) as error:
            failure = error
    of_seeds, found = _known(own, name, client), _known(rows, name, client)
    told: dict[str, Any] = {"by": f"teacher {name}", "rubric": rubric.version()}
    told |= asdict(agreement(known, of_seeds)) if of_seeds else {}
    return Labels(found, told, failure)


async def _ask(rows: list[Row], key: str, teacher: str, size: int, client: Client) -> None:
    """Have the journal know the categories of all rows; one that an answer leaves out is asked for once more."""
    for turn in range(ROUNDS):
        known = _known(rows, teacher, client)
        left = [row for row in rows if row[0] not in known]
        batches = [left[start : start + size] for start in range(0, len(left), size)]
        asked = [
            Request(f"{key}/{turn}/{batch[0][0]}", teacher, rubric.messages(batch), rubric.SCHEMA) for batch in batches
        ]
        try:
            await client.ask_all(asked)
        finally:  # what was answered is kept, whatever ended it
            for batch, request in zip(batches, asked, strict=True):
                reply = client.known(request)
                given = parse_categories(reply.text, [row[0] for row in batch]) if reply and not reply.problem else {}
                for row in batch:
                    if row[0] in given:
                        client.journal.note(
                            {"kind": "memo", "name": _memo(row, teacher, client), "value": given[row[0]]}
                        )


def _known(rows: list[Row], teacher: str, client: Client) -> dict[str, str]:
    memos = client.journal.ledger.memos
    found = {row[0]: memos.get(_memo(row, teacher, client), "") for row in rows}
    return {id: category for id, category in found.items() if category in CATEGORIES}


def _memo(row: Row, teacher: str, client: Client) -> str:
    said = json.dumps([client.servers[teacher].endpoint.model, rubric.version(), *row[1:]])
    return f"category {hashlib.sha256(said.encode()).hexdigest()[:32]}"


def by_classifier(accepted: Sequence[Accepted | Record], seeds: Sequence[Record]) -> "Labels":
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
    """Categories by id, and what `statistics.json` says of how they were come by.

    Attributes:
        failure: why some are missing; None: nothing kept anybody from giving them.
    """

    def __init__(self, found: dict[str, str], told: dict[str, Any], failure: BudgetError | StoppedError | None = None):
        self.found, self.told, self.failure = found, told, failure

    def given(self, accepted: Sequence[Accepted]) -> list[Accepted]:
        """The rows with their categories; empty where nobody said."""
        return [replace(row, category=self.found.get(row.id, "")) for row in accepted]
