"""The compiled train step. That nothing depends on how rows are cut up or placed: test_exactness.py, test_meshes.py."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from bioinstruct_jax.config import Lora, Optimizer, Training
from bioinstruct_jax.model.weights import BATCH
from bioinstruct_jax.training import state
from tests.small import assert_same, examples, job, on_mesh, packed, random_rows, ready, train

LENGTH = 24


def test_padding_tokens_do_not_matter():
    arrays = random_rows(4, LENGTH)
    one, _ = train(ready(job()), [arrays] * 3)
    arrays["tokens"][arrays["segments"] == 0] = 5
    other, _ = train(ready(job()), [arrays] * 3)
    assert_same(one, other, rtol=0)


def test_one_program_serves_every_step():
    this = ready(job())
    with jax.set_mesh(this.mesh):
        now = this.now
        for seed in range(3):
            now, _ = this.step(now, this.frozen, on_mesh(random_rows(4, LENGTH, seed=seed), this.mesh))
    assert this.step._cache_size() == 1  # a silent second compile comes from optimizer state placed otherwise


def _wide():
    """A base whose frozen kernels dwarf activations and adapters: 2 layers of 256 x 1024."""
    shape = replace(job().model.shape, hidden_size=256, intermediate_size=1024, num_hidden_layers=2)
    return job(shape=shape, lora=Lora(rank=2, alpha=2.0))


def _arrays_made(this, shape: str) -> list[str]:
    """Instructions of the compiled step that make an array of that shape, as opposed to handing one on."""
    with jax.set_mesh(this.mesh):
        batch = on_mesh(random_rows(4, LENGTH), this.mesh)
        text = this.step.lower(this.now, this.frozen, batch).compile().as_text()
    lines = [line for line in text.splitlines() if f"= {shape}" in line]
    return [line for line in lines if " parameter(" not in line and "get-tuple-element(" not in line]


@pytest.mark.parametrize("remat", ["full", pytest.param("none", marks=pytest.mark.slow)])
def test_the_compiled_step_makes_nothing_of_the_size_of_the_frozen_base(remat):
    # Mutation: the gradient taken of (trained, frozen), or gathered weights kept for the backward pass under remat
    # `none` (five such arrays, found by this test), fails here.
    shape = "f32[2,256,1024]"  # gate and up, stacked over layers: a gradient, a moment or a copy would be one of these
    this = replace(_wide(), model=replace(_wide().model, remat=remat))
    assert _arrays_made(ready(this), shape) == []
    assert _arrays_made(ready(replace(this, trainable="all", lora=Lora())), shape) != []


def test_the_table_of_embeddings_stays_where_it_lies():
    # Mutation: the table gathered over fsdp before the look-up.
    this = ready(job(), (1, 4, 1))
    vocabulary, width = this.plan.weights["embed_tokens.embedding"].shape
    assert _arrays_made(this, f"f32[{vocabulary},{width // 4}]") == []
    assert _arrays_made(this, f"f32[{vocabulary},{width}]") == []
    assert _arrays_made(this, f"f32[{width},{vocabulary}]") != []  # the head is gathered, and would be found so


@pytest.mark.parametrize("sizes", [(1, 1, 1), (1, 8, 1), (2, 2, 2)])
def test_the_gradient_of_the_table_is_summed_in_its_own_type(sizes):
    # A token that stands 2,048 times. Mutation: the table cast to the products' type before the look-up: bfloat16 stops
    # counting at 256.
    this = job()
    this = ready(replace(this, trainable="all", lora=Lora(), model=replace(this.model, dtype="bfloat16")), sizes)

    def total(trained, tokens):
        return jnp.sum(nnx.merge(this.plan.graph, trained, this.frozen).embedded(tokens).astype(jnp.float32))

    with jax.set_mesh(this.mesh):
        tokens = jax.device_put(np.full((8, 256), 5, np.int32), jax.NamedSharding(this.mesh, jax.P(BATCH, None)))
        slopes = state.by_path(jax.jit(jax.grad(total))(this.now.trained, tokens))["embed_tokens.embedding"]
    expected = np.zeros(slopes.shape)
    expected[5] = 2048
    np.testing.assert_array_equal(slopes, expected)


@pytest.mark.parametrize("remat", ["full", pytest.param("none", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("quantize", "codes"), [("int8", "s8[2,256,1024]"), ("nf4", "u8[2,128,1024]")])
def test_the_compiled_step_makes_nothing_of_the_size_of_a_quantised_base(quantize, codes, remat):
    # Mutation: under `none`, the product with codes left to JAX's own rule for the backward pass keeps f32[2,256,1024].
    this = ready(replace(_wide(), model=replace(_wide().model, remat=remat, quantize=quantize)))
    for shape in ("f32[2,256,1024]", "s32[2,256,1024]", "u8[2,256,1024]", codes):
        assert _arrays_made(this, shape) == [], shape


def test_overfitting_a_batch_brings_its_loss_near_zero():
    this = ready(job(optimizer=Optimizer(learning_rate=1e-2), training=Training(steps=200, batch_rows=2)))
    _, metrics = train(this, [packed([examples(2, longest=10), examples(2, seed=1, longest=10)], LENGTH)] * 200)
    assert metrics[0].loss > 3
    assert metrics[-1].loss < 0.5  # as low as logits of a frozen random head of width 32 can bring it
