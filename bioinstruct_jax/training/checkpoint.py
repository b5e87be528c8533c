"""Checkpoints of a run by orbax: written in the background, the newest few kept, each with what it belongs to."""

from typing import Any

import jax
import orbax.checkpoint as ocp
from upath import UPath

from bioinstruct_jax.training.state import State


def _named(state: Any) -> dict[str, Any]:
    """Leaves of a tree by their path, so that a checkpoint is a flat dictionary of named arrays."""
    return {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(state)}


class Checkpoints:
    """The ``checkpoints/`` folder of one run; use as a context manager, which waits for the last write on leaving.

    Args:
        folder: local or bucket path.
        keep: how many to keep, newest first.
        about: what the run is (base id and hash, data, template, steps); stored with each checkpoint.
    """

    def __init__(self, folder: UPath, keep: int, about: dict[str, Any]):
        self.about = about
        options = ocp.CheckpointManagerOptions(max_to_keep=keep, create=True)
        self.manager = ocp.CheckpointManager(str(folder.absolute()), options=options)

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.manager.close()

    def save(self, step: int, state: State) -> None:
        """Start writing the state after `step` optimizer steps; an error of an earlier write surfaces here."""
        self.manager.check_for_errors()
        if step not in self.manager.all_steps():
            arguments = ocp.args.Composite(
                state=ocp.args.StandardSave(_named(state)), about=ocp.args.JsonSave(self.about)
            )
            self.manager.save(step, args=arguments)

    def restore(self, like: State) -> State | None:
        """The newest state, placed as `like` (arrays or ShapeDtypeStructs with shardings), or None if there is none.

        Raises:
            ValueError: if the checkpoint was made with other data, base, template or settings; names what differs.
        """
        step = self.manager.latest_step()
        if step is None:
            return None
        about = self.manager.restore(step, args=ocp.args.Composite(about=ocp.args.JsonRestore()))["about"]
        changed = [name for name in sorted(self.about.keys() | about.keys()) if self.about.get(name) != about.get(name)]
        if changed:
            differences = "; ".join(f"{name} was {about.get(name)!r}, is {self.about.get(name)!r}" for name in changed)
            raise ValueError(
                f"the checkpoint of step {step} belongs to another run: {differences}. "
                "Give the run another name, or undo the change"
            )
        abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), _named(like))
        found = self.manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(abstract)))["state"]
        order = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(like)]
        return jax.tree.unflatten(jax.tree.structure(like), [found[name] for name in order])
