"""The items of a task as they are asked: the same for every model, up to its prompt template."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from upath import UPath

from bioinstruct_jax.data import prompts
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation import choice_prompts
from bioinstruct_jax.evaluation.language_model import ScoreRequest, Text
from bioinstruct_jax.evaluation.runner.job import Evaluate, Protocol
from bioinstruct_jax.preparation.rows import answer_format, instructed
from bioinstruct_jax.tasks import compared
from bioinstruct_jax.tasks.labels import Labelled
from bioinstruct_jax.tasks.relations import Pair
from bioinstruct_jax.tasks.task import Item, Task

RANKED = ("choice", "yes_no", "inference")  # families whose labels are compared by log-likelihood as answers


@dataclass(frozen=True)
class Question:
    """One item, ready to be asked.

    Attributes:
        id: of the row: ``task/split/id``; a restricted item is named by number.
        document: what it is drawn from, by which resampling clusters; the id where nothing else is known.
        item: of the task.
        record: instruction, input and gold output, shots in the input.
        shots: items that are shown solved.
        format: of the answer; one of the family's.
    """

    id: str
    document: str
    item: Any
    record: Record
    shots: tuple[Any, ...]
    format: str


def chosen_split(job: Evaluate, task: Task[Any, Any], corpora: UPath) -> str | None:
    """The split that is scored; None where no file of it is there."""
    there = [split.name for split in task.splits if not task.missing(corpora, split.name)]
    wanted = (job.split,) if job.split else ("test", "dev", "train")
    return next((name for name in wanted if name in there), None)


def answer_form(job: Evaluate, task: Task[Any, Any]) -> str:
    """The format in which a task's answers are asked for."""
    return answer_format(task, job.format if task.family.name == "entities" else None)


def document(item: Item, task: Task[Any, Any], split: str, row: str, seen: dict[str, int]) -> str:
    """What an item is drawn from; of restricted tasks by number, as names may say more; the row where it is not known.

    Args:
        seen: documents of restricted tasks with their numbers, which are added to.
    """
    if not isinstance(item, Labelled | Pair) or not item.document:
        return row
    name = item.document
    if task.licence.restricted:
        name = f"document {seen.setdefault(name, len(seen) + 1)}"
    return f"{task.name}/{split}/{name}"


def questions(
    job: Evaluate, task: Task[Any, Any], split: str, corpora: UPath, pool: "Sequence[Item] | None" = None
) -> Iterator[Question]:
    """The questions of a split in the publisher's order, all or ``job.limit`` of them drawn by seed.

    Args:
        pool: items that may be shown as shots; None: none are shown.

    Raises:
        FileNotFoundError, CorpusError: as `Task.items`.
        ValueError: the pool is too small for the shots.
    """
    from bioinstruct_jax.evaluation.runner.shown import shown

    form, kept = answer_form(job, task), _kept(job, task, split, corpora)
    draw, documents = shown(job, task, pool or ()), dict[str, int]()
    for number, item in enumerate(task.items(corpora, split), 1):
        if kept is not None and number not in kept:
            continue
        row = compared.row_id(task, split, number, item)
        shots = tuple(draw(item))
        asked, output = task.family.render(item, task, form)
        solved = "".join(_solved(shot, task, form) for shot in shots)
        record = Record(
            id=row,
            instruction=instructed(task, item, task.family.wording(job.seed, item.id), form),
            input=f"{solved}{asked}",
            output=output,
            category=task.family.category,
            source=task.name,
            restricted=task.licence.restricted,
        )
        yield Question(row, document(item, task, split, row, documents), item, record, shots, form)


def _solved(shot: Item, task: Task[Any, Any], form: str) -> str:
    asked, output = task.family.render(shot, task, form)
    own = task.family.instruction(shot)
    return "".join(f"{part}\n\n" for part in (own, asked, output) if part)


def _kept(job: Evaluate, task: Task[Any, Any], split: str, corpora: UPath) -> set[int] | None:
    """Numbers of the items that are asked, from 1; None: all. The same for every model, and stable in the seed."""
    if job.limit is None:
        return None
    count = sum(1 for _ in task.items(corpora, split))
    if count <= job.limit:
        return None
    return set(random.Random(f"{job.seed}/{task.name}/{split}").sample(range(1, count + 1), job.limit))


def protocols(job: Evaluate, task: Task[Any, Any]) -> list[Protocol]:
    """Those of the job's protocols that a task knows, in their order."""
    return [
        one
        for one in job.protocols
        if one == "generated"
        or (one == "harness" and task.likelihood is not None)
        or (one == "likelihood" and task.family.name in RANKED)
    ]


def rendered(question: Question, template: prompts.Template) -> Text:
    """The prompt in a model's template, as training would write it."""
    return tuple(prompts.render(question.record, template, with_answer=False))


def choices(question: Question, task: Task[Any, Any]) -> tuple[str, ...]:
    """The answers that are ranked: letters of an item's options, or the task's labels."""
    if task.family.name == "choice":
        return tuple("ABCDEFGHIJ"[: len(question.item.options)])
    return task.labels


def score_requests(
    question: Question, task: Task[Any, Any], protocol: Protocol, template: prompts.Template | None
) -> list[ScoreRequest]:
    """A request for each choice, in their order. `template` is needed for ``likelihood`` alone."""
    if protocol == "harness":
        return choice_prompts.prompt(task, question.item, question.shots).requests()
    assert template is not None
    context = rendered(question, template)
    return [ScoreRequest(context, answer(question, choice, template)) for choice in choices(question, task)]


def answer(question: Question, choice: str, template: prompts.Template) -> str:
    """A choice as the template writes an answer, blanks before it included, without what ends it."""
    from dataclasses import replace

    prompt = prompts.render(question.record, template, with_answer=False)
    whole = prompts.render(replace(question.record, output=choice), template)
    return "".join(piece.text for piece in whole[len(prompt) :] if not piece.control).rstrip()
