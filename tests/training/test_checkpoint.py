"""Checkpoints: what was saved comes back bit for bit, what is damaged is known, and a failing disk is told of."""

import os
import resource
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from upath import UPath

from bioinstruct_jax.training import processes, state
from bioinstruct_jax.training.checkpoint import Checkpoints, SaveError
from bioinstruct_jax.training.manifest import MANIFEST, remove
from bioinstruct_jax.training.optimizer import make_optimizer
from bioinstruct_jax.training.step import train_step
from tests.small import after, job, on_mesh, random_rows, ready


def test_the_best_may_be_the_highest(opened, this):
    # Mutation: `highest` not handed on.
    with opened(keep=1, best="task/f1", highest=True) as checkpoints:
        for step, score in {1: 0.2, 2: 0.7, 3: 0.7, 4: 0.1}.items():
            checkpoints.save(step, after(this, step), {"task/f1": score})
    with opened(keep=1, best="task/f1", highest=True) as checkpoints:
        assert int(checkpoints.restore_best(this.now).step) == 2


def _values(now) -> list[np.ndarray]:
    return [np.array(leaf) for leaf in jax.tree.leaves(now)]


@pytest.fixture
def opened(tmp_path, this, said):
    """(options) -> Checkpoints of one folder, under the mesh of `this`."""

    def make(keep: int = 2, about: dict | None = None, **options) -> Checkpoints:
        return Checkpoints(UPath(tmp_path / "checkpoints"), keep, about or {}, say=said.append, **options)

    with jax.set_mesh(this.mesh):
        yield make


def _saved(opened, this, *steps: int, **options) -> None:
    with opened(**options) as checkpoints:
        for step in steps:
            checkpoints.save(step, after(this, step))


@pytest.mark.parametrize("form", ["runs/checkpoints", "{}/checkpoints", "file://{}/checkpoints"])
def test_a_folder_in_any_form(this, tmp_path, monkeypatch, form):
    # `runs` is the default. Mutations: names of files cut from the absolute paths that fsspec makes of relative ones;
    # orbax given file://.
    monkeypatch.chdir(tmp_path)
    place = form.format(tmp_path)
    said: list[str] = []
    with jax.set_mesh(this.mesh), Checkpoints(UPath(place), 1, {}, say=said.append) as checkpoints:
        checkpoints.save(3, after(this, 3))
        checkpoints.settle()
        assert checkpoints.newest == 3
        restored = checkpoints.restore(this.now)
    assert restored is not None
    assert int(restored.step) == 3
    assert not said


def test_a_state_comes_back_bit_for_bit_though_its_buffers_were_donated(tmp_path):
    # Mutation: saving a flat dictionary without the optimizer raises KeyError; restoring without shardings, the third
    # assertion fails. The write goes on in the background while the next step overwrites the donated buffers.
    this = ready(job(), (2, 2, 2))
    with jax.set_mesh(this.mesh), Checkpoints(UPath(tmp_path / "checkpoints"), 1, {"data": "a"}) as checkpoints:
        optimizer = make_optimizer(this.job.optimizer, this.job.training.steps)
        step = jax.jit(train_step(this.plan.graph, optimizer, 0), donate_argnums=0)
        batch = on_mesh(random_rows(4, 24), this.mesh)
        now, _ = step(this.now, this.frozen, batch)
        expected = _values(now)
        checkpoints.save(1, now)
        for _ in range(3):
            now, _ = step(now, this.frozen, batch)
        checkpoints.wait()
        found = checkpoints.restore(now)
    for one, other in zip(_values(found), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    assert jax.tree.structure(found) == jax.tree.structure(now)
    assert all(a.sharding == b.sharding for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(now), strict=True))

    other = ready(job(), (1, 2, 1))
    with jax.set_mesh(other.mesh), Checkpoints(UPath(tmp_path / "checkpoints"), 1, {"data": "a"}) as checkpoints:
        moved = checkpoints.restore(other.now)
    for one, value in zip(_values(moved), expected, strict=True):
        np.testing.assert_array_equal(one, value)
    assert all(
        a.sharding == b.sharding for a, b in zip(jax.tree.leaves(moved), jax.tree.leaves(other.now), strict=True)
    )


