import json
from dataclasses import replace

import pytest
from upath import UPath

from bioinstruct_jax.generation import report
from bioinstruct_jax.generation.statistics import statistics
from tests.generation.pool import HOSTILE, made, numbers
from tests.reporting.document import Document

ACCEPTED, REJECTED = made(60, 40, words=30, seed=1, hostile=True)
TOLD = statistics(ACCEPTED, **numbers(ACCEPTED, REJECTED))
NOTE = "A script wrote these rows: no medicine."


@pytest.fixture(scope="module")
def document():
    return Document(report.html(TOLD, ACCEPTED, REJECTED, note=NOTE))


def rows(document):
    (columns,) = (json.loads(text) for attrs, text in document.scripts if attrs.get("class") == "columns")
    for attrs, text in document.scripts:
        for row in json.loads(text) if attrs.get("class") == "rows" else ():
            yield {
                column["name"]: column["values"][cell] if column["kind"] == "value" else cell
                for column, cell in zip(columns, row, strict=True)
            }


def test_a_report_of_hostile_rows_is_one_document(document):
    # Mutations: a verb or a reason that is not escaped; a second h1; an id twice.
    document.check()
    assert len(document.of("script")) == 3  # rows, columns, and the one that runs
    assert not document.of("a") + document.of("img")
    assert NOTE in document.text("p")
    assert "60 instructions accepted of 100 that were written (60.0%), for $13.50: $0.2250 each." in document.text("p")


def test_every_row_is_there(document):
    # Mutations: rejected rows left out; output for input.
    found = list(rows(document))
    assert [row["id"] for row in found] == [row.id for row in [*ACCEPTED, *REJECTED]]
    assert [row["outcome"] for row in found] == ["accepted"] * 60 + ["rejected"] * 40
    for row, due in zip(found, [*ACCEPTED, *REJECTED], strict=True):
        for name in ("instruction", "input", "output"):
            text = getattr(due, name)
            assert row[name] == text if len(text) < 8000 else row[name][1] == len(text)
    for row, due in zip(found[:60], ACCEPTED, strict=True):
        assert (row["category"], row["teacher"], row["model"]) == (
            due.category.replace("_", " "),
            due.teacher,
            due.model,
        )
        assert row["similarity"] == pytest.approx(due.similarity, abs=1e-4)
        assert row["seeds shown"] == ", ".join(due.seeds)
        assert row["request"] == due.request
    for row, due in zip(found[60:], REJECTED, strict=True):
        assert (row["reason"], row["similarity"], row["teacher"]) == (
            due.reason.replace("_", " "),
            None,
            due.teacher,
        )
        assert row["detail"] == due.detail or row["detail"][1] == len(due.detail) > 50_000


def test_charts_and_the_paper_beside(document):
    names = [attrs["aria-label"] for attrs in document.of("svg")]
    assert [name.partition(" ")[0] for name in names] == [
        *("Accepted", "Rejected", "Share", "The", "Words", "Words", "Words", "Similarity"),
    ]
    cells = document.text("td")
    for text in ("33.8%", "33.5%", "22.8%", "10.0%", "BioInstruct"):
        assert text in cells + document.text("th")
    assert sum(len(text) > 50_000 for text in HOSTILE) == 1
    assert "7 long texts are cut" in document.text("p")  # instruction, input, output, detail
    assert "medqa" in cells


def test_it_is_written_in_pieces(tmp_path):
    # Mutation: rows from an iterator are gone when they are read for the second time.
    file = UPath(tmp_path) / "deep" / "report.html"
    report.write(file, TOLD, iter(ACCEPTED), (row for row in REJECTED), note=NOTE)
    assert file.read_text(encoding="utf-8") == report.html(TOLD, ACCEPTED, REJECTED, note=NOTE)


def test_nothing_generated_is_a_report_too():
    # Mutation: a chart of no verbs.
    for client in ({}, {"dollars": {"spent": None}}):
        told = statistics(
            [], **numbers([], []) | {"client": client, "requests": [], "decontamination": {}, "compared": {}}
        )
        page = report.html(told, [], [], note="")
        Document(page).check()
        assert "0 instructions accepted of 0 that were written." in page
        assert "Nothing was compared with evaluation texts." in page
        assert 'class="note"' not in page


def test_rows_without_a_category_are_told():
    good = [replace(row, category="") for row in ACCEPTED[:3]] + ACCEPTED[3:]
    told = statistics(good, **numbers(good, REJECTED))
    assert "3 rows have no category" in report.html(told, good, REJECTED, note="")
