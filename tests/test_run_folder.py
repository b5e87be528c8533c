"""The run folder: made once, continued only with the same settings."""

from dataclasses import replace

import pytest

from bioinstruct_jax import settings
from bioinstruct_jax.config import Optimizer
from bioinstruct_jax.run_folder import EARLY, begun, open_run
from tests.small import job


def _job(tmp_path):
    return replace(job(), runs_dir=str(tmp_path))


def test_it_is_made_with_its_settings_and_opened_again(tmp_path):
    folder = open_run(_job(tmp_path))
    before = (tmp_path / "small" / "config.yaml").read_bytes()
    assert not folder.finished
    assert open_run(_job(tmp_path)) == folder
    assert (tmp_path / "small" / "config.yaml").read_bytes() == before


def test_other_settings_are_refused_and_named(tmp_path):
    folder = open_run(_job(tmp_path))
    (folder.path / "metrics.jsonl").touch()
    with pytest.raises(ValueError, match=r"optimizer\.learning_rate: 0\.01 -> 0\.5"):
        open_run(replace(_job(tmp_path), optimizer=Optimizer(learning_rate=0.5, warmup_steps=2)))


def test_a_run_that_failed_before_its_first_step_can_be_corrected(tmp_path):
    open_run(_job(tmp_path))
    corrected = replace(_job(tmp_path), seed=3)
    assert "seed: 3" in (open_run(corrected).path / "config.yaml").read_text()


def test_the_losses_are_those_of_the_metrics(tmp_path):
    folder = open_run(_job(tmp_path))
    lines = ['{"step": 0, "held_out_loss": 5.0}', '{"step": 1, "loss": 4.0}', '{"step": 2, "loss": 3.0}']
    (tmp_path / "small" / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 2, "held_out_loss": 3.5}', ""]))
    found = folder.losses()
    assert (found.steps, found.first, found.last) == (2, 4.0, 3.0)
    assert (found.held_out_first, found.held_out_last) == (5.0, 3.5)
    folder.finish("adapter", None, 2)
    assert folder.finished
    assert "held-out loss  5.0000 -> 3.5000" in folder.summary()


def test_a_damaged_settings_file_is_named(tmp_path):
    (open_run(_job(tmp_path)).path / "metrics.jsonl").touch()
    (tmp_path / "small" / "config.yaml").write_text("name: [")
    with pytest.raises(ValueError, match=r"config\.yaml"):
        open_run(_job(tmp_path))


FOREIGN = {
    "files of somebody's": {"report.html": "mine", "metrics.jsonl": "mine", "rows.jsonl": "mine"},
    "settings of somebody's": {"config.yaml": "name: small\ndata: {sources: [{path: seeds}]}\n"},
    "settings of another verb": {"config.yaml": "out: scores\ntasks: [medqa]\nmodels: []\n", "finished.json": "{}"},
    "a run of another program": {"config.yaml": "lr: 1.0\nmodel: big\ntrainer: {}\n", "checkpoints/1/a": "mine"},
    "settings torn, files that come later": {"config.yaml": "", "report.html": "mine"},
    "some settings in the order of ours": {"config.yaml": "name: small\nseed: 3\ntrainable: full\n"},
    "a copy of what a run made": {"config.yaml": settings.dump(job()), "adapter/a": "mine", "notes.txt": "mine"},
    "that of another version": {"config.yaml": settings.dump(job()) + "later: 1\n", "adapter/a": "mine"},
}


@pytest.mark.parametrize("held", FOREIGN.values(), ids=FOREIGN.keys())
@pytest.mark.parametrize("accept_changes", [False, True])
def test_what_no_run_wrote_is_refused_and_left_as_it_is(tmp_path, held, accept_changes):
    # Mutation: a folder of any files taken for a new one, settings of anybody's for those of a run (`_free` without
    # its comparison, `begun` without `settings.holds`); files that come later passed beside whole settings.
    place = tmp_path / "small"
    for name, text in held.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    with pytest.raises(ValueError, match=r"the run folder .*small is no run and not empty: nothing is overwritten"):
        open_run(_job(tmp_path), accept_changes=accept_changes)
    found = {str(file.relative_to(place)): file.read_text() for file in place.rglob("*") if file.is_file()}
    assert found == held


