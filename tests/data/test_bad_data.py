"""Broken, hostile and huge data under load: never a crash, never a lost good row, and the counts add up."""

import csv
import gzip
import hashlib
import io
import json
import os
import threading

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.config import Source
from bioinstruct_jax.data import mixture, tokenizer
from bioinstruct_jax.data.mixture import mix
from bioinstruct_jax.data.prompts import template
from bioinstruct_jax.data.readers import read, unchanged
from bioinstruct_jax.data.records import BadRow, Record
from bioinstruct_jax.data.rows import build

MANY = 100_000
DEEP = '{"instruction": "deep", "output": "a", "x": ' + "[" * 10_000 + "]" * 10_000 + "}"


def row(place: int, **more: object) -> dict:
    return {"instruction": f"q{place} β", "input": f"{place} mg", "output": "a"} | more


def chat(place: int) -> dict:
    said = [{"role": "user", "content": f"q{place} β"}, {"role": "assistant", "content": f"a{place}"}]
    return {"messages": said, "tags": [1, 2]}


def split(source: Source) -> tuple[list[Record], list[BadRow]]:
    found = list(read(source))
    return [one for one in found if isinstance(one, Record)], [one for one in found if isinstance(one, BadRow)]


# -------------------------------------------------------------------- 100,000 rows, 1 % of them broken


