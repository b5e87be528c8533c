"""The tables of others' models: those measured on the same items, and what papers say, clearly theirs."""

import math
from collections.abc import Sequence

from bioinstruct_jax.evaluation.results import sections, words
from bioinstruct_jax.evaluation.results.tables import number
from bioinstruct_jax.studies.found import Found, Score
from bioinstruct_jax.studies.job import BASE
from bioinstruct_jax.studies.results import verdicts
from bioinstruct_jax.studies.results.printed import Table, split, trimmed
from bioinstruct_jax.studies.results.verdicts import sized
from bioinstruct_jax.studies.results.views import known_arms

THEIRS = "Published by others, not measured here"
_CONTEXT = (
    "Their figures stand as their authors published them. Prompts, splits, shots, sizes and metrics differ, so they "
    "give the order of size and no comparison."
)


def comparators(found: Found) -> list[Table]:
    """Models of others that were scored on the same items, below the study's own; none without them."""
    others = [one for one in found.scores if not one.arm]
    names = [on for on in verdicts.order(found.scores) if any(one.on == on for one in others)]
    rows = []
    for protocol in sorted({one.protocol for one in others}, key=words.place):
        for whose, scores in (("of this study", _own(found)), ("of others", others)):
            told = _scores([one for one in scores if one.protocol == protocol and one.on in names])
            rows += [
                (name, whose, words.of_protocol(protocol), *(cells.get(on, "") for on in names))
                for (name, _), cells in told.items()
            ]
    lower = {one.on for one in others if not one.higher_is_better}
    head = ("model", "whose", "protocol", *(f"{on} (lower is better)" if on in lower else on for on in names))
    says = "Shares in per cent, points as they are."
    table = Table("Models of others, measured here on the same items", head, tuple(rows), says)
    return list(split(table, 3)) if rows else []


def reported(found: Found) -> list[Table]:
    """Rows of papers below the study's own, in per cent; then relative gains, which are no scores; none without."""
    tables: list[Table] = []
    for gains, title in ((False, THEIRS), (True, f"{THEIRS}: relative gains over the untuned model")):
        theirs = [one for one in found.reported if one.gains == gains]
        names = list(dict.fromkeys(on for one in theirs for on in one.scores))
        if not theirs:
            continue
        rows = [
            (f"{name}, {words.of_protocol(protocol)}", "measured here", "", *(cells.get(on, "") for on in names))
            for (name, protocol), cells in (_gains(found) if gains else _scores(_own(found))).items()
            if set(cells) & set(names)
        ]
        for one in theirs:
            cells = {on: _gain(value / 100) if gains else f"{value:.1f}" for on, value in one.scores.items()}
            rows.append((one.model, f"published: {one.paper}", one.note, *(cells.get(on, "") for on in names)))
        unit = "A gain is the difference over the score of the untuned model." if gains else "In per cent."
        table = Table(title, ("model", "whose", "note", *names), tuple(rows), f"{_CONTEXT} {unit}", ("note",))
        tables += map(trimmed, split(table, 3))
    return tables


def published(found: Found) -> list[str]:
    """Figures that the tasks themselves have, as HTML."""
    return sections.published([one.on for one in found.scores])


def _own(found: Found) -> list[Score]:
    """Scores of the bases, and of the first arm at its natural size."""
    first = next(iter(known_arms(found)), None)
    return [one for one in found.scores if one.arm == BASE or (one.arm, one.size) == (first, "natural")]


def _scores(scores: Sequence[Score]) -> dict[tuple[str, str], dict[str, str]]:
    """Each model and arm by name and protocol, with its scores by task or group."""
    made: dict[tuple[str, str], dict[str, str]] = {}
    for one in scores:
        name = f"{one.model}, {sized(one.arm, one.size)}" if one.arm else one.model
        told = number(one.value, one.unit) if math.isfinite(one.value) else ""
        made.setdefault((name, one.protocol), {})[one.on] = told
    return made


def _gains(found: Found) -> dict[tuple[str, str], dict[str, str]]:
    first = next(iter(known_arms(found)), None)
    made: dict[tuple[str, str], dict[str, str]] = {}
    for one in found.contrasts:
        if (one.arm, one.size, one.against) == (first, "natural", BASE):
            told = "withheld" if one.relative is None else _gain(one.relative)
            made.setdefault((f"{one.model}, {sized(one.arm, one.size)}", one.protocol), {})[one.on] = told
    return made


def _gain(share: float) -> str:
    return f"{100 * share:+.1f}%".replace("-", "\u2212") if math.isfinite(share) else ""
