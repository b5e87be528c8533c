"""Folders of scores read again: the score follows from the counts, and what is damaged is named with its line."""

import json
import os
import zlib
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from upath import UPath

from bioinstruct_jax.studies import gathered
from bioinstruct_jax.tasks.table import TASKS
from tests import evaluations
from tests.evaluation.results.by_hand import DATE
from tests.studies import scored
from tests.studies.scored import Marks

JOB = scored.job(Path("study")).scored()
DATA = os.environ.get("BIOINSTRUCT_DATA", "")


def _says(question) -> str:
    """The right answer to two of three items, else that of another kind; now and then nothing."""
    lot = zlib.crc32(question.id.encode()) % 7
    right = question.record.output
    return right if lot < 4 else "" if lot == 4 else f"{right[: len(right) // 2]} or none of it"


def _read(folder: Path, cell: str = "one", task: str = "medqa"):
    return gathered.read(gathered.opened(UPath(folder), cell), task, JOB)


@pytest.fixture
def folder(tmp_path) -> Path:
    scored.write(tmp_path, "one", {"medqa": Marks([1, 0, 1, 1], flagged=[False, True, False, False], answered=3)})
    return tmp_path


def _samples(folder: Path, task: str = "medqa") -> Path:
    return next((folder / "one").glob(f"samples_{task}_*.jsonl"))


def _changed(file: Path, line: int, **keys) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    row = {**json.loads(lines[line - 1]), **keys}
    lines[line - 1] = json.dumps({key: value for key, value in row.items() if value != "gone"})
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


# -------------------------------------------------------------------- what is there


def _same(out: Path, cell: str, tasks: list[str]) -> None:
    """Counts alone give the scores that lm-evaluation-harness's readers would show."""
    folder = gathered.opened(UPath(out / cell), cell)
    assert set(folder.told) == set(tasks)
    shown = evaluations.scores(out / cell, cell)
    for task in tasks:
        for protocol, one in gathered.read(folder, task, JOB).items():
            sums = one.headline.gather(one.counts, one.documents).sum(axis=0)
            name = {"harness": "none"}.get(protocol, protocol)
            assert shown[task][f"{one.headline.name},{name}"] == pytest.approx(float(one.headline.score(sums[None])[0]))
            assert shown[task]["sample_len"] == len(one.ids)
            assert one.group == TASKS[task].family.category


def test_scores_follow_from_the_counts_of_a_real_evaluation(tmp_path):
    # Mutations: counts of another metric; counts of the answered items alone; documents in another order.
    corpora, tasks = evaluations.corpora(tmp_path / "corpora"), ["medqa", "medquad", "mednli", "gad", "ncbi_disease"]
    said = scored.evaluated(tmp_path, "cell", corpora, tasks, _says)
    assert said.code == 0, said.err
    _same(tmp_path, "cell", tasks)
    one = gathered.read(gathered.opened(UPath(tmp_path / "cell"), "cell"), "mednli", JOB)["generated"]
    assert one.majority == pytest.approx(1 / 3)
    assert len(one.ids) == 3


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="BIOINSTRUCT_DATA is not set")
def test_scores_follow_from_the_counts_in_every_corpus_at_hand(tmp_path):
    said = scored.evaluated(tmp_path, "cell", Path(DATA), ["all"], _says, "--limit=40")
    assert said.code == 0, said.err
    tasks = list(gathered.opened(UPath(tmp_path / "cell"), "cell").told)
    assert len(tasks) > 8
    _same(tmp_path, "cell", tasks)


@pytest.mark.slow
def test_scores_follow_from_the_counts_under_every_protocol(finished, tmp_path):
    corpora = evaluations.corpora(tmp_path / "corpora")
    out = tmp_path / "cell"
    words = ["--models.0.name=cell", f"--models.0.model={finished / 'base'}", "--tasks=[medqa, gad]"]
    said = evaluations.call(*words, f"--corpora={corpora}", f"--out={out}", *evaluations.QUIET)
    assert said.code == 0, said.err
    _same(tmp_path, "cell", ["gad", "medqa"])
    assert set(gathered.read(gathered.opened(UPath(out), "cell"), "medqa", JOB)) == {
        *("harness", "likelihood", "generated")
    }


def test_what_is_gathered_by_hand(folder):
    one = _read(folder)["generated"]
    assert one.ids == tuple(f"medqa/test/{place}" for place in range(4))
    assert np.array_equal(one.counts, [[1, 1], [0, 1], [1, 1], [1, 1]])
    assert one.flagged is not None
    assert one.flagged.tolist() == [False, True, False, False]
    assert (one.answered, one.majority, one.headline.name) == (0.75, 0.25, "acc")
    assert _read(folder, task="gad") == {}


def test_the_latest_results_that_are_there_count(folder):
    # Mutation: files[0]. Samples of an evaluation that was begun later, and has not ended, are not looked at.
    scored.write(folder, "one", {"medqa": Marks([0, 0, 0, 1])}, date=DATE + timedelta(days=1))
    later = scored.write(folder, "one", {"medqa": Marks([1, 1, 1, 1])}, date=DATE + timedelta(days=2))
    later.unlink()
    assert _read(folder)["generated"].counts[:, 0].tolist() == [0, 0, 0, 1]


