"""The batch of a step, as a pure function of seed and step."""

from functools import lru_cache

import numpy as np

from bioinstruct_jax.data.rows import Rows


def batch(rows: Rows, step: int, *, seed: int, size: int, part: tuple[int, int] = (0, 1)) -> dict[str, np.ndarray]:
    """Rows `step * size` and following of an endless sequence of shuffled epochs.

    Each epoch holds every row exactly once, in an order of its own; a batch may straddle two epochs. Every number of
    processes sees the same global batch (maxtext#1760).

    Args:
      rows: N packed rows of S tokens.
      step: from 0.
      seed: of the order.
      size: rows of the global batch.
      part: (process index, number of processes); the result is that contiguous share of the global batch.

    Returns:
      tokens, segments, positions (int32) and weights (uint8), each [size / number of processes, S].

    Raises:
      ValueError: there are no rows, or `size` or `part` make no sense.
    """
    process, processes = part
    count = len(rows.tokens)
    if count == 0:
        raise ValueError("there are no rows to make a batch of")
    if step < 0 or size < 1 or not 0 <= process < processes or size % processes:
        raise ValueError(
            f"step {step}, size {size}, part {part}: step is at least 0, size a multiple of the number of processes "
            "and the process one of them"
        )
    share = size // processes
    first = step * size + process * share
    places = range(first, first + share)
    chosen = np.array([_order(count, seed, place // count)[place % count] for place in places])
    return {
        name: np.asarray(array[chosen])
        for name, array in (
            ("tokens", rows.tokens),
            ("segments", rows.segments),
            ("positions", rows.positions),
            ("weights", rows.weights),
        )
    }


def row_numbers(count: int, step: int, *, seed: int, size: int) -> list[int]:
    """Which of `count` rows the global batch of `step` (from 0) holds, in its order."""
    places = range(step * size, (step + 1) * size)
    return [int(_order(count, seed, place // count)[place % count]) for place in places]


@lru_cache(maxsize=8)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    """A permutation int64 [count]. Sorts the raw stream of Philox, which NumPy promises never to change (NEP 19)."""
    return np.argsort(np.random.Philox(key=[seed, epoch]).random_raw(count), kind="stable")


def micro_batches(
    rows: Rows, step: int, *, seed: int, size: int, parts: int, part: tuple[int, int] = (0, 1)
) -> dict[str, np.ndarray]:
    """The global batch of `step`, cut into `parts` micro-batches: each array [parts, size / parts / processes, S].

    Micro-batch m holds the m-th block of the batch's rows on any number of processes. Raises ValueError like `batch`.
    """
    cut = [batch(rows, step * parts + index, seed=seed, size=size // parts, part=part) for index in range(parts)]
    return {name: np.stack([micro[name] for micro in cut]) for name in cut[0]}
