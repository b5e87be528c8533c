"""The loss on rows that are not trained on, by the very function that training minimises."""

from typing import Any

import jax
import numpy as np
from flax import nnx

from bioinstruct_jax.data.rows import Rows
from bioinstruct_jax.model.loss import Batch
from bioinstruct_jax.training.sharding import put_batch
from bioinstruct_jax.training.step import held_out_step


class HeldOut:
    """The held-out rows and their compiled loss.

    Args:
        rows: what to evaluate.
        graph, trained, frozen: the model; trees of arrays or of ShapeDtypeStructs, as they will be given to `loss`.
        size: rows in one evaluation batch; a multiple of the devices that share a batch.
        mesh: where the model lies.
        options: of the compiler, as `recipes.compiler_options` gives them.
    """

    def __init__(
        self,
        rows: Rows,
        graph: nnx.GraphDef,
        trained: Any,
        frozen: Any,
        size: int,
        mesh: jax.sharding.Mesh,
        options: dict[str, str | bool],
    ):
        self.rows, self.size, self.mesh = rows, size, mesh
        lowered = jax.jit(held_out_step(graph)).lower(trained, frozen, self._batch(0))
        self.program = lowered.compile(compiler_options=options)

    def _batch(self, first: int) -> Batch:
        """Rows `first` to `first + size`, the last batch filled up with padding."""

        def part(array: np.ndarray) -> np.ndarray:
            found = array[first : first + self.size]
            return np.pad(found, ((0, self.size - len(found)), (0, 0)))[None]

        rows = self.rows
        names = {"tokens": rows.tokens, "segments": rows.segments, "positions": rows.positions, "weights": rows.weights}
        return put_batch({name: part(array) for name, array in names.items()}, self.mesh)

    def loss(self, trained: Any, frozen: Any) -> tuple[float, int]:
        """Mean cross-entropy in nats over all held-out target tokens, and their number."""
        starts = range(0, len(self.rows.tokens), self.size)
        sums = [self.program(trained, frozen, self._batch(first)) for first in starts]
        total, targets = (float(np.sum(part, dtype=np.float64)) for part in zip(*jax.device_get(sums), strict=True))
        return total / max(targets, 1), int(targets)
