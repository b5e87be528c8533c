"""LLaMA (Touvron et al., 2023) in Flax NNX: RMSNorm, rotary positions, grouped-query attention, SwiGLU, scanned layers.

Dimension letters are listed in `weights`. Annotations for explicit mesh axes stand only where the compiler cannot know:
at the embedding look-up, where a weight is gathered before its product, and at products contracted over ``tensor``.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import P
from jax.ad_checkpoint import checkpoint_name

from bioinstruct_jax.config import Lora, Shape
from bioinstruct_jax.model import kernels, rope
from bioinstruct_jax.model.kernels import REFERENCE, Kernel
from bioinstruct_jax.model.lora import dropped, scale
from bioinstruct_jax.model.quantize import Quantized, dequantize
from bioinstruct_jax.model.weights import BATCH, Weight, base_weights, lora_weights

_INPUT = "layer input"
# What a layer keeps for its backward pass; the rest is computed again. A gathered or cast weight is never kept: over
# all layers that would be a copy of the whole base. Casts of activations are made again with them, which costs next to
# nothing. A layer's input is always kept, by `offload` in the host's memory. (What a kernel keeps within its shard_map
# cannot be sent there: such a policy runs the kernel again.)
_KEPT = {
    "full": jax.checkpoint_policies.nothing_saveable,
    "attention": jax.checkpoint_policies.save_only_these_names(kernels.NAME),
    "offload": jax.checkpoint_policies.save_and_offload_only_these_names(
        names_which_can_be_saved=[],
        names_which_can_be_offloaded=[_INPUT],
        offload_src="device",
        offload_dst="pinned_host",
    ),
    "none": lambda primitive, *_, **__: primitive.name not in ("reshard", "convert_element_type"),
}
# (q_BSKGH, k_BSKH, v_BSKH, carried, layer) -> (mixed values [B, S, K, G, H], carried): positions, mask and, where there
# is one, the key/value cache. The projections around it do not know whether they train or decode.
Mix = Callable[[jax.Array, jax.Array, jax.Array, Any, jax.Array], tuple[jax.Array, Any]]
Contraction = tuple[tuple[int, ...], tuple[int, ...]]  # dimensions of the left and of the right operand
Make = Callable[[str, Weight], jax.Array]  # (path, description) -> value: an array, or its abstract shape


def _gathered(variable: nnx.Variable, weight: Weight, dtype: jnp.dtype) -> jax.Array:
    """One layer's weight in the products' dtype, whole over ``fsdp``, still divided over ``tensor``."""
    return jax.reshard(variable[...].astype(weight.dtype or dtype), P(*_whole(weight.spec[int(weight.stacked) :])))


def _whole(spec: Iterable[str | None]) -> list[str | None]:
    return [None if axis == "fsdp" else axis for axis in spec]


def _product(x: jax.Array, quantized: Quantized, weight: Weight, dtype: jnp.dtype) -> jax.Array:
    """xW of a gathered, quantised W [in, out], which is made here and kept by no policy of rematerialisation.

    The rule for the backward pass is our own: it keeps the codes. Of the operations that make W from them, `none` would
    keep one's result, and over all layers that is the whole base in the products' dtype.
    """
    inputs, ndim = weight.inputs, len(weight.shape) - 1
    spec = _whole(weight.spec[1:])

    def kernel(quantized: Quantized) -> jax.Array:
        return jnp.reshape(dequantize(quantized, dtype), weight.shape[1:], out_sharding=P(*spec))

    def over_inputs(x: jax.Array, quantized: Quantized) -> jax.Array:
        over = tuple(range(2, 2 + inputs)), tuple(range(inputs))
        out = P(BATCH, None, *spec[inputs:])
        return jax.lax.dot_general(x, kernel(quantized), (over, ((), ())), out_sharding=out)

    def forward(x: jax.Array, quantized: Quantized) -> tuple[jax.Array, Quantized]:
        return over_inputs(x, quantized), quantized

    def backward(quantized: Quantized, y: jax.Array) -> tuple[jax.Array, None]:
        over = tuple(range(2, y.ndim)), tuple(range(inputs, ndim))
        out = P(BATCH, None, *spec[:inputs])
        return jax.lax.dot_general(y, kernel(quantized), (over, ((), ())), out_sharding=out), None

    product = jax.custom_vjp(over_inputs)
    product.defvjp(forward, backward)
    return product(x, quantized)


class RMSNorm(nnx.Module):
    """x / rms(x) * scale, in float32 (Zhang and Sennrich, 2019)."""

    def __init__(self, path: str, table: Mapping[str, Weight], make: Make, eps: float):
        self.scale = nnx.Param(make(f"{path}.scale", table[f"{path}.scale"]))
        self.eps = eps

    def __call__(self, x_BSD: jax.Array) -> jax.Array:
        x = x_BSD.astype(jnp.float32)
        x = x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + self.eps)
        return x.astype(x_BSD.dtype) * self.scale[...].astype(x_BSD.dtype)


class Projection(nnx.Module):
    """y = xW + b, and s (dropout(x) A) B where the projection has an adapter: two thin products, never W + AB.

    A quantised W is gathered as codes and scales and made out of them where it is used, in the backward pass again.
    """

    def __init__(
        self, path: str, table: Mapping[str, Weight], make: Make, lora: Lora | None, dtype: jnp.dtype, index: int
    ):
        self.codes_weight, self.scales_weight = table.get(f"{path}.codes"), table.get(f"{path}.scales")
        self.weight = (self.codes_weight and self.codes_weight.of) or table[f"{path}.kernel"]
        self.dtype, self.index, self.lora = dtype, index, lora
        self.kernel = None if self.codes_weight else nnx.Param(make(f"{path}.kernel", self.weight))
        self.codes = nnx.Param(make(f"{path}.codes", self.codes_weight)) if self.codes_weight else None
        self.scales = nnx.Param(make(f"{path}.scales", self.scales_weight)) if self.scales_weight else None
        self.bias_weight = table.get(f"{path}.bias")
        self.bias = nnx.Param(make(f"{path}.bias", self.bias_weight)) if self.bias_weight else None
        self.a_weight, self.b_weight = table.get(f"{path}.lora_a"), table.get(f"{path}.lora_b")
        self.lora_a = nnx.LoRAParam(make(f"{path}.lora_a", self.a_weight)) if self.a_weight else None
        self.lora_b = nnx.LoRAParam(make(f"{path}.lora_b", self.b_weight)) if self.b_weight else None

    def __call__(self, x: jax.Array, key: jax.Array | None) -> jax.Array:
        inputs = self.weight.inputs
        contract = tuple(range(x.ndim - inputs, x.ndim)), tuple(range(inputs))

        def product(left: jax.Array, variable: nnx.Variable, weight: Weight, over: Contraction) -> jax.Array:
            out = weight.spec[1 + weight.inputs :]
            right = _gathered(variable, weight, self.dtype)
            spec = P(BATCH, None, *(None if axis == "fsdp" else axis for axis in out))
            return jax.lax.dot_general(left, right, (over, ((), ())), out_sharding=spec)

        if self.kernel is not None:
            y = product(x, self.kernel, self.weight, contract)
        else:
            assert self.codes is not None
            assert self.scales is not None
            assert self.codes_weight is not None
            assert self.scales_weight is not None
            codes = _gathered(self.codes, self.codes_weight, self.dtype)
            scales = _gathered(self.scales, self.scales_weight, self.dtype)
            y = _product(x, Quantized(codes, scales), self.weight, self.dtype)
        if self.bias is not None and self.bias_weight:
            y = y + _gathered(self.bias, self.bias_weight, self.dtype)
        if self.lora and self.lora_a is not None and self.lora_b is not None and self.a_weight and self.b_weight:
            key = None if key is None else jax.random.fold_in(key, self.index)
            low = product(dropped(x, self.lora.dropout, key), self.lora_a, self.a_weight, contract)
            y = y + product(low, self.lora_b, self.b_weight, ((2,), (0,))) * scale(self.lora)
        return y


class Attention(nnx.Module):
    """Grouped-query attention (Ainslie et al., 2023); how tokens see each other is `mix`."""

    def __init__(self, path: str, table: Mapping[str, Weight], make: Make, lora: Lora | None, dtype: jnp.dtype):
        names = enumerate(("q_proj", "k_proj", "v_proj", "o_proj"))
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            Projection(f"{path}.{name}", table, make, lora, dtype, index) for index, name in names
        )

    def __call__(
        self, x_BSD: jax.Array, mix: Mix, carried: Any, index: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        q_BSKGH, k_BSKH, v_BSKH = (project(x_BSD, key) for project in (self.q_proj, self.k_proj, self.v_proj))
        mixed_BSKGH, carried = mix(q_BSKGH, k_BSKH, v_BSKH, carried, index)
        return self.o_proj(mixed_BSKGH, key), carried


class MLP(nnx.Module):
    """SwiGLU (Shazeer, 2020)."""

    def __init__(self, path: str, table: Mapping[str, Weight], make: Make, lora: Lora | None, dtype: jnp.dtype):
        names = enumerate(("gate_proj", "up_proj", "down_proj"), start=4)
        self.gate_proj, self.up_proj, self.down_proj = (
            Projection(f"{path}.{name}", table, make, lora, dtype, index) for index, name in names
        )

    def __call__(self, x_BSD: jax.Array, key: jax.Array | None) -> jax.Array:
        return self.down_proj(jax.nn.silu(self.gate_proj(x_BSD, key)) * self.up_proj(x_BSD, key), key)


class Layer(nnx.Module):
    """One pre-norm transformer layer; its variables are stacked over all layers and scanned."""

    def __init__(self, table: Mapping[str, Weight], make: Make, shape: Shape, lora: Lora | None, dtype: jnp.dtype):
        self.input_layernorm = RMSNorm("layers.input_layernorm", table, make, shape.rms_norm_eps)
        self.self_attn = Attention("layers.self_attn", table, make, lora, dtype)
        self.post_attention_layernorm = RMSNorm("layers.post_attention_layernorm", table, make, shape.rms_norm_eps)
        self.mlp = MLP("layers.mlp", table, make, lora, dtype)

    def __call__(
        self, x_BSD: jax.Array, mix: Mix, carried: Any, index: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        attended_BSD, carried = self.self_attn(self.input_layernorm(x_BSD), mix, carried, index, key)
        x_BSD = x_BSD + attended_BSD
        return x_BSD + self.mlp(self.post_attention_layernorm(x_BSD), key), carried


class Embedding(nnx.Module):
    def __init__(self, path: str, table: Mapping[str, Weight], make: Make):
        self.embedding = nnx.Param(make(f"{path}.embedding", table[f"{path}.embedding"]))


class Head(nnx.Module):
    def __init__(self, path: str, table: Mapping[str, Weight], make: Make):
        self.kernel = nnx.Param(make(f"{path}.kernel", table[f"{path}.kernel"]))


class Llama(nnx.Module):
    """The language model; `hidden` and `logits` are separate so that the loss need not hold all logits at once.

    Args:
        shape: with its vocabulary size known.
        lora: adapters, or None for a plain base.
        dtype: of activations and matrix products.
        make: gives each weight its value by path and description.
        remat: what the backward pass computes again: ``full`` each layer; ``attention`` all but the attention's output;
            ``offload`` each layer, from inputs that waited in the host's memory; ``none`` nothing.
        unroll: layers compiled as straight code in each turn of the scan over layers; need not divide their number.
        attention: how tokens of packed rows see each other; caches and other masks bring a `mix` of their own.
        logits_mib: most that the loss may hold of logits on a device, in MiB.
        quantize: how the kernels of a frozen base are stored, as for `base_weights`.
    """

    def __init__(
        self,
        shape: Shape,
        lora: Lora | None,
        dtype: jnp.dtype,
        make: Make,
        *,
        remat: str = "full",
        unroll: int = 1,
        attention: Kernel = REFERENCE,
        logits_mib: float = math.inf,
        quantize: str = "none",
    ):
        table = base_weights(shape, quantize) | (lora_weights(shape, lora) if lora else {})
        self.shape, self.dtype, self.remat, self.unroll, self.attention = shape, dtype, remat, unroll, attention
        self.logits_mib = logits_mib
        self.embed_tokens = Embedding("embed_tokens", table, make)
        self.layers = Layer(table, make, shape, lora, dtype)
        self.norm = RMSNorm("norm", table, make, shape.rms_norm_eps)
        self.lm_head = None if shape.tie_word_embeddings else Head("lm_head", table, make)

    def hidden(
        self, tokens_BS: jax.Array, positions_BS: jax.Array, segments_BS: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        """The last layer's normalised output [B, S, D] of packed rows; `key` turns adapter dropout on."""
        turns = rope.angles(positions_BS, rope.inverse_frequencies(self.shape, tokens_BS.shape[1]))

        def mix(q: jax.Array, k: jax.Array, v: jax.Array, carried: None, _: jax.Array) -> tuple[jax.Array, None]:
            with jax.named_scope("attention"):
                return self.attention(rope.rotate(q, *turns), rope.rotate(k, *turns), v, segments_BS), carried

        return self.through_layers(tokens_BS, mix, None, key)[0]

    def through_layers(
        self, tokens_BS: jax.Array, mix: Mix, carried: Any, key: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        """The last layer's normalised output [B, S, D], and what `mix` carried from layer to layer."""
        embedding = jax.reshard(self.embed_tokens.embedding[...].astype(self.dtype), P(None, None))
        x_BSD = embedding.at[tokens_BS].get(out_sharding=P(BATCH, None, None))
        graph, layers = nnx.split(self.layers)

        def layer(state: tuple[jax.Array, Any], stacked: tuple[jax.Array, nnx.State]) -> tuple[Any, None]:
            index, weights = stacked
            layer_key = None if key is None else jax.random.fold_in(key, index)
            x_BSD = checkpoint_name(state[0], _INPUT)
            return nnx.merge(graph, weights)(x_BSD, mix, state[1], index, layer_key), None

        indexed = (jnp.arange(self.shape.num_hidden_layers), layers)
        kept = jax.checkpoint(layer, policy=_KEPT[self.remat])
        (x_BSD, carried), _ = jax.lax.scan(kept, (x_BSD, carried), indexed, unroll=self.unroll)
        return self.norm(x_BSD), carried

    def head(self) -> jax.Array:
        """The kernel of the output [D, V] as it is stored, whole over ``fsdp``, the vocabulary over ``tensor``."""
        kernel = self.embed_tokens.embedding[...].T if self.lm_head is None else self.lm_head.kernel[...]
        return jax.reshard(kernel, P(None, "tensor"))

    def logits(self, x_BSD: jax.Array) -> jax.Array:
        """Scores of the next token [B, S, V] float32, the vocabulary divided over ``tensor``."""
        return scores(x_BSD, self.head())

    def __call__(
        self, tokens_BS: jax.Array, positions_BS: jax.Array, segments_BS: jax.Array, key: jax.Array | None = None
    ) -> jax.Array:
        return self.logits(self.hidden(tokens_BS, positions_BS, segments_BS, key))


def scores(x_BSD: jax.Array, head_DV: jax.Array) -> jax.Array:
    """Logits [B, S, V] float32 of normalised outputs, by a product in their dtype with `Llama.head`."""
    return jnp.einsum("BSD,DV->BSV", x_BSD, head_DV.astype(x_BSD.dtype), preferred_element_type=jnp.float32)
