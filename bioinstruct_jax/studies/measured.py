"""The scores of all cells in a task, or in a group of tasks, as they are and on drawn documents."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bioinstruct_jax.evaluation import bootstrap, paired
from bioinstruct_jax.evaluation.results import estimates
from bioinstruct_jax.evaluation.results.groups import SCALES, units
from bioinstruct_jax.evaluation.runner.job import Protocol
from bioinstruct_jax.studies import hierarchical
from bioinstruct_jax.studies.gathered import Gathered, aligned


@dataclass(frozen=True, eq=False)
class Measured:
    """What C cells scored in one task or group under one protocol.

    Attributes:
        on, group: task or group, and its group.
        metric, unit, higher_is_better: of the headline metric; of a group a share.
        items: scored, all tasks together.
        cells: their names, [C].
        values: [C].
        drawn: [C, R], on drawn documents; None where a task has but one, so that its spread is unknown.
        unit_values, unit_answered: [C, U], scores and shares answered of what counts once in a group; a task is one.
        majority: the score of the commonest label; None where there is none.
        gathered: of a task, by cell, items in one order; empty for a group.
        parts: of a group, its tasks, each with what it counts in the mean; empty for a task.
        note: what was left out; else empty.
    """

    on: str
    group: str
    protocol: Protocol
    metric: str
    unit: str
    higher_is_better: bool
    items: int
    cells: tuple[str, ...]
    values: np.ndarray
    drawn: np.ndarray | None
    unit_values: np.ndarray
    unit_answered: np.ndarray
    majority: float | None
    gathered: tuple[Gathered, ...] = ()
    parts: "tuple[tuple[float, Measured], ...]" = ()
    note: str = ""

    @property
    def weighed(self) -> "tuple[tuple[float, Measured], ...]":
        """The tasks, each with what it counts in the value; a task is its own."""
        return self.parts or ((1.0, self),)

    @property
    def by_cell(self) -> dict[str, Gathered]:
        """Of a task, what each cell answered."""
        return {one.cell: one for one in self.gathered}


def of_task(found: Sequence[Gathered], *, resamples: int, seed: int) -> Measured:
    """What cells scored in a task under a protocol; neither the order of items nor that of documents matters.

    Raises ValueError as `aligned` does.
    """
    same = aligned(found)
    first = same[0]
    metric, names = first.headline, list(dict.fromkeys(first.documents))
    order = sorted(range(len(names)), key=names.__getitem__)
    counts = np.stack([metric.gather(one.counts, first.documents)[order] for one in same])
    values = bootstrap.taken(metric.score, counts.sum(axis=1))
    drawn = None
    if len(names) > 1:
        drawn = hierarchical.documents(counts, metric.score, resamples=resamples, seed=seed, task=first.task)
    return Measured(
        on=first.task,
        group=first.group,
        protocol=first.protocol,
        metric=metric.name,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        items=len(first.ids),
        cells=tuple(one.cell for one in same),
        values=values,
        drawn=drawn,
        unit_values=values[:, None],
        unit_answered=np.array([[one.answered] for one in same]),
        majority=first.majority,
        gathered=tuple(same),
        note="" if drawn is not None else "one document: its spread is unknown",
    )


def of_group(parts: Sequence[Measured]) -> Measured | None:
    """The mean of a group's tasks under one protocol, of the cells that did all of them; None where there is none.

    Each task counts once, the subjects of MMLU together (`groups.units`); points are hundredths.
    """
    by_task = {part.on: part for part in parts}
    entered, left_out = units([part.gathered[0] for part in parts])
    cells = [cell for cell in parts[0].cells if all(cell in part.cells for part in parts)]
    if not entered or not cells:
        return None
    values, answered, majorities = [], [], []
    mean = np.zeros((len(cells), max(0 if part.drawn is None else part.drawn.shape[1] for part in parts)))
    weighed, unknown = list[tuple[float, Measured]](), []
    for unit in entered:
        own = [by_task[one.task] for one in unit.results]
        places = [[part.cells.index(cell) for cell in cells] for part in own]
        each = [SCALES[part.unit] * part.values[at] for part, at in zip(own, places, strict=True)]
        values.append(np.mean(each, axis=0))
        shares = [part.unit_answered[at, 0] for part, at in zip(own, places, strict=True)]
        answered.append(np.average(shares, axis=0, weights=[part.items for part in own]))
        majorities.append([None if one.majority is None else SCALES[one.unit] * one.majority for one in own])
        for part, at in zip(own, places, strict=True):
            weighed.append((SCALES[part.unit] / len(own) / len(entered), part))
            if part.drawn is None:
                unknown.append(part.on)
            else:
                mean += weighed[-1][0] * part.drawn[at]
    notes = [f"without {name}: {why}" for name, why in left_out]
    notes += [f"{', '.join(unknown)}: one document, its spread is unknown"] if unknown else []
    known = [[one for one in some if one is not None] for some in majorities]
    whole = all(len(one) == len(some) for one, some in zip(known, majorities, strict=True))
    return Measured(
        on=parts[0].group,
        group=parts[0].group,
        protocol=parts[0].protocol,
        metric="/".join(dict.fromkeys(unit.metric for unit in entered)),
        unit="share",
        higher_is_better=True,
        items=sum(part.items for _, part in weighed),
        cells=tuple(cells),
        values=np.mean(values, axis=0),
        drawn=None if unknown else mean,
        unit_values=np.stack(values, axis=1),
        unit_answered=np.stack(answered, axis=1),
        majority=float(np.mean([np.mean(some) for some in known])) if whole else None,
        parts=tuple(weighed),
        note="; ".join(notes),
    )


def clean(one: Measured, first: Sequence[str], second: Sequence[str]) -> float | None:
    """The difference of cells by name, second less first, on documents of which no cell was tuned on an item.

    None where no item is flagged, or a task has no other document. Of a group, the mean of its tasks' differences.
    """
    flagged = [_flagged(part, (*first, *second)) for _, part in one.weighed]
    if not any(some.any() for some in flagged):
        return None
    mean = 0.0
    for (weight, part), some in zip(one.weighed, flagged, strict=True):
        own = part.by_cell
        documents, metric = part.gathered[0].documents, part.gathered[0].headline
        kept = estimates.untouched(documents, some)
        if not kept.any():
            return None
        rest = [document for document, whole in zip(documents, kept, strict=True) if whole]
        sums = np.stack([metric.gather(own[cell].counts[kept], rest).sum(axis=0) for cell in (*first, *second)])
        scores = bootstrap.taken(metric.score, sums)
        mean += weight * float(scores[len(first) :].mean() - scores[: len(first)].mean())
    return mean


def apart(one: Measured, first: Sequence[str], second: Sequence[str]) -> int:
    """On how many documents the cells of the two sides, by name, count otherwise in the mean; all tasks of a group."""
    count = 0
    for _, part in one.weighed:
        own = part.by_cell
        documents, metric = part.gathered[0].documents, part.gathered[0].headline
        means = [
            np.mean([metric.gather(own[cell].counts, documents) for cell in some], axis=0) for some in (first, second)
        ]
        count += int((np.abs(means[0] - means[1]) > paired.CLOSE).any(axis=1).sum())
    return count


def unfit(one: Measured, cells: Sequence[str]) -> int:
    """Items longer than the context of one of these cells, all tasks of a group; they count as wrong."""
    own = [[each.unfit for each in part.gathered if each.cell in cells] for _, part in one.weighed]
    return sum(max(some, default=0) for some in own)


def _flagged(part: Measured, cells: Sequence[str]) -> np.ndarray:
    """Items [N] that stand in what one of the cells was tuned on."""
    found = np.zeros(part.items, bool)
    for one in part.gathered:
        if one.cell in cells and one.flagged is not None:
            found |= one.flagged
    return found