def test_the_newest_are_kept_and_the_newest_is_restored(tmp_path, opened, this):
    with opened() as checkpoints:
        assert checkpoints.restore(this.now) is None
    _saved(opened, this, 1, 2, 3)
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"2", "3"}
    with opened() as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 3


def test_the_best_is_kept_beside_the_newest(tmp_path, opened, this):
    # Mutations: the highest instead of the lowest; a NaN counted as lowest; the later of two equal ones.
    losses = {1: 3.0, 2: 1.5, 3: float("nan"), 4: 1.5, 5: 2.0, 6: 2.5}
    with opened(keep=1, best="held_out_loss") as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(step, after(this, step), {"held_out_loss": loss, "loss": -step})
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"2", "6"}
    with opened(keep=1, best="held_out_loss") as checkpoints:
        assert int(checkpoints.restore_best(this.now).step) == 2
        assert int(checkpoints.restore(this.now).step) == 6
        (tmp_path / "checkpoints" / "2" / "state" / "_METADATA").unlink()
        with pytest.raises(ValueError, match="best held_out_loss, 2, is damaged"):
            checkpoints.restore_best(this.now)
        assert checkpoints.restore(this.now) is None  # before the best, so that it is made again


def test_a_damaged_best_is_made_again_from_the_one_before(opened, this, tmp_path):
    # Mutations: going on from the newest; a damaged checkpoint that is not written again because it has a manifest.
    losses = {1: 3.0, 2: 1.0, 3: 2.0}
    with opened(keep=3, best="held_out_loss") as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(step, after(this, step), {"held_out_loss": loss})
    _flipped(next((tmp_path / "checkpoints" / "2" / "state").rglob("_METADATA")))
    with opened(keep=3, best="held_out_loss") as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 1
        checkpoints.save(2, after(this, 2), {"held_out_loss": 1.0})
        checkpoints.wait()
        assert int(checkpoints.restore_best(this.now).step) == 2
        # Mutation: what was sound after the damaged one left there, beyond the metrics of the run that goes on.
        assert int(checkpoints.restore(this.now).step) == 2


def test_a_damaged_best_with_nothing_before_it_takes_what_came_after_along(opened, this, tmp_path):
    # The run begins anew. Mutation: what was sound left there where nothing is restored: once the best is made again,
    # a start would go on from beyond the metrics.
    with opened(keep=3, best="held_out_loss") as checkpoints:
        for step, loss in {1: 1.0, 2: 3.0, 3: 2.0}.items():
            checkpoints.save(step, after(this, step), {"held_out_loss": loss})
    _flipped(next((tmp_path / "checkpoints" / "1" / "state").rglob("_METADATA")))
    with opened(keep=3, best="held_out_loss") as checkpoints:
        assert checkpoints.restore(this.now) is None
        checkpoints.save(1, after(this, 1), {"held_out_loss": 1.0})
        checkpoints.wait()
        assert int(checkpoints.restore(this.now).step) == 1
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"1"}


@pytest.mark.parametrize("best", ["held_out_loss", None])
def test_a_damaged_checkpoint_makes_no_new_one_the_one_too_many(opened, this, tmp_path, best):
    # Mutation: the damaged one counted; as the newest and the best it would be the one that is kept.
    with opened(keep=1, best=best) as checkpoints:
        checkpoints.save(2, after(this, 2), {"held_out_loss": 1.0})
    _flipped(next((tmp_path / "checkpoints" / "2" / "state").rglob("_METADATA")))
    with opened(keep=1, best=best) as checkpoints:
        assert checkpoints.restore(this.now) is None
        checkpoints.save(1, after(this, 1), {"held_out_loss": 3.0})
    with opened(keep=1, best=best) as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 1
        checkpoints.save(2, after(this, 2), {"held_out_loss": 1.0})
    with opened(keep=1, best=best) as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 2
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"2"}


