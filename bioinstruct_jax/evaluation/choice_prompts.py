"""Choice tasks as log-likelihood requests: what stands before the answer, and the answers that are compared.

Texts are byte for byte those of lm-evaluation-harness 0.4.13: a task's description, then each shot with its answer
behind a blank and an empty line, then the item. What differs by task is told in the task's `likelihood`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bioinstruct_jax.evaluation.language_model import ScoreRequest
from bioinstruct_jax.tasks.task import Item, Likelihood, Task

BEFORE_ANSWER = " "  # the harness's target_delimiter
BETWEEN = "\n\n"  # and its fewshot_delimiter


@dataclass(frozen=True)
class ChoicePrompt:
    """One item, ready to be asked.

    Attributes:
        item: its id.
        context: all before the answer.
        choices: the answers, without the blank in front of them.
        gold: the place of the right one.
    """

    item: str
    context: str
    choices: tuple[str, ...]
    gold: int

    def requests(self) -> list[ScoreRequest]:
        """One for each choice, in their order; together they share the work on the context."""
        return [ScoreRequest(self.context, BEFORE_ANSWER + choice) for choice in self.choices]


def prompt(task: Task[Any, str], item: Item, shots: Sequence[Item] = ()) -> ChoicePrompt:
    """An item behind its shots, in their order.

    Raises:
        ValueError: the task's labels are not scored so, or the item is among its own shots.
    """
    form = likelihood(task)
    if any(shot.id == item.id for shot in shots):
        raise ValueError(f"{task.name}: item {item.id!r} is among its own shots; draw them with `shots.draw`")
    shown = "".join(f"{form.context(shot)}{BEFORE_ANSWER}{task.labels[gold(task, shot)]}{BETWEEN}" for shot in shots)
    return ChoicePrompt(item.id, f"{form.description}{shown}{form.context(item)}", task.labels, gold(task, item))


def likelihood(task: Task[Any, Any]) -> Likelihood[Any]:
    """How the task puts its items. Raises ValueError where it does not say."""
    if task.likelihood is None:
        raise ValueError(f"{task.name}: its answers are not scored by log-likelihood, only generated ({task.title})")
    return task.likelihood


def gold(task: Task[Any, str], item: Item) -> int:
    """The place of an item's answer among the task's labels. Raises ValueError if it is none of them."""
    label = task.family.gold(item)
    if label not in task.labels:
        raise ValueError(f"{task.name}, item {item.id!r}: the answer {label!r} is not one of {', '.join(task.labels)}")
    return task.labels.index(label)
