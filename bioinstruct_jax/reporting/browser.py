"""A table of many rows to search, filter and read: a section of a report, drawn in the reader's browser.

The rows stand in the page as JSON, in blocks that are read one after another, so that a page of 60 MB still opens;
only those of one page of the table are ever drawn. `SCRIPT` draws them and must be among the page's scripts.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bioinstruct_jax.reporting import page

SCRIPT = Path(__file__).with_name("browser.js").read_text(encoding="utf-8")
BYTES = 55_000_000  # of texts in a page, as JSON
LONGEST = 50_000  # bytes of one text
_BLOCK = 1_000_000  # characters of JSON that the browser reads at once
_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})

Cell = str | float | None
Packed = str | float | list[str | int] | None


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        kind: text; one of few values, each a filter with its count; or a number (None: none), by which rows are sorted.
        listed: it stands in the table, and not only where one row is read. The first column is listed, and is text
            that names the row.
        beside: where one row is read, it stands to the right of the column before it, to be compared with it.
    """

    name: str
    kind: Literal["text", "value", "number"] = "text"
    listed: bool = True
    beside: bool = False


def section(
    heading: str, name: str, columns: Sequence[Column], rows: Iterable[Sequence[Cell]], *, stands: str
) -> Iterator[str]:
    """The HTML of the section, in pieces.

    Texts are cut where all of them would make more than `BYTES`, the longest first, and none is longer than `LONGEST`;
    the page says how many were, and the whole size of each. Any text will do: it is escaped, half surrogates too.

    Args:
        name: of this table, letters alone; no two of a page have the same.
        rows: a cell for each column; gone through twice, so an iterator is held in memory.
        stands: sentence that says in which files the same rows stand whole.

    Raises:
        ValueError: a row has not a cell for each column, or one of the wrong kind.
    """
    if iter(rows) is rows:
        rows = list(rows)
    sizes: Counter[int] = Counter()
    count = 0
    for count, row in enumerate(rows, 1):
        _check(columns, row, count)
        sizes.update(len(_json(cell)) for cell, one in zip(row, columns, strict=True) if one.kind == "text")
    limit = min(LONGEST, level(sizes, BYTES))
    cut = sum(texts for size, texts in sizes.items() if size > limit)
    told = (
        f"{cut:,} long texts are cut here, each with its whole length; search covers what stands here." if cut else ""
    )
    yield (
        f'<section class="browser" data-rows="{count}" aria-labelledby="{name}-heading">\n'
        f'<h2 id="{name}-heading">{page.escape(heading)}</h2>\n{page.paragraph(f"{stands} {told}".rstrip())}\n'
        "<noscript><p>Without JavaScript no table is drawn here; the files hold the same rows.</p></noscript>\n"
        + _controls(name, columns)
    )
    values: list[dict[Cell, int]] = [{} for _ in columns]
    held: list[str] = []
    size = 0
    for row in rows:
        held.append(_json([_packed(*one, limit) for one in zip(row, columns, values, strict=True)]))
        size += len(held[-1])
        if size > _BLOCK:
            yield _block("rows", _list(held))
            held, size = [], 0
    if held:
        yield _block("rows", _list(held))
    described = [
        {"name": one.name, "kind": one.kind, "listed": one.listed, "beside": one.beside, "values": list(seen)}
        for one, seen in zip(columns, values, strict=True)
    ]
    yield _block("columns", _json(described))
    yield "</section>"


def level(sizes: Counter[int], room: int) -> int:
    """The greatest size to which all must be cut so that they fit in ``room`` together; at least 1.

    Args:
        sizes: how many have each size.
    """
    left, others = room, sizes.total()
    for size in sorted(sizes):
        if size * others > left:
            return max(1, left // others)
        left -= size * sizes[size]
        others -= sizes[size]
    return max(1, *sizes) if sizes else 1


def _check(columns: Sequence[Column], row: Sequence[Cell], number: int) -> None:
    if len(row) != len(columns):
        raise ValueError(f"row {number}: {len(row)} cells for {len(columns)} columns")
    for cell, column in zip(row, columns, strict=True):
        right = cell is None or (isinstance(cell, int | float) and not isinstance(cell, bool) and cell - cell == 0)
        if not (right if column.kind == "number" else isinstance(cell, str)):
            raise ValueError(f"row {number}: {column.name} is {str(cell)[:40]!r}, which is no {column.kind}")


def _packed(cell: Cell, column: Column, values: dict[Cell, int], limit: int) -> Packed:
    if column.kind == "value":
        return values.setdefault(cell, len(values))
    if isinstance(cell, str) and (size := len(_json(cell))) > limit:
        return [cell[: max(1, limit * len(cell) // size)], len(cell)]
    return cell


def _json(value: object) -> str:
    """ASCII without a sign that HTML would read; half surrogates and line separators are escaped."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).translate(_SAFE)


def _list(rows: list[str]) -> str:
    return "[" + ",\n".join(rows) + "]"


def _block(name: str, text: str) -> str:
    return f'<script type="application/json" class="{name}">{text}</script>\n'


def _controls(name: str, columns: Sequence[Column]) -> str:
    """What the script fills; it is hidden until the script has run."""
    heads = "".join(_head(place, column) for place, column in enumerate(columns) if column.listed)
    return f"""<p class="status screen" role="status" aria-live="polite" hidden></p>
<p class="printed"></p>
<form class="tools" role="search" hidden>
<label for="{name}-search">Search every column (rows with all the words)
<input id="{name}-search" type="search" autocomplete="off" spellcheck="false"></label>
<button type="button">Show all rows</button>
</form>
<div class="all-choices" hidden></div>
<div class="list" hidden>
<p id="{name}-help" class="screen">Arrow keys go from row to row, Enter opens one, Escape closes it.</p>
<div class="wide">
<table aria-labelledby="{name}-heading" aria-describedby="{name}-help">
<thead><tr>{heads}</tr></thead>
<tbody class="body"></tbody>
</table>
</div>
</div>
<nav class="pages" aria-label="pages of the table" hidden>
<button type="button" class="back">Previous page</button>
<span>Rows <span class="where"></span></span>
<button type="button" class="on">Next page</button>
</nav>
<dialog class="detail" aria-labelledby="{name}-row">
<h3 id="{name}-row"></h3>
<div class="texts" tabindex="0" role="group" aria-label="all columns of the row"><dl></dl></div>
<nav aria-label="other rows"><button type="button" class="back">Previous row</button>
<span class="place"></span>
<button type="button" class="on">Next row</button> <button type="button" class="close">Close</button></nav>
</dialog>
"""


def _head(place: int, column: Column) -> str:
    name = page.escape(column.name)
    if column.kind == "number":
        return (
            f'<th scope="col" class="narrow" aria-sort="none" data-place="{place}">'
            f'<button type="button" title="sort by {name}">{name}<span aria-hidden="true"></span></button></th>'
        )
    narrow = ' class="narrow"' if column.kind == "value" or not place else ""
    return f'<th scope="col"{narrow}>{name}</th>'