def test_checkpoints_of_another_run_are_not_removed_for_their_best_is_damaged(opened, this, tmp_path):
    # Mutation: nobody asked whose they are where nothing can be restored.
    with opened(keep=3, best="held_out_loss") as checkpoints:
        for step, loss in {1: 1.0, 2: 3.0}.items():
            checkpoints.save(step, after(this, step), {"held_out_loss": loss})
    _flipped(next((tmp_path / "checkpoints" / "1" / "state").rglob("_METADATA")))
    with (
        opened(keep=3, best="held_out_loss", about={"base": "another"}) as checkpoints,
        pytest.raises(ValueError, match="belongs to another run"),
    ):
        checkpoints.restore(this.now)
    assert {file.name for file in (tmp_path / "checkpoints").iterdir()} == {"1", "2"}


def test_no_best_without_a_number(opened, this):
    with opened(best="held_out_loss") as checkpoints:
        checkpoints.save(1, after(this, 1), {"held_out_loss": float("nan")})
        checkpoints.wait()
        with pytest.raises(ValueError, match="no checkpoint has a held_out_loss that is a number"):
            checkpoints.restore_best(this.now)


def test_of_several_processes_the_first_says_which_is_best(opened, this, tmp_path, monkeypatch):
    # Another one may look before the first has written the manifest. Mutation: each decides by what it sees.
    with opened(keep=3, best="held_out_loss") as checkpoints:
        for step, loss in {1: 3.0, 2: 1.0}.items():
            checkpoints.save(step, after(this, step), {"held_out_loss": loss})
    (tmp_path / "checkpoints" / "2" / MANIFEST).unlink()
    answers = [2, 1]  # the step, and that it is sound
    monkeypatch.setattr(processes, "first", lambda: False)
    monkeypatch.setattr(processes, "agreed", lambda value: answers.pop(0))
    with opened(keep=3, best="held_out_loss") as checkpoints:
        assert int(checkpoints.restore_best(this.now).step) == 2


def test_a_checkpoint_of_another_run_is_refused_by_name(opened, this, said):
    # EasyDeL#259: a checkpoint knows its base.
    one = {"base": "one", "data": "a", "adapter": {"rank": 4}}
    _saved(opened, this, 1, about=one)
    with opened(about=one | {"base": "two"}) as other:
        with pytest.raises(ValueError, match="step 1 belongs to another run: base was 'one', is 'two'"):
            other.restore(this.now)
        assert not said
        assert int(other.restore(this.now, accept_changes=True).step) == 1
        assert "base was 'one', is 'two'" in said[0]
    with (
        opened(about=one | {"adapter": {"rank": 8}}) as other,
        pytest.raises(ValueError, match="adapter cannot change its shape"),
    ):
        other.restore(this.now, accept_changes=True)


# -------------------------------------------------------------------- damage


def _truncated(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncated, _flipped, Path.unlink])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_is_used(tmp_path, opened, this, said, damage):
    # Every file of the newest one in turn. Mutations: sizes compared without hashes; the manifest without its own hash;
    # all that is newer than the chosen one looked at again.
    _saved(opened, this, 1, 2)
    newest, sound = tmp_path / "checkpoints" / "2", tmp_path / "sound"
    shutil.copytree(newest, sound)
    names = [file.relative_to(newest) for file in newest.rglob("*") if file.is_file()]
    assert len(names) > 8
    for name in names:
        damage(newest / name)
        with opened() as checkpoints:
            assert int(checkpoints.restore(this.now).step) == 1, name
        assert len(said) == 1, name
        assert "checkpoint of step 2" in said[-1]
        assert (str(name) if name.parts[0] == "state" else "") in said.pop()
        shutil.rmtree(newest)
        shutil.copytree(sound, newest)
    with opened() as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 2