# -------------------------------------------------------------------- what is not


def test_rows_without_counts_are_to_be_scored_again(folder):
    _changed(_samples(folder), 3, counts="gone")
    with pytest.raises(ValueError, match=r"samples_medqa_.*, line 3: the row has no counts.*score the cell again"):
        _read(folder)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"counts": []}, r"line 2: counts \[\] are no list of numbers"),
        ({"counts": [True, 1]}, r"line 2: counts \[True, 1\] are no list"),
        ({"counts": [1, 1, 0]}, r"line 2: 3 counts, others have 2"),
        ({"flagged": None}, r"line 2: flagged is None, of others False"),
        ({"id": "medqa/test/0"}, r"line 2: item 'medqa/test/0' stands in line 1 too"),
        ({"document": "gone"}, r"line 2: the row has no document"),
        ({"counts": [1, 1]}, r"rows of 'generated': acc is 1.0 by its counts, 0.75 by the results"),
        ({"filter": "none"}, r"rows of none stand there or in .*results_.*json alone"),
    ],
)
def test_damaged_rows_are_named(folder, keys, said):
    _changed(_samples(folder), 2, **keys)
    with pytest.raises(ValueError, match=said):
        _read(folder)


def test_a_file_that_was_broken_off_is_named(folder):
    file = _samples(folder)
    whole = file.read_text(encoding="utf-8")
    file.write_text(whole[:-40], encoding="utf-8")
    with pytest.raises(ValueError, match=r"samples_medqa_.*, line 4: broken JSON"):
        _read(folder)
    file.write_text("\n".join(whole.splitlines()[:3]) + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"3 of 4 items that the results tell of; score the cell again"):
        _read(folder)
    file.unlink()
    with pytest.raises(gathered.UnusableError, match=r"names the samples samples_medqa_.*: not there"):
        _read(folder)


def test_folders_that_are_no_scores_of_the_cell_are_refused(folder):
    (results,) = (folder / "one").glob("results_*.json")
    whole = json.loads(results.read_text(encoding="utf-8"))
    with pytest.raises(ValueError, match=r"two: no results_\*.json: the evaluation has not ended"):
        _read(folder, "two")
    for change, said in (
        ({"model_name": "other"}, "scores of 'other' in the folder of 'one': it is mixed"),
        ({"bioinstruct": {}}, "not the results of an evaluation of ours: 'tasks'"),
        ({"bioinstruct": {"tasks": {"medkanqa": {}}}}, "not the results of an evaluation of ours: 'task medkanqa'"),
        ({"results": None, "bioinstruct": {"tasks": {"medqa": {"guessed": {}}}}}, "of ours: 'headline'"),
    ):
        results.write_text(json.dumps(whole | change), encoding="utf-8")
        with pytest.raises(ValueError, match=said):
            _read(folder)
    whole["bioinstruct"]["tasks"]["medqa"]["generated"]["versions"]["scorer"] = 0
    results.write_text(json.dumps(whole), encoding="utf-8")
    with pytest.raises(ValueError, match=r"scored by acc, version 0; now it is acc, version \d; score the cell again"):
        _read(folder)


def test_cells_are_aligned_and_different_items_name_both(tmp_path):
    # Mutation: `places` of the second in the first.
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    scored.write(tmp_path, "one", {"medqa": Marks(values)})
    scored.write(tmp_path, "two", {"medqa": Marks(values, flagged=[True, *[False] * 4])}, order=[3, 0, 4, 1, 2])
    scored.write(tmp_path, "short", {"medqa": Marks(values[:4])})
    scored.write(tmp_path, "joint", {"medqa": Marks(values, documents=["d"] * 5)})
    one, two, short, joint = (_read(tmp_path, cell)["generated"] for cell in ("one", "two", "short", "joint"))
    first, second = gathered.aligned([one, two])
    assert first.ids == second.ids == one.ids
    assert np.array_equal(first.counts, second.counts)
    assert second.flagged is not None
    assert second.flagged.tolist() == [True, *[False] * 4]
    with pytest.raises(ValueError, match=r"cells one \(first\) and short \(second\): two runs on different items"):
        gathered.aligned([one, short])
    with pytest.raises(ValueError, match=r"cells one \(first\) and joint \(second\): the same items in other doc"):
        gathered.aligned([one, joint])


def test_items_that_changed_between_two_cells_are_not_compared(tmp_path):
    # Mutations: items known by their ids alone; the cell that was scored last is scored again; signs of restricted
    # items, which differ from process to process, compared.
    for cell in ("one", "two"):
        scored.write(tmp_path, cell, {"medqa": Marks([0.0, 1.0, 1.0])})
    one, two = (_read(tmp_path, cell)["generated"] for cell in ("one", "two"))
    assert all(one.contents)
    assert gathered.aligned([one, two])[1].contents == one.contents
    edited = replace(two, contents=(*two.contents[:2], "another"), when=f"{two.when}1")
    with pytest.raises(gathered.UnusableError, match=r"1 items have other text or another right answer") as told:
        gathered.aligned([edited, one])
    assert told.value.cell == "one"
    _changed(next((tmp_path / "two").glob("samples_*.jsonl")), 1, restricted=True)
    assert _read(tmp_path, "two")["generated"].contents[0] == ""
