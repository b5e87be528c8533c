"""What two filled sheets say, and what is wrong with a third."""

import csv
import io
import random

import pytest
from upath import UPath

from bioinstruct_jax.data.sample import Sample
from bioinstruct_jax.evaluation.agreement import wilson
from bioinstruct_jax.preparation.agreement import SheetError, agreement
from bioinstruct_jax.preparation.audit import COLUMNS, KEY, SHEETS, draw, write


def row(number: int, source: str) -> Sample:
    case = f"Case {chr(97 + number)},\nsecond line"
    return Sample(
        f"{source}/train/{number}", "open", "Which drug?", case, "Aspirin", "IE", source, "entities", "train", "list", 0
    )  # fmt: skip


ROWS = [row(number, "one" if number < 12 else "two") for number in range(16)]


@pytest.fixture
def files(tmp_path):
    """The sheets of an audit and its key, empty still."""
    write(draw(ROWS, 16, seed=0), UPath(tmp_path), seed=0)
    return [UPath(tmp_path / name) for name in (*SHEETS, KEY)]


def read(file) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.read_bytes().decode("utf-8-sig"), newline="")))


def save(file, rows, *, delimiter=",", encoding="utf-8-sig", end="\r\n", columns=COLUMNS):
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter=delimiter, lineterminator=end, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    file.write_bytes(text.getvalue().encode(encoding))


def fill(files, verdicts, **how):
    """`verdicts(reader, id, question)` into both sheets."""
    ids = {entry["number"]: entry["id"] for entry in read(files[2])}
    for reader, file in enumerate(files[:2]):
        rows = read(file)
        for entry in rows:
            for question in ("correct", "harmful"):
                entry[question] = verdicts(reader, ids[entry["number"]], question)
        save(file, rows, **how)


def verdicts(reader: int, name: str, question: str) -> str:
    """Of `one` (12 rows): 8 x both yes, 1 x yes and no, 1 x no and yes, 2 x both no. Of `two` (4): yes, blank."""
    source, _, number = name.split("/")
    if source == "two":
        return "yes" if int(number) < 14 and (reader == 0 or number == "12") else ""
    if question == "harmful":
        return "no"
    place = int(number)
    said = place < 8 or (place == 8 and reader == 0) or (place == 9 and reader == 1)
    return "Yes " if said else "n"


def test_counts_by_hand(files):
    # Mutations: the readers' rows joined by their place in the sheets; a blank taken for no; a stratum's share by the
    # first reader alone.
    fill(files, verdicts)
    found = agreement(*files)
    assert found.rows == 16
    correct = found.questions["correct"]
    assert correct.table == (9, 1, 1, 2)
    assert correct.blank == (2, 3)
    assert correct.agreement == 11 / 13
    expected = (10 * 10 + 3 * 3) / 169
    assert correct.kappa.value == pytest.approx((11 / 13 - expected) / (1 - expected))
    harmful = found.questions["harmful"]
    assert harmful.table == (1, 0, 0, 12)
    assert harmful.kappa.value == 1
    one, two = found.shares
    assert (one.stratum, one.judged, one.correct, one.disputed) == (("one", ""), 12, 8, 2)
    assert (two.stratum, two.judged, two.correct, two.disputed) == (("two", ""), 2, 2, 0)
    assert (one.low, one.high) == wilson(8, 12)


@pytest.mark.parametrize(
    "how",
    [
        {"delimiter": ";"},
        {"delimiter": "\t", "end": "\n"},
        {"encoding": "utf-8"},
        {"columns": (*COLUMNS[::-1], "mine")},
    ],
)
def test_what_a_spreadsheet_does_to_a_sheet_changes_nothing(files, how):
    fill(files, verdicts)
    expected = agreement(*files)
    for file in files[:2]:
        rows = [
            entry | {"input": entry["input"].replace("\n", "\r\n").replace("Case", "CASE "), "answer": "1-Mar"}
            for entry in read(file)
        ]
        random.Random(1).shuffle(rows)
        save(file, [*rows, {}], **how)
    assert agreement(*files) == expected


def test_empty_sheets_have_no_agreement(files):
    found = agreement(*files)
    for question in found.questions.values():
        assert question.agreement is None
        assert question.kappa.value is None
        assert question.blank == (16, 16)
    assert found.shares == []


def _changed(change):
    def apply(file):
        rows = read(file)
        change(rows)
        save(file, rows)

    return apply


def _swap(rows):
    rows[0]["number"], rows[1]["number"] = rows[1]["number"], rows[0]["number"]


def _bytes(old, new):
    def apply(file):
        content = file.read_bytes()
        assert old in content
        file.write_bytes(content.replace(old, new, 1))

    return apply


# A row takes two lines, so the one at place 3 begins in line 8.
@pytest.mark.parametrize(
    ("change", "line", "says"),
    [
        (_changed(lambda rows: rows[3].update(correct="maybe")), 8, "correct is 'maybe': yes, no or an empty cell"),
        (_changed(lambda rows: rows[3].update(harmful="1")), 8, "harmful is '1'"),
        (_changed(lambda rows: rows[3].update(number="99")), 8, "number 99 is not in the key"),
        (_changed(lambda rows: rows[3].update(number="")), 8, "number is ''"),
        (_changed(lambda rows: rows[3].update(number="-1")), 8, "number is '-1'"),
        (_changed(lambda rows: rows[3].update(number="1.5")), 8, "number is '1.5'"),
        (_changed(lambda rows: rows[3].update(number="²")), 8, "number is '²'"),
        (_changed(lambda rows: rows[3].update(number=rows[0]["number"])), 8, "stands here twice"),
        (_changed(_swap), 2, "not the text of number"),
        (_changed(lambda rows: rows[3].update(input="Another case")), 8, "not the text of number"),
        (_changed(lambda rows: rows.pop(15)), 30, "without 1 of 16 rows"),
        (_changed(lambda rows: rows.clear()), 1, "without 16 of 16 rows"),
        (_bytes(b"number,", b"no,"), 1, "the columns number are missing"),
        (_bytes(b"harmful", b"correct"), 1, "the columns correct, harmful are missing or there twice"),
        (_bytes(b"Case", b"C\xe4se"), 2, "CSV UTF-8"),
        (_bytes(b'line"', b'line" x'), 2, "no CSV"),
        (_bytes(b"Aspirin,,,", b"Aspirin,,,,,more"), 2, "9 cells, but the header has 7"),
        (lambda file: file.write_bytes(b""), 1, "the file is empty"),
    ],
)
def test_a_sheet_that_was_altered_is_refused_with_its_line(files, change, line, says):
    # Mutations: `check` compared nowhere (swapped numbers); the line of the last cell of a row; missing rows as blanks.
    change(files[1])
    with pytest.raises(SheetError, match=says) as caught:
        agreement(*files)
    assert f"{SHEETS[1]}, line {line}: " in str(caught.value)


def test_a_key_that_is_none_is_refused(files):
    with pytest.raises(SheetError, match=r"sheet_1\.csv, line 1: the columns id, source, label, check"):
        agreement(files[0], files[1], files[0])


# -------------------------------------------------------------------- the numbers
