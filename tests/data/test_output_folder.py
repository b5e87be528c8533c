"""Round trips of every form, and byte equality."""

import json
import os
import tempfile
import tracemalloc
from dataclasses import replace

import fsspec
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax import files
from bioinstruct_jax.config import Source
from bioinstruct_jax.data import prompts
from bioinstruct_jax.data.output import claim, folder
from bioinstruct_jax.data.output.check import check
from bioinstruct_jax.data.output.errors import OutputError
from bioinstruct_jax.data.output.shards import COLUMNS, PROSE, Sink
from bioinstruct_jax.data.readers import read
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.sample import Sample
from tests.outputs import CARD, LOCAL, ROW, SECRET, contents, many, put


def records(place, split="train"):
    index = check(files.path(place))
    form = "text" if index.form == "text" else "auto"
    return [row for shard in index.splits[split] for row in read(Source(path=f"{place}/{shard.file}", format=form))]


def record(row, form, source):
    fields = {"id": row.id, "category": row.category, "source": source, "restricted": row.restricted}
    if form == "chat":
        return Record(
            instruction=prompts.question(row.instruction, row.input), input="", output=row.output.strip(), **fields
        )
    if form == "text":
        parts = [row.input, row.output if row.family in PROSE else ""]
        text = "\n".join(part for part in parts if part.strip()) or row.instruction
        return Record(instruction="", input="", output=text, **fields)
    return Record(instruction=row.instruction, input=row.input, output=row.output, **fields)


text = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40) | st.sampled_from(
    ["\u2028", "\r\n\n", "]", '{"a": [', "\ufeff", " long " * 3000]
)
filled = text.map(lambda found: f"{found}x")
samples = st.builds(
    Sample,
    id=st.just(""),
    instruction=filled,
    input=text,
    output=filled,
    category=st.sampled_from(["IE", "QA", "GEN"]),
    source=filled,
    family=filled | st.sampled_from(PROSE),
    split=st.sampled_from(["train", "dev", "test"]),
    licence=st.sampled_from(["open", "restricted"]),
    format=text,
    wording=st.integers(0, 99),
    labels=st.lists(text, max_size=3).map(tuple),
)


@pytest.mark.parametrize("form", LOCAL)
@settings(max_examples=25)
@given(rows=st.lists(samples, min_size=1, max_size=7), size=st.integers(1, 4))
def test_what_is_written_is_what_our_readers_read(form, rows, size):
    # Mutations: each of these fails here: the last rows of a ParquetShard are not flushed; no `.strip()` of the chat's
    # output; part.rows not put back to 0; every split into one shard.
    rows = [replace(row, id=f"{place}") for place, row in enumerate(rows)]
    with tempfile.TemporaryDirectory() as name:
        written = put(name, rows, form, rows_per_shard=size)
        for split in ("train", "dev", "test"):
            own = [row for row in rows if row.split == split]
            assert written.rows(split) == len(own)
            assert [shard.rows for shard in written.splits.get(split, ())] == [
                min(size, len(own) - start) for start in range(0, len(own), size)
            ]
            if own:
                found = records(name, split)
                sources = [row.source for row in found]
                assert found == [record(row, form, source) for row, source in zip(own, sources, strict=True)]


