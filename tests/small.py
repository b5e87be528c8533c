"""A shrunken job and everything a step needs, for the tests of the JAX side."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from bioinstruct_jax.config import Data, Lora, Mesh, Model, Optimizer, Shape, Source, Tokenizer, Train, Training
from bioinstruct_jax.data.rows import DTYPES
from bioinstruct_jax.model.loss import Batch
from bioinstruct_jax.training import sharding, state
from bioinstruct_jax.training.optimizer import make_optimizer
from bioinstruct_jax.training.step import StepMetrics, train_step

SHAPE = Shape(
    vocab_size=96,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
    initializer_range=0.2,  # large, so that attention is sharp and nothing hides behind near-uniform weights
)

# Eight key/value heads, so that eight devices can share it along any axis of the mesh.
WIDE = replace(SHAPE, num_attention_heads=16, num_key_value_heads=8, head_dim=4)
# For comparisons after many steps. Adam moves an element by the learning rate however small its gradient, so one whose
# gradient is a sum that cancels down to rounding would go either way; `eps` at a hundredth of a usual element's
# gradient makes such a step as small as the gradient is. In a warm-up the first steps, whose second moment rests on one
# sample, are short ones.
CALM = Optimizer(learning_rate=1e-2, warmup_steps=5, eps=1e-4)


def job(shape: Shape = SHAPE, **changes: Any) -> Train:
    """A valid job of a tiny LLaMA; `changes` replace whole sections."""
    base = Train(
        name="small",
        platform="cpu",
        model=Model(weights="random", shape=shape, dtype="float32", remat="none"),
        lora=Lora(rank=4, alpha=8.0),
        tokenizer=Tokenizer(path="tiny"),
        data=Data(sources=(Source(path="seeds"),), length=24),
        optimizer=Optimizer(learning_rate=1e-2, warmup_steps=2),
        training=Training(steps=20, batch_rows=16),
    )
    return replace(base, **changes)


class Ready(NamedTuple):
    """A model on a mesh, ready to step."""

    job: Train
    mesh: jax.sharding.Mesh
    plan: state.Plan
    now: state.State
    frozen: nnx.State
    step: Any


def ready(job: Train, sizes: tuple[int, int, int] = (1, 1, 1), *, trained_b: bool = True) -> Ready:
    """Place the job's model on the first devices; B is made random unless `trained_b` is off, so that it matters."""
    mesh = sharding.make_mesh(Mesh(data=sizes[0], fsdp=sizes[1], tensor=sizes[2]), jax.devices()[: int(np.prod(sizes))])
    with jax.set_mesh(mesh):
        shape = job.model.shape
        plan = state.plan(job, shape, mesh)
        trained = state.initialize(plan.trained, plan.weights, shape, job.seed)
        frozen = state.initialize(plan.frozen, plan.weights, shape, job.seed)
        if trained_b:
            trained = with_random_b(trained)
        optimizer = make_optimizer(job.optimizer, job.training.steps)
        now = state.start(trained, optimizer, mesh)
        step = jax.jit(train_step(plan.graph, optimizer, job.seed))
    return Ready(job, mesh, plan, now, frozen, step)


def after(ready_: Ready, step: int) -> state.State:
    """Its state, as if so many steps were done."""
    return ready_.now._replace(step=jax.device_put(np.int32(step), ready_.now.step.sharding))


def with_random_b(trained: nnx.State) -> nnx.State:
    arrays = state.by_path(trained)
    random = np.random.default_rng(7)
    for path, array in arrays.items():
        if path.endswith("lora_b"):
            values = random.normal(0, 0.1, array.shape).astype(array.dtype)
            arrays[path] = jax.device_put(values, array.sharding)
    return state.from_paths(trained, arrays)


