"""Checkpoints of a run: written by orbax in the background, committed by a manifest, verified before they are used.

A checkpoint is the folder ``checkpoints/<step>/`` with orbax's files in ``state/`` and the ``manifest.json`` of
`manifest.py` beside them, so that what was torn at any instruction is known for what it is.
"""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import options
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.training import manifest, noise, processes
from bioinstruct_jax.training.manifest import MANIFEST, STATE, Saved
from bioinstruct_jax.training.state import State

_DAMAGE = (OSError, ValueError, KeyError, TypeError)  # what reading a torn or altered manifest may raise
LOOKS = 6  # of 50 ms in a row that find a folder gone
TIMEOUT = 600  # seconds that the processes of a job wait for each other's part of a checkpoint


class SaveError(OSError):
    """More checkpoints in a row could not be written than the settings tolerate."""


class Checkpoints:
    """The ``checkpoints/`` folder of one run; use as a context manager, which waits for the last write on leaving.

    Args:
        folder: local or bucket path, the same for all processes of a job.
        keep: how many to keep, newest first.
        about: what the run is (base id and hash, data, template, steps, adapter); must be the same to go on.
        settings: the job's, as YAML; for the reader.
        best: name of the metric whose best value is kept too; None: only the newest are.
        highest: whether that is the highest; else the lowest.
        failures: writes in a row that may fail; one more raises SaveError.
        say: told of what is damaged or could not be written.
    """

    def __init__(
        self,
        folder: UPath,
        keep: int,
        about: dict[str, Any],
        *,
        settings: str = "",
        best: str | None = None,
        highest: bool = False,
        failures: int = 0,
        say: Callable[[str], None] = print,
    ):
        self.folder, self.keep, self.best, self.failures, self.say = folder, keep, best, failures, say
        self.settings, self.highest = settings, highest
        self.about = json.loads(json.dumps(about))  # as it will be read back
        self._failed, self._why = 0, ""
        self._damaged: set[int] = set()  # steps that were found so, and not written again
        self._writing: threading.Thread | None = None
        self._error: Exception | None = None
        noise.silence()
        self._checkpointer = ocp.AsyncCheckpointer(
            ocp.StandardCheckpointHandler(),
            async_options=options.AsyncOptions(timeout_secs=TIMEOUT, create_directories_asynchronously=False),
            atomicity_options=options.AtomicityOptions(mode=options.AtomicityMode.COMMIT_FILE),
        )

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self.wait()
        except SaveError:
            if kind is None:
                raise
        finally:
            self._checkpointer.close()

    # ---------------------------------------------------------------- writing

    def save(
        self,
        step: int,
        state: State,
        metrics: dict[str, float] | None = None,
        *,
        before: Callable[[], None] | None = None,
    ) -> None:
        """Start writing the state after `step` optimizer steps; waits for an earlier write first.

        Args:
            metrics: values of this step by name; a NaN is never the best.
            before: writes what a checkpoint must not be ahead of; if it fails, this checkpoint has failed.

        Raises:
            SaveError: this one or an earlier one is one failure too many.
        """
        self.wait()
        place = self.folder / str(step)
        try:
            if before:
                before()
            if processes.agreed(int(processes.first() and self._there(place))):
                return
            if processes.first():
                self._clear(place)
            processes.meet(f"checkpoint {step}")
            self._checkpointer.save(_address(place / STATE), args=ocp.args.StandardSave(_named(state)))
        except Exception as error:  # a disk or a bucket fails in the ways of its own client
            self._drain()
            self._fail(step, error)
            return
        self._writing = threading.Thread(target=self._finish, args=(step, metrics or {}), name=f"checkpoint {step}")
        self._writing.start()

    def settle(self) -> None:
        """Wait until the newest save is complete, in every process.

        Raises:
            SaveError: it is not, however many failures are tolerated.
        """
        self.wait()
        if self._failed:
            raise SaveError(f"the newest step is not saved in {self.folder}: {self._why}")
        processes.meet("saved")

    def check(self) -> None:
        """Report a write that failed in the background, without waiting; call it after each step.

        Raises:
            SaveError: it was one failure too many.
        """
        if self._writing is not None and not self._writing.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait until nothing is being written; reports and raises as `check` does."""
        if self._writing is None:
            return
        self._writing.join()
        step, self._writing = int(self._writing.name.split()[1]), None
        if self._error is None:
            self._failed = 0
            return
        error, self._error = self._error, None
        self._fail(step, error)

    def _finish(self, step: int, metrics: dict[str, float]) -> None:
        """In the background: wait for orbax, then write the manifest and remove what is no longer kept."""
        try:
            self._checkpointer.wait_until_finished()
            if processes.first():
                manifest.write(self.folder / str(step), Saved(step, self.about, metrics), self.settings)
                self._damaged.discard(step)
                self._prune()
        except Exception as error:
            self._drain()
            self._error = error

    def _clear(self, place: UPath) -> None:
        """Remove what is there of a checkpoint; of one that just failed, what orbax still writes of it as well.

        Its writers end soon after their error is known, but nobody is told when.
        """
        looks = 20 * LOOKS if self._failed and place.exists() else 0
        quiet = 0
        while looks and quiet < LOOKS:
            looks, quiet = looks - 1, 0 if place.exists() else quiet + 1
            with contextlib.suppress(OSError):  # written to while it is removed
                manifest.remove(place)
            time.sleep(0.05)
        manifest.remove(place)

    def _drain(self) -> None:
        """Take the further errors of a save that failed out of orbax, or the next save would be told of them.

        There is at most one of its arrays and one of each of its few files of metadata.
        """
        for _ in range(8):
            with contextlib.suppress(Exception):
                self._checkpointer.wait_until_finished()
                return

    def _fail(self, step: int, error: Exception) -> None:
        self._failed, self._why = self._failed + 1, _first_line(error)
        text = f"the checkpoint of step {step} could not be written to {self.folder}: {_first_line(error)}"
        if self._failed > self.failures or jax.process_count() > 1:  # alone, one process cannot leave it at that
            raise SaveError(
                f"{text}. Free or mend the place, then start the same command: it goes on from the newest checkpoint"
            ) from error
        left = self.failures - self._failed
        self.say(f"WARNING: {text}. The run goes on; {left} more in a row are tolerated (training.save_failures)")

    def _prune(self) -> None:
        """Keep the newest and the best that are not damaged; of the rest, finished or not, remove what is older."""
        complete = [saved for saved in self._all_complete() if saved.step not in self._damaged]
        kept = {saved.step for saved in complete[-self.keep :]}
        if (best := self._best(complete)) is not None:
            kept.add(best.step)
        for step in self._steps():
            if step not in kept and step < max(kept, default=0):
                manifest.remove(self.folder / str(step))

    # ---------------------------------------------------------------- reading

    def restore(self, like: State, *, accept_changes: bool = False) -> State | None:
        """The newest state, placed as `like` (arrays or ShapeDtypeStructs with shardings), or None if there is none.

        A checkpoint that is damaged or half-written is reported, and the one before it is used. If the best one is
        damaged, it is one before the best, or none, so that the best is made again, as is all that was sound after it.

        Args:
            accept_changes: take a checkpoint of other data, base, template or settings, as long as its arrays fit.

        Raises:
            ValueError: the checkpoint was made with other data, base, template or settings; names what differs.
        """
        step, told, gone = self._newest_sound() if processes.first() else (-1, -1, [])
        step, told = processes.agreed(step), processes.agreed(told)
        if told >= 0:
            self._check_about(manifest.read(self.folder / str(told)), accept_changes)
        found = self._read(step, like) if step >= 0 else None
        for one in gone:  # the first process's to remove
            manifest.remove(self.folder / str(one))
        processes.meet("restored")
        return found

    def restore_best(self, like: State) -> State:
        """The state whose metric was best.

        Raises:
            ValueError: it is damaged.
        """
        best = self._best(self._all_complete()) if processes.first() else None
        step = processes.agreed(-1 if best is None else best.step)  # others may come before its manifest was written
        if step < 0:
            raise ValueError(
                f"{self.folder}: no checkpoint has a {self.best} that is a number; set training.best to null and start "
                "the same command with --accept_changes"
            )
        if not processes.agreed(int(processes.first() and self._verified(step) is not None)):
            raise ValueError(
                f"{self.folder}: the checkpoint with the best {self.best}, {step}, is damaged; "
                "start the same command again: it is made again from the one before"
            )
        return self._read(step, like)

    def _best(self, saved: list[Saved]) -> Saved | None:
        """The earliest of those whose metric is best."""
        name, sign = self.best or "", -1 if self.highest else 1
        measured = [one for one in saved if not math.isnan(one.metrics.get(name, math.nan))]
        return min(measured, key=lambda one: (sign * one.metrics[name], one.step), default=None)

    @property
    def newest(self) -> int | None:
        """Step of the newest complete checkpoint."""
        return max((saved.step for saved in self._all_complete()), default=None)

    def _newest_sound(self) -> tuple[int, int, list[int]]:
        """The step to go on from, -1 if there is none; one that tells whose these are; what is sound beyond a damaged
        best, which must go, for the metrics will end at the first or begin anew.
        """
        sound = cache(self._verified)  # a file is read once, and the reader told once
        steps, complete, gone = self._steps(), self._all_complete(), []
        best = self._best(complete)
        if best is not None and sound(best.step) is None:
            gone = [one.step for one in complete if one.step > best.step and sound(one.step) is not None]
            steps = [step for step in steps if step < best.step]
        step = next((step for step in reversed(steps) if sound(step) is not None), -1)
        return step, best.step if best is not None and step < 0 else step, gone

    def _there(self, place: UPath) -> bool:
        """Whether a sound checkpoint stands there already; a damaged one is reported."""
        return (place / MANIFEST).exists() and self._verified(int(place.name)) is not None

    def _read(self, step: int, like: State) -> State:
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _named(like))
        place = _address(self.folder / str(step) / STATE)
        found = self._checkpointer.restore(place, args=ocp.args.StandardRestore(abstract))
        order = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)]
        return jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in order])

    def _check_about(self, saved: Saved, accept_changes: bool) -> None:
        changed = [
            name
            for name in sorted(self.about.keys() | saved.about.keys())
            if self.about.get(name) != saved.about.get(name)
        ]
        differences = "; ".join(
            f"{name} was {saved.about.get(name)!r}, is {self.about.get(name)!r}" for name in changed
        )
        if "adapter" in changed or (changed and not accept_changes):
            advice = "an adapter cannot change its shape" if "adapter" in changed else "or pass --accept_changes"
            raise ValueError(
                f"the checkpoint of step {saved.step} belongs to another run: {differences}. "
                f"Give the run another name, or undo the change; {advice}"
            )
        if changed:
            self.say(f"WARNING: going on from step {saved.step} although {differences}")

    def _steps(self) -> list[int]:
        if not self.folder.exists():
            return []
        return sorted(int(place.name) for place in self.folder.iterdir() if place.name.isdecimal())

    def _all_complete(self) -> list[Saved]:
        """Every checkpoint with a sound manifest, oldest first; their files are not looked at."""
        found = []
        for step in self._steps():
            try:
                found.append(manifest.read(self.folder / str(step)))
            except _DAMAGE as error:
                self._raise_if_unreachable(error)
        return found

    def _verified(self, step: int) -> Saved | None:
        """A checkpoint of which every file is what was written; else None, and the reader is told."""
        try:
            return manifest.verify(self.folder / str(step))
        except _DAMAGE as error:
            self._raise_if_unreachable(error)
            self._damaged.add(step)
            self.say(f"WARNING: the checkpoint of step {step} in {self.folder} cannot be used: {_first_line(error)}")
            return None

    def _raise_if_unreachable(self, error: Exception) -> None:
        """A bucket that cannot be read says nothing of what stands in it; a file that a disk cannot read is damaged."""
        missing = isinstance(error, FileNotFoundError)
        if isinstance(error, OSError) and not missing and not files.is_local(self.folder):
            raise error


def _address(place: UPath) -> str:
    return place.absolute().path if files.is_local(place) else str(place)


def _named(state: Any) -> dict[str, Any]:
    """Leaves of a tree by their path, so that a checkpoint is a flat dictionary of named arrays."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"
