"""The low-rank path by the formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bioinstruct_jax.config import Lora
from bioinstruct_jax.model.lora import dropped, scale
from bioinstruct_jax.training import state
from tests.small import job, ready


def test_scale_is_alpha_over_rank_or_its_root():
    # Mutation: alpha / sqrt(r) for plain LoRA fails here and in the parity with peft.
    assert scale(Lora(rank=16, alpha=32.0)) == 2
    assert scale(Lora(rank=16, alpha=32.0, rslora=True)) == 8


def test_a_projection_is_the_base_and_the_two_thin_products():
    this = ready(job())
    arrays = state.by_path(this.now.trained) | state.by_path(this.frozen)
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 5, 32)).astype(np.float32)
    with jax.set_mesh(this.mesh):
        model = nnx.merge(this.plan.graph, this.now.trained, this.frozen)
        graph, layers = nnx.split(model.layers)
        layer = nnx.merge(graph, jax.tree.map(lambda array: array[1], layers))
        spec = jax.NamedSharding(this.mesh, jax.P(("data", "fsdp"), None, None))
        y = layer.mlp.up_proj(jax.device_put(x, spec), None)
    w, a, b = (np.asarray(arrays[f"layers.mlp.up_proj.{name}"][1]) for name in ("kernel", "lora_a", "lora_b"))
    np.testing.assert_allclose(y, x @ w + x @ a @ b * 2.0, rtol=1e-4, atol=1e-5)


def test_a_new_adapter_changes_nothing():
    arrays = state.by_path(ready(job(), trained_b=False).now.trained)
    assert all(not np.any(array) for path, array in arrays.items() if path.endswith("lora_b"))
    for path, array in arrays.items():
        if path.endswith("lora_a"):
            fan_in = array[0].size // array.shape[-1]
            assert 0.9 * fan_in**-0.5 < np.abs(array).max() <= fan_in**-0.5  # Kaiming uniform with a = sqrt(5)


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_keeps_the_mean_and_is_off_without_a_key(rate):
    mesh = ready(job()).mesh
    with jax.set_mesh(mesh):
        x = jax.device_put(jnp.ones((100, 100)), jax.NamedSharding(mesh, jax.P("data", None)))
        y = np.asarray(dropped(x, rate, jax.random.key(0)))
        assert np.mean(y == 0) == pytest.approx(rate, abs=0.02)
        assert y.mean() == pytest.approx(1, abs=0.03)
        assert dropped(x, rate, None) is x
