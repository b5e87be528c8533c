"""Run folders and checkpoints in a bucket, through its real clients and a stand-in that loses, cuts and refuses."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import fsspec.config
import jax
import numpy as np
import pytest
from upath import UPath

from bioinstruct_jax import files, train
from bioinstruct_jax.data.output.check import check
from bioinstruct_jax.data.output.errors import OutputError
from bioinstruct_jax.run_folder import open_run
from bioinstruct_jax.training.checkpoint import Checkpoints, SaveError
from bioinstruct_jax.training.manifest import MANIFEST
from bioinstruct_jax.training.metrics import Rows, read_rows
from tests.object_store import ObjectStore
from tests.outputs import CARD, ROW, contents, many, put, stop
from tests.small import after, job
from tests.tiny_run import write

WEIGHTS = "adapter/adapter_model.safetensors"


@pytest.fixture(scope="module")
def bucket():
    """One for the module: tensorstore reads its address once a process. A missing gcsfs is a fault, not a skip."""
    with ObjectStore() as store, pytest.MonkeyPatch.context() as patch:
        for name, value in store.environment.items():
            patch.setenv(name, value)
        patch.setitem(fsspec.config.conf["gs"], "token", "anon")  # fsspec read the environment when it was imported
        fsspec.get_filesystem_class("gs").clear_instance_cache()  # one that another test made asks the real cloud
        yield store


@pytest.fixture
def store(bucket):
    """Without objects and faults."""
    bucket.objects, bucket.requests, bucket.refused = {}, [], []
    bucket.busy, bucket.cut, bucket.full, bucket.on_upload = 0, 0, None, lambda name: None
    return bucket


# -------------------------------------------------------------------- files


def test_what_others_write_and_lose_is_seen_at_once(store):
    # Mutation: fsspec's cache of listings left on (use_listings_cache): b is not seen, then a still is.
    folder = files.path("gs://bucket/runs")
    files.write_text(folder / "a", "one")
    assert [file.name for file in folder.iterdir()] == ["a"]
    store.put("bucket/runs/b", b"two")
    assert [file.name for file in folder.iterdir()] == ["a", "b"]
    assert (folder / "b").stat().st_size == 3
    store.put("bucket/runs/b", b"three")
    assert (folder / "b").stat().st_size == 5
    store.drop("bucket/runs/a")
    assert not (folder / "a").exists()
    assert folder.fs.find(folder.path) == ["bucket/runs/b"]


@pytest.mark.parametrize("form", ["alpaca", "hub"])
def test_prepared_rows_in_a_bucket_are_those_of_a_folder(store, tmp_path, form):
    # Mutation: claim.contents with iterdir: the shards of an unfinished hub folder stay, and are told as strange.
    card = CARD if form == "hub" else None
    with pytest.raises(ZeroDivisionError):
        stop("gs://bucket/rows", ROW, form=form, card=card)
    assert "bucket/rows/index.json" not in store.objects
    written = put("gs://bucket/rows", many(17), form, rows_per_shard=2)
    assert written == put(tmp_path, many(17), form, rows_per_shard=2) == check(files.path("gs://bucket/rows"))
    assert {f"bucket/rows/{name}" for name in contents(tmp_path)} == set(store.objects)
    store.full = 403
    with pytest.raises(OutputError, match=r"gs://bucket/other: cannot be written .*Forbidden"):
        put("gs://bucket/other", many(3), form)


def test_many_objects_are_listed_page_by_page_and_removed(store):
    # Objects of each size: empty, small, and in several parts of a resumable upload.
    folder = files.path("gs://bucket/many")
    for number in range(12):
        (folder / "sub" / f"{number:02}").write_bytes(b"x" * number)
    large = np.random.default_rng(0).bytes(12_000_000)
    with (folder / "large").open("wb") as stream:
        for start in range(0, len(large), 1_000_000):
            stream.write(large[start : start + 1_000_000])
    assert store.objects["bucket/many/large"][0] == large == (folder / "large").read_bytes()
    with files.open_bytes(folder / "large") as stream:
        stream.seek(-5, os.SEEK_END)
        assert stream.read() == large[-5:]
    assert [file.stat().st_size for file in sorted((folder / "sub").iterdir())] == list(range(12))
    folder.fs.rm(folder.path, recursive=True)
    assert not store.objects


def test_gcs_is_another_name_of_gs():
    # orbax takes gcs://bucket for a folder on the local disk. Mutation: the name left as it is.
    assert str(files.path("gcs://bucket/runs")) == "gs://bucket/runs"


def test_a_bucket_that_is_not_there_is_named_and_not_made(store, tmp_path, capsys):
    # Mutation: folder.mkdir() instead of make_folder: the client asks for a new bucket of that name.
    assert train.main([str(write(tmp_path, runs_dir="gs://buckket/runs"))]) == 2
    assert (
        "runs_dir 'gs://buckket/runs': the run folder gs://buckket/runs/run cannot be made" in capsys.readouterr().err
    )
    assert not store.refused


def test_whose_folder_it_is_is_told_in_a_bucket_too(store):
    # Mutation: the objects of a prefix not listed: another's are taken for a new folder. Or the empty object that
    # consoles make for a folder taken for a file in it.
    files.write_text(files.path("gs://bucket/runs/small/report.html"), "mine")
    there = replace(job(), runs_dir="gs://bucket/runs")
    with pytest.raises(ValueError, match="gs://bucket/runs/small is no run and not empty: nothing is overwritten"):
        open_run(there)
    assert store.names() == ["bucket/runs/small/report.html"]
    store.drop("bucket/runs/small/report.html")
    store.put("bucket/runs/small/", b"")
    for _ in range(2):
        open_run(there)
        assert store.names("bucket/runs/small/c") == ["bucket/runs/small/config.yaml"]


def test_an_error_of_the_bucket_ends_without_a_traceback(store, tmp_path, capsys, monkeypatch):
    from gcsfs.retry import HttpError

    def busy(*_: object, **__: object) -> None:
        raise HttpError({"code": 429, "message": "rateLimitExceeded"})

    monkeypatch.setattr(UPath, "write_text", busy)
    assert train.main([str(write(tmp_path, runs_dir="gs://bucket/runs"))]) == 4
    assert "a bucket cannot be used: HttpError: rateLimitExceeded, 429" in capsys.readouterr().err


def test_rows_are_kept_until_the_bucket_takes_them(store, monkeypatch):
    # Mutation: the upload of each minute may raise in the middle of training.
    monkeypatch.setattr("bioinstruct_jax.training.metrics._BETWEEN_UPLOADS", -1.0)
    file = files.path("gs://bucket/rows.jsonl")
    rows = Rows(file)
    store.full = 403
    rows.write(1, {})
    with pytest.raises(OSError, match="Forbidden"):
        rows.flush()
    store.full = None
    rows.write(2, {})
    assert [row["step"] for row in read_rows(file)] == [1, 2]


# -------------------------------------------------------------------- checkpoints


@pytest.fixture
def opened(store, this, said):
    """(options) -> Checkpoints of one folder in the bucket, under the mesh of `this`."""

    def make(**options) -> Checkpoints:
        return Checkpoints(files.path("gs://bucket/checkpoints"), 2, {}, say=said.append, **options)

    with jax.set_mesh(this.mesh):
        yield make


def _save(checkpoints: Checkpoints, this, *steps: int, **options) -> None:
    for step in steps:
        checkpoints.save(step, after(this, step), **options)
        checkpoints.wait()


def _steps(store) -> set[str]:
    return {name.split("/")[2] for name in store.names("bucket/checkpoints/")}


def test_a_state_comes_back_and_the_newest_are_kept(store, opened, this):
    # Mutation: orbax's default, which renames a temporary folder: rewriteTo is refused.
    with opened() as checkpoints:
        assert checkpoints.restore(this.now) is None
        _save(checkpoints, this, 1, 2, 3)
    assert _steps(store) == {"2", "3"}
    with opened() as checkpoints:
        found = checkpoints.restore(this.now)
    for one, other in zip(jax.tree.leaves(found.trained), jax.tree.leaves(this.now.trained), strict=True):
        np.testing.assert_array_equal(np.array(one), np.array(other))
    assert int(found.step) == 3
    assert not store.refused


def test_any_object_lost_or_torn_is_known(store, opened, this, said):
    # Mutations: sizes compared without hashes; a removal that fails where only the manifest was left.
    with opened() as checkpoints:
        _save(checkpoints, this, 1, 2)
    sound = dict(store.objects)
    names = store.names("bucket/checkpoints/2/")
    assert len(names) > 8
    with opened() as checkpoints:
        for name in names[::4]:  # the manifest is the first; on disk, each file is tried
            store.drop(name)
            assert int(checkpoints.restore(this.now).step) == 1, name
            store.put(name, sound[name][0][:-1] + b"?")
            assert int(checkpoints.restore(this.now).step) == 1, name
            assert "checkpoint of step 2 in gs://bucket/checkpoints cannot be used" in said[-1]
            store.objects = dict(sound)
        assert int(checkpoints.restore(this.now).step) == 2
        for name in names:
            if not name.endswith(MANIFEST):
                store.drop(name)
        _save(checkpoints, this, 2)
        assert int(checkpoints.restore(this.now).step) == 2


def test_a_bucket_that_cannot_be_read_is_not_taken_for_a_damaged_one(opened, this, said, monkeypatch):
    # Names may be listed, contents not be read. Mutation: every OSError is damage: the run would begin again from
    # nothing and write over what is there.
    with opened() as checkpoints:
        _save(checkpoints, this, 1)
        client = type(checkpoints.folder.fs)
        request = client._request

        async def forbidden(self, method: str, path: str, *args, **options):
            if "/download/" in path:
                raise OSError(f"Forbidden: {path}")
            return await request(self, method, path, *args, **options)

        monkeypatch.setattr(client, "_request", forbidden)
        with pytest.raises(OSError, match="Forbidden"):
            checkpoints.restore(this.now)
        monkeypatch.undo()
        assert not said
        assert int(checkpoints.restore(this.now).step) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an event loop of orbax, closed early
@pytest.mark.parametrize("where", ["state", MANIFEST, "metrics"])
def test_a_bucket_that_takes_nothing_is_tolerated_so_many_times(store, opened, this, said, where):
    # Refused from the first byte of a checkpoint, from its manifest, or from the metrics before it. Mutation: what a
    # checkpoint must not be ahead of is written outside `save`, and its failure ends the run; no `_drain`: one refused
    # save is told twice.
    def refuse(name: str) -> None:
        if where in name:
            store.full = 403

    rows = Rows(files.path("gs://bucket/metrics.jsonl"))
    with opened(failures=1) as checkpoints:
        _save(checkpoints, this, 1)
        store.on_upload = refuse
        rows.write(2, {})
        store.full = 403 if where == "metrics" else None
        _save(checkpoints, this, 2, before=rows.flush)
        assert "step 2 could not be written to gs://bucket/checkpoints" in said[0]
        assert "0 more in a row" in said[0]
        with pytest.raises(SaveError, match="step 3 could not be written"):
            _save(checkpoints, this, 3, before=rows.flush)
        store.full, store.on_upload = None, lambda name: None
        assert int(checkpoints.restore(this.now).step) == 1
        _save(checkpoints, this, 2, before=rows.flush)
        assert int(checkpoints.restore(this.now).step) == 2
    rows.close()


# -------------------------------------------------------------------- whole runs, as a user starts them


def _start(file: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "bioinstruct_jax.train", str(file)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _ends(process: subprocess.Popen, code: int) -> str:
    """What it said, when it has ended with that code."""
    try:
        said = process.communicate(timeout=240)[0]
    finally:
        process.kill()
    assert process.returncode == code, said
    return said


def _same(store: ObjectStore, finished: Path) -> None:
    for name in ("metrics.jsonl", WEIGHTS):
        assert store.objects[f"bucket/runs/run/{name}"][0] == (finished / name).read_bytes(), name
    assert "bucket/runs/run/finished.json" in store.objects
    assert not store.refused


@pytest.mark.slow
def test_a_run_in_a_bucket_that_hiccups_is_the_local_run(store, finished, tmp_path):
    # 503 after each fortieth upload, and uploads cut in the middle, of tensorstore's and of gcsfs's. Not a mutation of
    # ours: both clients try again, and what they sent is what is there.
    count = 0

    def hiccup(name: str) -> None:
        nonlocal count
        count += 1
        store.busy += count % 40 == 0
        store.cut += name.endswith(("_METADATA", "4/state/ocdbt.process_0/manifest.ocdbt", "adapter_config.json"))

    store.on_upload = hiccup
    _ends(_start(write(tmp_path, runs_dir="gs://bucket/runs")), 0)
    _same(store, finished)


@pytest.mark.slow
def test_a_run_killed_in_a_save_goes_on_though_the_checkpoint_before_is_torn(store, finished, tmp_path):
    # Mutations: the manifest written before orbax has finished; a checkpoint used although an object of it is lost.
    file, arrived = write(tmp_path, runs_dir="gs://bucket/runs"), []

    def kill(name: str) -> None:
        if "/checkpoints/6/" in name:
            arrived.append(name)
            if len(arrived) == 4:
                process.kill()

    store.on_upload = kill
    process = _start(file)
    _ends(process, -signal.SIGKILL)
    assert store.names("bucket/runs/run/checkpoints/6/")
    assert f"bucket/runs/run/checkpoints/6/{MANIFEST}" not in store.objects
    store.drop(store.names("bucket/runs/run/checkpoints/4/state/d/")[0])
    said = _ends(_start(file), 0)
    assert (
        "the checkpoint of step 6 in gs://bucket/runs/run/checkpoints cannot be used: ValueError: it was never" in said
    )
    assert "the checkpoint of step 4 in gs://bucket/runs/run/checkpoints cannot be used: ValueError: state/d/" in said
    assert "going on from step 2" in said
    _same(store, finished)


@pytest.mark.slow
def test_a_run_in_a_bucket_that_takes_nothing_ends_with_its_own_code(store, finished, tmp_path):
    # Mutations: the metrics that cannot be written end the run at once, with code 2, or hide what ended it; orbax and
    # its threads print what they make of it.
    file = write(tmp_path, runs_dir="gs://bucket/runs", training={"save_failures": 1, "checkpoint_every": 1})

    def refuse(name: str) -> None:
        if "/checkpoints/3/" in name:
            store.full = 403

    store.on_upload = refuse
    said = _ends(_start(file), 4)
    assert "the checkpoint of step 3 could not be written to gs://bucket/runs/run/checkpoints" in said
    assert "The run goes on; 0 more in a row are tolerated (training.save_failures)" in said
    assert "Traceback" not in said, said
    assert said.splitlines()[-1].startswith("error: the checkpoint of step 4 could not be written"), said
    store.full, store.on_upload = None, lambda name: None
    assert "going on from step 2" in _ends(_start(file), 0)
    _same(store, finished)
