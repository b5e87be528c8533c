"""``report.html`` of a generation: what came out, how the paper's pool compares, and every row to search."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.generation.filters import REASONS
from bioinstruct_jax.generation.item import CATEGORIES, Accepted, Rejected
from bioinstruct_jax.generation.verbs import MEASURED
from bioinstruct_jax.reporting import browser, page, svg
from bioinstruct_jax.reporting.browser import Cell, Column
from bioinstruct_jax.reporting.sunburst import Slice, sunburst

_STANDS = "The whole rows stand in instructions.jsonl and rejected.jsonl, in the folder of this report."
_COLUMNS = (
    Column("id"),
    Column("outcome", "value"),
    Column("category", "value"),
    Column("reason", "value"),
    Column("instruction"),
    Column("input", listed=False),
    Column("output"),
    Column("output words", "number"),
    Column("similarity", "number"),
    Column("nearest", listed=False),
    Column("detail", listed=False),
    Column("teacher", "value", listed=False),
    Column("model", listed=False),
    Column("seeds shown", listed=False),
    Column("prompt", listed=False),
    Column("request", listed=False),
)


def write(
    file: UPath,
    statistics: Mapping[str, Any],
    accepted: Iterable[Accepted],
    rejected: Iterable[Rejected],
    *,
    note: str,
) -> None:
    """Writes the page piece by piece, so that only the rows themselves may need memory; see `pieces`."""
    files.make_folder(file.parent)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for piece in pieces(statistics, accepted, rejected, note=note):
            out.write(piece)


def html(
    statistics: Mapping[str, Any], accepted: Iterable[Accepted], rejected: Iterable[Rejected], *, note: str
) -> str:
    """The whole page as one text."""
    return "".join(pieces(statistics, accepted, rejected, note=note))


def pieces(
    statistics: Mapping[str, Any], accepted: Iterable[Accepted], rejected: Iterable[Rejected], *, note: str
) -> Iterator[str]:
    """The page in pieces.

    Args:
        statistics: as `generation.statistics` makes them.
        accepted, rejected: gone through twice; iterators are held in memory.
        note: what a reader must know of these rows, e.g. that a script wrote them; empty: nothing.
    """
    return page.pieces(
        "Generated instructions", _sections(statistics, accepted, rejected, note), scripts=[browser.SCRIPT]
    )


def headline(statistics: Mapping[str, Any]) -> str:
    """What came out, in a sentence."""
    totals = statistics["totals"]
    text = f"{totals['accepted']:,} instructions accepted of {totals['seen']:,} that were written"
    if totals["acceptance"] is not None:
        text += f" ({totals['acceptance']:.1%})"
    if totals["dollars_each"] is not None:
        text += f", for ${statistics['client']['dollars']['spent']:,.2f}: ${totals['dollars_each']:.4f} each"
    return text + "."


def _sections(
    told: Mapping[str, Any], accepted: Iterable[Accepted], rejected: Iterable[Rejected], note: str
) -> Iterator[str]:
    yield page.lead(headline(told))
    ended = told["ended"]
    if ended["reason"] != "target":
        yield page.note(f"Not finished: {ended['target']:,} are wanted. It ended ({ended['reason']}): {ended['said']}")
    if note:
        yield page.note(note)
    yield page.section("Requests, tokens and cost", *_totals(told))
    yield page.section("Acceptance", *_acceptance(told))
    yield page.section("Categories", *_categories(told))
    yield page.section("Root verbs and their objects", *_verbs(told["verbs"]))
    yield page.section("Lengths", *_lengths(told))
    yield page.section("Similarity", *_similarity(told["similarity"]))
    yield page.section("Teachers and seeds", *_sources(told))
    yield page.section("Evaluation texts that were met again", *_decontamination(told))
    yield from browser.section("Every row", "rows", _COLUMNS, _Rows(accepted, rejected), stands=_STANDS)


class _Rows:
    """Cells of the accepted rows and then of the rejected ones, as often as they are asked for."""

    def __init__(self, accepted: Iterable[Accepted], rejected: Iterable[Rejected]) -> None:
        self._accepted = list(accepted) if iter(accepted) is accepted else accepted
        self._rejected = list(rejected) if iter(rejected) is rejected else rejected

    def __iter__(self) -> Iterator[tuple[Cell, ...]]:
        for row in self._accepted:
            yield (
                *(row.id, "accepted", _words(row.category), "", row.instruction, row.input, row.output),
                *(len(row.output.split()), round(row.similarity, 4), row.nearest, "", row.teacher, row.model),
                *(", ".join(row.seeds), row.prompt, row.request),
            )
        for one in self._rejected:
            yield (
                *(one.id, "rejected", "", _words(one.reason), one.instruction, one.input, one.output),
                *(len(one.output.split()), None, "", one.detail, one.teacher, "", "", "", one.request),
            )


def _totals(told: Mapping[str, Any]) -> list[str]:
    totals = told["totals"]
    rows: list[list[object]] = [
        ["items in the answers", totals["seen"]],
        ["accepted", totals["accepted"]],
        ["rejected", totals["rejected"]],
        ["acceptance", _percent(totals["acceptance"])],
        *_flat("", told["client"]),
        ["dollars for each accepted instruction", _dollars(totals["dollars_each"])],
    ]
    said = (
        "Requests and retries are those of the last run; tokens, dollars and repeats those of all runs, by the journal."
    )
    parts = [page.table(["what", "how much"], rows), page.paragraph(said)]
    if totals["waiting"]:
        parts.append(page.paragraph(f"{totals['waiting']:,} instructions still wait for an output."))
    if told["failed"]:
        failed = [[problem, count] for problem, count in told["failed"].items()]
        parts.append(page.folded("Requests without an answer", page.table(["why", "requests"], failed)))
    return parts


def _flat(name: str, values: Mapping[str, Any]) -> list[list[object]]:
    """Counters within counters as rows: ``dollars: spent``."""
    rows: list[list[object]] = []
    for key, value in values.items():
        said = f"{name}: {key}" if name else key
        if isinstance(value, Mapping):
            rows += _flat(said, value)
        elif name == "dollars":
            rows.append([said, _dollars(value)])
        else:
            rows.append([said.replace("_", " "), value])
    return rows


def _acceptance(told: Mapping[str, Any]) -> list[str]:
    parts = []
    if told["requests"]:
        series = [
            svg.Line("accepted", [(0, 0), *((at, accepted) for at, accepted, _ in told["requests"])]),
            svg.Line("rejected", [(0, 0), *((at, rejected) for at, _, rejected in told["requests"])]),
        ]
        chart = svg.lines("Accepted and rejected instructions by request", series, across="request", up="instructions")
        parts.append(svg.figure("Accepted and rejected instructions up to each request", chart))
    seen = told["totals"]["seen"]
    if told["rejected"]:
        bars = [svg.Bar(_words(reason), count, f"{count:,}") for reason, count in told["rejected"].items()]
        parts.append(svg.figure("Rejected, by the first reason that was met", svg.bars("Rejected by reason", bars)))
        rows = [
            [reason, count, f"{count / seen:.1%}", REASONS.get(reason, "")]
            for reason, count in told["rejected"].items()
        ]
        head = ["reason", "rejected", "of all items", "meaning"]
        parts.append(page.folded("The same in numbers", page.table(head, rows)))
    return parts or [page.paragraph("Nothing was rejected.")]


def _categories(told: Mapping[str, Any]) -> list[str]:
    categories = told["categories"]
    bars, rows = [], []
    for name, one in categories["shares"].items():
        if one["share"] is not None:
            said = f"{one['share']:.1%} (paper {one['paper_percent']}%)"
            bars.append(
                svg.Bar(_words(name), one["share"], said, (one["low"], one["high"]), one["paper_percent"] / 100)
            )
        between = "" if one["share"] is None else f"{one['low']:.1%} to {one['high']:.1%}"
        rows.append([_words(name), one["rows"], _percent(one["share"]), between, f"{one['paper_percent']}%"])
    parts = []
    if bars:
        chart = svg.bars("Share of each category, beside the paper's", bars)
        parts.append(svg.figure(f"Bars: here, with {categories['interval']}. Diamonds: {categories['paper']}.", chart))
    parts.append(page.table(["category", "rows", "share", categories["interval"], categories["paper"]], rows))
    if categories["none"]:
        parts.append(page.paragraph(f"{categories['none']:,} rows have no category; they are in no share."))
    return parts + _agreement(told["agreement"])


def _agreement(found: Mapping[str, Any]) -> list[str]:
    """Who gave the categories, and how far that agrees with the labels of the seeds."""
    if "table" not in found:
        return [page.paragraph(f"Categories were given by {found['by']}.")] if found else []
    incomplete = [page.note(f"Not all were given: {found['incomplete']}")] if "incomplete" in found else []
    kappa = "undefined" if found["kappa"] is None else f"{found['kappa']:.2f}"
    said = (
        f"Categories were given by: {found['by']}. On {found['rows']} of the seeds, whose categories are known, it was "
        f"right in {found['accuracy']:.0%} ({found['low']:.0%} to {found['high']:.0%}); always the commonest category "
        f"would be in {found['majority']:.0%}. Cohen's kappa {kappa}; {found['unknown']} were given none."
    )
    names = [_words(name) for name in CATEGORIES]
    rows = [[name, *row] for name, row in zip(names, found["table"], strict=True)]
    return [
        *incomplete,
        page.paragraph(said),
        page.folded("Known and given categories", page.table(["known", *names], rows)),
    ]


def _verbs(verbs: Mapping[str, Any]) -> list[str]:
    said = f"A root verb was found in {verbs['with_verb']:,} of {verbs['instructions']:,} instructions"
    said += f", {verbs['different']:,} different ones. {MEASURED}"
    if not verbs["common"]:
        return [page.paragraph(said)]
    slices = [Slice(one["verb"], one["rows"], list(one["objects"].items())) for one in verbs["common"]]
    name = f"The {len(slices)} most common root verbs, and the objects of each that are most common"
    rows = [
        [one["verb"], one["rows"], ", ".join(f"{thing} ({count:,})" for thing, count in one["objects"].items())]
        for one in verbs["common"]
    ]
    caption = f"{name}. What a verb's objects leave free are rarer ones, or none; a thin part is named when it is "
    caption += "pointed at, and in the numbers."
    return [
        page.paragraph(said),
        svg.figure(caption, sunburst(name, slices), large=True),
        page.folded("The same in numbers", page.table(["verb", "instructions", "objects"], rows)),
    ]


def _lengths(told: Mapping[str, Any]) -> list[str]:
    keys = ("min", "median", "mean", "p95", "max")
    rows = []
    for name in ("instruction", "input", "output"):
        of = told["lengths"][name]
        rows.append([name, *("" if of[key] is None else round(of[key], 1) for key in keys)])
    empty = told["empty_input"]
    parts = [page.table([f"{told['lengths']['unit']} of the", *keys], rows)]
    if empty["share"] is not None:
        parts.append(page.paragraph(f"{empty['rows']:,} rows ({empty['share']:.1%}) have an empty input."))
    for name in ("instruction", "input", "output"):
        bins = told["lengths"][name]["histogram"]
        edges = [place * bins["width"] for place in range(len(bins["counts"]) + 1)]
        chart = svg.histogram(
            f"Words of the {name}", bins["counts"], edges=edges, across=f"words of the {name}", up="rows", open_end=True
        )
        parts.append(svg.figure(f"Words of the {name}; the last column holds all that are longer", chart))
    return parts


def _similarity(similar: Mapping[str, Any]) -> list[str]:
    counts = similar["counts"]
    edges = [round(place * similar["width"], 4) for place in range(len(counts) + 1)]
    chart = svg.histogram("Similarity of accepted rows", counts, edges=edges, across=similar["measure"], up="rows")
    rows = [[f"{edges[place]:.2f} to {edges[place + 1]:.2f}", count] for place, count in enumerate(counts)]
    return [
        svg.figure(f"Accepted rows by {similar['measure']}", chart),
        page.folded("The same in numbers", page.table(["similarity", "rows"], rows)),
    ]


def _sources(told: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            name,
            ", ".join(f"{model} ({count:,})" for model, count in one["models"].items()),
            one["accepted"],
            one["rejected"],
            f"{one['accepted'] / max(1, one['accepted'] + one['rejected']):.1%}",
        ]
        for name, one in told["teachers"].items()
    ]
    seeds = told["seeds"]
    used = f"{seeds['used']:,} seeds were shown for accepted rows, each for {seeds['fewest']:,} to {seeds['most']:,}."
    return [
        page.table(["teacher", "models", "accepted", "rejected", "accepted share"], rows),
        page.paragraph(used),
        page.folded("Accepted rows of each seed", page.table(["seed", "rows"], map(list, seeds["rows"].items()))),
    ]


def _decontamination(told: Mapping[str, Any]) -> list[str]:
    found, compared = told["decontamination"], told["compared"]
    if not compared:
        return [page.paragraph("Nothing was compared with evaluation texts.")]
    missing = ", ".join(compared["missing"]) or "none"
    said = (
        f"{sum(compared['tasks'].values()):,} evaluation items of {len(compared['tasks'])} tasks compared; action: "
        f"{compared['action']}. Compared in part or not at all, for files are not there: {missing}."
    )
    tests = sorted({test for counts in found.values() for test in counts})
    rows = [[task, compared["tasks"][task], *(counts.get(test, 0) for test in tests)] for task, counts in found.items()]
    return [page.paragraph(said), page.table(["task", "items", *map(_words, tests)], rows)]


def _words(name: str) -> str:
    return name.replace("_", " ")


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _dollars(value: float | None) -> str:
    return "no price" if value is None else f"${value:,.4f}"
