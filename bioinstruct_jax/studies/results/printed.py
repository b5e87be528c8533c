"""A table of a study, once, and as Markdown, LaTeX (booktabs) and HTML."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bioinstruct_jax.evaluation.results.tables import ABSENT, latex_text, markdown_text
from bioinstruct_jax.reporting import page
from bioinstruct_jax.reporting.page import Link

_NUMBER = re.compile(r"[-+\u2212<]?\d[\d,]*(\.\d+)?%?( nats)?[*\u2020]?|")
_WIDE = 10  # columns of numbers in a table; more stand in a second one
_LINES, _FLOATS = 45, 10  # of a page of LaTeX; tables after which it is to set those that wait


@dataclass(frozen=True)
class Table:
    """Cells of text under a title.

    Attributes:
        says: what the numbers are.
        beside: names of columns that do not stand in LaTeX, where a page is narrow.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str | Link, ...], ...]
    says: str = ""
    beside: tuple[str, ...] = ()


def trimmed(table: Table) -> Table:
    """Without columns that are empty throughout."""
    kept = [place for place in range(len(table.head)) if any(_text(row[place]) for row in table.rows)]
    return _of(table, kept)


def split(table: Table, fixed: int = 1) -> Iterator[Table]:
    """Tables of as many columns as a page holds, each with the first `fixed` ones."""
    count = len(table.head)
    for start in range(fixed, max(count, fixed + 1), _WIDE):
        part = _of(table, [*range(fixed), *range(start, min(start + _WIDE, count))])
        yield replace(part, title=f"{table.title}, more columns", says="") if start > fixed else part


def markdown(table: Table, level: int = 3) -> str:
    """With its title as a heading of this level."""
    rule = ["---:" if right else "---" for right in _right(table)]
    rows = [[markdown_text(_text(cell)) or ABSENT for cell in row] for row in table.rows]
    lines = "".join(f"| {' | '.join(row)} |\n" for row in (list(map(markdown_text, table.head)), rule, *rows))
    says = f"{markdown_text(table.says)}\n\n" if table.says else ""
    return f"{'#' * level} {markdown_text(table.title)}\n\n{says}{lines}"


def latex(tables: Sequence[Table]) -> str:
    """Floats that need the package booktabs; long tables go on in the next."""
    parts = []
    for place, one in enumerate(part for table in tables for part in _pages(table)):
        if place and place % _FLOATS == 0:
            parts.append("\\clearpage\n")
        parts.append(_float(one))
    return "\n".join(parts)


def html(table: Table, *, heading: bool = True) -> str:
    """As a table of the report, with what it says; its title where it has no other heading."""
    parts = [page.paragraph(f"{table.title}.")] if heading else []
    parts += [page.paragraph(table.says)] if table.says else []
    rows: list[list[object]] = [list(row) for row in table.rows]
    return "\n".join([*parts, page.table(list(table.head), rows, broad=len(table.head) > 6)])


def _float(table: Table) -> str:
    columns = "".join("r" if right else "l" for right in _right(table))
    rows = [" & ".join(latex_text(_text(cell)) or "--" for cell in row) + r" \\" for row in table.rows]
    parts = [r"\begin{table}[htbp]", r"\centering\scriptsize", r"\setlength{\tabcolsep}{3pt}"]
    parts.append(rf"\caption{{{latex_text(f'{table.title}. {table.says}'.strip())}}}")
    parts += [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", " & ".join(map(latex_text, table.head)) + r" \\"]
    return "\n".join([*parts, r"\midrule", *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}"]) + "\n"


def _pages(table: Table) -> Iterator[Table]:
    """Parts that fit on a page of LaTeX."""
    short = _of(table, [place for place, name in enumerate(table.head) if name not in table.beside])
    for start in range(0, len(short.rows), _LINES):
        title = f"{short.title}, continued" if start else short.title
        yield Table(title, short.head, short.rows[start : start + _LINES], "" if start else short.says)


def _of(table: Table, places: Sequence[int]) -> Table:
    rows = tuple(tuple(row[place] for place in places) for row in table.rows)
    return Table(table.title, tuple(table.head[place] for place in places), rows, table.says, table.beside)


def _right(table: Table) -> list[bool]:
    """Whether each column holds numbers."""
    return [
        place > 0 and all(_NUMBER.fullmatch(_text(row[place])) for row in table.rows)
        for place in range(len(table.head))
    ]


def _text(cell: str | Link) -> str:
    return cell.text if isinstance(cell, Link) else cell
