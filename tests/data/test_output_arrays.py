"""ArrayRecord without TensorFlow, without a network, and silent."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bioinstruct_jax import files
from bioinstruct_jax.data.output.arrays import ArrayShard
from bioinstruct_jax.data.output.check import check
from bioinstruct_jax.data.output.errors import OutputError
from tests.outputs import ROW, contents, put

# In a process that has no TensorFlow and no JAX, and in which whoever asks for an address fails.
CODE = """
import importlib.util, json, socket, sys

class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        hidden = name.split(".")[0] in ("tensorflow", "jax", "torch")
        return None if hidden else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)

def refuse(*args, **kwargs):
    raise AssertionError("the network is asked")

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
assert importlib.util.find_spec("tensorflow") is None
socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = refuse
from tests.outputs import many, put
rows = many(7) + many(2, split="dev", labels=(), wording=0)
put(sys.argv[1], rows, "tfds", rows_per_shard=3)
if sys.argv[2:]:
    import tensorflow_datasets as tfds
    sources = [tfds.data_source("tiny", data_dir=sys.argv[1], split=split) for split in ("train", "validation")]
    builder = tfds.builder_from_directory(sys.argv[1] + "/tiny/1.0.0")
    assert [len(source) for source in sources] == [7, 2]
    assert list(builder.as_data_source(split="train")) == list(sources[0])
    def encoded(value):
        return value.encode() if isinstance(value, str) else [encoded(one) for one in value]
    want = [{name: getattr(row, name) for name in type(row).__slots__} for row in rows]
    want = [{name: value if name == "wording" else encoded(value) for name, value in row.items()} for row in want]
    found = [dict(row) | {"labels": list(row["labels"])} for source in sources for row in source]
    assert found == want, (found[0], want[0])
    assert builder.info.splits["train"].shard_lengths == [3, 3, 1]
    assert builder.info.citation == "" and "gad: CC0 (open)" in builder.info.redistribution_info.license
"""


def run(place, *more, seed):
    env = os.environ | {"PYTHONHASHSEED": seed}
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", CODE, str(place), *more], env=env, cwd=root, capture_output=True, text=True, timeout=300
    )


def test_tfds_reads_what_was_written_and_two_processes_write_the_same(tmp_path):
    # Mutations: no deterministic=True: the shards differ; {SHARD_X_OF_Y} in _NAME: no shard is found.
    first, second = run(tmp_path / "a", "read", seed="1"), run(tmp_path / "b", seed="2")
    assert (first.returncode, first.stdout, first.stderr) == (0, "", "")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    written = check(files.path(tmp_path / "a"))
    assert [shard.rows for shard in written.splits["train"]] == [3, 3, 1]
    assert {file.file for file in written.all_files()} == contents(tmp_path / "a").keys() - {"index.json"}
    info = json.loads((tmp_path / "a" / "tiny" / "1.0.0" / "dataset_info.json").read_text())
    assert info["fileFormat"] == "array_record"
    (tmp_path / "a" / "tiny" / "1.0.0" / "tiny-train.array_record-00001").unlink()
    with pytest.raises(OutputError, match=r"tiny-train\.array_record-00001 is missing"):
        check(files.path(tmp_path / "a"))


def test_a_system_without_array_record_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "array_record.python.array_record_module", None)
    with pytest.raises(OutputError, match="needs the package array-record"):
        put(tmp_path, [ROW], "tfds")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_system():
    shard = ArrayShard(files.path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012
        for _ in range(1000):
            shard.add(ROW)
        shard.close()