def test_a_run_that_was_killed_at_its_very_beginning_goes_on(tmp_path):
    # Mutation: torn settings, or an empty folder, taken for somebody's; or only those that are no YAML taken for torn.
    job = _job(tmp_path / "Größe")
    place = tmp_path / "Größe" / "small"
    place.mkdir(parents=True)
    assert begun(open_run(job).path) is None
    whole = (place / "config.yaml").read_bytes()
    for name in EARLY - {"config.yaml"}:
        (place / name).touch()
    for end in range(0, len(whole), 7):
        (place / "config.yaml").write_bytes(whole[:end])
        open_run(job)
        assert (place / "config.yaml").read_bytes() == whole


OTHER_VERSIONS = {
    "with a key more": ("track: none\n", "track: none\nlater: 1\n"),
    "with a key more within": ("  b1: 0.9\n", "  b0: 0.8\n  b1: 0.9\n"),
    "with a key fewer": ("deterministic: false\n", ""),
    "with keys fewer within": ("  length: 24\n  packing: true\n", ""),
    "with a value no longer known": ("  remat: none\n", "  remat: some\n"),
}


@pytest.mark.parametrize("change", OTHER_VERSIONS.values(), ids=OTHER_VERSIONS.keys())
def test_a_run_of_another_version_that_never_came_to_its_first_step_is_begun_anew(tmp_path, change):
    # Mutation: settings that this version cannot read taken for somebody's.
    first, place = _job(tmp_path), tmp_path / "small"
    open_run(first)
    (place / "data.json").touch()
    text = settings.dump(first)
    assert change[0] in text
    (place / "config.yaml").write_text(text.replace(*change))
    open_run(replace(first, seed=3))
    assert (place / "config.yaml").read_text() == settings.dump(replace(first, seed=3))


def test_settings_that_were_torn_are_written_anew_for_another_seed(tmp_path):
    # Mutation: only the beginning of this job's own settings taken for torn ones; half a letter taken for somebody's.
    first = _job(tmp_path / "Größe")
    place = tmp_path / "Größe" / "small"
    open_run(first)
    whole = (place / "config.yaml").read_bytes()
    for end in {*range(0, len(whole), 7), whole.index("ö".encode()) + 1}:
        (place / "config.yaml").write_bytes(whole[:end])
        open_run(replace(first, seed=3))
        assert (place / "config.yaml").read_text() == settings.dump(replace(first, seed=3))


def test_a_finished_run_is_one_whatever_was_taken_out_of_it(tmp_path):
    # Mutation: `begun` without finished.json: a run that was trimmed gets the settings of the next command.
    folder = open_run(_job(tmp_path))
    folder.write_json("finished.json", {})
    assert settings.dump(begun(folder.path)) == settings.dump(_job(tmp_path))
    with pytest.raises(ValueError, match="started with other settings"):
        open_run(replace(_job(tmp_path), seed=3))


def test_a_place_that_cannot_hold_a_run_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"runs_dir '.*file': the run folder .* cannot be made"):
        open_run(_job(tmp_path / "file"))


@pytest.mark.parametrize("protocol", ["s3", "memory", "abfs"])
def test_a_bucket_that_orbax_cannot_write_to_is_refused_before_anything_is_loaded(protocol):
    # Mutation: s3 let through: orbax takes s3:/bucket for a relative path, at the first checkpoint.
    with pytest.raises(ValueError, match=f"local disk and to gs://, not to {protocol}://"):
        open_run(_job(f"{protocol}://bucket/runs"))
