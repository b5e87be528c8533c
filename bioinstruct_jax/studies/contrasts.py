"""What a study found: every arm's scores, the arms against the base and one another, and the questions it declared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bioinstruct_jax import files, settings
from bioinstruct_jax.evaluation import effects, paired
from bioinstruct_jax.evaluation.results.groups import ORDER, SCALES
from bioinstruct_jax.evaluation.runner.job import PROTOCOLS
from bioinstruct_jax.studies import arms, folder, gathered, hierarchical, measured, unmatched
from bioinstruct_jax.studies.found import Contrast, Found, Score, State
from bioinstruct_jax.studies.gathered import Scores
from bioinstruct_jax.studies.grid import tuned
from bioinstruct_jax.studies.job import ALL, BASE, Study
from bioinstruct_jax.studies.measured import Measured
from bioinstruct_jax.tasks.table import TASKS

Arm = tuple[str, str, str]  # model, arm, size
Pair = tuple[str, str, str]  # arm, size, against
Key = tuple[str, str, str, str, str, str]  # model, arm, size, against, on, protocol


@dataclass(frozen=True)
class Side:
    """The cells of an arm, as far as they are finished.

    Attributes:
        cells: by seed, in ascending order; a base or comparator has the seed -1.
        declared: how many there are to be.
    """

    cells: Mapping[int, str]
    declared: int


def found(job: Study, states: Sequence[State]) -> Found:
    """Everything the finished cells show.

    Raises:
        UnusableError: a folder of scores is damaged, or two cells answered different items; names file and line, or
            both.
        ValueError: two cells were asked a task differently.
    """
    scores, contrasts, long = [], [], []
    sides = _sides(states)
    pairs = compared(job)
    notes = _unfinished(states)
    for one in _measured(job, states, notes):
        for arm, side in sides.items():
            if any(cell in one.cells for cell in side.cells.values()):
                scores.append(_score(arm, side, one, job.seed))
                if one.on != one.group and (told := _long(one, side)):
                    long.append(f"{one.on}: {told}")
        for model in job.models:
            for pair in pairs:
                made = _contrast(model.name, pair, sides, one, job.seed)
                if made is not None:
                    contrasts.append(made)
    notes += dict.fromkeys(long)
    out = folder.place(job)
    rows, removed = arms.read(out)
    return Found(
        title=job.title,
        states=tuple(states),
        rows=tuple(rows),
        removed=removed,
        scores=tuple(sorted(scores, key=lambda one: one.on == one.group)),  # stable: tasks, then groups
        contrasts=tuple(sorted(primary(job, contrasts), key=lambda one: one.on == one.group)),
        reported=job.reported,
        notes=(*notes, *unmatched.notes(job, rows, out)),
        settings=settings.dump(job),
    )


def compared(job: Study) -> list[Pair]:
    """What is held against what: every arm against the base, against all of its size, and as the hypotheses ask."""
    whole = any(arm.name == ALL for arm in job.arms)
    trained = tuned(job)
    pairs = [(arm, size, BASE) for arm, size in trained]
    pairs += [(arm, size, ALL) for arm, size in trained if whole and arm != ALL and size in job.sizes]
    pairs += [(one.arm, one.size, one.against) for one in job.hypotheses]
    return list(dict.fromkeys(pairs))


def primary(job: Study, contrasts: Sequence[Contrast]) -> list[Contrast]:
    """The same with the declared hypotheses marked, and their p values adjusted for all of them, of every model (Holm).

    One that is not tested, as cells failed or wait, counts with p = 1: what did not end makes no other p smaller.
    """
    by_key = {_key(one): place for place, one in enumerate(contrasts)}
    made, places = list(contrasts), list[int | None]()
    for asked in dict.fromkeys(job.hypotheses):
        for model in job.models:
            key = (model.name, asked.arm, asked.size, asked.against, asked.on, asked.protocol)
            places.append(by_key.get(key))
    known = [None if place is None else contrasts[place].p for place in places]
    adjusted = paired.holm([1.0 if p is None else p for p in known])
    for place, p, holm in zip(places, known, adjusted, strict=True):
        if place is not None:
            made[place] = replace(made[place], primary=True, holm=None if p is None else holm)
    return made


def _key(one: Contrast) -> Key:
    return one.model, one.arm, one.size, one.against, one.on, one.protocol


def _sides(states: Sequence[State]) -> dict[Arm, Side]:
    """The arms with a finished cell, in the order of the grid."""
    cells: dict[Arm, dict[int, str]] = {}
    declared: dict[Arm, int] = {}
    for state in states:
        cell = state.cell
        arm = cell.model, cell.arm, cell.size
        declared[arm] = declared.get(arm, 0) + 1
        cells.setdefault(arm, {})
        if state.status == "finished":
            cells[arm][-1 if cell.seed is None else cell.seed] = cell.name
    return {arm: Side(dict(sorted(own.items())), declared[arm]) for arm, own in cells.items() if own}


def _unfinished(states: Sequence[State]) -> list[str]:
    notes = []
    for status, words in (("failed", "failed"), ("stopped", "stopped"), ("waiting", "not run yet")):
        some = [state for state in states if state.status == status]
        if names := [
            f"{one.cell.name} ({one.why})" if one.why and status == "stopped" else one.cell.name for one in some
        ]:
            notes.append(f"{len(names)} of {len(states)} cells: {words}, so that no score has them: {', '.join(names)}")
    return notes


def _measured(job: Study, states: Sequence[State], notes: list[str]) -> Iterator[Measured]:
    """Each task under each protocol, then the group's mean; group by group, to save memory."""
    out, evaluation = files.path(folder.place(job)), job.scored()
    scored = [
        (state.cell.kind == "comparator", gathered.opened(out / state.scores, state.cell.name))
        for state in states
        if state.status == "finished"
    ]
    known = [name for name in TASKS if any(name in some.told for _, some in scored)]
    for group in ORDER:
        parts: dict[str, list[Measured]] = {protocol: [] for protocol in PROTOCOLS}
        for task in known:
            if TASKS[task].family.category == group:
                _same_protocols(task, [some for theirs, some in scored if not theirs])
                by_cell = [gathered.read(some, task, evaluation) for _, some in scored]
                for protocol in PROTOCOLS:
                    if own := [some[protocol] for some in by_cell if protocol in some]:
                        one = measured.of_task(own, resamples=job.resamples, seed=job.seed)
                        parts[protocol].append(one)
                        yield one
        for protocol in PROTOCOLS:
            if parts[protocol] and (mean := measured.of_group(parts[protocol])):
                some = dict.fromkeys(cell for part in parts[protocol] for cell in part.cells)
                if left := [cell for cell in some if cell not in mean.cells]:
                    notes.append(
                        f"{group}, {protocol}: no mean of {', '.join(left)}, which was not scored in all of "
                        f"{', '.join(part.on for part in parts[protocol])}"
                    )
                yield mean


