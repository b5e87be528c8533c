"""A sample of prepared rows for two readers who do not know where a row is from."""

import csv
import hashlib
import heapq
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.sample import Sample

SHEETS = ("sheet_1.csv", "sheet_2.csv")
KEY = "key.csv"  # not for the readers
COLUMNS = ("number", "instruction", "input", "answer", "correct", "harmful", "comment")
KEY_COLUMNS = ("number", "id", "source", "label", "check")
KEPT = 8  # rows of each stratum that are kept whatever the others are like
SPARE = 4  # times the rows wanted that are kept beyond these
LONGEST = 32_000  # characters; a spreadsheet's cell holds 32,767
FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # begins one for a spreadsheet; the last four in full width


class Stratum(NamedTuple):
    """Rows that are drawn in their proportion: of one source and, where the answer is of a closed set, one label.

    ``label`` is empty for free text, and ``several`` where an answer names more than one.
    """

    source: str
    label: str


@dataclass(frozen=True)
class Drawn:
    """A sample for an audit.

    Attributes:
        samples: by source, label and id.
        sizes: rows of each stratum that there are.
        restricted: rows that could not be drawn, for a sheet is given to people.
    """

    samples: list[Sample]
    sizes: dict[Stratum, int]
    restricted: int


def stratum(sample: Sample) -> Stratum:
    """Where a row is drawn from: its source and its label, or that it has several."""
    labels = sorted(set(sample.labels))
    return Stratum(sample.source, "several" if len(labels) > 1 else "".join(labels))


def draw(samples: Iterable[Sample], count: int, *, seed: int) -> Drawn:
    """`count` rows, stratified: a pure function of the seed, the ids and their strata; no order of rows matters.

    Each stratum gives one row, and the others go to the strata by their sizes (Sainte-Laguë's highest averages); in a
    stratum those with the smallest keyed hash are taken. One pass; what is held at once are 8 rows of each stratum and
    ``4 * count`` others, the ones of smallest hash: a stratum that is due more than it has among them (fewer than one
    in a million) leaves the rest to the others.

    Raises:
        ValueError: there are fewer rows than `count`, or more strata; or two rows have one id.
    """
    if count < 1:
        raise ValueError(f"an audit of {count} rows: give 1 or more")
    restricted = 0
    sizes: Counter[Stratum] = Counter()
    held: dict[str, Sample] = {}
    first: defaultdict[Stratum, list[tuple[int, str]]] = defaultdict(list)  # heaps with the largest hash on top
    other: list[tuple[int, str]] = []
    for sample in samples:
        if sample.restricted:
            restricted += 1
            continue
        if sample.id in held:
            raise ValueError(f"two rows have the id {sample.id!r}; ids are unique in a preparation")
        place = stratum(sample)
        sizes[place] += 1
        held[sample.id] = sample
        heapq.heappush(first[place], (-_hashed(seed, "draw", sample.id), sample.id))
        if len(first[place]) > KEPT:
            heapq.heappush(other, heapq.heappop(first[place]))
        if len(other) > SPARE * count:
            del held[heapq.heappop(other)[1]]
    total = sizes.total()
    if total < count:
        hidden = f"; {restricted:,} restricted ones can be in no sheet" if restricted else ""
        raise ValueError(f"an audit of {count:,} rows: there are {total:,}{hidden}. Ask for fewer")
    if len(sizes) > count:
        raise ValueError(
            f"an audit of {count:,} rows: there are {len(sizes):,} strata (source and label), and each gives at least "
            f"one row. Ask for {len(sizes):,} or more, or prepare fewer sources"
        )
    found: defaultdict[Stratum, list[str]] = defaultdict(list)
    for name in sorted(held, key=lambda name: _hashed(seed, "draw", name)):
        found[stratum(held[name])].append(name)
    given = allocate(sizes, {place: len(names) for place, names in found.items()}, count)
    chosen = [held[name] for place in sorted(given) for name in sorted(found[place][: given[place]])]
    return Drawn(chosen, dict(sorted(sizes.items())), restricted)


def allocate(sizes: Mapping[Stratum, int], most: Mapping[Stratum, int], count: int) -> dict[Stratum, int]:
    """How many of `count` each stratum gives: one, and the others by size, none more than `most` of its rows.

    Sainte-Laguë's method (1910): the next one goes where size / (2 * given + 1) is largest; ties by name.
    """
    given = dict.fromkeys(sizes, 1)
    queue = [(-Fraction(size, 3), place) for place, size in sizes.items() if most[place] > 1]
    heapq.heapify(queue)
    for _ in range(count - len(sizes)):
        _, place = heapq.heappop(queue)
        given[place] += 1
        if given[place] < most[place]:
            heapq.heappush(queue, (-Fraction(sizes[place], 2 * given[place] + 1), place))
    return given


def write(drawn: Drawn, folder: UPath, *, seed: int) -> None:
    """Writes a sheet for each reader, and the key to both, which the readers must not see.

    A sheet is CSV as spreadsheets open it (UTF-8 with BOM, CRLF): number, instruction, input, answer, and columns to
    fill: correct and harmful (yes or no), comment. Nothing tells source, label or split. Both have the same numbers,
    given at random, in orders of their own; a cell that a spreadsheet would run as a formula begins with an apostrophe.

    Raises:
        RestrictedError: one of the rows is restricted.
        FileExistsError: a sheet or the key stands there, perhaps filled in.
        OSError: the folder cannot be written.
    """
    if hidden := sum(sample.restricted for sample in drawn.samples):
        raise RestrictedError(f"{hidden:,} of the rows are restricted: their text cannot stand in a sheet; draw again")
    for name in (*SHEETS, KEY):
        if (folder / name).exists():
            raise FileExistsError(
                f"{folder / name} is there, and may be filled in: move it away, or give another folder"
            )
    orders = [sorted(drawn.samples, key=lambda sample: _hashed(seed, name, sample.id)) for name in SHEETS]
    if orders[0] == orders[1]:
        orders[1].reverse()
    numbers = {sample.id: number for number, sample in enumerate(orders[0], 1)}
    for name, order in zip(SHEETS, orders, strict=True):
        rows = [[str(numbers[sample.id]), *_cells(sample), "", "", ""] for sample in order]
        files.write_text(folder / name, _csv(COLUMNS, rows))
    keys = [[str(numbers[sample.id]), sample.id, *stratum(sample), check(_cells(sample))] for sample in orders[0]]
    files.write_text(folder / KEY, _csv(KEY_COLUMNS, keys))


def check(cells: Iterable[str]) -> str:
    """By which a row is known to have its own number still: of the letters of instruction and input alone.

    A spreadsheet that saves a sheet may write numbers, dates, blanks and line ends in its own way.
    """
    instruction, asked, *_ = cells
    letters = "".join(letter for letter in f"{instruction}{asked}".casefold() if letter.isalpha())
    return hashlib.sha256(letters.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _cells(sample: Sample) -> list[str]:
    return [_cell(text) for text in (sample.instruction, sample.input, sample.output)]


def _cell(text: str) -> str:
    if len(text) > LONGEST:
        text = f"{text[:LONGEST]} [{len(text) - LONGEST:,} more characters]"
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _csv(columns: Iterable[str], rows: Iterable[list[str]]) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return "\ufeff" + text.getvalue()


def _hashed(seed: int, purpose: str, name: str) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\n{purpose}\n{name}".encode(), digest_size=16).digest())
