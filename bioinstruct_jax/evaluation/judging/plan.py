"""The requests of a judging, in the order in which they are asked: item by item, so that a budget pays whole ones."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from bioinstruct_jax.api.request import Request
from bioinstruct_jax.evaluation.judging import canaries, prompts
from bioinstruct_jax.evaluation.judging.samples import ByItem, Sample
from bioinstruct_jax.evaluation.runner.job import Evaluate

ENDPOINT = "judge"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request and what it is about.

    Attributes:
        kind: an answer's grades; those of a canary; those of an answer with an injection; or which of two is better.
        model: whose answer; empty of a canary; of a pair the one that is compared with the baseline.
        turn: pass of the grading; of a pair 0: the baseline's answer stands first, 1: second.
        name: of a canary its kind and how it asks; of an injection how it asks; else empty.
    """

    kind: Literal["answer", "canary", "injected", "pair"]
    task: str
    item: str
    document: str
    model: str
    turn: int
    name: str
    request: Request


def baseline(job: Evaluate) -> str:
    """Name of the model that the others are compared with."""
    return job.baseline or job.models[0].name


def requests(job: Evaluate, items: Mapping[str, ByItem]) -> list[Asked]:
    """All requests. Canaries come first; then the tasks in turn, an item each."""
    found = [one for task, by_item in items.items() for one in _canaries(job, task, by_item)]
    tasks = [
        [list(_item(job, task, place, by_model)) for place, by_model in enumerate(by_item.values())]
        for task, by_item in items.items()
    ]
    for row in zip_longest(*tasks, fillvalue=()):
        for some in row:
            found += some
    return found


def _canaries(job: Evaluate, task: str, by_item: ByItem) -> Iterator[Asked]:
    samples = [next(iter(by_model.values())) for by_model in by_item.values()]
    for number in range(job.judge.canaries if samples else 0):
        bad, sample = canaries.canary(number), samples[number % len(samples)]
        name = f"{bad.kind}, {bad.ask}"
        for turn in range(job.judge.passes):
            yield _graded(job, "canary", task, sample, "", turn, name, bad.answer, f"/{number}")


def _item(job: Evaluate, task: str, place: int, by_model: Mapping[str, Sample]) -> Iterator[Asked]:
    """Of one item; nobody is asked about a blank answer, or about two that are the same."""
    first = baseline(job)
    for model, sample in by_model.items():
        if sample.blank:
            continue
        for turn in range(job.judge.passes):
            yield _graded(job, "answer", task, sample, model, turn, "", sample.answer)
        if place < job.judge.canaries:
            ask = list(canaries.ASKS)[place % len(canaries.ASKS)]
            yield _graded(job, "injected", task, sample, model, 0, ask, canaries.injected(sample.answer, ask))
    if not job.judge.pairwise or first not in by_model:
        return
    for model, sample in by_model.items():
        if model != first and settled(by_model[first], sample) is None:
            for turn in (0, 1):
                yield _compared(job, task, by_model[first], sample, model, turn)


def settled(first: Sample, other: Sample) -> float | None:
    """How a comparison ends that needs no judge: 0 the first wins, 1 the other, 0.5 a tie; None: it needs one."""
    if first.blank or other.blank:
        return 0.5 + 0.5 * (first.blank - other.blank)
    return 0.5 if first.answer == other.answer else None


def _graded(
    job: Evaluate,
    kind: Literal["answer", "canary", "injected"],
    task: str,
    sample: Sample,
    model: str,
    turn: int,
    name: str,
    answer: str,
    more: str = "",
) -> Asked:
    key = _key(sample, kind, task, model, sample.id, f"{turn}{more}")
    messages = prompts.grade(sample.task, answer, seed=job.seed, key=key)
    request = Request(key, ENDPOINT, messages, prompts.SCHEMA)
    return Asked(kind, task, sample.id, sample.document, model, turn, name, request)


def _compared(job: Evaluate, task: str, first: Sample, other: Sample, model: str, turn: int) -> Asked:
    key = _key(first, "pair", task, f"{baseline(job)} {model}", first.id, str(turn))
    before, behind = (first.answer, other.answer) if turn == 0 else (other.answer, first.answer)
    messages = prompts.compare(first.task, before, behind, seed=job.seed, key=key)
    request = Request(key, ENDPOINT, messages, prompts.PAIR_SCHEMA)
    return Asked("pair", task, first.id, first.document, model, turn, "", request)


def _key(sample: Sample, *parts: str) -> str:
    return "/".join(parts)
