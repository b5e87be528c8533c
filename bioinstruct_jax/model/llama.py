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
from bioinstruct_jax.model.weights import BATCH, Weight, base_weights, lora_weights, sizes

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
Make = Callable[[str, Weight], jax.Array]  # (path, description) -> value: an array, or its abstract shape


def _gathered(variable: nnx.Variable, weight: Weight, dtype: jnp.dtype) -> jax.Array:
    """One layer's weight in the products' dtype, whole over ``fsdp``, still divided over ``tensor``."""
    return jax.reshard(variable[...].astype(weight.dtype or dtype), P(*_whole(weight.spec[int(weight.stacked) :])))


def _whole(spec: Iterable[str | tuple[str, ...] | None]) -> list[str | None]:
    """The spec without ``fsdp``; what is divided over several axes is so over ``tensor`` and it."""
    return [axis[0] if isinstance(axis, tuple) else None if axis == "fsdp" else axis for axis in spec]


def _product(x_BSI: jax.Array, kernel: jax.Array, weight: Weight) -> jax.Array:
    """x [B, S, in] times a gathered kernel [in, out]."""
    out = P(BATCH, None, _whole(weight.spec)[-1])
    return jax.lax.dot_general(x_BSI, kernel, (((2,), (0,)), ((), ())), out_sharding=out)


def _quantized_product(x: jax.Array, quantized: Quantized, weight: Weight, dtype: jnp.dtype) -> jax.Array:
    """xW of a gathered, quantised W [in, out], which is made here and kept by no policy of rematerialisation.

    The rule for the backward pass is our own: it keeps the codes. Of the operations that make W from them, `none` would
    keep one's result, and over all layers that is the whole base in the products' dtype.
    """
    into = _whole(weight.spec)[1]

    def over_inputs(x: jax.Array, quantized: Quantized) -> jax.Array:
        return _product(x, dequantize(quantized, dtype), weight)

    def forward(x: jax.Array, quantized: Quantized) -> tuple[jax.Array, Quantized]:
        return over_inputs(x, quantized), quantized

    def backward(quantized: Quantized, y: jax.Array) -> tuple[jax.Array, None]:
        over = (((2,), (1,)), ((), ()))
        return jax.lax.dot_general(y, dequantize(quantized, dtype), over, out_sharding=P(BATCH, None, into)), None

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
        self.dtype, self.index, self.lora = dtype, index, lora
        names = ("kernel", "codes", "scales", "bias", "lora_a", "lora_b")
        self.weights = tuple((name, table[f"{path}.{name}"]) for name in names if f"{path}.{name}" in table)
        for name, weight in self.weights:
            kind = nnx.LoRAParam if name.startswith("lora") else nnx.Param
            setattr(self, name, kind(make(f"{path}.{name}", weight)))

    def __call__(self, x_BSI: jax.Array, key: jax.Array | None) -> jax.Array:
        weights = dict(self.weights)

        def gathered(name: str) -> jax.Array:
            return _gathered(getattr(self, name), weights[name], self.dtype)

        def product(left: jax.Array, name: str) -> jax.Array:
            return _product(left, gathered(name), weights[name])

        if "kernel" in weights:
            y = product(x_BSI, "kernel")
        else:
            stored = Quantized(gathered("codes"), gathered("scales"))
            y = _quantized_product(x_BSI, stored, weights["codes"], self.dtype)
        if "bias" in weights:
            y = y + gathered("bias")
        if self.lora and "lora_a" in weights:
            key = None if key is None else jax.random.fold_in(key, self.index)
            low_BSR = product(dropped(x_BSI, self.lora.dropout, key), "lora_a")
            y = y + product(low_BSR, "lora_b") * scale(self.lora)
        return y


class Attention(nnx.Module):
    """Grouped-query attention (Ainslie et al., 2023); how tokens see each other is `mix`."""

    def __init__(
        self, path: str, table: Mapping[str, Weight], make: Make, shape: Shape, lora: Lora | None, dtype: jnp.dtype
    ):
        of = sizes(shape)
        self.heads = of["K"], of["G"], of["H"]
        names = enumerate(("q_proj", "k_proj", "v_proj", "o_proj"))
        self.q_proj, self.k_proj, self.v_proj, self.o_proj = (
            Projection(f"{path}.{name}", table, make, lora, dtype, index) for index, name in names
        )

    def __call__(
        self, x_BSD: jax.Array, mix: Mix, carried: Any, index: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        B, S, _ = x_BSD.shape
        K, G, H = self.heads
        q_BSN, k_BSM, v_BSM = (project(x_BSD, key) for project in (self.q_proj, self.k_proj, self.v_proj))
        q_BSKGH = jax.lax.reshape(q_BSN, (B, S, K, G, H), out_sharding=P(BATCH, None, "tensor", None, None))
        k_BSKH, v_BSKH = (
            jax.lax.reshape(one, (B, S, K, H), out_sharding=P(BATCH, None, "tensor", None)) for one in (k_BSM, v_BSM)
        )
        mixed_BSKGH, carried = mix(q_BSKGH, k_BSKH, v_BSKH, carried, index)
        mixed_BSN = jax.lax.reshape(mixed_BSKGH, (B, S, K * G * H), out_sharding=P(BATCH, None, "tensor"))
        return self.o_proj(mixed_BSN, key), carried


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
        self.self_attn = Attention("layers.self_attn", table, make, shape, lora, dtype)
        self.post_attention_layernorm = RMSNorm("layers.post_attention_layernorm", table, make, shape.rms_norm_eps)
        self.mlp = MLP("layers.mlp", table, make, lora, dtype)

    def __call__(
        self, x_BSD: jax.Array, mix: Mix, carried: Any, index: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        attended_BSD, carried = self.self_attn(self.input_layernorm(x_BSD), mix, carried, index, key)
        x_BSD = x_BSD + attended_BSD
        return x_BSD + self.mlp(self.post_attention_layernorm(x_BSD), key), carried


class Embedding(nnx.Module):
    """The input table [V, D]."""

    def __init__(self, path: str, table: Mapping[str, Weight], make: Make):
        self.embedding = nnx.Param(make(f"{path}.embedding", table[f"{path}.embedding"]))


class Head(nnx.Module):
    """The output product [D, V]."""

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

    def embedded(self, tokens_BS: jax.Array) -> jax.Array:
        """The vectors of tokens [B, S, D].

        Each device looks its part of D up for the tokens of all that share the rest of it, and they exchange: tokens
        and vectors travel, not the table, which of a large vocabulary outweighs a layer.
        """
        table = jax.reshard(self.embed_tokens.embedding[...], P(None, "fsdp"))
        tokens_BS = jax.reshard(tokens_BS, P("data", None))
        looked_up_BSD = table.at[tokens_BS].get(out_sharding=P("data", None, "fsdp"))
        # Cast here, not before: the gradients of all places where a token stands are summed in the table's own type.
        return jax.reshard(looked_up_BSD.astype(self.dtype), P(BATCH, None, None))

    def through_layers(
        self, tokens_BS: jax.Array, mix: Mix, carried: Any, key: jax.Array | None = None
    ) -> tuple[jax.Array, Any]:
        """The last layer's normalised output [B, S, D], and what `mix` carried from layer to layer."""
        x_BSD = self.embedded(tokens_BS)
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
