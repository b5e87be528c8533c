import csv
import gzip
import io
import json
import os
import re

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.config import Source
from bioinstruct_jax.data.formats import format_of
from bioinstruct_jax.data.readers import digest, read
from bioinstruct_jax.data.records import BadRow, Record

ROWS = [
    {"instruction": "List the drugs.", "input": 'Aspirin 75 mg,\n"daily"; no statin.', "output": "Aspirin"},
    {"instruction": "Expand SOB.", "input": "", "output": "shortness of breath — dyspnoea"},
]
CHAT = [{"id": 4, "messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}]
garbage = st.one_of(
    st.binary(max_size=12),
    st.sampled_from(
        [
            b"{",
            b'"',
            b"]",
            b"}",
            b'{"instruction": "a',
            b"[[[[",
            b"\0",
            b"\xff",
            b"null",
            b'{"instruction":',
            b"[" * 3000,
        ]
    ),
)


@pytest.fixture(params=["local", "bucket"])
def put(request, tmp_path):
    """Writes a file and returns its path, on disk and in fsspec's in-memory bucket."""

    def write(name, content):
        if request.param == "local":
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content)
            return str(tmp_path / name)
        fsspec.filesystem("memory").pipe(f"/{tmp_path.name}/{name}", content)
        return f"memory://{tmp_path.name}/{name}"

    return write


def lines(rows, end="\n"):
    return "".join(json.dumps(row, ensure_ascii=False) + end for row in rows).encode()


def table(rows, **kwargs):
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), **kwargs)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def parquet(rows, **kwargs):
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), file, **kwargs)
    return file.getvalue()


def both(source):
    found = list(read(source))
    return [row for row in found if isinstance(row, Record)], [row for row in found if isinstance(row, BadRow)]


def texts(records):
    return [{"instruction": row.instruction, "input": row.input, "output": row.output} for row in records]


@pytest.mark.parametrize(
    ("name", "content", "form", "places"),
    [
        ("a.json", json.dumps(ROWS).encode(), "alpaca", [1, 1]),
        ("a.json", json.dumps(ROWS, indent=2).encode(), "alpaca", [2, 7]),
        ("a.json", b"\xef\xbb\xbf\r\n " + json.dumps(ROWS, indent=2).replace("\n", "\r\n").encode(), "alpaca", [3, 8]),
        ("a.jsonl", lines(ROWS), "alpaca", [1, 2]),
        ("a.jsonl", b"\xef\xbb\xbf" + lines(ROWS, "\r\n \r\n").rstrip(), "alpaca", [1, 3]),
        ("noname", lines(ROWS), "alpaca", [1, 2]),
        ("a.jsonl.gz", gzip.compress(lines(ROWS)), "alpaca", [1, 2]),
        ("a.csv", table(ROWS), "csv", [2, 4]),
        ("a.csv", b"\xef\xbb\xbf" + table(ROWS, lineterminator="\n", quoting=csv.QUOTE_ALL).rstrip(), "csv", [2, 4]),
        ("a.csv.gz", gzip.compress(table(ROWS)), "csv", [2, 4]),
        ("a.parquet", parquet(ROWS), "parquet", [1, 2]),
        ("noname", parquet(ROWS, row_group_size=1), "parquet", [1, 2]),
    ],
)
def test_the_same_rows_in_every_form(put, name, content, form, places):
    # Mutation: count csv lines by rows; no removeprefix(BOM): each fails here.
    source = Source(path=put(name, content))
    records, bad = both(source)
    assert format_of(source) == form
    assert texts(records) == ROWS
    assert bad == []
    assert [row.id for row in records] == [f"{name}:{place}" for place in places]


@pytest.mark.parametrize("name", ["chat.jsonl", "chat.json", "chat.parquet"])
def test_chat_is_told_from_alpaca(put, name):
    content = {"chat.jsonl": b"{broken\n" + lines(CHAT), "chat.json": json.dumps(CHAT).encode()}
    records, bad = both(Source(path=put(name, content.get(name, parquet(CHAT)))))
    assert [(row.id, row.instruction, row.output) for row in records] == [("4", "hi", "ho")]
    assert len(bad) == (name == "chat.jsonl")


