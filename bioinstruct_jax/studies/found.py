"""What a study found, as its tables, figures and files tell it. Scores are shares or points, as their metric's unit."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bioinstruct_jax.studies.grid import Cell
from bioinstruct_jax.studies.job import Reported


@dataclass(frozen=True)
class Rows:
    """What one arm of one size is tuned on, with one seed.

    Attributes:
        arm, size, seed: as in `Cell`; seed None where the rows do not depend on it (natural size).
        file: of the rows, within the study's folder.
        sha256: of its bytes.
        rows, target_tokens: how many.
        categories: rows and target tokens of each category, in the order of the pool.
    """

    arm: str
    size: str
    seed: int | None
    file: str
    sha256: str
    rows: int
    target_tokens: int
    categories: Mapping[str, tuple[int, int]]


@dataclass(frozen=True)
class State:
    """How far a cell is.

    Attributes:
        status: ``finished``; ``failed``: a command ended with an error; ``stopped``: was begun, goes on with the same
            command; ``waiting``: not begun.
        why: of what failed: the last words of its log; else empty.
        seconds: of training and evaluation, as far as their folders tell; None: unknown.
        run, scores, log: folders and file, within the study's folder; empty where there is none.
    """

    cell: Cell
    status: Literal["finished", "failed", "stopped", "waiting"]
    why: str = ""
    seconds: float | None = None
    run: str = ""
    scores: str = ""
    log: str = ""


@dataclass(frozen=True)
class Score:
    """An arm's score in a task, or the mean of a group, over its seeds.

    Attributes:
        model, arm, size: as in `Cell`; a comparator has the arm ``''``.
        on: task or group; `group`: its group, the same for a group.
        protocol, metric, unit: how asked, the headline metric by name, its unit (``share`` for groups).
        higher_is_better: as it says.
        value: mean over seeds; `seeds`: of each, in their order; one where there are none.
        low, high: ends of its interval of 95 %, over seeds, then documents; None where unknown.
        answered: share of items with an answer that could be read.
        items: scored, all tasks of a group together.
        majority: score of the commonest label, in the same unit; None where there is none.
        note: what is missing or odd; else empty.
    """

    model: str
    arm: str
    size: str
    on: str
    group: str
    protocol: str
    metric: str
    unit: str
    higher_is_better: bool
    value: float
    seeds: tuple[float, ...]
    low: float | None
    high: float | None
    answered: float
    items: int
    majority: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Contrast:
    """An arm held against the base or another arm, on the same items.

    Attributes:
        model, arm, size, on, group, protocol, metric, unit: as in `Score`.
        against: ``base``, or an arm of the same size.
        first, second: scores of `against` and of `arm`, means over seeds.
        difference, low, high: second less first, with its interval; None where unknown.
        p: two-sided, of the hierarchical bootstrap, but never less than a sign test of the documents on which the two
            sides differ could give, 2 ** (1 - documents); None where unknown.
        primary: whether it was declared as a hypothesis.
        holm: p adjusted for all declared hypotheses in every model, untested ones at p = 1; None for others.
        clean: the difference without items that a model was tuned on; None where there are none.
        relative: difference over first; None where first is too low for it to mean anything.
        note: what is missing or odd; else empty.
    """

    model: str
    arm: str
    size: str
    against: str
    on: str
    group: str
    protocol: str
    metric: str
    unit: str
    first: float
    second: float
    difference: float
    low: float | None
    high: float | None
    p: float | None
    primary: bool = False
    holm: float | None = None
    clean: float | None = None
    relative: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Found:
    """Everything a study shows.

    Attributes:
        title: of the report.
        states: of every cell, in the order of the grid.
        rows: what arms are tuned on.
        removed: rows of the pool that were left out, by reason.
        scores, contrasts: tasks first, then groups.
        reported: rows of papers.
        notes: what a reader must know first: cells that are missing, seeds that are too few.
        settings: the study's, as YAML.
    """

    title: str
    states: tuple[State, ...]
    rows: tuple[Rows, ...]
    removed: Mapping[str, int]
    scores: tuple[Score, ...]
    contrasts: tuple[Contrast, ...]
    reported: tuple[Reported, ...] = ()
    notes: tuple[str, ...] = field(default_factory=tuple)
    settings: str = ""
