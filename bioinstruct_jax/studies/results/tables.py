"""The tables of a study's scores and differences."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.studies.found import Contrast, Found, Score
from bioinstruct_jax.studies.job import BASE, Study
from bioinstruct_jax.studies.results import verdicts
from bioinstruct_jax.studies.results.printed import Table, split, trimmed
from bioinstruct_jax.studies.results.verdicts import change, score, sized, span
from bioinstruct_jax.studies.results.views import Curve, Heat, known_arms

_SIZES = ("natural", "matched")
MARKED = (
    f"{verdicts.PRIMARY}: a primary hypothesis, shown (p < {words.LEVEL:g} after Holm); {verdicts.EXPLORATORY}: "
    f"exploratory, p < {words.LEVEL:g}, not adjusted for the number of comparisons, so some are luck"
)
COMPARED = (
    "Difference: tuned less base, on the same items, with its 95% interval over training seeds and documents. "
    "Primary: declared before anything was run; their p are adjusted together (Holm). All others are exploratory and "
    "not adjusted: a small p there is a hint to be tested again, no finding. Read: share of items with an answer that "
    "could be read; majority: the score of always giving the commonest label."
)


@dataclass(frozen=True)
class Compared:
    """The differences of one arm of one size from another arm; `told` counts what they show."""

    model: str
    protocol: str
    against: str
    size: str
    arm: str
    table: Table
    told: str


def primary(found: Found, job: Study) -> Table:
    """The hypotheses as declared, with what came out; those without scores at the end, as `not answered`."""
    higher = verdicts.higher_is_better(found)
    rows = []
    for one in found.contrasts:
        if one.primary:
            up = higher[one.on, one.protocol, one.metric]
            rows.append(
                (
                    verdicts.question(one.model, one),
                    _metric(one.metric, up),
                    score(one.first, one.unit),
                    score(one.second, one.unit),
                    change(one.difference, one.unit, named=_odd(one.unit)),
                    span(one.low, one.high, one.unit, signed=True),
                    words.p_value(one.p),
                    words.p_value(one.holm),
                    verdicts.verdict(one, up),
                    one.note,
                )
            )
    for said in verdicts.unanswered(found, job):
        what, _, why = said.rpartition(": ")
        rows.append((what, "", "", "", "", "", "", "", "not answered", why.removesuffix(".")))
    head = ("hypothesis", "metric", "against", "arm", "difference, points", "95% interval", "p", "Holm's p", "verdict")
    says = "Not shown: chance could explain the difference; that is no proof that there is none."
    return trimmed(Table("Primary hypotheses", (*head, "note"), tuple(rows), says))


def compared(found: Found) -> list[Compared]:
    """A table for each model, protocol, arm and size: against the base in every group and task; then arm against arm.

    The natural sizes first, the arm `all` first among them; parts of the curve last.
    """
    higher = verdicts.higher_is_better(found)
    names, arms = verdicts.order(found.scores), known_arms(found)
    scores = {(one.model, one.protocol, one.arm, one.size, one.on): one for one in found.scores}
    made: dict[tuple[str, str, str, str, str], list[Contrast]] = {}
    for one in found.contrasts:
        made.setdefault((one.model, one.protocol, one.against, one.size, one.arm), []).append(one)
    models = list(dict.fromkeys(model for model, *_ in made))

    def place(key: tuple[str, str, str, str, str]) -> tuple[object, ...]:
        model, protocol, against, size, arm = key
        at = _SIZES.index(size) if size in _SIZES else len(_SIZES)
        return (
            models.index(model),
            words.place(protocol),
            against != BASE,
            at,
            (verdicts.share(size) or 0.0) if at == len(_SIZES) else 0.0,
            arms.index(arm) if arm in arms else len(arms),
            against,
        )

    differences = []
    for key in sorted(made, key=place):
        model, protocol, against, size, arm = key
        rows = []
        for one in sorted(made[key], key=lambda one: names.index(one.on)):
            before = scores.get((model, protocol, against, "" if against == BASE else size, one.on))
            after = scores.get((model, protocol, arm, size, one.on))
            rows.append(_row(one, before, after, higher[one.on, protocol, one.metric]))
        other = sized(against, size)
        title = f"{model}: {sized(arm, size) or model} against {other} ({words.of_protocol(protocol)})"
        head: tuple[str, ...] = (
            "on",
            "group",
            "metric",
            other,
            sized(arm, size) or model,
            "difference, points",
            "95% interval",
            "p",
        )
        head += ("Holm's p", "what is shown", f"read, {other}", "read, arm", "majority", "without met items", "items")
        table = trimmed(Table(title, (*head, "note"), tuple(rows), beside=("group", "items", "note")))
        verdict = Counter(verdicts.verdict(one, higher[one.on, protocol, one.metric]) for one in made[key])
        told = ", ".join(f"{said} {count}" for said, count in verdict.most_common())
        differences.append(Compared(*key, table=table, told=told))
    return differences


def _row(one: Contrast, before: Score | None, after: Score | None, higher: bool) -> tuple[str, ...]:
    known = after or before
    notes = "; ".join(filter(None, (one.note, after.note if after is not None else "")))
    return (
        one.on,
        one.group if one.group != one.on else "group",
        _metric(one.metric, higher),
        score(one.first, one.unit),
        score(one.second, one.unit),
        change(one.difference, one.unit, named=_odd(one.unit)) + verdicts.mark(one),
        span(one.low, one.high, one.unit, signed=True),
        words.p_value(one.p),
        (words.p_value(one.holm) or "primary, not tested") if one.primary else verdicts.UNADJUSTED,
        verdicts.verdict(one, higher),
        *("" if scored is None else score(scored.answered, "share") for scored in (before, after)),
        "" if known is None else score(known.majority, one.unit),
        change(one.clean, one.unit, named=_odd(one.unit)),
        "" if known is None else f"{known.items:,}",
        "; ".join(dict.fromkeys(notes.split("; "))),  # what both say is said once
    )


def matrix(heat: Heat) -> list[Table]:
    """A heat map as tables, of as many columns as a page holds."""
    says = f"Tuned on the arm of each row; points. {MARKED}."
    rows = [
        (arm, *(heat.squares[arm, on].text if (arm, on) in heat.squares else "" for on in heat.columns))
        for arm in heat.arms
    ]
    return list(split(Table(heat.title, ("arm", *heat.names), tuple(rows), says)))


def curve(curves: Sequence[Curve]) -> list[Table]:
    """Scores by share of the rows, a table for each model, protocol and arm."""
    tables = []
    for model, protocol, arm in dict.fromkeys((one.model, one.protocol, one.arm) for one in curves):
        these = [one for one in curves if (one.model, one.protocol, one.arm) == (model, protocol, arm)]
        shares = sorted({share for one in these for share, _ in one.points})
        rows = []
        for one in these:
            cells = {share: _interval(scored) for share, scored in one.points}
            base = "" if one.base is None else _interval(one.base)
            rows.append((one.on, one.points[0][1].metric, base, *(cells.get(share, "") for share in shares)))
        head = ("on", "metric", BASE, *(f"{100 * share:g}%" for share in shares))
        title = f"{model}: score by share of the rows of {arm} ({words.of_protocol(protocol)})"
        tables.append(Table(title, head, tuple(rows), "With 95% intervals; 100% is the natural size."))
    return tables


def scores(found: Found) -> Table:
    """Every score there is."""
    rows = []
    for one in found.scores:
        rows.append(
            (
                one.model,
                sized(one.arm, one.size) or "model of others",
                one.on,
                one.group,
                words.of_protocol(one.protocol),
                _metric(one.metric, one.higher_is_better),
                score(one.value, one.unit),
                span(one.low, one.high, one.unit),
                ", ".join(score(value, one.unit).rstrip("%") for value in one.seeds),
                score(one.answered, "share"),
                score(one.majority, one.unit),
                f"{one.items:,}",
                one.note,
            )
        )
    head = ("model", "arm", "on", "group", "protocol", "metric", "score", "95% interval", "each seed", "read")
    return trimmed(Table("Every score", (*head, "majority", "items", "note"), tuple(rows)))


def _interval(one: Score) -> str:
    ends = span(one.low, one.high, one.unit)
    return score(one.value, one.unit) + (f" ({ends})" if ends else "")


def _metric(name: str, higher: bool) -> str:
    return name if higher else f"{name} (lower is better)"


def _odd(unit: str) -> bool:
    """Whether a difference is told with its unit, because it is not in points."""
    return not verdicts.in_points(unit)
