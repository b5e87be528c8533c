"""Fifty steps here and of transformers + peft + torch: the same losses, the same adapter."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bioinstruct_jax.training import optimizer
from tests.interop.llama_pairs import entropy_share, reference, tokens
from tests.interop.training_pair import (
    ADAMW,
    STEPS,
    VARIANTS,
    Slip,
    ahead,
    batches,
    difference,
    make_pair,
    ours,
    schedule,
    theirs,
)

LOSS, ADAPTER = 1e-4, 1e-3  # largest relative differences of a step's loss, and of an A or B beside its change


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Pair and our curve of each variant."""
    pairs = {name: make_pair(tmp_path_factory.mktemp("pair"), **variant) for name, variant in VARIANTS.items()}
    return {name: (pair, ours(pair)) for name, pair in pairs.items()}


@pytest.mark.parametrize("name", VARIANTS)
def test_fifty_steps_are_those_of_transformers_peft_and_torch(name, runs):
    # Measured: losses within 6e-7, A and B within 4e-5. Mutations: those of SLIPS below, kept as a test.
    pair, curve = runs[name]
    other = theirs(pair)
    seen = difference(pair, curve, other)
    assert seen.losses.shape == (STEPS,)
    assert seen.losses.max() < LOSS
    assert max(seen.adapter.values()) < ADAPTER
    np.testing.assert_allclose(curve.norms, other.norms, rtol=1e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_the_job_is_one_that_shows_mistakes(name, runs):
    pair, curve = runs[name]
    clipped = np.sum(curve.norms > pair.job.optimizer.clip_norm)
    assert 0 < clipped < STEPS
    assert curve.losses[-1] < 0.9 * curve.losses[0]
    assert entropy_share(reference(0, **VARIANTS[name]["settings"]), tokens()) < 0.5
    targets = [batch["weights"].sum(axis=(1, 2)) for batch in batches(pair)]
    if pair.job.training.micro_batches > 1:
        assert max(part.max() / part.min() for part in targets) > 1.5
    assert all((batch["segments"] == 0).any() for batch in batches(pair))


SLIPS = {
    "alpha, one eightieth too large": Slip(alpha=8.1),
    "b2 of torch's default": Slip(b2=0.999),
    "no clipping": Slip(clip_norm=1e9),
    "decay within the gradient": Slip(coupled=True),
    "schedule as transformers has it": Slip(shift=lambda theirs, step: theirs(step)),
    "schedule one step early": Slip(shift=lambda theirs, step: ahead(theirs, step + 1)),
    "schedule early to the end": Slip(shift=lambda theirs, step: theirs(step + 1)),
    "mean of the micro-batches' means": Slip(mean_of_means=True),
}


@pytest.mark.parametrize("slip", SLIPS)
def test_a_slip_in_training_shows(slip, runs):
    # What makes the parity above worth something: each slip is more than ten tolerances away, in loss and in adapter.
    pair, curve = runs["micro-batches, warm-up"]
    seen = difference(pair, curve, theirs(pair, SLIPS[slip]))
    assert seen.losses.max() > 10 * LOSS
    assert max(seen.adapter.values()) > 10 * ADAPTER


def test_epsilon_inside_the_root_shows(runs):
    pair, _ = runs["micro-batches, warm-up"]
    settings = pair.job.optimizer
    inside = optax.adamw(
        optimizer.schedule(settings, STEPS),
        b1=settings.b1,
        b2=settings.b2,
        eps=0.0,
        eps_root=settings.eps,
        weight_decay=settings.weight_decay,
    )
    broken = ours(pair, optax.chain(optax.clip_by_global_norm(settings.clip_norm), inside))
    seen = difference(pair, broken, theirs(pair))
    assert seen.losses.max() > 10 * LOSS
    assert max(seen.adapter.values()) > 10 * ADAPTER


@pytest.mark.parametrize("warmup", [0, 1, 2, 5, STEPS])
def test_our_schedule_is_transformers_one_step_ahead_in_warm_up(warmup):
    # Mutations: a decay over `steps - warmup + 1`; a rise that begins at zero.
    settings = replace(ADAMW, warmup_steps=warmup)
    rates = optimizer.schedule(settings, STEPS)(jnp.arange(STEPS))
    theirs_ = schedule(settings)
    wanted = [settings.learning_rate * ahead(theirs_, step) for step in range(STEPS)]
    np.testing.assert_allclose(rates, wanted, rtol=1e-4, atol=1e-9)
    if warmup == 0:
        assert wanted == [settings.learning_rate * theirs_(step) for step in range(STEPS)]
