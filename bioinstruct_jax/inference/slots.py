"""Continuous batching: a fixed number of slots decode together, and a finished one is given to the next prompt."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax import P

from bioinstruct_jax.config import Shape
from bioinstruct_jax.inference.forward import Cache, empty_cache, extend
from bioinstruct_jax.inference.sampling import Needs, Settings, choose
from bioinstruct_jax.model.llama import Llama
from bioinstruct_jax.model.weights import BATCH

CHUNK = 64  # steps of one call of `decode` at most


class Orders(NamedTuple):
    """What each row shall do.

    Attributes:
        limit, written: int32 [B], tokens to write at most, and those written before.
        ends: int32 [B, E], tokens that end it; -1 is none.
        settings: how the next token is chosen.
        seen: bool [B, V], tokens that the repetition penalty is for; None if no row has one.
    """

    limit: Any
    written: Any
    ends: Any
    settings: Settings
    seen: Any


class Slots(NamedTuple):
    """Everything on the device between two calls. `token` is the newest one, which the cache has not seen yet.

    Attributes:
        cache: of T columns.
        column: int32 scalar, the next to be written.
        token, length, written: int32 [B]; `length` tokens are in the cache, `written` were made here.
        live: bool [B].
        orders: of each slot.
    """

    cache: Cache
    column: jax.Array
    token: jax.Array
    length: jax.Array
    written: jax.Array
    live: jax.Array
    orders: Orders


class Prompts(NamedTuple):
    """Prompts of unequal length, padded in front.

    Attributes:
        tokens: int32 [R, S].
        lengths: int32 [R], 0 for a row without a prompt.
        orders: of each row.
    """

    tokens: Any
    lengths: Any
    orders: Orders


@partial(jax.jit, static_argnames=("shape", "dtype", "columns"))
def empty_slots(shape: Shape, dtype: str, orders: Orders, columns: int) -> Slots:
    """Slots of which none is live, for a model of this shape and dtype; `orders` give the other sizes."""
    rows = orders.limit.shape[0]
    zero_B = jnp.zeros((rows,), jnp.int32, out_sharding=P(BATCH))
    live_B = jnp.zeros((rows,), bool, out_sharding=P(BATCH))
    cache = empty_cache(shape, rows, columns, dtype)
    return Slots(cache, jnp.zeros((), jnp.int32), zero_B, zero_B, zero_B, live_B, _over_batch(orders))


@partial(jax.jit, static_argnames="columns")
def shrink(slots: Slots, columns: int) -> Slots:
    """With a cache of only the newest `columns`; no live slot may hold more, nor come to before it ends."""

    def newest(all_: jax.Array, axis: int) -> jax.Array:
        return jax.lax.slice_in_dim(jnp.roll(all_, -slots.column, axis), all_.shape[axis] - columns, None, axis=axis)

    cache = Cache(newest(slots.cache.keys, 3), newest(slots.cache.values, 3), newest(slots.cache.positions, 1))
    return slots._replace(cache=cache, column=jnp.zeros_like(slots.column))


def _over_batch(tree: Any) -> Any:
    return jax.tree.map(lambda x: jax.reshard(x, P(BATCH, *(None,) * (x.ndim - 1))), tree)


def _read(model: Llama, prompts: Prompts, needs: Needs) -> tuple[Cache, jax.Array]:
    """A cache of the prompts alone, and the token that comes next in each, int32 [R]."""
    rows, width = prompts.tokens.shape
    positions_RS = jnp.maximum(jnp.arange(width) - (width - prompts.lengths[:, None]), -1)
    x_RSD, read = extend(model, empty_cache(model.shape, rows, width, model.dtype), prompts.tokens, positions_RS, 0)
    logits_RV = model.logits(x_RSD[:, -1:])[:, 0]
    return read, choose(logits_RV, prompts.orders.settings, prompts.orders.written, prompts.orders.seen, needs)


@partial(jax.jit, static_argnames=("graph", "needs"))
def next_tokens(graph: nnx.GraphDef, weights: nnx.State, prompts: Prompts, needs: Needs) -> jax.Array:
    """The token that comes next in each row, int32 [R], with nothing kept."""
    return _read(nnx.merge(graph, weights), _over_batch(prompts), needs)[1]


@partial(jax.jit, static_argnames=("graph", "needs"), donate_argnames="slots")
def admit(
    graph: nnx.GraphDef, weights: nnx.State, slots: Slots, prompts: Prompts, source_B: jax.Array, needs: Needs
) -> tuple[Slots, jax.Array]:
    """Read prompts, put each into its slot and choose its first token.

    Args:
        source_B: int32, the row of `prompts` that a slot is given; -1 for a slot that goes on as it is.

    Returns:
        The slots, and the first token of each row, int32 [R].
    """
    prompts = _over_batch(prompts)
    read, first_R = _read(nnx.merge(graph, weights), prompts, needs)
    orders_R, width, columns = prompts.orders, prompts.tokens.shape[1], slots.cache.positions.shape[1]
    if orders_R.seen is not None:
        orders_R = orders_R._replace(seen=orders_R.seen | _is(first_R, orders_R.seen))

    given_B = _over_batch(source_B) >= 0
    place_B = jnp.maximum(_over_batch(source_B), 0)

    def put(old: jax.Array, new: jax.Array, rows_at: int = 0) -> jax.Array:
        spec: list[Any] = [None] * new.ndim
        if new.ndim == 5:  # heads stay divided
            spec[2] = "tensor"
        everywhere = jax.reshard(new, P(*spec))
        spec[rows_at] = BATCH
        at = (slice(None),) * rows_at + (place_B,)
        moved = everywhere.at[at].get(out_sharding=P(*spec))
        return jnp.where(given_B.reshape((1,) * rows_at + (-1,) + (1,) * (new.ndim - rows_at - 1)), moved, old)

    def turned(new: jax.Array, axis: int, empty: int) -> jax.Array:
        """Widened to the cache's columns, so that the last one read stands just before the next to be written."""
        widths = [(0, columns - width if i == axis else 0) for i in range(new.ndim)]
        return jnp.roll(jnp.pad(new, widths, constant_values=empty), slots.column - width, axis)

    cache = Cache(
        put(slots.cache.keys, turned(read.keys, 3, 0), 1),
        put(slots.cache.values, turned(read.values, 3, 0), 1),
        put(slots.cache.positions, turned(read.positions, 1, -1)),
    )
    orders = jax.tree.map(put, slots.orders, orders_R)
    token, length = put(slots.token, first_R), put(slots.length, prompts.lengths)
    written = jnp.where(given_B, orders.written + 1, slots.written)
    live = jnp.where(given_B, ~_ended(token, written, orders), slots.live)
    return Slots(cache, slots.column, token, length, written, live, orders), first_R


