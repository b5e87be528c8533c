"""The one HTML shell of every report: self-contained, readable without a network, in print and by keyboard."""

import base64
import html
from collections.abc import Iterable

from upath import UPath

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: .5rem 0 1.5rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-bottom: 1px solid #8884; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
img { max-width: 100%; background: #fff; }
pre { overflow-x: auto; background: #8881; padding: .75rem; }
@media print { body { max-width: none; margin: 0; } pre { white-space: pre-wrap; } }
"""


def page(title: str, sections: Iterable[str]) -> str:
    """A whole document; `title` is text, `sections` are HTML made by the functions below."""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{html.escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{html.escape(title)}</h1>\n"
        + "\n".join(sections)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str) -> str:
    return f"<section>\n<h2>{html.escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(text: str) -> str:
    return f"<p>{html.escape(text)}</p>"


def table(head: list[str], rows: Iterable[list[object]]) -> str:
    """Numbers stand to the right; every cell is escaped."""
    top = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    body = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cell(value: object) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="number">{value:,}</td>'
    return f"<td>{html.escape(str(value))}</td>"


def code(text: str) -> str:
    return f'<pre tabindex="0"><code>{html.escape(text)}</code></pre>'


def image(file: UPath, description: str) -> str:
    """A PNG, inlined; `description` is its text for those who do not see it."""
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{html.escape(description, quote=True)}" src="data:image/png;base64,{data}">'
