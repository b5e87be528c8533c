import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import (
    RepetitionPenaltyLogitsProcessor,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from bioinstruct_jax.config import Mesh
from bioinstruct_jax.inference.sampling import Needs, Settings, choose, filtered, likeliest
from bioinstruct_jax.training.sharding import make_mesh

EVERYTHING = Needs(sampling=True, filtering=True, penalty=True)


def _logits(seed: int, rows: int = 4, vocabulary: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3, (rows, vocabulary)).astype(np.float32)


def _choose(logits_BV, needs=EVERYTHING, *, written=0, seen=None, **given_):
    rows = len(logits_BV)
    values = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "seed": 0} | given_
    kinds = (np.float32, np.int32, np.float32, np.float32, np.uint32)
    of = Settings(
        *(np.broadcast_to(np.asarray(values[n], k), rows) for n, k in zip(Settings._fields, kinds, strict=True))
    )
    seen = np.zeros(logits_BV.shape, bool) if seen is None else seen
    mesh = make_mesh(Mesh(), jax.devices()[:1])
    rows_first = jax.NamedSharding(mesh, jax.P(("data", "fsdp")))
    with jax.set_mesh(mesh):
        written_B = np.broadcast_to(np.asarray(written, np.int32), rows)
        args = jax.device_put((logits_BV, of, written_B, seen), rows_first)
        return np.asarray(jax.jit(lambda *args: choose(*args, needs))(*args))


@settings(max_examples=40)
@given(st.integers(0, 1000), st.integers(0, 60), st.floats(0.05, 1.0))
def test_what_is_left_to_choose_from_is_what_transformers_leaves(seed, top_k, top_p):
    # Mutations: the token that reaches top_p left out; top_p of the unfiltered distribution; top_k one too many.
    logits = _logits(seed)
    wanted = torch.from_numpy(logits)
    if top_k:
        wanted = TopKLogitsWarper(min(top_k, 50))(None, wanted)
    if top_p < 1:
        wanted = TopPLogitsWarper(top_p)(None, wanted)
    share = torch.softmax(torch.from_numpy(logits).double(), -1).sort(-1).values
    assume((share.cumsum(-1) - (1 - top_p)).abs().min() > 1e-6)  # within rounding of the edge either is right
    found = np.asarray(filtered(jnp.asarray(logits), jnp.full(4, top_k), jnp.full(4, top_p, jnp.float32)))
    np.testing.assert_array_equal(found, wanted.numpy())


def test_repetition_penalty_is_that_of_transformers():
    # Mutation: negative logits divided too.
    logits = _logits(1)
    tokens = np.random.default_rng(2).integers(0, 50, (4, 30))
    wanted = RepetitionPenaltyLogitsProcessor(3.0)(torch.from_numpy(tokens), torch.from_numpy(logits)).argmax(-1)
    seen = np.zeros(logits.shape, bool)
    np.put_along_axis(seen, tokens, True, axis=1)
    assert (wanted.numpy() != logits.argmax(-1)).any()
    found = _choose(logits, temperature=0.0, repetition_penalty=3.0, seen=seen)
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_are_drawn_as_often_as_the_softmax_says(temperature):
    # Mutation: logits multiplied by the temperature.
    rows = 20_000
    logits = np.broadcast_to(_logits(3, 1, 12) / 2, (rows, 12))
    drawn = _choose(logits, temperature=temperature, seed=np.arange(rows))
    share = np.bincount(drawn, minlength=12) / rows
    expected = torch.softmax(torch.from_numpy(logits[:1] / temperature), -1)[0].numpy()
    assert np.abs(share - expected).max() < 5 * np.sqrt(0.25 / rows)


def test_draws_depend_on_seed_and_place_alone():
    # Mutation: one key for all rows.
    logits = np.zeros((3, 5000), np.float32)
    one = _choose(logits, seed=[1, 2, 1], written=[0, 0, 1])
    assert len(set(one.tolist())) == 3
    np.testing.assert_array_equal(_choose(logits[:2], seed=[1, 2], written=[1, 0]), one[[2, 1]])


def test_what_a_job_does_not_need_changes_nothing():
    logits = _logits(5, 64)
    greedy = _choose(logits, Needs(False, False, False), temperature=0.0)
    np.testing.assert_array_equal(greedy, logits.argmax(-1))
    np.testing.assert_array_equal(_choose(logits, temperature=0.0), greedy)
    seeds = np.arange(64)
    np.testing.assert_array_equal(
        _choose(logits, Needs(True, False, False), seed=seeds), _choose(logits, EVERYTHING, seed=seeds)
    )


@given(st.lists(st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=False), min_size=1, max_size=20))
def test_the_likeliest_is_the_first_largest(values):
    # Mutation: the last of equal ones.
    assert int(likeliest(jnp.asarray(values, jnp.float32))) == int(np.argmax(np.asarray(values, np.float32)))
