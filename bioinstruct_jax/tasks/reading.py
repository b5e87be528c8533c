"""The publishers' file formats, read strictly: what is not as it should be is a `CorpusError` with file and line.

No message repeats the text of a row, which may be restricted: only short values without blanks are shown.
"""

import csv
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, NoReturn
from xml.parsers import expat

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.jsonlines import json_rows
from bioinstruct_jax.data.records import SourceError
from bioinstruct_jax.data.tables import csv_rows
from bioinstruct_jax.tasks.task import CorpusError

SHEET_BYTES = 1 << 28  # of one part of a spreadsheet, unpacked
ESCAPE = re.compile(r"_x([0-9A-Fa-f]{4})_")  # a control character in a spreadsheet's text


def shown(value: object) -> str:
    """A value for a message: itself if it is short and has no blanks, or else what it is."""
    if isinstance(value, str):
        return ascii(value) if len(value) <= 24 and not re.search(r"\s", value) else f"a text of length {len(value)}"
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    return f"a {type(value).__name__}"


NO_TEXT = re.compile("[\0\ud800-\udfff]")


def tidy(text: str) -> str:
    """Line ends as LF, no blanks around."""
    return text.replace("\r\n", "\n").replace("\r", "\n").strip()


@dataclass(frozen=True)
class Row:
    """The fields of one row, which knows where it stands."""

    file: UPath
    line: int
    values: Mapping[str, object]

    def fail(self, problem: str) -> NoReturn:
        raise CorpusError(self.file, self.line, problem)

    def get(self, name: str) -> object:
        """The value of a field; CorpusError where there is none of that name."""
        if name not in self.values:
            names = ", ".join(shown(key) for key in list(self.values)[:12])
            self.fail(f"there is no field {name!r}; the fields are {names or 'none'}")
        return self.values[name]

    def text(self, name: str, *, empty: bool = False) -> str:
        """A field of text, tidied; fails for another type, and for a blank one unless ``empty``."""
        value = self.get(name)
        if not isinstance(value, str):
            self.fail(f"{name!r} is {shown(value)}, not text")
        if not empty and not value.strip():
            self.fail(f"{name!r} is blank")
        if NO_TEXT.search(value):
            self.fail(f"{name!r} has a NUL character or half a character (a lone surrogate), which is no text")
        return tidy(value)

    def untidied(self, names: Sequence[str]) -> tuple[str, ...]:
        """Fields of text, read before by `text`, as they stand in the file; empty where tidying changes none."""
        values = tuple(str(self.get(name)) for name in names)
        return values if any(tidy(value) != value for value in values) else ()

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts that are not blank."""
        value = self.get(name)
        if not isinstance(value, list) or not all(isinstance(one, str) and one.strip() for one in value):
            self.fail(f"{name!r} is not a list of texts")
        return tuple(tidy(one) for one in value)

    def one_of(self, name: str, allowed: Sequence[str]) -> str:
        """A label; fails with those there are."""
        value = self.text(name)
        if value not in allowed:
            self.fail(f"{name!r} is {shown(value)}, not one of {', '.join(allowed)}")
        return value


def placed(text: str, start: int, end: int, name: str) -> tuple[int, int] | None:
    """Where a name stands in a text: at its offsets, or else where it comes next to them; None if it does not."""
    if text[start:end] == name:
        return start, end
    found = [match.start() for match in re.finditer(re.escape(name), text)]
    nearest = min(found, key=lambda place: abs(place - start), default=None)
    return None if nearest is None else (nearest, nearest + len(name))


def lines(file: UPath) -> Iterator[tuple[int, str]]:
    """Lines from 1 without their ends, in UTF-8; a byte-order mark before the first is skipped."""
    with files.open_bytes(file) as data:
        yield from _decoded(file, data)


def _decoded(file: UPath, data: BinaryIO) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(data, 1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(file, number, f"not UTF-8: byte 0x{line[error.start]:02x} at {error.start + 1}") from None
        yield number, text.removesuffix("\n").removesuffix("\r")


def tab_rows(file: UPath, columns: Sequence[str], *, header: bool = False) -> Iterator[Row]:
    """Tab-separated columns without quotes; ``header``: the first line has to name them."""
    for number, line in lines(file):
        cells = line.split("\t")
        if header and number == 1:
            if cells != list(columns):
                names = ", ".join(shown(cell) for cell in cells[:12])
                raise CorpusError(file, 1, f"the header is {names}, not {', '.join(columns)}")
            continue
        if not line.strip():
            continue
        if len(cells) != len(columns):
            raise CorpusError(file, number, f"{len(cells)} columns, not {len(columns)}: {', '.join(columns)}")
        yield Row(file, number, dict(zip(columns, cells, strict=True)))


def headless_rows(file: UPath, columns: Sequence[str]) -> Iterator[Row]:
    """Comma-separated columns with quotes and no header; a row may go over several lines."""
    csv.field_size_limit(2**31 - 1)
    reader = csv.reader((f"{line}\n" for _, line in lines(file)), strict=True)
    start = 1
    try:
        for cells in reader:
            if cells and len(cells) != len(columns):
                raise CorpusError(file, start, f"{len(cells)} columns, not {len(columns)}: {', '.join(columns)}")
            if cells:
                yield Row(file, start, dict(zip(columns, cells, strict=True)))
            start = reader.line_num + 1
    except csv.Error as error:
        raise CorpusError(file, start, f"broken CSV: {error}") from None


def table_rows(file: UPath, columns: Sequence[str]) -> Iterator[Row]:
    """Comma-separated columns with quotes and a header, which has at least ``columns``."""
    with files.open_bytes(file) as data:
        try:
            for row in csv_rows(data):
                if row.reason:
                    raise CorpusError(file, row.line, row.reason)
                found = row.value if isinstance(row.value, dict) else {}
                if missing := [name for name in columns if name not in found]:
                    names = ", ".join(shown(name) for name in list(found)[:12])
                    raise CorpusError(file, 1, f"no column {', '.join(missing)}; the header has {names}")
                yield Row(file, row.line, found)
        except SourceError as error:
            raise CorpusError(file, 1, str(error)) from None


def json_objects(file: UPath) -> Iterator[Row]:
    """Objects, one a line or in one array."""
    with files.open_bytes(file) as data:
        for row in json_rows(data, lines=file.name.endswith(".jsonl"), keys=()):
            if row.reason:
                raise CorpusError(file, row.line, row.reason)
            if not isinstance(row.value, dict):
                raise CorpusError(file, row.line, f"{shown(row.value)} where an object should be")
            yield Row(file, row.line, row.value)


def json_tree(file: UPath) -> dict[str, object]:
    """One object that is the whole file."""
    with files.open_bytes(file) as data:
        text = data.read()
    try:
        tree = json.loads(text.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise CorpusError(file, text.count(b"\n", 0, error.start) + 1, "not UTF-8") from None
    except json.JSONDecodeError as error:
        raise CorpusError(file, error.lineno, f"broken JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise CorpusError(file, 0, "broken JSON: nested too deeply") from None
    if not isinstance(tree, dict):
        raise CorpusError(file, 1, f"{shown(tree)} where an object should be")
    return tree


def lines_of(file: UPath, pattern: str) -> dict[str, int]:
    """The line on which each text that ``pattern`` catches in its group stands first."""
    found: dict[str, int] = {}
    for number, line in lines(file):
        for text in re.findall(pattern, line):
            found.setdefault(text, number)
    return found


@dataclass
class Node:
    """An element of XML: its own text, and the line on which it opens."""

    tag: str
    attributes: dict[str, str]
    line: int
    text: str = ""
    children: list["Node"] = field(default_factory=list)

    def all(self, tag: str) -> Iterator["Node"]:
        """Those below with a tag, in order."""
        stack = list(reversed(self.children))
        while stack:
            node = stack.pop()
            if node.tag == tag:
                yield node
            stack.extend(reversed(node.children))

    def row(self, file: UPath) -> Row:
        """Its attributes, and under their tags the texts of its children."""
        return Row(file, self.line, {**{child.tag: child.text for child in self.children}, **self.attributes})


def xml(file: UPath, *, root: str = "") -> Node:
    """The root of an XML file; fails unless it is ``root``, and for any entity declared: nothing outside is read."""
    with files.open_bytes(file) as data:
        node = _tree(file, data.read())
    if root and node.tag != root:
        raise CorpusError(file, node.line, f"the root element is {shown(node.tag)}, not {root!r}")
    return node


def _tree(file: UPath, data: bytes) -> Node:
    top = Node("", {}, 0)
    stack = [top]
    parser = expat.ParserCreate()
    parser.buffer_text = True

    def start(tag: str, attributes: dict[str, str]) -> None:
        node = Node(tag.rpartition(":")[2], attributes, parser.CurrentLineNumber)
        stack[-1].children.append(node)
        stack.append(node)

    def words(text: str) -> None:
        stack[-1].text += text

    def refuse(*_: object) -> NoReturn:
        raise CorpusError(file, parser.CurrentLineNumber, "entities are declared or missing; such files are not read")

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: stack.pop()
    parser.CharacterDataHandler = words
    parser.EntityDeclHandler = parser.SkippedEntityHandler = refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise CorpusError(file, error.lineno, f"broken XML: {expat.errors.messages[error.code]}") from None
    return top.children[0]


def sheet_rows(file: UPath) -> Iterator[Row]:
    """The rows of the first sheet of an XLSX workbook, by its first row's names; ``line`` is the sheet's row."""
    with files.open_bytes(file) as data:
        try:
            book = zipfile.ZipFile(data)
            shared = _part(file, book, "xl/sharedStrings.xml") if "xl/sharedStrings.xml" in book.namelist() else None
            sheet = _part(file, book, "xl/worksheets/sheet1.xml")
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
            raise CorpusError(file, 0, f"not a readable XLSX workbook: {error}") from None
    strings = [_cell_text(one) for one in shared.children if one.tag == "si"] if shared else []
    names: dict[str, str] = {}
    for row in sheet.all("row"):
        line = int(row.attributes.get("r", "0"))
        cells: dict[str, str] = {}
        for cell in row.children:
            column = cell.attributes.get("r", "").rstrip("0123456789")
            value = next((child.text for child in cell.children if child.tag == "v"), "")
            match cell.attributes.get("t"):
                case "s":
                    if not value.isdigit() or int(value) >= len(strings):
                        raise CorpusError(file, line, f"string {shown(value)} of {len(strings)} does not exist")
                    value = strings[int(value)]
                case "inlineStr":
                    value = _cell_text(cell)
            cells[column] = value
        if not names:
            names = {column: name.strip() for column, name in cells.items() if name.strip()}
        elif any(value.strip() for value in cells.values()):
            yield Row(file, line, {name: cells.get(column, "") for column, name in names.items()})


def _part(file: UPath, book: zipfile.ZipFile, name: str) -> Node:
    if (size := book.getinfo(name).file_size) > SHEET_BYTES:
        raise CorpusError(file, 0, f"{name} unpacks to {size} bytes, more than {SHEET_BYTES}")
    return _tree(file, book.read(name))


def _cell_text(node: Node) -> str:
    """Its runs, without phonetic ones."""
    text = "".join(
        child.text if child.tag == "t" else _cell_text(child) for child in node.children if child.tag != "rPh"
    )
    return ESCAPE.sub(lambda found: chr(int(found[1], 16)), text) if node.tag in ("si", "is") else text
