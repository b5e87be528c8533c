import errno
import gzip
import hashlib
import io
import os
import sys

import pytest

from bioinstruct_jax import files


@pytest.fixture(params=["local", "bucket"])
def folder(request, tmp_path):
    return files.path(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")


def test_text_is_written_and_read_with_its_line_ends_alike_everywhere(folder):
    # Mutation: file.write_text(text) in write_text (CRLF on Windows), or no mkdir: the folder "deep" is missing.
    file = folder / "deep" / "note.txt"
    files.write_text(file, "37.5 °C\r\n38 °C\n")
    assert file.read_bytes() == "37.5 °C\r\n38 °C\n".encode()
    assert files.read_text(file) == "37.5 °C\r\n38 °C\n"


def test_digest_and_open_see_stored_and_decompressed_bytes(folder):
    # Mutation: open_bytes without compression: the second assertion fails.
    file = folder / "rows.jsonl.gz"
    stored = gzip.compress(b"one\ntwo", mtime=0)
    folder.mkdir(parents=True, exist_ok=True)
    file.write_bytes(stored)
    assert files.sha256(file) == hashlib.sha256(stored).hexdigest()
    with files.open_bytes(file) as stream:
        assert isinstance(stream, io.BufferedReader)
        assert list(stream) == [b"one\n", b"two"]


def test_home_is_expanded(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert files.path("~/runs") == files.path(tmp_path / "runs")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("a\0b", "NUL"),
        ("~nobody-of-this-name/x", "home folder"),
        ("florp://bucket/x", "unknown protocol 'florp'"),
    ],
)
def test_a_text_that_is_no_path_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        files.path(text)


def test_a_missing_package_is_named(monkeypatch):
    # Mutation: drop the get_filesystem_class call: UPath is made, and the ImportError comes at the first use.
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, "gs", raising=False)  # another test may have used it
    with pytest.raises(ValueError, match=r"pip install 'bioinstruct-jax\[gcs\]'"):
        files.path("gs://bucket/runs")


def test_bytes_that_are_not_utf8_name_the_file(tmp_path):
    file = files.path(tmp_path / "latin.txt")
    file.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"latin\.txt: not UTF-8 at byte 3"):
        files.read_text(file)


def test_a_folder_that_cannot_be_made_is_known_before_the_work(tmp_path, monkeypatch):
    # Mutation: rights alone looked at: root may write into /proc, where no folder can be made. Or the trial is left.
    (tmp_path / "file").touch()
    for name in ("", "new", "new/deep"):
        assert files.hindrance(files.path(tmp_path / name)) == ""
    assert files.hindrance(files.path("memory://anywhere")) == ""
    assert "is a file" in files.hindrance(files.path(tmp_path / "file/new"))
    assert [file.name for file in tmp_path.iterdir()] == ["file"]

    def refuse(**_: object) -> str:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert files.hindrance(files.path(tmp_path)) == ""
    assert files.hindrance(files.path(tmp_path / "new")) == "no folder can be made there (Read-only file system)"
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert files.hindrance(files.path(tmp_path / "new")) == f"nothing may be written in {tmp_path}"