def _same_protocols(task: str, own: Sequence[Scores]) -> None:
    """Raises ValueError where two of the study's own cells were asked a task differently."""
    asked = [sorted(one.told.get(task, ())) for one in own]
    for one, protocols in zip(own, asked, strict=True):
        if protocols != asked[0]:
            first, second = (", ".join(some) or "nothing" for some in (asked[0], protocols))
            raise ValueError(
                f"{task}: cell {own[0].cell} was asked under {first}, cell {one.cell} under {second}: they were "
                "evaluated with different settings; score one of them again"
            )


def _score(arm: Arm, side: Side, one: Measured, seed: int) -> Score:
    model, name, size = arm
    places = [one.cells.index(cell) for cell in side.cells.values() if cell in one.cells]
    values = one.values[places]
    notes = [one.note, _few(len(side.cells), side.declared), _long(one, side)]
    low = high = None
    if one.drawn is not None and (side.declared == 1 or len(places) > 1):
        low, high = hierarchical.interval(hierarchical.over_seeds(one.drawn[places], seed=seed))
        if one.unit in SCALES:
            most = 1 / SCALES[one.unit]
            low, high = (float(np.clip(end, 0, most)) for end in (low, high))
    return Score(
        model=model,
        arm=name,
        size=size,
        on=one.on,
        group=one.group,
        protocol=one.protocol,
        metric=one.metric,
        unit=one.unit,
        higher_is_better=one.higher_is_better,
        value=float(values.mean()),
        seeds=tuple(values.tolist()),
        low=low,
        high=high,
        answered=float(one.unit_answered[places].mean()),
        items=one.items,
        majority=one.majority,
        note="; ".join(filter(None, notes)),
    )


def _long(one: Measured, side: Side) -> str:
    """How many items do not fit into the context of an arm's model; empty where all do."""
    unfit = measured.unfit(one, list(side.cells.values()))
    return f"{unfit:,} of {one.items:,} items are longer than the context and count as wrong" if unfit else ""


def _few(seeds: int, declared: int) -> str:
    if seeds == declared:
        return ""
    return f"{seeds} of {declared} seeds" + (": how seeds differ is unknown" if seeds < 2 else "")


def _contrast(model: str, pair: Pair, sides: Mapping[Arm, Side], one: Measured, seed: int) -> Contrast | None:
    """An arm against another, or the base; of two arms the seeds that both have. None where one is not there."""
    arm, size, against = pair
    before = sides.get((model, against, "" if against == BASE else size))
    after = sides.get((model, arm, size))
    if before is None or after is None:
        return None
    seeds = [number for number in after.cells if against == BASE or number in before.cells]
    first_cells = list(before.cells.values()) if against == BASE else [before.cells[number] for number in seeds]
    second_cells = [after.cells[number] for number in seeds]
    if not seeds or not {*first_cells, *second_cells} <= set(one.cells):
        return None
    first, second = ([one.cells.index(cell) for cell in some] for some in (first_cells, second_cells))
    scores = one.values[first], one.values[second]
    difference = float(scores[1].mean() - scores[0].mean())
    low = high = p = None
    if one.drawn is not None and len(seeds) > 1:
        drawn = [hierarchical.over_seeds(one.drawn[some], seed=seed) for some in (first, second)]
        low, high = hierarchical.interval(drawn[1] - drawn[0])
        p = paired.two_sided(drawn[1] - drawn[0])
    few = ""
    if p is not None and (least := 0.5 ** (measured.apart(one, first_cells, second_cells) - 1)) > p:
        p = min(1.0, least)
        few = "p is the least that a sign test of so few documents on which the two differ can give"
    before_units, after_units = (one.unit_values[some].mean(axis=0).tolist() for some in (first, second))
    gain = effects.gain(before_units, after_units, one.unit_answered[first].mean(axis=0).tolist())
    withheld = gain.withheld.replace("the base", f"{against!r}") if against != BASE else gain.withheld
    notes = [one.note, _few(len(seeds), after.declared), few, withheld and f"no relative gain: {withheld}"]
    return Contrast(
        model=model,
        arm=arm,
        size=size,
        against=against,
        on=one.on,
        group=one.group,
        protocol=one.protocol,
        metric=one.metric,
        unit=one.unit,
        first=float(scores[0].mean()),
        second=float(scores[1].mean()),
        difference=difference,
        low=low,
        high=high,
        p=p,
        clean=measured.clean(one, first_cells, second_cells),
        relative=gain.relative,
        note="; ".join(filter(None, notes)),
    )
