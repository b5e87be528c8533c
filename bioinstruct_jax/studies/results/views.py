"""What is drawn of a study, before it is drawn: matrices of differences and curves over the size of the data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.studies.found import Contrast, Found, Score
from bioinstruct_jax.studies.job import ALL, BASE
from bioinstruct_jax.studies.results import verdicts

FULL = 20.0  # points from which on a colour is full


@dataclass(frozen=True)
class Square:
    """A cell of a matrix.

    Attributes:
        text: the difference in its own unit, with its mark.
        good: in points, above 0 where the arm is better; None: it has no colour.
        primary: it was declared.
    """

    text: str
    good: float | None
    primary: bool


@dataclass(frozen=True)
class Heat:
    """Arms (rows) by groups and tasks (columns): how each differs from one other arm.

    Attributes:
        lower: columns in which lower is better.
        squares: by arm and column; what is missing there was not compared.
    """

    model: str
    protocol: str
    size: str
    against: str
    arms: tuple[str, ...]
    columns: tuple[str, ...]
    lower: tuple[str, ...]
    squares: Mapping[tuple[str, str], Square]

    @property
    def title(self) -> str:
        said = f"{self.model}, arms of {self.size} size, {words.of_protocol(self.protocol)}"
        return f"{said}: difference from {self.against} in points"

    @property
    def most(self) -> float:
        """Points that have the full colour."""
        return min(FULL, max([1.0, *(abs(one.good) for one in self.squares.values() if one.good is not None)]))

    @property
    def names(self) -> list[str]:
        """Columns as they are headed."""
        return [f"{name} (lower is better)" if name in self.lower else name for name in self.columns]


@dataclass(frozen=True)
class Curve:
    """Scores of one arm in one task or group, by the share of its rows; the untuned base beside.

    Attributes:
        points: share and score, least share first.
        base: None where it was not scored.
    """

    model: str
    protocol: str
    arm: str
    on: str
    group: str
    points: tuple[tuple[float, Score], ...]
    base: Score | None


def heats(found: Found) -> list[Heat]:
    """A matrix for each model, protocol and size against the base, then against each arm that others are held against.

    Parts of the curve stand in none.
    """
    higher = verdicts.higher_is_better(found)
    columns = verdicts.order(found.scores)
    cells: dict[tuple[str, str, str, str], dict[tuple[str, str], Contrast]] = {}
    for one in found.contrasts:
        if one.arm and one.size in ("natural", "matched"):
            key = (one.model, one.protocol, one.size, one.against)
            cells.setdefault(key, {})[one.arm, one.on] = one
    models = list(dict.fromkeys(model for model, *_ in cells))
    arms = known_arms(found)
    made = []
    for key in sorted(
        cells, key=lambda key: (models.index(key[0]), words.place(key[1]), key[3] != BASE, key[3], key[2] != "natural")
    ):
        these = cells[key]
        there = tuple(name for name in columns if any(on == name for _, on in these))
        made.append(
            Heat(
                *key,
                arms=tuple(arm for arm in arms if any(of == arm for of, _ in these)),
                columns=there,
                lower=tuple(on for on in there if any(of == on and not higher[of, one.protocol, one.metric]
                            for (_, of), one in these.items())),
                squares={place: _square(one, higher[one.on, one.protocol, one.metric]) for place, one in these.items()},
            )
        )  # fmt: skip
    return made


def _square(one: Contrast, higher: bool) -> Square:
    text = verdicts.change(one.difference, one.unit, named=not verdicts.in_points(one.unit))
    return Square(text + verdicts.mark(one), verdicts.good_points(one, higher), one.primary)


def curves(found: Found) -> list[Curve]:
    """A curve for each model, protocol, and task or group, of the arm that was tuned on parts of its rows."""
    by_arm = {(one.model, one.protocol, one.arm, one.size, one.on): one for one in found.scores}
    names = verdicts.order(found.scores)
    parts = {
        (one.model, one.protocol, one.arm)
        for one in found.scores
        if verdicts.share(one.size) is not None and one.size != "natural"
    }
    made = []
    for model, protocol, arm in dict.fromkeys((one.model, one.protocol, one.arm) for one in found.scores):
        if (model, protocol, arm) not in parts:
            continue
        for on in names:
            points = [
                (share, one)
                for key, one in by_arm.items()
                if (key[:3], key[4]) == ((model, protocol, arm), on)
                and (share := verdicts.share(one.size)) is not None
                and math.isfinite(one.value)
            ]
            if points:
                points.sort(key=lambda point: point[0])
                base = by_arm.get((model, protocol, BASE, "", on))
                made.append(Curve(model, protocol, arm, on, points[0][1].group, tuple(points), base))
    return sorted(made, key=lambda one: words.place(one.protocol))


def known_arms(found: Found) -> list[str]:
    """Tuned arms, `all` first, then in the order of the grid."""
    names = [state.cell.arm for state in found.states] + [one.arm for one in found.rows]
    names += [one.arm for one in found.scores] + [one.arm for one in found.contrasts]
    return sorted((name for name in dict.fromkeys(names) if name not in ("", BASE)), key=lambda name: name != ALL)
