"""The formats that publishers use, read strictly."""

import io
import json
import zipfile

import pytest
from upath import UPath

from bioinstruct_jax.tasks import reading
from bioinstruct_jax.tasks.task import CorpusError


def write(folder, name: str, data: bytes) -> UPath:
    (folder / name).write_bytes(data)
    return UPath(folder / name)


def test_lines_end_with_lf_or_crlf_and_nothing_else(tmp_path):
    # Mutation: str.splitlines, which ends a line at U+2028 too.
    file = write(tmp_path, "a.txt", "\ufeffone\r\ntw\u2028o\n\nlast".encode())
    assert list(reading.lines(file)) == [(1, "one"), (2, "tw\u2028o"), (3, ""), (4, "last")]


@pytest.mark.parametrize("reader", [reading.lines, lambda file: reading.tab_rows(file, ("a",)), reading.json_objects])
def test_another_encoding_is_named_by_line(tmp_path, reader):
    # Mutation: errors="replace".
    file = write(tmp_path, "a.jsonl", b'{"a": "one"}\n{"a": "caf\xe9"}\n')
    with pytest.raises(CorpusError, match=r"a\.jsonl, line 2: .*UTF-8"):
        list(reader(file))


def test_quotes_mean_nothing_between_tabs(tmp_path):
    file = write(tmp_path, "a.tsv", b'"so\tcalled"\n\n')
    assert [(row.line, dict(row.values)) for row in reading.tab_rows(file, ("a", "b"))] == [
        (1, {"a": '"so', "b": 'called"'})
    ]


def test_a_message_shows_short_values_only():
    # Mutation: repr of any value.
    assert reading.shown("maybe") == "'maybe'"
    assert reading.shown("the patient") == "a text of length 11"
    assert reading.shown("x" * 25) == "a text of length 25"
    assert reading.shown(["the patient"]) == "a list"
    assert (reading.shown(None), reading.shown(2.5), reading.shown(True)) == ("null", "2.5", "true")


def test_a_tree_of_json_is_one_object(tmp_path):
    assert reading.json_tree(write(tmp_path, "a.json", b'\xef\xbb\xbf{"a": 1}')) == {"a": 1}
    for data, message in (
        (b'{"a":\n\xff}', "line 2: not UTF-8"),
        (b'{"a":\n}', "line 2: broken JSON"),
        (b"[1]", "line 1: a list where an object should be"),
        (b'{"a":' + b"[" * 200_000, "nested too deeply"),
    ):
        with pytest.raises(CorpusError, match=message):
            reading.json_tree(write(tmp_path, "b.json", data))


def test_xml_knows_its_lines_and_joins_its_text(tmp_path):
    file = write(
        tmp_path, "a.xml", b'<r xmlns:n="m">\n<n:a k="v">one &amp; <b/>two<![CDATA[ <3]]></n:a>\n<c><a/></c></r>'
    )
    first, second = reading.xml(file).all("a")
    assert (first.line, first.attributes, first.text) == (2, {"k": "v"}, "one & two <3")
    assert second.line == 3


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE r [<!ENTITY e "text">]>',
        '<!DOCTYPE r [<!ENTITY e SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE r [<!ENTITY % e SYSTEM "http://127.0.0.1:9/e.dtd"> %e;]>',
        '<!DOCTYPE r SYSTEM "outside.dtd">',
    ],
)
def test_xml_reads_nothing_from_outside_and_expands_nothing(tmp_path, head):
    # Mutations: no EntityDeclHandler; no SkippedEntityHandler.
    write(tmp_path, "outside.dtd", b'<!ENTITY e "from outside">')
    file = write(tmp_path, "a.xml", f"{head}\n<r>&e;</r>".encode())
    with pytest.raises(CorpusError, match=r"entities are declared or missing|undefined entity"):
        reading.xml(file)


def test_a_sheet_that_unpacks_to_too_much_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "SHEET_BYTES", 1000)
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as book:
        book.writestr("xl/worksheets/sheet1.xml", " " * 1001)
    with pytest.raises(CorpusError, match=r"sheet1\.xml unpacks to 1001 bytes, more than 1000"):
        list(reading.sheet_rows(write(tmp_path, "a.xlsx", data.getvalue())))


def test_lines_of_a_tree_are_found_by_what_stands_on_them(tmp_path):
    file = write(tmp_path, "a.json", json.dumps({"10": {"id": "x"}, "20": {}}, indent=1).encode())
    assert reading.lines_of(file, r'"(\d+)"\s*:') == {"10": 2, "20": 5}
