"""A base model, with an adapter or without, as a language model on this machine's devices."""

import math

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from upath import UPath

from bioinstruct_jax.config import Lora, Mesh, Shape
from bioinstruct_jax.evaluation.encoding import adds_bos
from bioinstruct_jax.inference import loaded
from bioinstruct_jax.inference.engine import Engine
from bioinstruct_jax.inference.jax_language_model import JaxLanguageModel
from bioinstruct_jax.inference.loaded import Loaded
from bioinstruct_jax.interop import hub_config, hub_weights, peft_adapter
from bioinstruct_jax.model.llama import Llama
from bioinstruct_jax.model.weights import Weight, base_weights, lora_weights
from bioinstruct_jax.training.sharding import make_mesh
from bioinstruct_jax.training.state import by_path, from_paths


def load(
    model: str | None,
    adapter: str | None = None,
    *,
    dtype: str = "float32",
    slots: int = 32,
    context: int | None = None,
    bos: bool | None = None,
) -> Loaded[JaxLanguageModel]:
    """Read a model; weights go straight to the devices, divided over heads as far as these allow.

    Args:
        model: folder, bucket URL or hub id; None: the base that the adapter names.
        adapter: PEFT folder, run folder, bucket URL or hub id.
        dtype: of weights, products and cache, ``float32`` or ``bfloat16``.
        slots: prompts that are completed at the same time.
        context: longest sequence in tokens; None: what the base was made for.
        bos: whether raw texts get BOS in front; None: as the tokenizer does by itself.

    Raises:
        ValueError: nothing is named, no tokenizer is there, it does not fit the model, or a file is damaged.
        OSError: something is not there or may not be read.
    """
    base, place = loaded.places(model, adapter)
    shape = hub_config.read_shape(base)
    words, tokenizer = loaded.words_of(base, place)
    loaded.check_rows(words, base, shape.vocab_size or 0)
    lora, arrays = peft_adapter.load(place, shape) if place is not None else (None, {})
    mesh = serving_mesh(shape)
    graph, weights = _placed(shape, lora, arrays, base, dtype, mesh)
    engine = Engine(graph, weights, shape, dtype, mesh, slots)
    ends = loaded.ends(words, base)
    limit = longest_context(shape) if context is None else context
    bos = adds_bos(tokenizer) if bos is None else bos
    return Loaded(JaxLanguageModel(engine, tokenizer, ends, limit, bos), base, place, words)


def longest_context(shape: Shape) -> int:
    """Tokens that the base can read: ``dynamic`` scaling goes beyond ``max_position_embeddings`` by its factor."""
    scaling = shape.rope_scaling
    stretch = scaling.factor if scaling and scaling.rope_type == "dynamic" else 1
    return int(shape.max_position_embeddings * stretch)


def serving_mesh(shape: Shape) -> jax.sharding.Mesh:
    """All devices: over ``tensor`` as far as heads, vocabulary and feed-forward width allow, copies over ``data``."""
    devices = jax.devices()
    sizes = (shape.key_value_heads, shape.intermediate_size, shape.vocab_size or 1)
    return make_mesh(Mesh(data=-1, fsdp=1, tensor=math.gcd(len(devices), *sizes)), devices)


def _placed(
    shape: Shape, lora: Lora | None, adapter: dict[str, np.ndarray], base: UPath, dtype: str, mesh: jax.sharding.Mesh
) -> tuple[nnx.GraphDef, nnx.State]:
    """The model as graph and weights; an adapter stays beside its base, in float32."""

    def make(_: str, weight: Weight) -> jax.ShapeDtypeStruct:
        kind = jnp.float32 if weight.kind in ("lora_a", "lora_b") else jnp.dtype(dtype)
        return weight.abstract(kind, mesh)

    graph, abstract = nnx.split(Llama(shape, lora, jnp.dtype(dtype), make, remat="none"))  # type: ignore[arg-type]
    likes, table = by_path(abstract), base_weights(shape)
    values = hub_weights.load(base, {path: likes[path] for path in table}, table)
    for path in lora_weights(shape, lora) if lora else ():
        values[path] = jax.device_put(adapter[path], likes[path].sharding)
    return graph, from_paths(abstract, values)
