"""Every weight of a LLaMA and of its adapters, described once.

Abstract shapes, initial values, shardings, hub names, adapter names and the memory plan all follow from `base_weights`
and `lora_weights`. Dimension letters, here and in every name and einsum of `model/`:

    B batch      S, T sequence (query, key)   D model            F feed-forward   V vocabulary   L layers
    K key/value heads   G query heads for each key/value head (K x G query heads)   H head size   R rank
    N all query heads side by side (K x G x H)   M all key/value heads (K x H)
    I inputs of a quantised kernel, as codes or as blocks

Kernels are stored [in, out], two dimensions a layer, and activations cut into heads after the product: a TPU tiles the
last two dimensions of an array, and of a stacked kernel [.., K, G, H] it would make a copy in another layout first.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import P

from bioinstruct_jax.config import Lora, Shape
from bioinstruct_jax.model.quantize import BLOCK

Kind = Literal["kernel", "embedding", "scale", "bias", "lora_a", "lora_b", "codes", "scales"]

AnyMesh = jax.sharding.Mesh | jax.sharding.AbstractMesh
BATCH = ("data", "fsdp")  # mesh axes over which a batch is divided

# One kernel of a layer: input letters, output letters, mesh axis of each letter, module that holds it.
_KERNELS = {
    "q_proj": ("D", "N", "self_attn"),
    "k_proj": ("D", "M", "self_attn"),
    "v_proj": ("D", "M", "self_attn"),
    "o_proj": ("N", "D", "self_attn"),
    "gate_proj": ("D", "F", "mlp"),
    "up_proj": ("D", "F", "mlp"),
    "down_proj": ("F", "D", "mlp"),
}
_AXES = {"V": "tensor", "D": "fsdp", "N": "tensor", "M": "tensor", "F": "tensor"}  # others are never divided


@dataclass(frozen=True)
class Weight:
    """One array of the model.

    Attributes:
        dims: a letter for each dimension; a leading L means stacked over layers.
        shape: size of each dimension.
        spec: mesh axis of each dimension, or several of them.
        kind: ``kernel`` [in, out], ``embedding`` [V, D], ``scale`` [D], ``bias`` [out], ``lora_a`` [in, R],
            ``lora_b`` [R, out], or ``codes`` and ``scales`` [I, out] of a quantised kernel.
        hub: name in a Hugging Face (or, for an adapter, PEFT) file; ``{i}`` stands for the layer. Codes and scales
            stand in no file.
        dtype: where it is always the same; None: the job's choice.
        of: for codes and scales, the kernel that they stand for.
    """

    dims: str
    shape: tuple[int, ...]
    spec: P
    kind: Kind
    hub: str
    dtype: str | None = None
    of: "Weight | None" = None

    @property
    def stacked(self) -> bool:
        return self.dims.startswith("L")

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def multiplies(self) -> bool:
        """Whether it is [in, out], in files [out, in]."""
        return self.kind not in ("embedding", "scale", "bias")

    @property
    def fan_in(self) -> int:
        """Of what multiplies: size of the input that one output sums over."""
        return self.shape[int(self.stacked)]

    @property
    def hub_shape(self) -> tuple[int, ...]:
        """Shape in the file, one layer: [out, in] for what multiplies, unchanged for the rest."""
        per_layer = self.shape[int(self.stacked) :]
        return per_layer[::-1] if self.multiplies else per_layer

    def to_hub(self, array: Any) -> Any:
        """One layer's array, as the file has it."""
        return array.T if self.multiplies else array

    def from_hub(self, array: Any) -> Any:
        """The inverse of `to_hub`, and the same: a transpose undoes itself."""
        return self.to_hub(array)

    def placed(self, mesh: AnyMesh) -> P:
        """The spec on a mesh. What its several axes do not divide evenly is divided over the first of them alone."""
        axes = []
        for size, axis in zip(self.shape, self.spec, strict=True):
            uneven = isinstance(axis, tuple) and size % math.prod(mesh.shape[one] for one in axis)
            axes.append(axis[0] if uneven else axis)
        return P(*axes)

    def abstract(self, dtype: Any, mesh: AnyMesh | None = None) -> jax.ShapeDtypeStruct:
        """Its shape, in `dtype` unless its own is fixed, and where it lies on `mesh`."""
        sharding = jax.NamedSharding(mesh, self.placed(mesh)) if mesh is not None else None
        return jax.ShapeDtypeStruct(self.shape, self.dtype or dtype, sharding=sharding)


def sizes(shape: Shape) -> dict[str, int]:
    """Size of each dimension letter of the base. Raises ValueError if the vocabulary is not known yet."""
    if shape.vocab_size is None:
        raise ValueError("model.shape.vocab_size is not known: it follows from the tokenizer or config.json")
    return {
        "V": shape.vocab_size,
        "D": shape.hidden_size,
        "F": shape.intermediate_size,
        "L": shape.num_hidden_layers,
        "K": shape.key_value_heads,
        "G": shape.num_attention_heads // shape.key_value_heads,
        "H": shape.head_size,
        "N": shape.num_attention_heads * shape.head_size,
        "M": shape.key_value_heads * shape.head_size,
    }


