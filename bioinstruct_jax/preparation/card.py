"""The data card of a preparation that is made to be passed on."""

import re

from bioinstruct_jax.data.output.card import Card, CardSource
from bioinstruct_jax.data.output.folder import PUBLISHED
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.preparation.overlaps import DUPLICATE, LEAK, NEAR, NGRAM
from bioinstruct_jax.preparation.pipeline import Rows
from bioinstruct_jax.tasks.table import TASKS


def card(job: Prepare, rows: Rows) -> Card | None:
    """What the card says; None for a form that has none."""
    if job.form not in PUBLISHED:
        return None
    tasks = [TASKS[name] for name in dict.fromkeys(part.task for part in rows.parts)]
    return Card(
        name=name(job.out),
        title=f"Biomedical instructions: {name(job.out)}",
        summary="Instruction rows made from published biomedical corpora by bioinstruct-jax. Which wording of several "
        f"an instruction has was drawn by seed ({job.seed}) and row.",
        sources=tuple(
            CardSource(task.name, task.title, task.licence.name, task.licence.kind, task.licence.obtain, task.note)
            for task in tasks
        ),
        removed=_removed(job, rows),
        wordings={task.family.name: task.family.wordings for task in tasks},
    )


def name(out: str) -> str:
    """The last part of a folder's name, as loaders take it."""
    last = re.sub(r"[^a-z0-9]+", "_", out.rstrip("/").rsplit("/", 1)[-1].lower()).strip("_")
    return last if last[:1].isalpha() else f"rows_{last}"


def _removed(job: Prepare, rows: Rows) -> dict[str, int]:
    """Training rows that were left out, by reason."""
    left_out: tuple[str, ...] = (DUPLICATE, NEAR) if job.overlap.duplicates == "remove" else ()
    left_out += (NGRAM, LEAK) if job.overlap.leaks == "remove" else ()
    return {reason: sum(found.get(reason, 0) for found in rows.reasons.values()) for reason in left_out}
