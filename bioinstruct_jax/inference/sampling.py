"""The next token from the logits: likeliest or sampled, for each slot by its own request."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import P

from bioinstruct_jax.model.weights import BATCH


class Settings(NamedTuple):
    """Of each slot, [B]; the words are those of `evaluation.language_model.CompletionRequest`."""

    temperature: Any
    top_k: Any
    top_p: Any
    repetition_penalty: Any
    seed: Any


class Needs(NamedTuple):
    """What any request of a job asks for; the rest is not compiled. It changes no result."""

    sampling: bool
    filtering: bool
    penalty: bool


def choose(
    logits_BV: jax.Array, settings: Settings, written_B: jax.Array, seen_BV: jax.Array | None, needs: Needs
) -> jax.Array:
    """The next token of each slot, int32 [B].

    Order as in transformers: penalty, temperature, top-k, top-p. The random numbers of a token depend on its request's
    seed and its place in the completion, on nothing else.

    Args:
        logits_BV: float32.
        written_B: tokens that the completion has already.
        seen_BV: tokens in prompt and completion so far; None without `needs.penalty`.
    """
    logits_BV = jax.reshard(logits_BV, P(BATCH, None))
    if needs.penalty and seen_BV is not None:
        penalty_B1 = settings.repetition_penalty[:, None]
        punished_BV = jnp.where(logits_BV < 0, logits_BV * penalty_B1, logits_BV / penalty_B1)
        logits_BV = jnp.where(seen_BV, punished_BV, logits_BV)
    best_B = likeliest(logits_BV)
    if not needs.sampling:
        return best_B
    scaled_BV = logits_BV / jnp.where(settings.temperature > 0, settings.temperature, 1)[:, None]
    if needs.filtering:
        scaled_BV = filtered(scaled_BV, settings.top_k, settings.top_p)

    def noise(seed: jax.Array, written: jax.Array) -> jax.Array:
        return jax.random.gumbel(jax.random.fold_in(jax.random.key(seed), written), (logits_BV.shape[-1],))

    drawn_B = likeliest(scaled_BV + jax.vmap(noise)(settings.seed, written_B))
    return jnp.where(settings.temperature > 0, drawn_B, best_B)


def likeliest(logits: jax.Array) -> jax.Array:
    """argmax over the last axis, int32, by two plain reductions, which XLA does several times faster on a CPU."""
    places = jnp.arange(logits.shape[-1], dtype=jnp.int32)
    largest = jnp.max(logits, axis=-1, keepdims=True)
    return jnp.min(jnp.where(logits == largest, places, logits.shape[-1] - 1), axis=-1)


def filtered(logits_BV: jax.Array, top_k_B: jax.Array, top_p_B: jax.Array) -> jax.Array:
    """Logits with -inf for tokens that are not among the `top_k_B` likeliest (0: all), nor then within `top_p_B`."""
    vocabulary = logits_BV.shape[-1]
    sorted_BV = jnp.sort(logits_BV, axis=-1)  # the least first: sums of small shares are exact where top_p is near 1
    limit_B1 = jnp.where(top_k_B > 0, jnp.minimum(top_k_B, vocabulary), vocabulary)[:, None]
    sorted_BV = jnp.where(jnp.arange(vocabulary) >= vocabulary - limit_B1, sorted_BV, -jnp.inf)
    below_BV = jnp.cumsum(jax.nn.softmax(sorted_BV, axis=-1), axis=-1)  # probability of a token and all less likely
    kept_BV = (below_BV > 1 - top_p_B[:, None]) & (sorted_BV > -jnp.inf)
    kept_BV = kept_BV | (jnp.arange(vocabulary) == vocabulary - 1)
    least_B1 = jnp.min(jnp.where(kept_BV, sorted_BV, jnp.inf), axis=-1, keepdims=True)
    return jnp.where(logits_BV >= least_B1, logits_BV, -jnp.inf)