def jsonl_file() -> tuple[bytes, int]:
    kinds = [
        b'{"instruction": "q',
        b'{"instruction": "q", "output": "\xff"}',
        b'{"instruction": "q", "output": "a\0"}',
        b'{"instruction": "q", "output": "\\ud800"}',
        b'{"instruction": "q", "output": "\\u0000"}',
        b"[" * 10_000,
        b'{"instruction": ["q"], "output": "a"}',
        b'{"instruction": "", "output": "a"}',
        b'{"instruction": "q", "output": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
    ]
    lines = [json.dumps(row(place), ensure_ascii=False).encode() for place in range(MANY)]
    lines[7::100] = [kinds[place % 10] for place in range(MANY // 100)]
    lines[8::100] = [b" \t\r" if place % 2 else b"\xef\xbb\xbf" for place in range(MANY // 100)]  # skipped
    lines[9::100] = [b"\xef\xbb\xbf" + line for line in lines[9::100]]  # files put one behind the other
    return b"\n".join(lines), MANY // 100


def array_file() -> tuple[bytes, int]:
    texts = [json.dumps(chat(place), ensure_ascii=False) for place in range(MANY)]
    for number, place in enumerate(range(7, MANY, 100)):
        # cut off inside a list, where the elements behind are its items; inside a string; NUL; no object
        cuts = [texts[place].index("}, ") + 1, len(texts[place]) - 2, 20]
        texts[place] = [*(texts[place][:cut] for cut in cuts), '{"messages": "\0"}', "nonsense"][number % 5]
    return ("[" + ",\n".join(texts) + "]").encode(), MANY // 100


def csv_file() -> tuple[bytes, int]:
    kinds = ['"open,a,b', "one,two", 'd,e,f,g"', 'a,"b,c', '"x"y,a,b']
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(row(0)))
    writer.writeheader()
    for place in range(MANY):
        if place % 100 == 7:
            file.write(kinds[place // 100 % 5] + "\r\n")
        else:
            writer.writerow(row(place))
    return file.getvalue().encode(), MANY // 100


def parquet_file() -> tuple[bytes, int]:
    rows = [row(place) for place in range(MANY)]
    texts = [text.encode() for text in (one["instruction"] for one in rows)]
    texts[7::100] = [None if place % 2 else b"\xff" for place in range(MANY // 100)]
    table = {name: [one[name] for one in rows] for name in ("input", "output")}
    kept = pa.array(texts, pa.binary()).view(pa.string())
    file = io.BytesIO()
    pq.write_table(pa.table({"instruction": kept} | table), file)
    return file.getvalue(), MANY // 100


@pytest.mark.parametrize(
    ("name", "make"),
    [("a.jsonl", jsonl_file), ("a.json", array_file), ("a.csv", csv_file), ("a.parquet", parquet_file)],
)
def test_a_hundred_thousand_rows_with_one_in_a_hundred_broken(tmp_path, name, make):
    # Seconds alone on 2 cores: 1 for JSON lines, CSV and Parquet, 3 for the array. Mutations: without REACH the array
    # takes several times as long; without `_swallowed` two stray quotes of the CSV take 39,000 rows with them; a BOM
    # taken off the first line alone makes 1,000 rows bad; `except UnicodeDecodeError` left out of line_rows.
    content, broken = make()
    (tmp_path / name).write_bytes(content)
    records, bad = split(Source(path=str(tmp_path / name)))
    skipped = MANY // 100 if name == "a.jsonl" else 0
    places = [place for place in range(MANY) if place % 100 != 7 and not (skipped and place % 100 == 8)]
    assert [one.instruction for one in records] == [f"q{place} β" for place in places]
    assert len(bad) == broken
    assert len(records) + len(bad) + skipped == MANY


def test_a_hundred_thousand_rows_with_one_id(tmp_path):
    # Mutation: `_free` counts from 2 for each row: five thousand million steps.
    file = tmp_path / "a.jsonl"
    line = json.dumps(row(0, id="same")) + "\n"
    file.write_text(line * MANY, encoding="utf-8")
    mixed = mix([Source(path=str(file))], seed=0, on_bad_row="raise")
    assert len({one.id for one in mixed.records}) == MANY
    assert [one.id for one in mixed.records[:3]] == ["same", "same#2", "same#3"]


# -------------------------------------------------------------------- hostile text

HOSTILE = [
    "</s>",
    "<s>",
    "<unk>",
    "<|eot_id|>",
    "<0x41>",
    "[INST]",
    "\ufeff",
    "\u2028",
    "\x85",
    "\x1c",
    "\r",
    "\r\n",
    "\n",
]
HOSTILE += [
    '"',
    '""',
    "\\",
    ",",
    "{",
    "[",
    "]",
    '{"instruction": ',
    "'",
    "\t",
    " ",
    "β",
    "\U0001f600",
    "\uffff",
    "\x1a",
]
hostile = st.lists(
    st.sampled_from(HOSTILE) | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=3)
)
good_text = hostile.map("".join).filter(str.strip)
good_rows = st.lists(
    st.fixed_dictionaries({"instruction": good_text, "input": hostile.map("".join), "output": good_text}), max_size=5
)


def written(rows: list[dict], form: str) -> bytes:
    if form == "jsonl":
        return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows).encode()
    if form == "json":
        return json.dumps(rows, ensure_ascii=False).encode()
    if form == "csv":
        file = io.StringIO(newline="")
        writer = csv.DictWriter(file, ["instruction", "input", "output"])
        writer.writeheader()
        writer.writerows(rows)
        return file.getvalue().encode()
    binary = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), binary)
    return binary.getvalue()


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "parquet"])
@settings(max_examples=60)
@given(rows=good_rows)
def test_hostile_text_is_read_as_it_was_written(tmp_path_factory, form, rows):
    # Mutation: lines split by str.splitlines (U+2028, U+0085), newline=None in csv_rows (CR becomes LF).
    rows = [row(0), *rows, row(1)]
    file = tmp_path_factory.mktemp("hostile") / f"a.{form}"
    file.write_bytes(written(rows, form))
    records, bad = split(Source(path=str(file)))
    assert bad == []
    assert [{"instruction": one.instruction, "input": one.input, "output": one.output} for one in records] == rows


@pytest.mark.parametrize("form", ["jsonl", "json", "csv", "parquet"])
def test_a_field_of_a_million_characters_is_a_good_row(tmp_path, form):
    # Mutation: csv.field_size_limit left at its 131,072 characters.
    rows = [row(0), row(1, input="β" * 1_000_000), row(2, input='<0x41></s>"\n' * 100_000), row(3)]
    (tmp_path / f"a.{form}").write_bytes(written(rows, form))
    records, bad = split(Source(path=str(tmp_path / f"a.{form}")))
    assert [one.input for one in records] == [one["input"] for one in rows]
    assert bad == []


@pytest.mark.parametrize("form", ["jsonl", "json"])
def test_ten_thousand_levels_cost_their_own_row_at_most(tmp_path, form):
    # Mutation: RecursionError not caught in line_rows or array_rows. (Some Pythons read such a row; then it is good.)
    texts = [json.dumps(row(0)), DEEP, json.dumps(row(1)), DEEP[:9000], json.dumps(row(2))]
    content = "\n".join(texts) if form == "jsonl" else "[" + ",\n".join(texts) + "]"
    (tmp_path / f"a.{form}").write_text(content)
    records, bad = split(Source(path=str(tmp_path / f"a.{form}")))
    assert [one.instruction for one in records if one.instruction != "deep"] == ["q0 β", "q1 β", "q2 β"]
    assert len(records) + len(bad) == 5


def test_a_parquet_value_that_python_cannot_hold_costs_its_row(tmp_path):
    # Mutation: OverflowError not caught in parquet_rows, which was a traceback.
    far = pa.array([1, 5_000_000, None], pa.date32())
    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"id": far, "instruction": ["a", "b", "c"], "output": ["a", "b", "c"]}), file)
    records, bad = split(Source(path=str(file)))
    assert [one.instruction for one in records] == ["c"]
    assert ["not text" in bad[0].reason, "a value that cannot be read" in bad[1].reason] == [True, True]


