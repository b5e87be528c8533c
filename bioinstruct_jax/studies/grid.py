"""The cells of a study: what is run, under which name, in which order."""

from dataclasses import dataclass
from typing import Literal

from bioinstruct_jax.studies.job import BASE, Study


@dataclass(frozen=True)
class Cell:
    """One run: a model tuned on an arm with a seed; a base as it is; or a model of others.

    Attributes:
        name: of its folders, unique in the study.
        kind: ``tuned`` is trained and scored, the others are scored alone.
        model: of `Study.models`; for a comparator its own name.
        arm: ``base`` for a base, empty for a comparator.
        size: matched, natural, or the share of the curve as text, ``0.05``; empty where nothing is tuned.
        seed: of training; None where nothing is tuned.
    """

    name: str
    kind: Literal["base", "tuned", "comparator"]
    model: str
    arm: str
    size: str = ""
    seed: int | None = None


def cells(job: Study) -> list[Cell]:
    """Every cell: of each model its base, the arms by size and seed, the curve; then the comparators.

    The seed turns slowest within a model, so that a study that is stopped has whole seeds.
    """
    found = []
    for model in job.models:
        found.append(Cell(f"{model.name}-{BASE}", "base", model.name, BASE))
        for seed in job.seeds:
            for arm, size in tuned(job):
                found.append(Cell(f"{model.name}-{arm}-{size}-s{seed}", "tuned", model.name, arm, size, seed))
    found += [Cell(one.name, "comparator", one.name, "") for one in job.comparators]
    names = [cell.name for cell in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"two cells would be called {twice[0]}; give a model, an arm or a comparator another name")
    return found


def tuned(job: Study) -> list[tuple[str, str]]:
    """Arm and size of what is tuned, for one model and seed: the natural arms, the matched ones, the curve."""
    made: list[tuple[str, str]] = [
        (arm.name, size) for size in ("natural", "matched") for arm in job.arms if size in job.sizes_of(arm)
    ]
    if job.curve is not None:
        made += [(job.curve.arm, format(share, "g")) for share in sorted(job.curve.shares)]
    return made
