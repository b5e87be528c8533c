"""The run folder: made once, continued only with the same settings."""

from dataclasses import replace

import pytest

from bioinstruct_jax.config import Optimizer
from bioinstruct_jax.run_folder import open_run
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


def test_a_place_that_cannot_hold_a_run_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match=r"runs_dir '.*file': the run folder .* cannot be made"):
        open_run(_job(tmp_path / "file"))


@pytest.mark.parametrize("protocol", ["s3", "memory", "abfs"])
def test_a_bucket_that_orbax_cannot_write_to_is_refused_before_anything_is_loaded(protocol):
    # Mutation: s3 let through: orbax takes s3:/bucket for a relative path, at the first checkpoint.
    with pytest.raises(ValueError, match=f"local disk and to gs://, not to {protocol}://"):
        open_run(_job(f"{protocol}://bucket/runs"))