@settings(max_examples=150)
@given(st.sampled_from(["jsonl", "json", "csv", "parquet"]), st.data())
def test_a_good_file_with_some_bytes_changed(tmp_path_factory, form, data):
    # Mutation: ValueError not caught in parquet_rows: a damaged name of a column is an error without the file's name.
    content = bytearray(written([row(place) for place in range(20)], form))
    places = st.integers(0, len(content) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=8)):
        content[place] = byte
    file = tmp_path_factory.mktemp("changed") / f"a.{form}"
    file.write_bytes(content[: data.draw(places) if data.draw(st.booleans()) else None])
    try:
        found = list(read(Source(path=str(file))))
    except ValueError as error:
        assert str(error).startswith(f"{file}: ")  # noqa: PT017
    else:
        assert found


TINY = tokenizer.load("tiny")


@settings(max_examples=30)
@given(rows=good_rows.filter(bool), over_length=st.sampled_from(["drop", "truncate_input"]), packing=st.booleans())
def test_every_record_is_packed_or_reported(rows, over_length, packing):
    # Mutation: a Refused record not put into `dropped`.
    records = [Record(f"r{place}", **one) for place, one in enumerate(rows)]
    records += [Record("lone", "q", "", "\ud800"), Record("history", "q", "", "a", history=(("u", "a"),))]
    form = template("alpaca", TINY)
    built = build(records, form, TINY, length=128, packing=packing, over_length=over_length)
    report = built.report
    assert report["examples"] + sum(one["count"] for one in report["dropped"].values()) == len(records)
    assert {"lone", "history"} <= {name for one in report["dropped"].values() for name in one["ids"]}
    ends = (built.rows.tokens == TINY.eos_token_id) & (built.rows.segments > 0)
    assert ends.sum() == report["examples"]  # no text became the end of an answer


def test_a_million_characters_in_the_packer():
    # Mutation: shorten_input tries every length: a million encodings.
    records = [
        Record("a", "q", "β" * 100_000, "a"),
        Record("b", "q", "</s><0x41>" * 10_000, "a"),
        Record("c", "q", "", "x" * 1_000_000),
        Record("d", "q", "", "a"),
    ]
    form = template("alpaca", TINY)
    report = build(records, form, TINY, length=256, packing=True, over_length="truncate_input").report
    assert report["truncated"]["ids"] == ["a", "b"]
    assert [one["ids"] for one in report["dropped"].values()] == [["c"]]
    assert report["examples"] == 3


