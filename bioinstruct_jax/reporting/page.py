"""The one HTML shell of every report: self-contained, readable without a network, in print and by keyboard.

Its policy (Content-Security-Policy) lets a browser load nothing, and run nothing but the scripts that stand in the
page by their hash: text that got past the escaping could still do nothing.
"""

import base64
import hashlib
import html
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from upath import UPath

_STYLE = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
_FIGURE = re.compile(r"[-+\u2212<$]?\d[\d,]*(\.\d+)?%?[*\u2020]?")


@dataclass(frozen=True)
class Link:
    """A cell of a table that leads to a file or folder beside the page; `to` is its path from there."""

    text: str
    to: str


def page(title: str, sections: Iterable[str]) -> str:
    """A whole document; `title` is text, `sections` are HTML made by the functions below."""
    return "".join(pieces(title, sections))


def pieces(title: str, sections: Iterable[str], *, scripts: Sequence[str] = ()) -> Iterator[str]:
    """The same piece by piece, for a document that is larger than memory should hold.

    Args:
        scripts: JavaScript that runs when the document has been read.
    """
    policy = f"default-src 'none'; img-src data:; style-src {_hash(_STYLE)}; base-uri 'none'; form-action 'none'"
    if scripts:
        policy += f"; script-src {' '.join(map(_hash, scripts))}"
    yield (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{escape(title)}</h1>\n"
    )
    for part in sections:
        yield part
        yield "\n"
    yield "</main>\n"
    for script in scripts:
        yield f"<script>{script}</script>\n"
    yield "</body>\n</html>\n"


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def escape(text: str) -> str:
    """Text for HTML, as content or in quotes; what would not be seen, or would turn its surroundings round (control
    characters, half surrogates, bidirectional marks), as its number, e.g. U+202E. Line ends and tabs stay."""
    return html.escape(_UNSEEN.sub(lambda found: f"U+{ord(found[0]):04X}", text.replace("\r\n", "\n")), quote=True)


def section(heading: str, *parts: str) -> str:
    """A section under a heading; `parts` are HTML."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n" + "\n".join(parts) + "\n</section>"


def paragraph(text: str) -> str:
    """Text as a paragraph."""
    return f"<p>{escape(text)}</p>"


def lead(text: str) -> str:
    """The sentence that says what came out."""
    return f'<p class="lead">{escape(text)}</p>'


def note(text: str) -> str:
    """A sentence that must not be overlooked."""
    return f'<p class="note">{escape(text)}</p>'


def folded(summary: str, *parts: str) -> str:
    """Parts that are shown when the summary is chosen."""
    return f"<details><summary>{escape(summary)}</summary>\n" + "\n".join(parts) + "\n</details>"


def table(head: list[str], rows: Iterable[list[object]], *, broad: bool = False) -> str:
    """Numbers, and text that is one (1,234; 5.6%; $7; +8.9*), stand to the right; every cell is escaped.

    Args:
        broad: it may be wider than the text around it, for many columns.
    """
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = "\n".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return (
        f'<div class="wide{" broad" * broad}" tabindex="0" role="group" '
        f'aria-label="{escape("table: " + ", ".join(head))}">'
        f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def matrix(caption: str, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[int]]]) -> str:
    """Counts by row and column, each cell shaded by its share of the row; those where the two have one name are framed.

    Args:
        corner: what rows and columns are: "right answer \\ given".
    """
    made = []
    for label, counts in rows:
        total = sum(counts) or 1
        shades = [f"shade{math.ceil(5 * count / total)}" if count else "" for count in counts]
        framed = [name == label for name in columns]
        made.append((label, list(zip((f"{count:,}" for count in counts), shades, framed, strict=True))))
    return _shaded("matrix", caption, (corner, *columns), made)


def differences(
    caption: str, corner: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[tuple[str, int, bool]]]]
) -> str:
    """Differences by row and column, blue where something is better and orange where it is worse.

    Args:
        corner: what rows and columns are.
        rows: of each cell its text, how strong its colour is (-5 to 5; above 0: better), and whether it is framed.
    """

    def colour(strength: int) -> str:
        return f"{'gain' if strength > 0 else 'loss'}{abs(strength)}" if strength else ""

    made = [(label, [(text, colour(strength), framed) for text, strength, framed in cells]) for label, cells in rows]
    return _shaded("matrix heat", caption, (corner, *columns), made, broad=True)


def _shaded(
    kind: str,
    caption: str,
    head: Sequence[str],
    rows: Sequence[tuple[str, Sequence[tuple[str, str, bool]]]],
    *,
    broad: bool = False,
) -> str:
    """A table whose cells have a text, a class of their own or none, and a frame or none."""
    names = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    body = []
    for label, cells in rows:
        made = []
        for text, shade, framed in cells:
            kinds = " ".join(filter(None, (shade, "right" if framed else "")))
            made.append(f'<td class="{kinds}">{escape(text)}</td>' if kinds else f"<td>{escape(text)}</td>")
        body.append(f'<tr><th scope="row">{escape(label)}</th>{"".join(made)}</tr>')
    lines = "\n".join(body)
    return (
        f'<div class="wide{" broad" * broad}" tabindex="0" role="group" aria-label="{escape("table: " + caption)}">\n'
        f'<table class="{kind}"><caption>{escape(caption)}</caption>\n<thead><tr>{names}</tr></thead>\n'
        f"<tbody>\n{lines}\n</tbody></table></div>"
    )


def _cell(value: object) -> str:
    if isinstance(value, Link):
        return f'<td><a href="{escape(quote(value.to))}">{escape(value.text)}</a></td>'
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f'<td class="number">{value:,}</td>'
    text = str(value)
    start = '<td class="number">' if _FIGURE.fullmatch(text) else "<td>"
    return f"{start}{escape(text)}</td>"


def code(text: str) -> str:
    """Text as it stands, in a block that can be scrolled by keyboard."""
    return f'<pre tabindex="0"><code>{escape(text)}</code></pre>'


def image(file: UPath, description: str) -> str:
    """A PNG, inlined; `description` is its text for those who do not see it."""
    data = base64.b64encode(file.read_bytes()).decode()
    return f'<img alt="{escape(description)}" src="data:image/png;base64,{data}">'
