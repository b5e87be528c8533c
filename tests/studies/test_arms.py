"""The files of arms: what `train` reads, what is told of them, and that they never change beneath a run."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from bioinstruct_jax.config import Source
from bioinstruct_jax.data.readers import read
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.files import path, sha256
from bioinstruct_jax.studies import arms, grid, pool
from tests.studies.small_study import rows, study
from tests.studies.test_pool import SECRET

QUIET = lambda line: None  # noqa: E731


def records(file: Path) -> list[Record]:
    return [one for one in read(Source(path=str(file), format="alpaca")) if isinstance(one, Record)]


def written(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((out / arms.ARMS).iterdir())}


def ran(out: Path, cell: grid.Cell, file: Path) -> None:
    """A run folder that says what it read, as `train` does."""
    run = out / "runs" / cell.name
    run.mkdir(parents=True)
    told = {"sources": [{"path": str(file), "sha256": sha256(path(file))}]}
    (run / "data.json").write_text(json.dumps(told))


def test_every_tuned_cell_has_a_file_of_rows_as_told(tmp_path):
    job = study(tmp_path, [*rows(), SECRET])
    made = arms.make(job, QUIET)
    by_file = {one.file: one for one in made}
    tuned = [cell for cell in grid.cells(job) if cell.kind == "tuned"]
    assert {f"arms/{arms.file(job, cell).name}" for cell in tuned} == set(by_file)
    for cell in tuned:
        file = arms.file(job, cell)
        one, found = by_file[f"arms/{file.name}"], records(file)
        assert (one.arm, one.size, one.rows, one.sha256) == (cell.arm, cell.size, len(found), sha256(path(file)))
        assert one.seed == (None if cell.size == "natural" else cell.seed)
        assert sum(count for count, _ in one.categories.values()) == one.rows
        assert sum(tokens for _, tokens in one.categories.values()) == one.target_tokens
        assert len({row.id for row in found}) == len(found)
    with pytest.raises(ValueError, match="small-base: a base is tuned on nothing"):
        arms.file(job, grid.cells(job)[0])


def test_rows_are_read_as_they_were(tmp_path):
    # Mutation: no licence in the file of an arm, so that `train` would show the row.
    job = study(
        tmp_path, [*rows(), {"id": "two", "instruction": "Say\u2028two\nlines: \u00e9.", "output": " Fever. "}, SECRET]
    )
    arms.make(job, QUIET)
    given = records(Path(job.pool[0].path))
    assert [replace(one, source="") for one in records(Path(job.out) / "arms" / "all-natural.jsonl")] == [
        replace(one, source="") for one in given
    ]
    assert given[-1].restricted
    assert "Mrs Example" not in (Path(job.out) / "arms" / "arms.json").read_text()
    assert arms.read(Path(job.out))[0][0].categories[pool.RESTRICTED][0] == 1


def test_matched_arms_are_matched_and_shares_nested(tmp_path):
    job = study(tmp_path)
    made = arms.make(job, QUIET)
    matched = [one for one in made if one.size == "matched"]
    assert len(matched) == 3 * 3
    assert len({one.rows for one in matched}) == 1
    sums = [one.target_tokens for one in matched]
    assert max(sums) - min(sums) <= job.match.tolerance * sum(sums) / len(sums)
    for seed in job.seeds:
        names = [f"all-{share}-s{seed}.jsonl" for share in ("0.01", "0.25", "0.5")] + ["all-natural.jsonl"]
        parts = [{one.id for one in records(Path(job.out) / "arms" / name)} for name in names]
        assert [len(one) for one in parts] == [1, 6, 12, 24]
        assert all(small < large for small, large in pairwise(parts))


def test_the_same_again_writes_nothing_and_reads_the_same(tmp_path, monkeypatch):
    job = study(tmp_path)
    made = arms.make(job, QUIET)
    before = written(Path(job.out))
    assert arms.read(Path(job.out)) == (made, {})
    monkeypatch.setattr(arms, "_write", None)
    monkeypatch.setattr(pool, "read", None)
    assert arms.make(job, QUIET) == made
    assert written(Path(job.out)) == before


@pytest.mark.parametrize("lost", ["arms.json", "QA-natural.jsonl"])
def test_what_was_lost_or_torn_is_made_again_with_the_same_bytes(tmp_path, lost):
    job = study(tmp_path)
    arms.make(job, QUIET)
    out = Path(job.out)
    before = written(out)
    for cell in grid.cells(job):
        if cell.kind == "tuned":
            ran(out, cell, arms.file(job, cell))
    (out / "arms" / lost).write_bytes(before[lost][:40])
    if lost == "arms.json":
        with pytest.raises(FileNotFoundError, match="not there, or cut off"):
            arms.read(out)
    arms.make(job, QUIET)
    assert written(out) == before


def test_files_never_change_beneath_a_run(tmp_path):
    # Mutation: no look at runs/.
    job = study(tmp_path)
    arms.make(job, QUIET)
    out = Path(job.out)
    first = next(cell for cell in grid.cells(job) if (cell.arm, cell.size) == ("all", "natural"))
    ran(out, first, arms.file(job, first))
    before = written(out)
    fewer = study(tmp_path, rows()[1:])
    with pytest.raises(
        ValueError, match=r"rows that small-all-natural-s0 in .* would change. What is new: pool.0.sha256"
    ):
        arms.make(fewer, QUIET)
    assert written(out) == before
    (out / "runs" / first.name / "data.json").unlink()  # a run that has not read its rows yet
    assert arms.make(fewer, QUIET)[0].rows == 23


def test_what_leaves_the_files_of_runs_as_they_are_may_change(tmp_path):
    job = study(tmp_path)
    arms.make(job, QUIET)
    out = Path(job.out)
    for cell in grid.cells(job):
        if cell.kind == "tuned":
            ran(out, cell, arms.file(job, cell))
    before = written(out)
    more = arms.make(study(tmp_path, seeds=[0, 1, 2, 3]), QUIET)
    assert {one.seed for one in more} == {None, 0, 1, 2, 3}
    after = written(out)
    assert {name: after[name] for name in before if name != "arms.json"} == {
        name: text for name, text in before.items() if name != "arms.json"
    }
    with pytest.raises(
        ValueError, match=r"small-QA-matched-s0.* and .* more .*match.tolerance: 0.1 -> 0.05|match.rows"
    ):
        arms.make(study(tmp_path, match={"tolerance": 0.05, "rows": 3}), QUIET)


def test_each_thing_that_rows_depend_on_is_noticed(tmp_path):
    job = study(tmp_path)
    arms.make(job, QUIET)
    made_of = json.loads((Path(job.out) / "arms" / "arms.json").read_text())["made_of"]
    changed = [
        study(tmp_path, seed=1),
        study(tmp_path, sizes=["natural"]),
        study(tmp_path, contamination={"rouge_l": 0.9}),
        study(tmp_path, models=[{"name": "small", "settings": "tiny", "set": {"data.template": "medtuned"}}]),
        study(tmp_path, evaluation={"tasks": ["ncbi_disease", "bc5cdr_disease"]}),
    ]
    for other in changed:
        arms.make(other, QUIET)
        now = json.loads((Path(job.out) / "arms" / "arms.json").read_text())["made_of"]
        assert now != made_of
    arms.make(study(tmp_path, evaluation={"tasks": ["ncbi_disease"], "limit": 2, "protocols": ["generated"]}), QUIET)
    assert json.loads((Path(job.out) / "arms" / "arms.json").read_text())["made_of"] == made_of


def test_what_would_be_made_anew_is_told_before(tmp_path):
    job = study(tmp_path)
    assert arms.stale(job) == []
    arms.make(job, QUIET)
    assert arms.stale(job) == []
    assert arms.stale(study(tmp_path, seed=1)) == ["seed: 0 -> 1"]
    (told,) = arms.stale(study(tmp_path, rows()[1:]))
    assert told.startswith("pool.0.sha256: ")


def test_a_cell_has_the_rows_of_its_arm_size_and_seed(tmp_path):
    job = study(tmp_path)
    made = arms.make(job, QUIET)
    for cell in grid.cells(job):
        found = arms.of(made, cell)
        assert (found and found.file) == (f"arms/{arms.name(cell)}" if cell.kind == "tuned" else None)
