"""How far two readers of an audit agree, and how much they found correct, from the sheets that they filled in."""

import csv
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from upath import UPath

from bioinstruct_jax.evaluation.agreement import Kappa, kappa, wilson
from bioinstruct_jax.preparation.audit import COLUMNS, KEY, KEY_COLUMNS, SHEETS, Stratum, check
from bioinstruct_jax.reporting.terminal import columns

QUESTIONS = ("correct", "harmful")
ANSWERS = {"yes": True, "y": True, "no": False, "n": False, "": None}
DELIMITERS = ",;\t"


class SheetError(ValueError):
    """A sheet or key that cannot be read: names file and line, what was found, what was expected."""

    def __init__(self, file: UPath, line: int, problem: str) -> None:
        super().__init__(f"{file}, line {line}: {problem}")


@dataclass(frozen=True)
class Question:
    """What both readers said to one question.

    Attributes:
        table: rows with (yes, yes), (yes, no), (no, yes), (no, no), the first reader's answer first.
        blank: cells that each reader left empty.
        agreement: share of the rows answered by both to which they gave one answer; None where there is none.
    """

    table: tuple[int, int, int, int]
    blank: tuple[int, int]
    agreement: float | None
    kappa: Kappa


@dataclass(frozen=True)
class Share:
    """Rows of a stratum that were judged, and those correct by every answer given; with a 95 % Wilson interval.

    ``disputed``: to which the readers gave different answers; they do not count as correct.
    """

    stratum: Stratum
    judged: int
    correct: int
    disputed: int
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """`questions` by name: correct, harmful; `shares` of all strata with a judged row, in the order of their names."""

    rows: int
    questions: dict[str, Question]
    shares: list[Share]


class _Key(NamedTuple):
    stratum: Stratum
    check: str


def read(folder: UPath) -> str:
    """What the filled sheets of an audit in `folder` say, for people.

    Raises:
        FileNotFoundError: a sheet or the key is not there.
        SheetError: as `agreement`.
    """
    lost = [name for name in (*SHEETS, KEY) if not (folder / name).is_file()]
    if lost:
        raise FileNotFoundError(f"{folder}: no {', '.join(lost)}; --audit=200 draws rows and writes the sheets")
    first, second = (folder / name for name in SHEETS)
    return said(agreement(first, second, folder / KEY))


def agreement(sheet_1: UPath, sheet_2: UPath, key: UPath) -> Agreement:
    """What two filled sheets say.

    Sheets may have been saved by a spreadsheet: with semicolons or tabs, other line ends, rows or columns in another
    order, or further columns.

    Raises:
        SheetError: a cell that is neither yes, no nor empty; a number that is unknown, twice, missing or at another
            row's text; a column that is missing; a file that is no UTF-8 or no CSV.
        OSError: a file that cannot be read.
    """
    known = _read_key(key)
    readers = [_read_sheet(sheet, known) for sheet in (sheet_1, sheet_2)]
    questions = {}
    for question in QUESTIONS:
        given = [[reader[number][question] for number in known] for reader in readers]
        table = Counter(zip(*given, strict=True))
        counts = tuple(table[one, other] for one in (True, False) for other in (True, False))
        both = sum(counts)
        questions[question] = Question(
            table=counts,  # type: ignore[arg-type]  # of four
            blank=(given[0].count(None), given[1].count(None)),
            agreement=(counts[0] + counts[3]) / both if both else None,
            kappa=kappa([counts[:2], counts[2:]]),
        )
    return Agreement(len(known), questions, _shares(known, readers))


def said(found: Agreement) -> str:
    """The same for a terminal."""
    lines = [f"{found.rows} rows"]
    for name, question in found.questions.items():
        kappa = question.kappa
        agreed = (
            "no row judged by both" if question.agreement is None else f"the readers agree on {question.agreement:.1%}"
        )
        value = "undefined" if kappa.value is None else f"{kappa.value:.2f}"
        interval = "" if kappa.low is None or kappa.high is None else f" (95 % {kappa.low:.2f} to {kappa.high:.2f})"
        lines.append(
            f"{name}: {agreed}; Cohen's kappa {value}{interval}; blank {question.blank[0]} and {question.blank[1]}"
        )
    head = ("source", "label", "judged", "correct", "disputed", "95 % of the share correct")
    body = [
        (
            *share.stratum,
            *map(str, (share.judged, share.correct, share.disputed)),
            f"{share.low:.1%} to {share.high:.1%}",
        )
        for share in found.shares
    ]
    return "\n".join([*lines, columns(head, body)])