@pytest.mark.parametrize("form", ["parquet", "json", "csv"])
def test_a_folder_in_hub_layout(put, form):
    content = {"parquet": parquet(ROWS), "json": lines(ROWS), "csv": table(ROWS)}[form]
    folder = put("set/README.md", b"---\nlicense: mit\n---\n").removesuffix("/README.md")
    put(f"set/data/train-00000-of-00001.{form}", content)
    put(f"set/data/test-00000-of-00001.{form}", content)
    source = Source(path=folder)
    records, bad = both(source)
    assert [row | {"input": row["input"] or ""} for row in texts(records)] == ROWS
    assert (bad, format_of(source), records[0].id) == ([], "hub", "set:1")
    before = digest(source)
    put(f"set/data/test-00000-of-00001.{form}", content + b"\n")
    assert digest(source) != before  # Mutation: digest of the README alone
    with pytest.raises(ValueError, match=r"set: datasets cannot read split 'dev'"):
        both(Source(path=folder, split="dev"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"instruction": "a", "outp', "broken JSON"),
        (b'["instruction"]', "a list, not an object"),
        (b"7", "the number 7, not an object"),
        (b"null", "null, not an object"),
        (b'{"instruction": "a", "input": "b"}', "missing field 'output'"),
        (b'{"instruction": "a", "output": 3}', "'output' is the number 3"),
        (b'{"instruction": "a", "output": null}', "'output' is null"),
        (b'{"instruction": "a", "output": " "}', "'output' is empty"),
        (b'{"instruction": "", "output": "b"}', "'instruction' is empty"),
        (b'{"instruction": "a\0", "output": "b"}', "NUL"),
        (b'{"instruction": "a\\u0000", "output": "b"}', "NUL"),
        (b'{"instruction": "caf\xe9", "output": "b"}', "invalid UTF-8"),
        (b'{"instruction": "\\ud800", "output": "b"}', "lone surrogate"),
        (b'{"instruction": "a", "output": "b", "id": NaN}', "'id' is the number nan"),
        (b'{"instruction": "a", "output": "b", "id": ' + b"1" * 5000 + b"}", "broken JSON"),
        (b"[" * 100_000, "a list|nested too deeply|broken JSON"),
        (b'{"instruction": ' * 50_000, "nested too deeply"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_a_bad_row_is_reported_and_its_neighbours_kept(put, name, line, reason):
    # Mutation: without RecursionError in the except; decode(errors="replace"); a `break` after a bad row.
    good = lines(ROWS).splitlines()
    if name == "a.jsonl":
        content = b"\n".join([good[0], line, good[1]])
    else:
        content = b"[" + b",\n".join([good[0], line, good[1]]) + b"]"
        if not line.startswith(b"{"):
            reason = "not an object"
    path = put(name, content)
    records, bad = both(Source(path=path))
    assert texts(records) == ROWS
    (row,) = bad
    assert (row.source, row.line) == (path, 2)
    assert re.search(reason, row.reason)
    assert row.text.isprintable()
    assert len(row.text) <= 2000


@pytest.mark.parametrize("cut", ["before the end", "in a row", "between rows"])
def test_a_truncated_array_keeps_what_is_whole(put, cut):
    whole = json.dumps([*ROWS, *ROWS], indent=1)
    content = {"before the end": whole[:-1], "in a row": whole[:-40], "between rows": whole[: whole.rindex("},") + 2]}
    records, bad = both(Source(path=put("a.json", content[cut].encode())))
    assert texts(records) == (ROWS * 2)[: 4 if cut == "before the end" else 3]
    assert [row.line for row in bad] == [{"before the end": 22, "in a row": 17, "between rows": 16}[cut]]


def test_missing_commas_and_text_after_an_array(put):
    # Mutation: search for the next object only after a comma: the second row is lost.
    first, second = (json.dumps(row) for row in ROWS)
    records, bad = both(Source(path=put("a.json", f'[{first}\n{{"instruction": "x"\n{second}\n] and more'.encode())))
    assert texts(records) == ROWS
    assert [row.line for row in bad] == [2, 4]


def test_a_bad_row_in_a_csv(put):
    # Mutation: strict=False: the open quote swallows the rest, silently. No `again`: the rows behind it are lost.
    content = b'instruction,output\r\n1,"a\nb"\r\n2\r\n3,"c\r\n4,d\r\n5,"e ""x"""\r\n6,\xff\r\n7,\r\n8,h,i\r\n9,k'
    records, bad = both(Source(path=put("a.csv", content)))
    assert [(row.instruction, row.output) for row in records] == [("1", "a\nb"), ("4", "d"), ("5", 'e "x"'), ("9", "k")]
    assert [row.id for row in records] == ["a.csv:2", "a.csv:6", "a.csv:7", "a.csv:11"]
    assert [(row.line, row.reason.split(":")[0]) for row in bad] == [
        (4, "1 fields, but the header has 2"),
        (5, "broken CSV"),
        (8, "invalid UTF-8"),
        (9, "'output' is empty"),
        (10, "3 fields, but the header has 2"),
    ]


def test_a_bad_row_in_a_parquet_file(put):
    # Mutation: without the except UnicodeDecodeError: the whole source falls.
    binary = pa.array([b"a", b"caf\xe9", None, b"d"])
    values = pa.StringArray.from_buffers(4, binary.buffers()[1], binary.buffers()[2], binary.buffers()[0])
    file = io.BytesIO()
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "instruction": values, "output": ["w", "x", "y", "z"]}), file)
    records, bad = both(Source(path=put("a.parquet", file.getvalue())))
    assert [(row.id, row.instruction) for row in records] == [("1", "a"), ("4", "d")]
    assert [(row.line, row.reason) for row in bad] == [(2, "invalid UTF-8"), (3, "'instruction' is null, not text")]


