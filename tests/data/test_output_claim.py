"""Whose folder it is, and what a killed output leaves."""

import subprocess
import sys
from pathlib import Path

import pytest

from bioinstruct_jax import files
from bioinstruct_jax.data.output import claim, folder, index
from bioinstruct_jax.data.output.check import check
from bioinstruct_jax.data.output.errors import OutputError
from tests.outputs import ROW, contents, many, put, stop


def test_a_killed_output_has_no_index_and_is_done_again(tmp_path):
    # Mutation: no clear in claim: the fifth shard of the first stays.
    code = f"""
import os
from bioinstruct_jax.data.output import index
from tests.outputs import many, put
index.write = lambda *_: os._exit(9)
put({str(tmp_path)!r}, many(9, output="old"), rows_per_shard=2)
"""
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], timeout=120).returncode == 9
    assert "train-00004.jsonl" in contents(tmp_path)
    with pytest.raises(OutputError, match=r"no index\.json.*not to its end"):
        check(files.path(tmp_path))
    put(tmp_path, many(3), rows_per_shard=2)
    assert sorted(contents(tmp_path)) == ["index.json", "train-00000.jsonl", "train-00001.jsonl"]
    assert all(b"old" not in content for content in contents(tmp_path).values())


@pytest.mark.parametrize("form", folder.FORMS)
def test_the_index_is_written_once_and_last(tmp_path, form, monkeypatch):
    # Mutation: index.write at the beginning of _finish, or before _beside.
    seen = []

    def write(place, found, write=index.write):
        seen.append(contents(tmp_path))
        write(place, found)

    monkeypatch.setattr(index, "write", write)
    put(tmp_path, many(5), form, rows_per_shard=2)
    (before,), after = seen, contents(tmp_path)
    assert before.keys() - after.keys() == {claim.MARKER}
    assert after == {name: content for name, content in before.items() if name != claim.MARKER} | {
        "index.json": after["index.json"]
    }


@pytest.mark.parametrize(
    "torn", ["", '{"form": "alp', "{}", '{"form": "alpaca", "splits": {"train": [{}]}, "files": []}']
)
def test_a_torn_index_is_no_index(tmp_path, torn):
    put(tmp_path, many(2))
    (tmp_path / "index.json").write_text(torn)
    with pytest.raises(OutputError, match=r"index\.json: damaged"):
        check(files.path(tmp_path))
    (tmp_path / claim.MARKER).write_text("{}")
    put(tmp_path, many(1))
    assert check(files.path(tmp_path)).rows("train") == 1


def test_an_error_while_writing_leaves_it_unfinished(tmp_path):
    with pytest.raises(ZeroDivisionError):
        stop(tmp_path, ROW, form="parquet")
    assert "index.json" not in contents(tmp_path)
    put(tmp_path, many(2), "chat")
    assert sorted(contents(tmp_path)) == ["index.json", "train-00000.jsonl"]


@pytest.mark.parametrize(
    "name", ["notes.txt", "data/train-00000.parquet", ".git/HEAD", "README.md", "train-00000.jsonl"]
)
@pytest.mark.parametrize("place", ["local", "bucket"])
def test_what_is_not_ours_is_named_and_stays(tmp_path, name, place):
    # Mutation: `MARKER not in found` away: a data set of someone else, with names like ours, is removed.
    target = tmp_path if place == "local" else f"memory://{tmp_path.name}"
    files.write_text(files.path(target) / name, "mine")
    with pytest.raises(OutputError, match=f"{name} is in it and was not written here"):
        put(target, [ROW])
    assert claim.contents(files.path(target)) == [name]


def test_a_finished_output_stays_and_a_strange_file_in_an_unfinished_one_too(tmp_path):
    put(tmp_path, [ROW])
    before = contents(tmp_path)
    with pytest.raises(OutputError, match="a finished output is here already"):
        put(tmp_path, many(2))
    assert contents(tmp_path) == before
    (tmp_path / claim.MARKER).write_text("{}")  # killed between the index and its removal
    with pytest.raises(OutputError, match="a finished output is here already"):
        put(tmp_path, many(2))
    (tmp_path / "index.json").unlink()
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(OutputError, match=r"thesis\.tex is in it"):
        put(tmp_path, many(2))
    assert len(contents(tmp_path)) == 3
    with pytest.raises(OutputError, match="this is a file"):
        put(tmp_path / "thesis.tex", [ROW])