def _shares(known: dict[int, _Key], readers: list[dict[int, dict[str, bool | None]]]) -> list[Share]:
    judged: Counter[Stratum] = Counter()
    correct: Counter[Stratum] = Counter()
    disputed: Counter[Stratum] = Counter()
    for number, row in known.items():
        verdicts = {reader[number]["correct"] for reader in readers} - {None}
        judged[row.stratum] += bool(verdicts)
        correct[row.stratum] += verdicts == {True}
        disputed[row.stratum] += len(verdicts) > 1
    return [
        Share(place, judged[place], correct[place], disputed[place], *wilson(correct[place], judged[place]))
        for place in sorted(judged)
        if judged[place]
    ]


def _read_key(file: UPath) -> dict[int, _Key]:
    rows = {}
    for line, row in _rows(file, KEY_COLUMNS):
        number = _number(file, line, row["number"])
        if number in rows:
            raise SheetError(file, line, f"number {number} stands here twice; use the key as it was written")
        rows[number] = _Key(Stratum(row["source"], row["label"]), row["check"])
    if not rows:
        raise SheetError(file, 2, "there is no row; use the key as it was written")
    return rows


def _read_sheet(file: UPath, known: dict[int, _Key]) -> dict[int, dict[str, bool | None]]:
    found: dict[int, dict[str, bool | None]] = {}
    line = 1
    for line, row in _rows(file, COLUMNS):
        number = _number(file, line, row["number"])
        if number not in known:
            raise SheetError(file, line, f"number {number} is not in the key; numbers must stay as they were")
        if number in found:
            raise SheetError(file, line, f"number {number} stands here twice; numbers must stay as they were")
        if check([row["instruction"], row["input"]]) != known[number].check:
            raise SheetError(
                file, line, f"this is not the text of number {number}: were columns sorted apart, or texts changed?"
            )
        found[number] = {question: _answer(file, line, question, row[question]) for question in QUESTIONS}
    if missing := [number for number in known if number not in found]:
        raise SheetError(
            file, line, f"the sheet ends without {len(missing)} of {len(known)} rows, the first is number {missing[0]}"
        )
    return found


def _answer(file: UPath, line: int, question: str, cell: str) -> bool | None:
    said = cell.strip().casefold()
    if said not in ANSWERS:
        raise SheetError(file, line, f"{question} is {cell[:40]!r}: yes, no or an empty cell is expected")
    return ANSWERS[said]


def _number(file: UPath, line: int, cell: str) -> int:
    text = cell.strip()
    if not (text.isascii() and text.isdigit()):
        raise SheetError(file, line, f"number is {cell[:40]!r}: numbers must stay as they were")
    return int(text)


def _rows(file: UPath, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """The rows of a CSV file that are not empty, each with the line where it begins."""
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise SheetError(file, line, "this is not UTF-8; save the sheet as 'CSV UTF-8'") from error
    header = next(iter(text.splitlines()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(DELIMITERS, key=header.count), strict=True)
    names: list[str] = []
    rows, begin = [], 1
    try:
        for cells in reader:
            line, begin = begin, reader.line_num + 1
            if not names:
                names = [cell.strip().casefold() for cell in cells]
                if missing := [name for name in columns if names.count(name) != 1]:
                    raise SheetError(
                        file,
                        line,
                        f"the columns {', '.join(missing)} are missing or there twice (found: {header[:80]!r})",
                    )
            elif any(cell.strip() for cell in cells):
                if any(cell.strip() for cell in cells[len(names) :]):
                    raise SheetError(file, line, f"{len(cells)} cells, but the header has {len(names)}")
                cells += [""] * (len(names) - len(cells))
                rows.append((line, dict(zip(names, cells, strict=False))))
    except csv.Error as error:
        raise SheetError(file, begin, f"this is no CSV: {error}") from error
    if not names:
        raise SheetError(file, 1, "the file is empty")
    return rows
