import json
import logging
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bioinstruct_jax.data import cache, rows
from bioinstruct_jax.data.cache import cached_rows, cached_tokenizer
from bioinstruct_jax.data.prompts import template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokenizer import fingerprint, train

TOKENIZER = train(["Is there fever? Not stated."], 300)
FORM = template("alpaca", TOKENIZER)
RECORDS = [Record(f"r{n}", "Is there fever?", f"Temperature 38.{n} C. " * (n % 3), "Yes.") for n in range(9)]


def made(folder) -> rows.Built:
    return cached_rows(RECORDS, FORM, TOKENIZER, length=400, packing=True, over_length="drop", cache_dir=str(folder))


def same(one: rows.Built, other: rows.Built) -> None:
    assert one.report == other.report
    for name in rows.DTYPES:
        np.testing.assert_array_equal(getattr(one.rows, name), getattr(other.rows, name))


@pytest.fixture
def no_build(monkeypatch):
    def forbid():
        monkeypatch.setattr(rows, "build", lambda *_, **__: pytest.fail("built again"))

    return forbid


def test_the_second_time_is_mapped_and_the_same(tmp_path, no_build):
    # Mutation: load returns None
    built = made(tmp_path)
    no_build()
    again = made(tmp_path)
    same(built, again)
    assert isinstance(again.rows.tokens, np.memmap)
    assert not again.rows.tokens.flags.writeable


def test_a_bucket_works_too(no_build):
    built = made("memory://rows")
    no_build()
    same(built, made("memory://rows"))


def entry(folder: Path) -> Path:
    (found,) = folder.iterdir()
    return found


def cut(folder: Path) -> None:
    file = next(entry(folder).glob("*/tokens.npy"))
    file.write_bytes(file.read_bytes()[:-40])


def flip(folder: Path) -> None:
    file = next(entry(folder).glob("*/weights.npy"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def lose(folder: Path) -> None:
    next(entry(folder).glob("*/segments.npy")).unlink()


def tear_manifest(folder: Path) -> None:
    file = entry(folder) / cache.MANIFEST
    file.write_text(file.read_text()[:100])


def lose_manifest(folder: Path) -> None:
    (entry(folder) / cache.MANIFEST).unlink()


def empty_manifest(folder: Path) -> None:
    (entry(folder) / cache.MANIFEST).write_text("[]")


def other_manifest(folder: Path) -> None:
    file = entry(folder) / cache.MANIFEST
    manifest = json.loads(file.read_text())
    manifest["report"]["fingerprint"] = "0" * 64
    file.write_text(json.dumps(manifest))


def other_shape(folder: Path) -> None:
    file = entry(folder) / cache.MANIFEST
    manifest = json.loads(file.read_text())
    manifest["shape"][0] += 1
    file.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "damage", [cut, flip, lose, tear_manifest, lose_manifest, empty_manifest, other_manifest, other_shape]
)
def test_damage_is_told_and_mended(damage, tmp_path, caplog, no_build):
    # Mutation: no hash compared; fingerprint of the manifest not compared
    built = made(tmp_path)
    damage(tmp_path)
    with caplog.at_level(logging.WARNING):
        same(built, made(tmp_path))
    assert "damaged" in caplog.text
    assert "building them again" in caplog.text
    no_build()
    same(built, made(tmp_path))


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        built = made(tmp_path / "file" / "cache")
    assert len(built.rows.tokens)
    assert "cannot be kept" in caplog.text


def test_a_failed_write_leaves_no_manifest_and_no_arrays(tmp_path, monkeypatch, caplog):
    def fail(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.files, "write_text", fail)
    assert len(made(tmp_path).rows.tokens)
    assert "No space left" in caplog.text
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_the_manifest_is_written_last(tmp_path, monkeypatch):
    # Mutation: manifest first
    seen = []
    write = cache.files.write_text
    monkeypatch.setattr(
        cache.files, "write_text", lambda file, text: (seen.extend(tmp_path.rglob("*.npy")), write(file, text))
    )
    made(tmp_path)
    assert len(seen) == 4


def test_a_reader_keeps_its_arrays_while_another_writes(tmp_path):
    # Mutation: arrays written to a fixed name
    built = made(tmp_path)
    mapped = made(tmp_path)
    cache.save(cache.files.path(str(tmp_path)) / built.report["fingerprint"], built)
    same(built, mapped)
    same(built, made(tmp_path))


def test_writers_at_the_same_time_do_no_harm(tmp_path, no_build):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=made, args=(tmp_path,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    built = rows.build(RECORDS, FORM, TOKENIZER, length=400, packing=True, over_length="drop")
    no_build()
    np.testing.assert_array_equal(made(tmp_path).rows.tokens, built.rows.tokens)


def test_the_same_bytes_whatever_the_hash_seed(tmp_path):
    # Mutation: build over list(set(records))
    script = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); import test_cache;"
        "built = test_cache.made(sys.argv[2]);"
        "print(built.report['fingerprint'], hashlib.sha256(built.rows.tokens.tobytes()).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script, str(Path(__file__).parent), str(tmp_path / seed)],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "77")
    }
    assert len(found) == 1


def test_a_trained_tokenizer_is_kept_and_mended(tmp_path, monkeypatch, caplog):
    texts = ["Is there fever?", "Not stated."]
    trained = cached_tokenizer(texts, 300, cache_dir=str(tmp_path))
    (file,) = tmp_path.iterdir()
    content = file.read_text()
    assert fingerprint(cached_tokenizer(texts, 301, cache_dir=str(tmp_path / "x"))) != ""
    with monkeypatch.context() as patch:
        patch.setattr(cache.tokenizer, "train", lambda *_: pytest.fail("trained again"))
        assert fingerprint(cached_tokenizer(texts, 300, cache_dir=str(tmp_path))) == fingerprint(trained)
    for damaged in (content[:-30], content.replace("fever", "cough"), "{}"):
        file.write_text(damaged)
        assert fingerprint(cached_tokenizer(texts, 300, cache_dir=str(tmp_path))) == fingerprint(trained)
        assert file.read_text() == content
    assert caplog.text.count("is damaged") >= 2