@settings(max_examples=150)
@given(content=st.binary(max_size=200) | st.lists(garbage, max_size=8).map(b"\n".join), name=st.sampled_from("abcdef"))
def test_random_bytes_end_in_rows_or_a_documented_error(tmp_path_factory, content, name):
    # Mutation: drop `except csv.Error`, or file.seek(0) in json_rows.
    name = {"a": "r.jsonl", "b": "r.json", "c": "r.csv", "d": "r.parquet", "e": "r.gz", "f": "r"}[name]
    file = tmp_path_factory.mktemp("random") / name
    file.write_bytes(content)
    seen = []
    try:
        seen.extend(read(Source(path=str(file))))
    except ValueError as error:
        assert str(error).startswith(f"{file}: ")  # noqa: PT017
    if name == "r.jsonl" and not content.startswith(
        (b"\xff\xfe", b"\xfe\xff", b"\x28\xb5\x2f\xfd", b"\x1f\x8b", b"PK")
    ):
        written = [line.removeprefix(b"\xef\xbb\xbf").strip() for line in content.split(b"\n")]
        assert len(seen) == sum(map(bool, written))


@settings(max_examples=150)
@given(
    st.lists(garbage.filter(lambda text: b"\n" not in text), min_size=1, max_size=6), st.sampled_from(["jsonl", "json"])
)
def test_good_rows_between_garbage_are_all_kept(tmp_path_factory, junk, name):
    # Mutation: treat any "]" as the end; decode a string as an element.
    good = [{"instruction": f"q{place}", "output": "a"} for place in range(len(junk) + 1)]
    parts = [lines(good[:1]).strip()]
    for text, row in zip(junk, good[1:], strict=True):
        parts += [text, lines([row]).strip()]
    file = tmp_path_factory.mktemp("junk") / f"a.{name}"
    file.write_bytes(b"\n".join(parts) if name == "jsonl" else b"[" + b",\n".join(parts) + b"]")
    records, bad = both(Source(path=str(file)))
    kept = [row.instruction for row in records if row.output == "a"]
    assert kept == [row["instruction"] for row in good]
    if name == "jsonl":
        assert len(records) + len(bad) == len(good) + sum(
            bool(text.removeprefix(b"\xef\xbb\xbf").strip()) for text in junk
        )


@settings(max_examples=100)
@given(st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=8), min_size=1, max_size=6))
def test_quoted_csv_rows_between_garbage_are_all_kept(tmp_path_factory, junk):
    content = '"instruction","output"\n'
    for place, text in enumerate(junk):
        content += f'{text}\n"q{place}","a"\n'
    file = tmp_path_factory.mktemp("junk") / "a.csv"
    file.write_text(content, encoding="utf-8", newline="")
    records, _ = both(Source(path=str(file)))
    kept = [row.instruction for row in records if row.output == "a" and row.instruction.startswith("q")]
    assert kept == [f"q{place}" for place in range(len(junk))]


