"""What a training step carries: the trained tree, the frozen tree and the optimizer, never unsharded on the way."""

import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from bioinstruct_jax.config import Lora, Shape, Train
from bioinstruct_jax.model.kernels import choose
from bioinstruct_jax.model.llama import Llama
from bioinstruct_jax.model.lora import trained_filter
from bioinstruct_jax.model.quantize import Quantized, quantize
from bioinstruct_jax.model.weights import AnyMesh, Weight, base_weights, lora_weights


class State(NamedTuple):
    """Donated to each step.

    Attributes:
        step: int32 scalar, optimizer steps done.
        trained: adapters, or all weights; float32.
        optimizer: optax state of `trained`.
    """

    step: jax.Array
    trained: nnx.State
    optimizer: Any


class Plan(NamedTuple):
    """A model without numbers: abstract arrays with shardings, and the graph that puts them together.

    Attributes:
        graph: for `nnx.merge(graph, trained, frozen)`.
        trained, frozen: trees of ShapeDtypeStruct.
        weights: description of every weight by path.
    """

    graph: nnx.GraphDef
    trained: nnx.State
    frozen: nnx.State
    weights: dict[str, Weight]


def adapter_config(config: Train) -> Lora | None:
    """The adapter that is trained, or None where all weights are."""
    return config.lora if config.trainable == "lora" else None


def plan(config: Train, shape: Shape, mesh: AnyMesh) -> Plan:
    """Shapes, types and shardings of a job's model; makes no array.

    Trained weights are float32; frozen ones and the products have ``model.dtype``, quantised kernels the types of the
    weight table. Raises ValueError for an attention kernel that the mesh, the heads or the rows do not allow, and for
    inputs that nf4 cannot cut into blocks.
    """
    lora = adapter_config(config)
    dtype = jnp.dtype(config.model.dtype)
    trained_kinds = ("lora_a", "lora_b") if lora else ("kernel", "embedding", "scale", "bias")

    def make(path: str, weight: Weight) -> jax.ShapeDtypeStruct:
        return weight.abstract(jnp.float32 if weight.kind in trained_kinds else dtype, mesh)

    attention = choose(config.model.attention, mesh, shape, config.data.length)
    model = Llama(
        shape,
        lora,
        dtype,
        make,  # type: ignore[arg-type]
        remat=config.model.remat,
        unroll=config.model.unroll,
        attention=attention,
        logits_mib=config.model.logits_mib,
        quantize=config.model.quantize,
    )
    graph, trained, frozen = nnx.split(model, trained_filter(config.trainable), ...)  # type: ignore[misc]
    weights = base_weights(shape, config.model.quantize) | (lora_weights(shape, lora) if lora else {})
    return Plan(graph, trained, frozen, weights)


def by_path(tree: nnx.State) -> dict[str, Any]:
    """The arrays of a tree, keyed as in the weight table: ``layers.self_attn.q_proj.kernel``."""
    return {".".join(map(str, path)): leaf.get_raw_value() for path, leaf in nnx.to_flat_state(tree)}


def from_paths(tree: nnx.State, values: dict[str, Any]) -> nnx.State:
    """A tree like `tree` holding `values`, keyed as in the weight table; KeyError for a path that is missing."""
    flat = nnx.to_flat_state(tree)
    return nnx.from_flat_state([(path, leaf.replace(values[".".join(map(str, path))])) for path, leaf in flat])


def initial_value(path: str, weight: Weight, shape: Shape, key: jax.Array, dtype: jnp.dtype) -> jax.Array:
    """A weight's value before training; a pure function of key and path, whatever the mesh.

    Scales are 1, biases and B are 0, A is uniform in +-1/sqrt(fan in) as in PEFT (Kaiming uniform with a = sqrt 5), and
    the rest normal with ``initializer_range``, as in transformers.
    """
    key = jax.random.fold_in(key, zlib.crc32(path.encode()))
    if weight.kind == "scale":
        return jnp.ones(weight.shape, dtype)
    if weight.kind in ("bias", "lora_b"):
        return jnp.zeros(weight.shape, dtype)
    if weight.kind == "lora_a":
        bound = weight.fan_in**-0.5
        return jax.random.uniform(key, weight.shape, jnp.float32, -bound, bound).astype(dtype)
    return (jax.random.normal(key, weight.shape) * shape.initializer_range).astype(dtype)


def initialize(tree: nnx.State, weights: dict[str, Weight], shape: Shape, seed: int) -> nnx.State:
    """Initial values for the abstract arrays of `tree`, made in place on their devices.

    Kernels that are to be quantised are made one after the other, in the type of the embedding, and quantised at once.
    """
    abstract = by_path(tree)
    plain = {path: like for path, like in abstract.items() if weights[path].of is None}

    def make() -> dict[str, jax.Array]:
        key = jax.random.key(seed)
        return {path: initial_value(path, weights[path], shape, key, like.dtype) for path, like in plain.items()}

    values = jax.jit(make, out_shardings={path: like.sharding for path, like in plain.items()})()
    for path in abstract.keys() - plain.keys():
        if path.endswith(".codes"):
            values |= _quantized(path.removesuffix("codes"), abstract, weights, shape, seed)
    return from_paths(tree, values)


def _quantized(
    name: str, abstract: dict[str, Any], weights: dict[str, Weight], shape: Shape, seed: int
) -> dict[str, jax.Array]:
    """Codes and scales of a kernel's initial value."""
    codes, scales = abstract[f"{name}codes"], abstract[f"{name}scales"]
    kernel = weights[f"{name}codes"].of
    assert kernel is not None
    dtype = abstract["embed_tokens.embedding"].dtype

    def make() -> Quantized:
        value = initial_value(f"{name}kernel", kernel, shape, jax.random.key(seed), dtype)
        return jax.lax.map(lambda layer: quantize(layer, codes.dtype), value)

    made = jax.jit(make, out_shardings=Quantized(codes.sharding, scales.sharding))()
    return {f"{name}codes": made.codes, f"{name}scales": made.scales}


def start(trained: nnx.State, optimizer: optax.GradientTransformation, mesh: jax.sharding.Mesh) -> State:
    """The state before the first step; the optimizer's arrays lie as the weights they belong to."""
    everywhere = jax.NamedSharding(mesh, jax.P())
    moments = jax.jit(optimizer.init, out_shardings=state_shardings(trained, optimizer, mesh))(trained)
    return State(jax.device_put(jnp.zeros((), jnp.int32), everywhere), trained, moments)


def state_shardings(trained: nnx.State, optimizer: optax.GradientTransformation, mesh: AnyMesh) -> Any:
    """Sharding of each optimizer array: that of the weight it belongs to, replicated for counters."""
    everywhere = jax.NamedSharding(mesh, jax.P())
    shapes = jax.eval_shape(optimizer.init, trained)
    return optax.tree.map_params(
        optimizer,
        lambda _, weight: weight.sharding,
        shapes,
        trained,
        transform_non_params=lambda _: everywhere,
    )