def examples(
    count: int, *, seed: int = 0, vocabulary: int = 96, longest: int = 12
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Examples of unequal length: (tokens, weights), the first token never a target."""
    random = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        length = int(random.integers(3, longest + 1))
        weights = (random.random(length) < random.random()).astype(np.uint8)
        weights[0], weights[-1] = 0, 1
        made.append((random.integers(0, vocabulary, length).astype(np.int32), weights))
    return made


def packed(rows: list[list[tuple[np.ndarray, np.ndarray]]], length: int) -> dict[str, np.ndarray]:
    """Rows of examples as arrays [rows, length]."""
    arrays = {name: np.zeros((len(rows), length), np.int32) for name in ("tokens", "segments", "positions", "weights")}
    for row, content in enumerate(rows):
        at = 0
        for segment, (tokens, weights) in enumerate(content, start=1):
            span = slice(at, at + len(tokens))
            arrays["tokens"][row, span], arrays["weights"][row, span] = tokens, weights
            arrays["segments"][row, span], arrays["positions"][row, span] = segment, np.arange(len(tokens))
            at += len(tokens)
    return arrays


def random_rows(count: int, length: int, *, seed: int = 0, vocabulary: int = 96) -> dict[str, np.ndarray]:
    """`count` packed rows of two examples each."""
    made = examples(2 * count, seed=seed, vocabulary=vocabulary, longest=length // 2)
    return packed([made[2 * row : 2 * row + 2] for row in range(count)], length)


def on_mesh(arrays: dict[str, np.ndarray], mesh: jax.sharding.Mesh, micro_batches: int = 1) -> Batch:
    cut = {
        name: array.astype(DTYPES[name]).reshape(micro_batches, -1, array.shape[-1]) for name, array in arrays.items()
    }
    return sharding.put_batch(cut, mesh)


def unequal(rows: int, length: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Rows whose target counts differ very much: one row is nearly all targets, the last has a single one."""
    arrays = random_rows(rows, length, seed=seed)
    arrays["weights"][0] = arrays["segments"][0] > 0
    arrays["weights"][-1] = 0
    arrays["weights"][-1, 1] = 1
    return arrays


def moved(ready_: Ready, sizes: tuple[int, int, int]) -> Ready:
    """The same numbers on another mesh, cheaper than making them there."""
    mesh = sharding.make_mesh(Mesh(data=sizes[0], fsdp=sizes[1], tensor=sizes[2]), jax.devices()[: int(np.prod(sizes))])
    plan = state.plan(ready_.job, ready_.job.model.shape, mesh)
    optimizer = make_optimizer(ready_.job.optimizer, ready_.job.training.steps)

    def place(old: nnx.State, new: nnx.State) -> nnx.State:
        like = state.by_path(new)
        values = {path: jax.device_put(array, like[path].sharding) for path, array in state.by_path(old).items()}
        return state.from_paths(old, values)

    with jax.set_mesh(mesh):
        trained = place(ready_.now.trained, plan.trained)
        moments = jax.device_put(ready_.now.optimizer, state.state_shardings(trained, optimizer, mesh))
        count = jax.device_put(ready_.now.step, jax.NamedSharding(mesh, jax.P()))
        step = jax.jit(train_step(plan.graph, optimizer, ready_.job.seed))
        frozen = place(ready_.frozen, plan.frozen)
    return Ready(ready_.job, mesh, plan, state.State(count, trained, moments), frozen, step)


def train(
    ready_: Ready, windows: list[dict[str, np.ndarray]], micro_batches: int = 1
) -> tuple[dict[str, np.ndarray], list[StepMetrics]]:
    """Trained arrays and metrics after one step on each window of rows."""
    with jax.set_mesh(ready_.mesh):
        now, seen = ready_.now, []
        for arrays in windows:
            now, metrics = ready_.step(now, ready_.frozen, on_mesh(arrays, ready_.mesh, micro_batches))
            seen.append(jax.device_get(metrics))
    return {path: np.asarray(array) for path, array in state.by_path(now.trained).items()}, seen


Gradients = dict[str, np.ndarray]


def gradients(ready_: Ready) -> Callable[..., tuple[Gradients, StepMetrics]]:
    """(rows, micro_batches=1, step=0) -> (gradient by path, metrics), as `train_step` hands it to the optimizer."""
    keep = optax.trace(decay=0)  # its state is the gradient
    program = jax.jit(train_step(ready_.plan.graph, keep, ready_.job.seed))

    def gradient(arrays: dict[str, np.ndarray], micro_batches: int = 1, step: int = 0) -> tuple[Gradients, StepMetrics]:
        with jax.set_mesh(ready_.mesh):
            count = jax.device_put(jnp.int32(step), jax.NamedSharding(ready_.mesh, jax.P()))
            now = state.State(count, ready_.now.trained, keep.init(ready_.now.trained))
            after, metrics = program(now, ready_.frozen, on_mesh(arrays, ready_.mesh, micro_batches))
            found = state.by_path(after.optimizer.trace)
        return {path: np.asarray(array) for path, array in found.items()}, jax.device_get(metrics)

    return gradient


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], rtol: float = 1e-5) -> None:
    """Each array of `one` is that of `other` within `rtol` of its largest element, and of its norm."""
    assert one.keys() == other.keys()
    for path, array in one.items():
        np.testing.assert_allclose(array, other[path], rtol=rtol, atol=rtol * float(np.abs(array).max()), err_msg=path)
        assert np.linalg.norm(array - other[path]) <= rtol * np.linalg.norm(array), path
