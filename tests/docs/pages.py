"""The project's pages of Markdown, and what stands in them: headings, links, blocks of code and the marks before them.

A mark is a comment on the line before a block: ``<!-- run -->``, ``<!-- run slow -->``, ``<!-- run exit 2 -->``,
``<!-- leaves -->`` (a folder and what is to be in it), ``<!-- says -->`` (messages of the program, ``...`` for what
varies), ``<!-- after train.md -->`` (the page starts in the folder which that one left).
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SMALL = "configs/bases/small/README.md"
_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: the words of its mark (empty without one), its language, its text and its first line's number."""

    mark: tuple[str, ...]
    language: str
    text: str
    line: int


@cache
def pages() -> list[Path]:
    """Every page that a reader meets, README first."""
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "seeds/README.md", SMALL)]
    return [*top, *sorted((ROOT / "docs").glob("*.md"))]


def guides() -> list[Path]:
    """README and the pages of docs/."""
    return [page for page in pages() if page.name == "README.md" or page.parent.name == "docs"]


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(page: Path) -> list[Block]:
    whole = text(page)
    return [
        Block(
            tuple((found["mark"] or "").split()),
            found["language"],
            found["text"],
            whole.count("\n", 0, found.start("text")) + 1,
        )
        for found in _FENCE.finditer(whole)
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", text(page))


def links(page: Path) -> list[str]:
    return _LINK.findall(re.sub(r"`[^`\n]*`", "", prose(page)))


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for heading in _HEADING.findall(prose(page)):
        words = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        number, first = 0, anchor
        while anchor in found:
            number += 1
            anchor = f"{first}-{number}"
        found.add(anchor)
    return found


def spans(markdown: str) -> list[str]:
    """What stands between single backticks."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", markdown)


def tables(page: Path) -> list[list[list[str]]]:
    """The tables of a page: rows of cells, the head first, without the line of dashes."""
    made: list[list[list[str]]] = []
    rows: list[list[str]] = []
    for line in [*prose(page).splitlines(), ""]:
        if line.startswith("|"):
            rows.append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
        elif rows:
            made.append([rows[0], *rows[2:]])
            rows = []
    return made
