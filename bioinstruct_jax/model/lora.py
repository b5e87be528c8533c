"""The LoRA partition (Hu et al., 2021): which weights are trained, and the product that uses them."""

import jax
import jax.numpy as jnp
from flax import nnx

from bioinstruct_jax.config import Lora


def scale(lora: Lora) -> float:
    """alpha / r, or alpha / sqrt(r) for rsLoRA (Kalajdzievski, 2023)."""
    return lora.alpha / (lora.rank**0.5 if lora.rslora else lora.rank)


def trained_filter(trainable: str) -> type[nnx.Variable]:
    """The kind of variable that optimizer and gradient see; `nnx.split` puts all others into the frozen tree."""
    return nnx.LoRAParam if trainable == "lora" else nnx.Param


def dropped(x: jax.Array, rate: float, key: jax.Array | None) -> jax.Array:
    """Inverted dropout; the identity without a key, which is how evaluation runs."""
    if key is None or rate == 0:
        return x
    # bernoulli() draws under automatic mesh axes. The mask a layer keeps for its backward pass must be made out here,
    # under explicit ones, or an unrolled scan cannot stack it: hence the `~`.
    drop = ~jax.random.bernoulli(key, 1 - rate, x.shape, out_sharding=jax.typeof(x).sharding)
    return jnp.where(drop, jnp.zeros((), x.dtype), x / (1 - rate))
