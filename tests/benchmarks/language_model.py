"""Is a trained model better than counting? Its held-out loss beside a trigram's and its own on one token.

    python -m tests.benchmarks.language_model runs/small_cpu

Reads the run folder of a job with `trainable: all`: the very rows of its training and its held-out rows, and the model
it saved. All three figures are nats for each held-out target token.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bioinstruct_jax import settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.data import dataset
from bioinstruct_jax.data.rows import Rows
from bioinstruct_jax.files import path

DISCOUNTS = np.arange(0.1, 1.0, 0.1)


class Trigram:
    """Interpolated Kneser-Ney of order 3 (Chen and Goodman, 1999, section 2.7), one discount an order.

    p(w | u v) = max(c(u v w) - d, 0) / c(u v) + d n(u v) / c(u v) p(w | v), the lower orders counted in distinct left
    neighbours, down to a uniform distribution over the vocabulary.

    Args:
        triples: int64 [N, 3], every trigram of the training rows; -1 stands before the first token.
        vocabulary: number of token ids.
    """

    def __init__(self, triples: np.ndarray, vocabulary: int):
        self.vocabulary = vocabulary
        kinds, counts = np.unique(triples, axis=0, return_counts=True)
        pairs, left_of_pair = np.unique(kinds[:, 1:], axis=0, return_counts=True)
        words, left_of_word = np.unique(pairs[:, 1:], axis=0, return_counts=True)
        self.orders = [_order(kinds, counts), _order(pairs, left_of_pair), _order(words, left_of_word)]

    def probability(self, triples: np.ndarray, discount: float) -> np.ndarray:
        """p(w | u v) of each row (u, v, w), [N], with one discount for all orders."""
        p = np.full(len(triples), 1 / self.vocabulary)
        for (grams, contexts), start in zip(self.orders[::-1], (2, 1, 0), strict=True):
            counts = np.array([grams.get(row, 0) for row in map(tuple, triples[:, start:].tolist())], float)
            seen = np.array([contexts.get(row, (0, 0)) for row in map(tuple, triples[:, start:2].tolist())], float)
            total, kinds = np.maximum(seen[:, 0], 1), seen[:, 1]
            here = np.maximum(counts - discount, 0) / total + discount * kinds / total * p
            p = np.where(seen[:, 0] > 0, here, p)
        return p


def _order(grams: np.ndarray, counts: np.ndarray) -> tuple[dict, dict]:
    """Counts of n-grams, and of each context: their sum and how many different words follow."""
    contexts, inverse = np.unique(grams[:, :-1], axis=0, return_inverse=True)
    sums = np.bincount(inverse.ravel(), weights=counts, minlength=len(contexts))
    kinds = np.bincount(inverse.ravel(), minlength=len(contexts))
    return (
        dict(zip(map(tuple, grams.tolist()), counts.tolist(), strict=True)),
        dict(zip(map(tuple, contexts.tolist()), zip(sums.tolist(), kinds.tolist(), strict=True), strict=True)),
    )


def trigrams(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Every (u, v, w) of the examples in packed rows, int64 [N, 3], and whether w is a target, bool [N]."""
    tokens, segments = rows.tokens.astype(np.int64), rows.segments

    def before(shift: int) -> np.ndarray:
        moved = np.pad(tokens, ((0, 0), (shift, 0)))[:, : tokens.shape[1]]
        same = np.pad(segments, ((0, 0), (shift, 0)))[:, : tokens.shape[1]] == segments
        return np.where(same, moved, -1)

    real = segments > 0
    return np.stack([before(2)[real], before(1)[real], tokens[real]], axis=1), (rows.weights > 0)[real]


def pairs(rows: Rows, length: int) -> Rows:
    """Each held-out target with the one token before it, as segments of two tokens: the model's context cut to one."""
    triples, targets = trigrams(rows)
    kept = triples[targets & (triples[:, 1] >= 0)][:, 1:]
    per_row = length // 2
    count = -(-len(kept) // per_row)
    flat = np.zeros((count * per_row, 2), np.int32)
    flat[: len(kept)] = kept
    real = np.arange(count * per_row) < len(kept)
    segment = np.where(real, np.tile(np.arange(1, per_row + 1), count), 0)
    return Rows(
        tokens=flat.reshape(count, -1),
        segments=np.repeat(segment, 2).reshape(count, -1).astype(np.int32),
        positions=np.tile([0, 1], (count, per_row)).astype(np.int32),
        weights=(np.tile([0, 1], (count, per_row)) * np.repeat(real, 2).reshape(count, -1)).astype(np.uint8),
    )


def model_losses(job: Train, folder: Path, data: dataset.Dataset) -> Iterator[tuple[str, float, int]]:
    import jax

    from bioinstruct_jax.interop import hub_config, hub_weights
    from bioinstruct_jax.training import sharding, state
    from bioinstruct_jax.training.held_out import HeldOut

    mesh = sharding.make_mesh(job.mesh)
    jax.set_mesh(mesh)
    shape = hub_config.read_shape(path(folder / "model"))
    plan = state.plan(job, shape, mesh)
    loaded = hub_weights.load(path(folder / "model"), state.by_path(plan.trained), plan.weights)
    trained = state.from_paths(plan.trained, loaded)
    for name, rows in (
        ("model", data.held_out),
        ("model, one token of context", pairs(data.held_out, job.data.length)),
    ):
        loss, targets = HeldOut(rows, plan.graph, trained, plan.frozen, 4, mesh, {}).loss(trained, plan.frozen)
        yield name, loss, targets


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run with trainable: all")
    parser.add_argument("--trigram-only", action="store_true", help="leave the model out")
    options = parser.parse_args()
    job = settings.loads((options.run / "config.yaml").read_text(), job=Train, where=str(options.run))
    data = dataset.load(job)
    if data.held_out is None:
        print("this run held nothing out: set data.held_out", file=sys.stderr)
        return 2
    results = [] if options.trigram_only else list(model_losses(job, options.run, data))
    triples, _ = trigrams(data.train)
    tune = np.arange(len(triples)) % 50_000 < 1_000  # a fiftieth of the training rows chooses the discount
    tuning = Trigram(triples[~tune], len(data.tokenizer))
    best = min(DISCOUNTS, key=lambda discount: -np.log(tuning.probability(triples[tune], discount)).mean())
    found, targets = trigrams(data.held_out)
    p = Trigram(triples, len(data.tokenizer)).probability(found[targets], best)
    results.append((f"trigram, interpolated Kneser-Ney, discount {best:.1f}", float(-np.log(p).mean()), len(p)))
    for name, loss, count in results:
        print(f"{loss:8.4f} nats  {name} ({count:,} target tokens)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
