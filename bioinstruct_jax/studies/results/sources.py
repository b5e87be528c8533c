"""The tables of what a study is made of: rows that arms were tuned on, and cells."""

from collections.abc import Sequence

from bioinstruct_jax.reporting.page import Link
from bioinstruct_jax.reporting.progress import duration
from bioinstruct_jax.studies.found import Found, Rows
from bioinstruct_jax.studies.results.printed import Table, trimmed
from bioinstruct_jax.studies.results.verdicts import sized


def composition(found: Found) -> Table:
    """What each arm was tuned on; matched arms show how far their target tokens are from their mean."""
    matched = [one.target_tokens for one in found.rows if one.size == "matched"]
    mean = sum(matched) / len(matched) if matched else 0.0
    names = list(dict.fromkeys(name for one in found.rows for name in one.categories))
    rows: list[tuple[str | Link, ...]] = []
    for one in found.rows:
        apart = f"{100 * (one.target_tokens / mean - 1):+.2f}%" if one.size == "matched" and mean else ""
        cells = [sized(one.arm, one.size), "any" if one.seed is None else str(one.seed), f"{one.rows:,}"]
        cells += [f"{one.target_tokens:,}", apart.replace("-", "\u2212")]
        for name in names:
            count, tokens = one.categories.get(name, (0, 0))
            part = f"{100 * tokens / one.target_tokens:.1f}%" if one.target_tokens else ""
            cells += [f"{count:,}" if count else "", part if count else ""]
        rows.append((*cells, Link(one.file, one.file) if one.file else "", one.sha256[:12]))
    head = ["arm", "seed", "rows", "target tokens", "from the mean of matched arms"]
    for name in names:
        head += [f"{name}, rows", f"{name}, of target tokens"]
    beside = ("file", "sha256, first 12")
    return trimmed(Table("What each arm was tuned on", (*head, *beside), tuple(rows), equality(found.rows), beside))


def equality(rows: Sequence[Rows]) -> str:
    """How equal the matched arms are; empty where there are none."""
    matched = [one for one in rows if one.size == "matched"]
    if not matched:
        return ""
    counts, tokens = [one.rows for one in matched], [one.target_tokens for one in matched]
    mean = sum(tokens) / len(tokens)
    said = f"Matched arms have {_range(counts)} rows and {_range(tokens)} target tokens"
    return f"{said}, {100 * (max(tokens) - min(tokens)) / mean:.2f}% of their mean apart." if mean else f"{said}."


def removed(found: Found) -> Table:
    """Rows of the pool that no arm has, and why."""
    rows = tuple((why, f"{count:,}") for why, count in found.removed.items())
    return Table("Rows left out of the pool", ("why", "rows"), rows)


def cells(found: Found) -> Table:
    """How far each cell is, and where its folders lie."""
    rows: list[tuple[str | Link, ...]] = []
    for one in found.states:
        cell = one.cell
        links = [Link(place, place) if place else "" for place in (one.run, one.scores, one.log)]
        rows.append(
            (
                cell.name,
                one.status,
                "" if one.seconds is None else duration(one.seconds).replace(" ", "\u00a0"),
                "" if cell.seed is None else str(cell.seed),
                *links,
                one.why,
            )
        )
    head = ("cell", "state", "time", "seed", "run", "scores", "log", "last words")
    return trimmed(Table("Cells", head, tuple(rows), beside=("run", "scores", "log")))


def _range(values: Sequence[int]) -> str:
    least, most = min(values), max(values)
    return f"{least:,}" if least == most else f"{least:,} to {most:,}"