def test_what_a_kill_left_is_no_checkpoint_and_is_written_again(tmp_path, opened, this, said):
    # A save or a removal that ended anywhere: files without a manifest. Mutation: the manifest removed last.
    _saved(opened, this, 1, 2)
    folder = tmp_path / "checkpoints"
    shutil.copytree(folder / "2" / "state", folder / "3" / "state")
    (folder / "4").mkdir()
    (folder / "notes").write_text("not ours")
    with opened() as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 2
        assert [text.split("cannot be used: ")[1] for text in said] == ["ValueError: it was never finished"] * 2
        checkpoints.save(3, after(this, 3))
        checkpoints.save(5, after(this, 5))
    assert {file.name for file in folder.iterdir()} == {"3", "5", "notes"}

    deleted = []
    original = shutil.rmtree

    def interrupted(place):
        deleted.append(place)
        raise KeyboardInterrupt

    shutil.rmtree = interrupted
    try:
        with pytest.raises(KeyboardInterrupt):
            remove(UPath(folder / "5"))
    finally:
        shutil.rmtree = original
    assert not (folder / "5" / MANIFEST).exists()


def test_nothing_is_renamed(opened, this, monkeypatch):
    # In a bucket a rename is a copy and a deletion. Mutation: orbax's default, which renames a temporary folder.
    def forbidden(*_, **__):
        raise OSError("an object store has no rename")

    for place, name in ((os, "rename"), (os, "replace"), (os, "link"), (shutil, "move"), (Path, "rename")):
        monkeypatch.setattr(place, name, forbidden)
    _saved(opened, this, 1, 2, 3)
    with opened() as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 3


# -------------------------------------------------------------------- a disk that fails


@pytest.fixture
def full_disk():
    """(whether) -> from now on no file may grow beyond 1 kB, as on a disk without room; or it may again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(full: bool) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024 if full else soft, hard))

    yield limit
    limit(False)


def test_a_full_disk_is_tolerated_so_many_times_in_a_row(opened, this, said, full_disk):
    # Mutations: a success that does not reset the count; an error of the background that nobody looks at.
    with opened(failures=2) as checkpoints:
        checkpoints.save(1, after(this, 1))
        checkpoints.wait()
        for step in (2, 3):
            full_disk(True)
            checkpoints.save(step, after(this, step))
            checkpoints.wait()
            full_disk(False)
        assert ["step 2 could not be written" in text for text in said] == [True, False]
        assert "1 more in a row" in said[0]
        assert "0 more in a row" in said[1]
        checkpoints.save(4, after(this, 4))
        checkpoints.wait()
        assert int(checkpoints.restore(this.now).step) == 4
        full_disk(True)
        for step in (5, 6):
            checkpoints.save(step, after(this, step))
            checkpoints.wait()
        checkpoints.save(7, after(this, 7))
        with pytest.raises(SaveError, match="step 7 could not be written"):
            checkpoints.wait()
        full_disk(False)
    with opened() as checkpoints:
        assert int(checkpoints.restore(this.now).step) == 4


def test_what_must_be_saved_is_not_said_to_be_when_it_is_not(opened, this, full_disk):
    # A run that is told to stop. Mutation: the failure tolerated there too.
    with opened(failures=9) as checkpoints:
        full_disk(True)
        checkpoints.save(1, after(this, 1))
        with pytest.raises(SaveError, match="newest step is not saved"):
            checkpoints.settle()
        full_disk(False)
        checkpoints.save(1, after(this, 1))
        checkpoints.settle()
        assert checkpoints.newest == 1


def test_an_error_of_the_background_surfaces_on_the_next_step(opened, this, full_disk):
    # orbax#605. Mutation: `check` that does not look at what was written.
    with opened() as checkpoints:
        full_disk(True)
        checkpoints.save(1, after(this, 1))
        checkpoints._writing.join()
        with pytest.raises(SaveError, match="step 1 could not be written"):
            checkpoints.check()
        full_disk(False)


def test_an_unwritable_folder_is_tolerated_too(tmp_path, opened, this, said):
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with opened(failures=1) as checkpoints:
        checkpoints.save(1, after(this, 1))
        assert "could not be written" in said[0]
        with pytest.raises(SaveError):
            checkpoints.save(2, after(this, 2))


def test_by_path_and_back(this):
    arrays = state.by_path(this.now.trained)
    again = state.from_paths(this.now.trained, arrays)
    assert jax.tree.structure(again) == jax.tree.structure(this.now.trained)
    assert set(arrays) == {path for path in this.plan.weights if "lora" in path}
    with pytest.raises(KeyError, match="lora_a"):
        state.from_paths(this.now.trained, {})
