"""Whose a folder is, who is at work there, and which tasks its cells have."""

from dataclasses import replace

import pytest

from bioinstruct_jax.studies import estimate, folder, grid
from tests.preparation import corpora
from tests.studies import grids


def test_a_folder_of_something_else_is_refused_before_anything_is_estimated(tmp_path):
    # Mutation: no `check` in `said`: a dry run of hours, and then the run itself is refused.
    study = grids.job(tmp_path)
    other = tmp_path / "study"
    other.mkdir()
    (other / "thesis.tex").write_text("mine")
    for look in (folder.begin, lambda job: estimate.said(job, grid.cells(job))):
        with pytest.raises(ValueError, match=r"no study and not empty: nothing is overwritten"):
            look(study)
    with pytest.raises(ValueError, match="this is a file"):
        folder.check(replace(study, out=str(other / "thesis.tex")))
    assert [one.name for one in other.iterdir()] == ["thesis.tex"]
    # Mutation: no `hindrance` in `claimed`: an errno, and nothing of --out.
    for place in (other / "thesis.tex" / "study", "/proc/study"):
        with (
            pytest.raises(ValueError, match=f"out {place}: .*no.*; give another --out=FOLDER"),
            folder.claimed(replace(study, out=str(place))),
        ):
            pass


def test_a_dry_run_beside_a_run_says_so(tmp_path):
    study = grids.job(tmp_path)
    wanted = grid.cells(study)
    assert not folder.at_work(study)
    with folder.claimed(study):
        folder.begin(study)
        assert folder.at_work(study)
        assert "note: the study is at work there" in estimate.said(study, wanted)
    assert not folder.at_work(study)
    assert "at work" not in estimate.said(study, wanted)


def test_a_group_keeps_its_tasks_whatever_corpora_come(tmp_path):
    # Mutation: `_kept` without WHICH: tasks of another declaration would be kept.
    study = grids.job(tmp_path, evaluation={"tasks": ["IE"]})
    place = corpora.write(tmp_path / "corpora")
    study = replace(study, corpora=str(place))
    (place / "ncbi-disease").rename(tmp_path / "later")
    folder.begin(study)
    assert folder.scored(study).tasks == ("bc5cdr_disease",)
    (tmp_path / "later").rename(place / "ncbi-disease")
    assert folder.scored(study).tasks == ("bc5cdr_disease",)
    assert any("ncbi_disease have come since" in line for line in folder.changes(study))
    wider = replace(study, evaluation={"tasks": ["IE", "QA"]})
    assert folder.scored(wider).tasks == ("IE", "QA")