def _is(token_B: jax.Array, like_BV: jax.Array) -> jax.Array:
    return token_B[:, None] == jnp.arange(like_BV.shape[1])


def _ended(token_B: jax.Array, written_B: jax.Array, orders: Orders) -> jax.Array:
    return jnp.any(token_B[:, None] == orders.ends, axis=1) | (written_B >= orders.limit)


@partial(jax.jit, static_argnames=("graph", "needs"), donate_argnames="slots")
def decode(
    graph: nnx.GraphDef,
    weights: nnx.State,
    slots: Slots,
    keep_B: jax.Array,
    steps: jax.Array,
    quit_at: jax.Array,
    needs: Needs,
) -> tuple[Slots, jax.Array]:
    """Write tokens in all live slots, until `steps` are done (at most CHUNK) or no more than `quit_at` slots live.

    Args:
        keep_B: bool; false ends a slot.

    Returns:
        The slots, and the tokens written, int32 [CHUNK, B], -1 where there is none.
    """
    model = nnx.merge(graph, weights)
    columns = slots.cache.positions.shape[1]
    none = jnp.full((CHUNK, slots.token.shape[0]), -1, jnp.int32, out_sharding=P(None, BATCH))

    def more(carried: tuple[jax.Array, Slots, jax.Array]) -> jax.Array:
        done, slots, _ = carried
        return (done < steps) & (jnp.sum(slots.live) > quit_at)

    def one(carried: tuple[jax.Array, Slots, jax.Array]) -> tuple[jax.Array, Slots, jax.Array]:
        done, slots, out = carried
        live, orders = slots.live, slots.orders
        positions_B1 = jnp.where(live, slots.length, -1)[:, None]
        x_B1D, cache = extend(model, slots.cache, slots.token[:, None], positions_B1, slots.column)
        token = choose(model.logits(x_B1D)[:, 0], orders.settings, slots.written, orders.seen, needs)
        token = jnp.where(live, token, slots.token)
        if orders.seen is not None:
            orders = orders._replace(seen=orders.seen | (_is(token, orders.seen) & live[:, None]))
        written = slots.written + live
        out = jax.lax.dynamic_update_slice(out, jnp.where(live, token, -1)[None], (done, 0))
        live = live & ~_ended(token, written, orders)
        column = (slots.column + 1) % columns
        return done + 1, Slots(cache, column, token, slots.length + slots.live, written, live, orders), out

    slots = slots._replace(live=slots.live & _over_batch(keep_B))
    _, slots, out = jax.lax.while_loop(more, one, (jnp.zeros((), jnp.int32), slots, none))
    return slots, out