@pytest.mark.parametrize(
    ("name", "content", "given", "message"),
    [
        ("a.jsonl", b"", {}, "no rows"),
        ("a.jsonl", b" \n\r\n", {}, "no rows"),
        ("a.json", b"[]", {}, "no rows"),
        ("a.csv", b"instruction,output\n", {}, "no rows"),
        ("a.jsonl", lines(ROWS).decode().encode("utf-16"), {}, "UTF-16"),
        ("a.jsonl", gzip.compress(lines(ROWS)), {}, "compressed"),
        ("a.jsonl.gz", lines(ROWS), {}, "cannot be read"),
        ("a.jsonl.gz", gzip.compress(lines(ROWS * 50))[:-20], {}, "cannot be read"),
        ("a.parquet", b"PAR1 and no more", {}, "not a readable Parquet"),
        ("a.txt", b"Take two tablets.", {}, "set format to one of alpaca, chat, csv, parquet, hub, seeds"),
        (
            "a.jsonl",
            b"{\n[]\n7\n8\n",
            {},
            "every row is bad.*line 1: broken JSON.*line 2.*line 3: the row is the number 7",
        ),
        (
            "a.jsonl",
            b'{"question": "a", "answer": "b"}',
            {},
            r"missing field 'instruction' \(found: 'question', 'answer'\)",
        ),
        ("a.csv", b"question,answer\na,b\n", {}, r"missing field 'instruction' \(found: 'question', 'answer'\)"),
        ("a.csv", b"output,output,instruction\n1,2,3\n", {}, "header names 'output' twice"),
        ("a.csv", b'"instruction,output\n1,2\n', {}, "header in line 1 is broken CSV"),
        (
            "a.jsonl",
            lines(ROWS),
            {"columns": {"category": "qtpye"}},
            "no row has a field 'qtpye'.*'instruction', 'input'",
        ),
        ("a.jsonl", lines(ROWS), {"format": "chat"}, "read as chat.*missing field 'messages'"),
        ("a.jsonl", lines(ROWS), {"format": "hub"}, "this is a file"),
    ],
)
def test_a_source_that_cannot_be_read_says_why(put, name, content, given, message):
    # Mutation: no count of records and bad rows at the end of _read: the empty ones pass. No `unseen`: qtpye passes.
    path = put(name, content)
    with pytest.raises(ValueError, match=message) as caught:
        both(Source(path=path, **given))
    assert str(caught.value).count(path) == 1


def test_nothing_there_is_told_apart_from_a_folder_and_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("gone.jsonl", "data/gone.jsonl", "memory://nowhere/x.jsonl", "data/gone.csv.gz", "./data/gone"):
        with pytest.raises(FileNotFoundError, match="no such file"):  # Mutation: no suffix condition in kind
            both(Source(path=path))
    with pytest.raises(ValueError, match="this is a folder; format csv reads a file"):
        both(Source(path=str(tmp_path), format="csv"))
    with pytest.raises(ValueError, match="unknown protocol 'florp'"):
        both(Source(path="florp://x/y.jsonl"))
    if hasattr(os, "mkfifo"):
        os.mkfifo("pipe")
        with pytest.raises(ValueError, match="neither a file nor a folder"):
            both(Source(path="pipe"))


def test_seed_tasks(put):
    instances = [{"instruction": f"i{place}", "input": "", "output": "o"} for place in (1, 2)]
    tasks = [
        {"id": "ext_001", "name": "n", "category": "extraction", "instances": instances},
        {"id": "ext_002", "category": "extraction", "instances": [instances[0], {"instruction": "i"}]},
        {"id": "ext_003", "instances": []},
    ]
    path = put("tasks/b.jsonl", lines(tasks))
    put("tasks/a.jsonl", lines([{"id": "gen_001", "category": "generation", "instances": instances[:1]}]))
    put("tasks/README.md", b"no task")
    assert format_of(Source(path=path)) == "seeds"
    folder = path.removesuffix("/b.jsonl")
    records, bad = both(Source(path=folder, format="seeds"))
    assert [row.id for row in records] == ["gen_001", "ext_001", "ext_001.2", "ext_002"]
    assert records[2] == Record("ext_001.2", "i2", "", "o", "extraction", folder)
    assert [(row.source, row.line) for row in bad] == [(path, 2), (path, 3)]
    assert bad[0].reason.startswith("instance 2: missing field 'output'")
    with pytest.raises(ValueError, match="columns mean nothing for seeds"):
        both(Source(path=path, columns={"input": "x"}))


def test_the_projects_own_seeds():
    source = Source(path="seeds", categories=("extraction",))
    records, bad = both(source)
    assert bad == []
    assert {row.category for row in records} <= {"extraction", "generation", "question_answering", "other"}
    assert len({row.id for row in records}) == len(records)
    assert len(digest(source)) == 64
    with pytest.raises(ValueError, match="does not fit the project's seeds"):
        both(Source(path="seeds", format="csv"))


def test_medquad(data_folder):
    columns = {"id": "id", "instruction": "question", "output": "answer", "category": "qtype"}
    records, bad = both(Source(path=str(data_folder / "medquad" / "medquad.jsonl"), columns=columns))
    assert (len(records), bad) == (16407, [])
    assert len({row.category for row in records}) > 10
