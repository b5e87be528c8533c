"""Schedules and AdamW beside those of torch and transformers."""

import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

from bioinstruct_jax.config import Optimizer
from bioinstruct_jax.training.optimizer import make_optimizer, schedule

STEPS = 30


@pytest.mark.parametrize("warmup", [0, 1, 5])
@pytest.mark.parametrize("kind", ["cosine", "linear", "constant"])
def test_the_schedule_rises_to_its_peak_and_falls_to_zero(kind, warmup):
    rates = np.asarray(
        schedule(Optimizer(learning_rate=1e-3, schedule=kind, warmup_steps=warmup), STEPS)(jnp.arange(STEPS))
    )
    assert rates.max() == pytest.approx(1e-3)
    assert np.all(np.diff(rates[:warmup]) > 0)
    assert np.all(rates > 0)  # no step is spent at a rate of zero
    if kind == "constant":
        np.testing.assert_allclose(rates[warmup:], 1e-3)
    else:
        assert np.all(np.diff(rates[max(warmup, 1) :]) < 0)
        assert rates[-1] < 1e-3 * 2 / (STEPS - warmup)


def test_a_share_of_the_steps_is_that_many_steps():
    # Mutation: `config.warmup_steps` in schedule.
    rates = [
        schedule(Optimizer(**warmup), STEPS)(jnp.arange(STEPS))
        for warmup in ({"warmup_share": 0.2}, {"warmup_steps": 6})
    ]
    np.testing.assert_array_equal(*rates)
    assert Optimizer(warmup_share=0.03).warmup(20) == 0  # a run of few steps has none
    with pytest.raises(ValueError, match=r"warmup_steps 5 and warmup_share 0\.1 exclude each other"):
        Optimizer(warmup_steps=5, warmup_share=0.1)


@pytest.mark.parametrize(
    ("kind", "theirs"), [("cosine", get_cosine_schedule_with_warmup), ("linear", get_linear_schedule_with_warmup)]
)
def test_after_warm_up_the_schedule_is_that_of_transformers(kind, theirs):
    ours = schedule(Optimizer(learning_rate=1e-3, schedule=kind, warmup_steps=5), STEPS)(jnp.arange(5, STEPS))
    optimizer = torch.optim.AdamW([torch.zeros(1)], lr=1e-3)
    stepped = theirs(optimizer, 5, STEPS)
    expected = [1e-3 * stepped.lr_lambdas[0](step) for step in range(5, STEPS)]
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-9)


def test_adamw_with_clipping_is_that_of_torch():
    # Mutation: clipping after AdamW, L2 instead of decoupled decay, or eps inside the root, fails within three steps.
    settings = Optimizer(learning_rate=1e-2, schedule="constant", weight_decay=0.1, clip_norm=0.5, b2=0.95)
    random = np.random.default_rng(0)
    start, gradients = random.normal(size=(4, 3)), random.normal(size=(20, 4, 3))
    ours = jnp.asarray(start, jnp.float32)
    optimizer = make_optimizer(settings, 20)
    state = optimizer.init(ours)
    theirs = torch.nn.Parameter(torch.tensor(start, dtype=torch.float32))
    reference = torch.optim.AdamW([theirs], lr=1e-2, weight_decay=0.1, betas=(0.9, 0.95), eps=1e-8)
    for gradient in gradients:
        updates, state = optimizer.update(jnp.asarray(gradient, jnp.float32), state, ours)
        ours = optax.apply_updates(ours, updates)
        theirs.grad = torch.tensor(gradient, dtype=torch.float32)
        torch.nn.utils.clip_grad_norm_([theirs], 0.5)
        reference.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-4, atol=1e-6)
