"""The category of each accepted instruction, and how far whoever gave it agrees with the labels of the seeds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
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
    name = job.categories.teacher or job.teachers[0].name
    own = [(seed.id, seed.instruction, seed.input) for seed in seeds if seed.category in CATEGORIES]
    of_seeds = await _asked(own, f"category/seeds/{name}", name, job.categories.rows, client)
    rows = [(row.id, row.instruction, row.input) for row in accepted]
    found = await _asked(rows, f"category/{name}", name, job.categories.rows, client)
    return Labels(found, {"by": f"teacher {name}", "rubric": rubric.version(), **_agreement(seeds, of_seeds)})


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
    from bioinstruct_jax.generation.classifier import Classifier, cross_validated

    known = [seed for seed in seeds if seed.category in CATEGORIES]
    if len({seed.category for seed in known}) < 2:
        return Labels({}, {"by": "nobody: the seeds have no categories to learn from"})
    told = {"by": "classifier trained on the seeds", **cross_validated(known)}
    if not accepted:
        return Labels({}, told)
    given = Classifier.train(known).predict([row.instruction for row in accepted])
    return Labels({row.id: label for row, label in zip(accepted, given, strict=True)}, told)


class Labels:
    """Categories by id, and what `statistics.json` says of how they were come by."""

    def __init__(self, found: dict[str, str], told: dict[str, Any]):
        self.found, self.told = found, told

    def given(self, accepted: Sequence[Accepted]) -> list[Accepted]:
        """The rows with their categories; empty where nobody said."""
        return [replace(row, category=self.found.get(row.id, "")) for row in accepted]


def _agreement(seeds: Sequence[Record], given: dict[str, str]) -> dict[str, Any]:
    """Against the seeds' own labels: accuracy over those that were answered, kappa, and the confusions."""
    from bioinstruct_jax.evaluation.agreement import kappa, wilson

    known = {seed.id: seed.category for seed in seeds if seed.category in CATEGORIES}
    pairs = Counter((known[id], given[id]) for id in known if id in given)
    total, right = pairs.total(), sum(times for (own, other), times in pairs.items() if own == other)
    table = [[pairs[own, other] for other in CATEGORIES] for own in CATEGORIES]
    low, high = wilson(right, total) if total else (0.0, 1.0)
    return {
        "seeds": len(known),
        "answered": total,
        "accuracy": right / total if total else None,
        "low": low,
        "high": high,
        "kappa": kappa(table).value if total else None,
        "confusion": {own: {other: pairs[own, other] for other in CATEGORIES} for own in CATEGORIES},
    }
