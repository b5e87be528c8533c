"""The hub folder as `datasets` loads it, and what its card says."""

from dataclasses import replace

import datasets
import pytest
import yaml

from bioinstruct_jax import files
from bioinstruct_jax.config import Source
from bioinstruct_jax.data.output.card import Card, CardSource, Tally, licences, readme
from bioinstruct_jax.data.output.check import check
from bioinstruct_jax.data.output.errors import OutputError
from bioinstruct_jax.data.output.shards import COLUMNS
from bioinstruct_jax.data.readers import read
from tests.outputs import CARD, ROW, many, put

ROWS = [
    *many(5),
    *many(2, split="dev", wording=4),
    *many(1, split="test", format="", family="note", category="GEN", labels=()),
]


def test_datasets_loads_the_folder_with_its_splits(tmp_path):
    # Mutation: "dev" is not renamed.
    put(tmp_path / "hub", ROWS, "hub", rows_per_shard=2)
    check(files.path(tmp_path / "hub"))
    found = datasets.load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"))
    assert {split: table.num_rows for split, table in found.items()} == {"train": 5, "validation": 2, "test": 1}
    rows = [row for split in ("train", "validation", "test") for row in found[split]]
    assert rows == [{name: getattr(row, name) for name in COLUMNS} | {"labels": list(row.labels)} for row in ROWS]


@pytest.mark.parametrize("place", ["local", "bucket"])
def test_our_own_reader_takes_it_as_a_source(tmp_path, place):
    target = str(tmp_path) if place == "local" else f"memory://{tmp_path.name}"
    put(target, ROWS, "hub", rows_per_shard=2)
    found = list(read(Source(path=target, split="validation")))
    assert [(row.id, row.input, row.output) for row in found] == [(row.id, row.input, row.output) for row in ROWS[5:7]]


def test_the_card_says_what_was_written():
    # Mutations: no configs; a | of a title is not escaped; sources without rows are listed.
    card = replace(
        CARD,
        sources=(*CARD.sources, CardSource("unused", "Unused", "MIT", "open", "-")),
        removed={"in an evaluation item": 1234, "twice": 0},
        citation="@misc{x}",
    )
    tally = Tally()
    for row in ROWS:
        tally.add(row)
    text = readme(card, tally, files={"train": "data/train-*.parquet"})
    front = yaml.safe_load(text.split("---\n")[1])
    assert front["license"] == "other"
    assert front["task_categories"] == ["question-answering", "text-generation"]
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
    ]
    for line in (
        "| gad | 5 | 2 | 1 |",
        "| **all** | 5 | 2 | 1 |",
        "| gad | Gene \\| disease | CC0 | open | https://example.org | weak labels |",
        "| yes_no | 7 | word (7) | 2 | 2 to 5 |",
        "| note | 1 | plain text (1) | 1 | 1 to 1 |",
        "| in an evaluation item | 1,234 |",
        "@misc{x}",
        "taken together: open.",
    ):
        assert line in text
    assert "Not clinically validated" in text
    assert "unused" not in text.lower().replace("wordings used", "")
    assert "twice" not in text


@pytest.mark.parametrize(
    ("kinds", "whole"), [(("open", "attribution"), "attribution"), (("non-commercial", "open"), "non-commercial")]
)
def test_the_strictest_licence_binds_the_whole(kinds, whole):
    # Mutation: `min` in licences.
    tally, sources = Tally(), tuple(CardSource(f"s{n}", "t", "l", kind, "o") for n, kind in enumerate(kinds))
    for source in sources:
        tally.add(replace(ROW, source=source.name))
    assert f"taken together: {whole}." in readme(replace(CARD, sources=sources), tally, files={})


def test_a_row_must_be_on_the_card_as_it_is(tmp_path):
    for row, message in (
        (replace(ROW, source="hoc"), "the data card has no source 'hoc'"),
        (replace(ROW, licence="non-commercial"), "is non-commercial, and the data card has 'gad' as open"),
    ):
        with pytest.raises(OutputError, match=message):
            put(tmp_path, [row], "hub")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "My-Set"}, "name 'My-Set'"),
        ({"version": "1.0"}, "version '1.0'"),
        ({"sources": CARD.sources * 2}, "source gad stands on the card twice"),
    ],
)
def test_a_card_that_loaders_do_not_take(given, message):
    fields = {"name": "tiny", "title": "t", "summary": "s", "sources": ()} | given
    with pytest.raises(OutputError, match=message):
        Card(**fields)


@pytest.mark.parametrize(
    ("licence", "alike"),
    [("GPL-3.0", True), ("CC BY-SA 3.0", True), ("CC BY-NC-SA 4.0", True), ("CC BY 4.0", False), ("MIT", False)],
)
def test_a_licence_that_wants_its_like_is_told(licence, alike):
    # Mutation: only the class of the licence told, which is `attribution` for all of these.
    tally = Tally()
    tally.add(ROW)
    card = replace(CARD, sources=(replace(CARD.sources[0], licence=licence),))
    assert ("What is made of gad has to be passed on under the same licence" in licences(card, tally)) is alike