@pytest.mark.parametrize("form", LOCAL)
def test_a_folder_written_shard_by_shard_is_the_same(tmp_path, form):
    # Mutations: the last rows left in a buffer; splits in the order of their shards' writing.
    rows = [replace(ROW, id=f"{place}", split=split) for split in ("train", "dev") for place in range(5)]
    put(tmp_path / "one", rows, form, rows_per_shard=3)
    place = files.path(tmp_path / "many")
    splits = {
        split: tuple(
            folder.write_shard(place, form, split, start // 3, [row for row in rows if row.split == split][start:][:3])
            for start in (0, 3)
        )
        for split in ("dev", "train")
    }
    folder.write_index(place, form, splits)
    assert contents(tmp_path / "one") == contents(tmp_path / "many")


def test_every_column_is_there(tmp_path):
    want = {name: getattr(ROW, name) for name in COLUMNS} | {"labels": ["yes"]}
    put(tmp_path / "a", [ROW])
    line = (tmp_path / "a" / "train-00000.jsonl").read_text("utf-8")
    assert json.loads(line) == want
    assert len(line.splitlines()) == 1  # Mutation: no _LINE_ENDS: whoever splits by Unicode's lines has a broken row
    put(tmp_path / "j", [ROW, ROW], "alpaca-json")
    assert json.loads((tmp_path / "j" / "train-00000.json").read_text("utf-8")) == [want, want]
    put(tmp_path / "p", many(2001), "parquet")
    table = pq.ParquetFile(tmp_path / "p" / "train-00000.parquet")
    assert table.read_row_group(0).to_pylist()[0] == want | {"id": "gad/train/0"}
    assert [table.metadata.row_group(n).num_rows for n in range(table.num_row_groups)] == [1000, 1000, 1]
    put(tmp_path / "c", [ROW], "chat")
    chat = json.loads((tmp_path / "c" / "train-00000.jsonl").read_text("utf-8"))
    said = chat.pop("messages")
    assert chat == {name: value for name, value in want.items() if name not in ("instruction", "input", "output")}
    assert [message["role"] for message in said] == ["user", "assistant"]


@pytest.mark.parametrize("name", ["llama3", "tokenizer"])
def test_chat_rows_become_the_same_prompt_as_alpaca_rows(tmp_path, name, llama3, chatml):
    # Mutation: `chat` joins instruction and input by itself, with one newline.
    template = prompts.template(name, llama3 if name == "llama3" else chatml)
    rows = [ROW, replace(ROW, id="2", input=""), replace(ROW, id="3", input=" ", output=" a \n")]
    shown = []
    for form in ("alpaca", "chat"):
        put(tmp_path / form, rows, form)
        shown.append([prompts.render(row, template) for row in records(tmp_path / form)])
    assert shown[0] == shown[1]


@pytest.mark.parametrize("form", [form for form in folder.FORMS if form != "tfds"])
def test_two_runs_write_the_same_bytes_in_a_folder_and_in_a_bucket(tmp_path, form):
    rows = many(7) + many(3, split="dev")
    first = put(tmp_path / "a", rows, form, rows_per_shard=3)
    second = put(tmp_path / "b", many(3, split="dev") + many(7), form, rows_per_shard=3)
    assert first == second
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    bucket = f"memory://{tmp_path.name}-{form}"
    assert put(bucket, rows, form, rows_per_shard=3) == first == check(files.path(bucket))
    found = {name: (files.path(bucket) / name).read_bytes() for name in claim.contents(files.path(bucket))}
    assert found == contents(tmp_path / "a")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"output": " \n"}, "'output' is empty"),
        ({"instruction": ""}, "'instruction' is empty"),
        ({"input": "a\0b"}, "'input' contains a NUL"),
        ({"input": f"{SECRET} \ud800"}, "lone surrogate"),
        ({"labels": ("\ud800",)}, "lone surrogate"),
        ({"id": " 1"}, "id is empty, or begins"),
        ({"id": ""}, "id is empty, or begins"),
    ],
)
@pytest.mark.parametrize("form", LOCAL)
def test_a_row_that_no_reader_would_take_is_not_written(tmp_path, form, row, message):
    with pytest.raises(OutputError, match=message) as caught:
        put(tmp_path, [ROW, replace(ROW, **row)], form)
    assert SECRET not in str(caught.value)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"form": "csv"}, "unknown form 'csv'; the forms are alpaca"),
        ({"form": "hub"}, "form hub needs a data card"),
        ({"form": "chat", "card": CARD}, "form chat has no data card"),
        ({"form": "chat", "rows_per_shard": 0}, "rows_per_shard is 0"),
        ({"form": "chat"}, "not one row was given"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path, given, message):
    with pytest.raises(OutputError, match=message), folder.writing(tmp_path, **given):
        pass
    assert os.listdir(tmp_path) == []


def test_tfds_is_local():
    with pytest.raises(OutputError, match=r"memory://x.*tfds is written to a local folder only"):
        put("memory://x", [ROW], "tfds")
    assert not fsspec.filesystem("memory").exists("/x")


def test_a_full_disk_and_an_impossible_folder_are_named(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"file/out: cannot be written \(NotADirectoryError"):
        put(tmp_path / "file" / "out", [ROW])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Sink, "write", full)
    with pytest.raises(OutputError, match=r"out: cannot be written \(OSError: .*No space left"):
        put(tmp_path / "out", many(5), "parquet")


@pytest.mark.parametrize("form", [form for form in folder.FORMS if form != "tfds"])
def test_more_rows_need_no_more_memory(tmp_path, form):
    # Mutation: `if len(self._rows) == ROW_GROUP` of ParquetShard away: all rows are kept.
    peaks = []
    for count in (1200, 6000):
        tracemalloc.start()
        put(tmp_path / str(count), (replace(ROW, id=str(n), input="a word " * 100) for n in range(count)), form)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2**19