def _weight(of: dict[str, int], kind: Kind, dims: str, hub: str, spec: P | None = None) -> Weight:
    spec = P(*(_AXES.get(letter) for letter in dims)) if spec is None else spec
    return Weight(dims, tuple(of[letter] for letter in dims), spec, kind, hub)


def base_weights(shape: Shape, quantize: str = "none") -> dict[str, Weight]:
    """The base model's weights by path, in the order of the forward pass.

    Args:
        shape: with its vocabulary size known.
        quantize: ``int8`` or ``nf4``: for each kernel of a layer ``X.kernel`` stand ``X.codes`` and ``X.scales``.
            Embedding and head stay as they are, as in QLoRA: they hold few of the numbers, look-ups and the loss feel
            their errors directly, and a tied head is both. So do norms and biases, which are small.

    Raises:
        ValueError: for nf4, inputs that are no multiple of a block; names the weight and both numbers.
    """
    of = sizes(shape)
    table = {"embed_tokens.embedding": _weight(of, "embedding", "VD", "model.embed_tokens.weight")}
    hub = "model.layers.{i}."

    def scale(name: str) -> None:
        table[f"layers.{name}.scale"] = _weight(of, "scale", "LD", f"{hub}{name}.weight", P(None, None))

    def kernels(module: str, bias: bool) -> None:
        for name, (into, out, where) in _KERNELS.items():
            if where == module:
                path = f"{module}.{name}"
                table[f"layers.{path}.kernel"] = _weight(of, "kernel", f"L{into}{out}", f"{hub}{path}.weight")
                if bias:
                    table[f"layers.{path}.bias"] = _weight(of, "bias", f"L{out}", f"{hub}{path}.bias")

    scale("input_layernorm")
    kernels("self_attn", shape.attention_bias)
    scale("post_attention_layernorm")
    kernels("mlp", shape.mlp_bias)
    table["norm.scale"] = _weight(of, "scale", "D", "model.norm.weight", P(None))
    if not shape.tie_word_embeddings:
        table["lm_head.kernel"] = _weight(of, "kernel", "DV", "lm_head.weight")
    held: dict[str, Weight] = {}
    for path, weight in table.items():
        of_a_layer = weight.kind == "kernel" and weight.stacked
        held |= _quantized(path, weight, quantize) if of_a_layer and quantize != "none" else {path: weight}
    return held


def _quantized(path: str, kernel: Weight, quantize: str) -> dict[str, Weight]:
    """Codes and scales of a stacked kernel, their inputs divided as its own are."""
    inputs, int8 = kernel.fan_in, quantize == "int8"
    if not int8 and inputs % BLOCK:
        raise ValueError(
            f"{path}: its {inputs} inputs are no multiple of the {BLOCK} that share a scale in nf4; set model.quantize "
            "int8 or none"
        )

    def part(kind: Kind, size: int, dtype: str, axis: str | None) -> dict[str, Weight]:
        dims, shape = f"LI{kernel.dims[2]}", (kernel.shape[0], size, kernel.shape[2])
        spec, hub = P(None, axis, kernel.spec[2]), f"{kernel.hub}.{kind}"
        return {path.removesuffix("kernel") + kind: Weight(dims, shape, spec, kind, hub, dtype, kernel)}

    axis = kernel.spec[1]
    if int8:
        return part("codes", inputs, "int8", axis) | part("scales", 1, "float32", None)
    return part("codes", inputs // 2, "uint8", axis) | part("scales", inputs // BLOCK, "float32", axis)


def lora_weights(shape: Shape, lora: Lora) -> dict[str, Weight]:
    """The adapter's weights by path.

    For a base W[in, out] with spec P(i, o) they are A[in, R] with P(i, None) and B[R, out] with P(None, o); where the
    base's axis is ``tensor`` alone, ``fsdp`` divides them too, or half of all adapters, their gradients and moments
    would lie whole on each device: of a 70B base at rank 16, 2 GiB.
    """
    of = sizes(shape) | {"R": lora.rank}
    axes = {letter: ("tensor", "fsdp") if axis == "tensor" else axis for letter, axis in _AXES.items()}
    table = {}

    def part(kind: Kind, dims: str, hub: str) -> Weight:
        return _weight(of, kind, dims, hub, P(*(axes.get(letter) for letter in dims)))

    for name, (into, out, module) in _KERNELS.items():
        if name in lora.targets:
            path, hub = f"layers.{module}.{name}", f"base_model.model.model.layers.{{i}}.{module}.{name}"
            table[f"{path}.lora_a"] = part("lora_a", f"L{into}R", f"{hub}.lora_A.weight")
            table[f"{path}.lora_b"] = part("lora_b", f"LR{out}", f"{hub}.lora_B.weight")
    return table


def byte_count(table: dict[str, Weight], dtype: str) -> int:
    """Bytes of all weights of a table, in `dtype` where theirs is not fixed."""
    return sum(weight.size * jnp.dtype(weight.dtype or dtype).itemsize for weight in table.values())


def parameter_count(table: dict[str, Weight]) -> int:
    """Numbers held by all weights of a table."""
    return sum(weight.size for weight in table.values())
