"""The answers that are judged, and which of them: the same items for every model."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bioinstruct_jax.evaluation import paired
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.tasks.table import TASKS


@dataclass(frozen=True, slots=True)
class Sample:
    """What a model answered to one item.

    Attributes:
        id: of the item, the same for all models; of a restricted one without a word of it.
        document: that it is drawn from, for intervals.
        instruction, input, reference: of the task; the reference may be empty.
        answer: empty or blank where the model gave none; it then has the lowest grades, and nobody is asked.
        restricted: its texts go to a judge on this machine alone, and into no file.
    """

    id: str
    document: str
    instruction: str
    input: str
    reference: str
    answer: str
    restricted: bool = False

    @property
    def blank(self) -> bool:
        return not self.answer.strip()

    @property
    def task(self) -> dict[str, str]:
        """What the judge is shown besides the answer."""
        return {"instruction": self.instruction, "input": self.input, "reference": self.reference}


Samples = Mapping[str, Mapping[str, Sequence[Sample]]]  # by model, then task
ByItem = dict[str, dict[str, Sample]]  # by item in the order in which they are asked for, then model


def judged(job: Evaluate, scored: Sequence[str]) -> list[str]:
    """Which of the scored tasks are judged: those that `job.judge.tasks` names, or all of GEN."""
    if job.judge.endpoint is None:
        return []
    wanted = set(job.judge.tasks or ("GEN",))
    return [name for name in scored if wanted & {name, TASKS[name].family.category, "all"}]


def chosen(job: Evaluate, samples: Samples) -> dict[str, ByItem]:
    """By task the items that are judged, drawn by seed, with every model's answer.

    A larger limit draws the same items and more behind them, so that what is journaled stays of use.

    Raises ValueError where models have answered different items of a task.
    """
    found: dict[str, ByItem] = {}
    for task in dict.fromkeys(name for tasks in samples.values() for name in tasks):
        of_model = {model: list(tasks[task]) for model, tasks in samples.items() if task in tasks}
        ids = [[sample.id for sample in some] for some in of_model.values()]
        for other in ids:
            try:
                paired.places_of_same(ids[0], other)
            except ValueError as error:
                raise ValueError(f"{task}: {error}") from None
        by_id = {model: {sample.id: sample for sample in some} for model, some in of_model.items()}
        found[task] = {id: {model: by_id[model][id] for model in of_model} for id in drawn(job, task, ids[0])}
    return found


def drawn(job: Evaluate, task: str, ids: Iterable[str]) -> list[str]:
    """The items of a task that are judged, in the order in which they are asked for; those of a draw are all drawn."""
    found = sorted(ids)
    random.Random(f"{job.seed}/judge/{task}").shuffle(found)
    return found[: job.judge.limit] if job.judge.limit else found
