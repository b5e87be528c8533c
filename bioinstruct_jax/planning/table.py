"""Plans as text: one in full, several as a table, for a terminal or for Markdown."""

from collections.abc import Sequence

from bioinstruct_jax.planning.chips import GIB
from bioinstruct_jax.planning.row import ARITHMETIC, Row

COLUMNS = (
    "slice",
    "rows a chip",
    "micro-batches",
    "remat",
    "arguments",
    "temporaries",
    "peak",
    "limit",
    "compile s",
    "sent GB",
    "step s",
    "tokens/s",
    "bound",
    "hours",
)


def cells(row: Row) -> list[str]:
    """A row under `COLUMNS`; memory in GiB a chip, what is sent in 10^9 bytes a chip and step."""
    mark = " *" if row.by == ARITHMETIC else ""
    if row.outcome != "fits":
        what = row.outcome if row.reason is None else f"{row.outcome}: {row.reason}"
        before = [row.slice + mark, f"{row.rows:g}", str(row.micro_batches), row.remat, "", ""]
        return [*before, gib(row.peak), gib(row.limit), what, *([""] * 5)]
    sent = (row.sent or 0) + (row.sent_between_slices or 0)
    return [
        row.slice + mark,
        f"{row.rows:g}",
        str(row.micro_batches),
        row.remat,
        gib(row.arguments),
        gib(row.temporaries),
        gib(row.peak),
        gib(row.limit),
        "" if row.compile_seconds is None else f"{row.compile_seconds:.0f}",
        "?" if row.sent is None else f"{sent / 1e9:.2f}",
        f"{row.step_seconds:.3g}",
        f"{row.tokens_per_second:,.0f}",
        row.bound or "",
        "" if row.hours is None else f"{row.hours:.3g}",
    ]


def gib(size: int | None) -> str:
    """Bytes as GiB with two decimals; empty for None."""
    return "" if size is None else f"{size / GIB:.2f}"


def many(rows: Sequence[Row]) -> str:
    """Rows under a heading, in columns; a row that does not fit says so where its times would stand."""
    lines = [list(COLUMNS), *map(cells, rows)]
    widths = [max(len(line[i]) for line in lines if i != 8 or line[9] or line is lines[0]) for i in range(len(COLUMNS))]
    text = []
    for line in lines:
        left = (0, 3, 8, 12)
        shown = [
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        text.append("  ".join(shown).rstrip())
    note = ["* by arithmetic, not compiled"] if any(row.by == ARITHMETIC for row in rows) else []
    return "\n".join([*text, "memory in GiB a chip; times are the roofline's, a bound from below", *note])


def markdown(rows: Sequence[Row], names: Sequence[str]) -> str:
    """The same as a Markdown table, with a name for each row."""
    head = ("plan", *COLUMNS)
    align = [":---" if one in ("plan", "slice", "remat", "bound") else "---:" for one in head]
    body = [[name, *cells(row)] for name, row in zip(names, rows, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, align, *body))


def one(row: Row, unknown: str | None) -> str:
    """A row in full.

    Args:
        unknown: why the hours of the run are not known.
    """
    batch = f"{row.batch_rows} rows of {row.length} a step in {row.micro_batches} micro-batch(es)"
    by = "by arithmetic, not compiled" if row.by == ARITHMETIC else "by the TPU's compiler"
    if row.versions:
        by += f" (jax {row.versions['jax']}, libtpu {row.versions['libtpu']}; {row.compile_seconds:.0f} s)"
    said = [
        ("slice", f"{row.slice}: {row.chips} chip(s)" + (f", mesh {_mesh(row.mesh)}" if row.mesh else "")),
        ("batch", f"{batch}, {row.rows:g} a chip at once; remat {row.remat}"),
    ]
    if row.settings:
        said.append(("settings", " ".join(row.settings)))
    if row.outcome != "fits":
        said.append(("outcome", row.outcome + (f": {row.reason}" if row.reason else "")))
        if row.outcome == "out of memory":
            said.append(("memory", f"needs {gib(row.peak) or '?'} GiB a chip of {gib(row.limit)}, {by}"))
        return _aligned(said)
    seconds = row.seconds or {}
    shares = ", ".join(f"{name} {value:.3g} s" for name, value in seconds.items() if value)
    hours = f"{row.hours:.2f} for {row.steps:,} steps" if row.hours is not None else f"not known: {unknown}"
    sent = f"{(row.sent or 0) / 1e9:.2f} GB a chip and step" if row.sent is not None else str(row.reason)
    if row.sent_between_slices:
        sent += f", {row.sent_between_slices / 1e9:.3f} GB between slices"
    said += [
        ("memory", f"{gib(row.peak)} GiB a chip at the peak, of {gib(row.limit)}; {by}"),
        ("", f"arguments {gib(row.arguments)}, temporaries {gib(row.temporaries)}"),
        ("FLOPs", f"{row.useful_flops:.4g} useful a step on all chips, {row.flops:.4g} executed"),
        ("interconnect", sent),
        ("step", f"{row.step_seconds:.3g} s at least (roofline), bound by {row.bound}: {shares}"),
        ("speed", f"{row.tokens_per_second:,.0f} tokens/s at most, {row.mfu:.0%} MFU"),
        ("hours", hours),
    ]
    return _aligned(said)


def _mesh(mesh: dict[str, int]) -> str:
    return " x ".join(f"{axis} {size}" for axis, size in mesh.items())


def _aligned(said: list[tuple[str, str]]) -> str:
    return "\n".join(f"{name:<14}{text}" for name, text in said)
