import shutil

import pytest

from bioinstruct_jax import files
from bioinstruct_jax.data.output import folder
from bioinstruct_jax.data.output.check import check
from bioinstruct_jax.data.output.errors import OutputError
from bioinstruct_jax.data.sample import Sample

ROWS = [Sample(f"t/train/{n}", "open", "Do.", "x", f"out {n}", "GEN", "t", "note", "train", "", 0) for n in range(5)]


@pytest.fixture
def written(tmp_path):
    with folder.writing(tmp_path / "set", form="alpaca", rows_per_shard=2) as output:
        for row in ROWS:
            output.add(row)
    assert check(files.path(tmp_path / "set")) == output.finished
    return tmp_path / "set"


def test_a_flipped_byte_a_cut_and_a_missing_shard_are_named(written):
    # Mutations: sizes alone are compared; FileNotFoundError is not caught; only the first problem is told.
    content = (written / "train-00000.jsonl").read_bytes()
    (written / "train-00000.jsonl").write_bytes(content.replace(b"out 0", b"out 9"))
    (written / "train-00001.jsonl").write_bytes(b"")
    (written / "train-00002.jsonl").unlink()
    with pytest.raises(OutputError) as caught:
        check(files.path(written))
    said = str(caught.value)
    assert str(written) in said
    assert "train-00000.jsonl has other bytes" in said
    assert "train-00001.jsonl has 0 bytes, of " in said
    assert "train-00002.jsonl is missing" in said


def test_a_shard_too_many_is_named_and_notes_are_not(written):
    (written / "notes.txt").write_text("mine")
    check(files.path(written))
    shutil.copy(written / "train-00000.jsonl", written / "train-00003.jsonl")
    with pytest.raises(OutputError, match=r"train-00003\.jsonl is not in index\.json"):
        check(files.path(written))


def test_nothing_there(tmp_path):
    for place in (tmp_path, tmp_path / "gone", "memory://gone"):
        with pytest.raises(OutputError, match=r"no index\.json"):
            check(files.path(place))
