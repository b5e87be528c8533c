"""Every task by name, in the order in which lists show them."""

from typing import Any

from bioinstruct_jax.tasks import (
    chemprot,
    clinical_ie,
    clinical_relations,
    drug_interactions,
    entity_corpora,
    examinations,
    gad,
    inference,
    labels,
    note,
    open_answer,
    own_instructions,
    own_questions,
    summary,
    yes_no,
)
from bioinstruct_jax.tasks.task import Task

_MODULES: tuple[Any, ...] = (
    entity_corpora,
    chemprot,
    drug_interactions,
    gad,
    clinical_relations,
    labels,
    inference,
    clinical_ie,
    examinations,
    yes_no,
    open_answer,
    summary,
    note,
    own_instructions,
    own_questions,
)
TASKS: dict[str, Task[Any, Any]] = {task.name: task for module in _MODULES for task in module.TASKS}