# -------------------------------------------------------------------- files that change while they are read


@pytest.fixture(params=["local", "bucket"])
def folder(request, tmp_path) -> UPath:
    return UPath(tmp_path) if request.param == "local" else UPath(f"memory://changing/{tmp_path.name}")


def _after_five_rows(monkeypatch, do) -> None:
    """The real reader, and something that is done behind the back of the mixture after its fifth row."""

    def reading(source: Source):
        for place, one in enumerate(read(source)):
            yield one
            if place == 4:
                do()

    monkeypatch.setattr(mixture, "read", reading)


def _same_size(file: UPath) -> None:
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(bytes(content))


CHANGES = {
    "a line more": lambda file: file.write_bytes(file.read_bytes() + b'{"instruction": "late", "output": "a"}\n'),
    "the same size": _same_size,
    "cut off": lambda file: file.write_bytes(file.read_bytes()[:100]),
    "empty": lambda file: file.write_bytes(b""),
    "gone": lambda file: file.unlink(),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz"])
def test_a_file_that_changes_while_it_is_read_is_refused(folder, monkeypatch, name, change):
    # Mutations: the digest taken after reading alone, as it was; size and time compared instead of bytes ("the same
    # size" with its old time); the error of the reader itself ("cut off" in Parquet or gzip) shown instead.
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    content = written([row(place) for place in range(100)], name.removesuffix(".gz").split(".")[1])
    file.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)

    def do() -> None:
        CHANGES[change](file)
        if file.protocol == "" and file.exists():
            os.utime(str(file), ns=times)

    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns) if file.protocol == "" else ()
    _after_five_rows(monkeypatch, do)
    with pytest.raises(ValueError, match=r"changed while it was read|now no longer") as caught:
        mix([Source(path=str(file))], seed=0, on_bad_row="report")
    assert str(caught.value).startswith(f"{file}: ")
    assert "wait until nothing writes there, or give a copy" in str(caught.value)


def test_a_folder_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch):
    # Mutation: a digest of the files that were there before alone.
    (tmp_path / "train-0.jsonl").write_bytes(written([row(place) for place in range(9)], "jsonl"))
    added = tmp_path / "train-1.jsonl"
    _after_five_rows(monkeypatch, lambda: added.write_bytes(written([row(9)], "jsonl")))
    with pytest.raises(ValueError, match=r"train-1\.jsonl: the file changed .*no such file before"):
        mix([Source(path=str(tmp_path))], seed=0, on_bad_row="report")


def test_a_file_that_is_only_touched_or_not_at_all_is_read(folder, monkeypatch):
    # Mutation: times compared beside the bytes.
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "a.jsonl"
    content = written([row(place) for place in range(9)], "jsonl")
    file.write_bytes(content)
    _after_five_rows(monkeypatch, lambda: file.write_bytes(content))
    mixed = mix([Source(path=str(file))], seed=0, on_bad_row="raise")
    assert len(mixed.records) == 9
    assert mixed.sources[0]["sha256"] == hashlib.sha256(content).hexdigest()
    with pytest.raises(ValueError, match="nothing else"), unchanged(Source(path=str(file))):
        raise ValueError("nothing else")  # an error of the reading stays what it is where nothing changed


def test_a_writer_at_work_is_noticed(tmp_path):
    # The same with nothing patched: another thread appends lines as fast as it can while 50,000 are read.
    file = tmp_path / "a.jsonl"
    file.write_bytes(written([row(place) for place in range(50_000)], "jsonl"))
    done = threading.Event()

    def write() -> None:
        with file.open("ab") as stream:
            while not done.wait(0.001):
                stream.write(b'{"instruction": "late", "output": "a"}\n')
                stream.flush()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with pytest.raises(ValueError, match="changed while it was read"):
            mix([Source(path=str(file))], seed=0, on_bad_row="report")
    finally:
        done.set()
        writer.join()
