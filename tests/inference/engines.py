"""Engines around small models, and what the uncached forward pass says of the same tokens."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bioinstruct_jax.config import Lora, Mesh, Shape
from bioinstruct_jax.inference.batches import Branches, Prompt
from bioinstruct_jax.inference.engine import Engine
from bioinstruct_jax.inference.slots import CHUNK
from bioinstruct_jax.model.llama import Llama
from bioinstruct_jax.model.weights import base_weights
from bioinstruct_jax.training.sharding import make_mesh
from bioinstruct_jax.training.state import by_path, from_paths
from tests.interop import llama_pairs


def engine(
    shape: Shape,
    arrays: dict[str, Any],
    lora: Lora | None = None,
    *,
    slots: int = 4,
    sizes: tuple[int, int, int] = (1, 1, 1),
    dtype: str = "float32",
) -> Engine:
    """An engine on the first devices, around weights by path."""
    mesh = make_mesh(Mesh(data=sizes[0], fsdp=sizes[1], tensor=sizes[2]), jax.devices()[: int(np.prod(sizes))])

    def make(path: str, weight: Any) -> jax.ShapeDtypeStruct:
        return weight.abstract(jnp.float32 if "lora" in path else jnp.dtype(dtype), mesh)

    graph, abstract = nnx.split(Llama(shape, lora, jnp.dtype(dtype), make, remat="none"))
    likes = by_path(abstract)
    values = {
        path: jax.device_put(np.asarray(arrays[path]).astype(like.dtype), like.sharding) for path, like in likes.items()
    }
    return Engine(graph, from_paths(abstract, values), shape, dtype, mesh, slots)


def family(name: str, folder: Path) -> tuple[Any, Shape, dict[str, Any]]:
    """A transformers model of a family, and the same weights as shape and arrays."""
    model = llama_pairs.reference(0, **llama_pairs.FAMILIES[name])
    model.save_pretrained(folder)
    return model, *llama_pairs.load(folder)


def random_arrays(shape: Shape, seed: int = 0) -> dict[str, np.ndarray]:
    """Weights far from their usual start, so that attention is sharp."""
    random = np.random.default_rng(seed)
    return {
        path: random.normal(
            1 if weight.kind == "scale" else 0, weight.fan_in**-0.5 if weight.multiplies else 0.3, weight.shape
        )
        for path, weight in base_weights(shape).items()
    }


def prompts(
    count: int, *, seed: int = 0, longest: int = 20, most: int = 30, vocabulary: int = 96, **settings: Any
) -> list:
    """Prompts of unequal length, asking for unequal numbers of tokens; token 5 ends a completion."""
    random = np.random.default_rng(seed)
    lengths, limits = random.integers(1, longest + 1, count), random.integers(1, most + 1, count)
    return [
        Prompt(random.integers(0, vocabulary, int(n)).astype(np.int32), int(m), frozenset({5}), **settings)
        for n, m in zip(lengths, limits, strict=True)
    ]


def branches(count: int, *, seed: int = 0, vocabulary: int = 96) -> list[Branches]:
    """Contexts and continuations of unequal length."""
    random = np.random.default_rng(seed)

    def tokens(longest: int) -> np.ndarray:
        return random.integers(0, vocabulary, int(random.integers(1, longest + 1))).astype(np.int32)

    return [Branches(tokens(20), tuple(tokens(4) for _ in range(int(random.integers(1, 5))))) for _ in range(count)]


def complete(engine: Engine, prompts: list[Prompt], steps: int = CHUNK) -> list[list[int]]:
    """The tokens written after each prompt."""
    written: dict[int, list[int]] = {i: [] for i in range(len(prompts))}
    ended: dict[int, bool] = {}

    def take(i: int, tokens: list[int], last: bool) -> bool:
        assert not ended.get(i)
        ended[i] = last
        written[i] += tokens
        return False

    engine.complete(prompts, take, steps)
    assert all(ended[i] for i in written)
    return [written[i] for i in range(len(prompts))]


def score(engine: Engine, requests: list[Branches]) -> list[list[tuple[float, bool]]]:
    found: dict[int, list[tuple[float, bool]]] = {}
    engine.score(requests, found.__setitem__)
    return [found[i] for i in range(len(requests))]


def uncached(engine: Engine, tokens: list[int], pad: int | None = None) -> np.ndarray:
    """Logits [S, V] of one sequence, by the forward pass of training; `pad` saves compiling for each length."""
    width, rows = pad or len(tokens), engine.shards
    ids = np.zeros((rows, width), np.int32)
    ids[:, : len(tokens)] = tokens
    with jax.set_mesh(engine.mesh):
        put = jax.NamedSharding(engine.mesh, jax.P(("data", "fsdp"), None))
        return np.asarray(_forward(engine.graph, engine.weights, jax.device_put(ids, put)))[0, : len(tokens)]


@jax.jit(static_argnums=0)
def _forward(graph: nnx.GraphDef, weights: nnx.State, tokens_BS: jax.Array) -> jax.Array:
    positions_BS = jnp.broadcast_to(jnp.arange(tokens_BS.shape[1]), tokens_BS.shape)
    return nnx.merge(graph, weights)(tokens_BS, positions_BS, jnp.ones_like(tokens_BS))


def greedy(engine: Engine, prompt: Prompt, pad: int | None = 64) -> list[int]:
    """The likeliest tokens, each from a forward pass over all before it."""
    tokens = prompt.tokens.tolist()
    for _ in range(prompt.max_tokens):
        tokens.append(int(uncached(engine, tokens, pad)[-1].argmax()))
        if tokens[-1] in prompt.ends:
            break
    return tokens[len(prompt.tokens) :]
