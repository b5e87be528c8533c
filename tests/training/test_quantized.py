"""A frozen base in int8 or nf4 under a training step: what is computed, gathered and kept."""

import re
from dataclasses import replace
from functools import cache

import jax
import numpy as np
import pytest
from flax import nnx
from jax import P

from bioinstruct_jax.config import Lora, Mesh, Train
from bioinstruct_jax.model.loss import loss_sum
from bioinstruct_jax.model.quantize import Quantized, dequantize
from bioinstruct_jax.model.weights import base_weights
from bioinstruct_jax.training import sharding, state
from tests.small import SHAPE, Ready, assert_same, gradients, job, moved, on_mesh, random_rows, ready, train

LENGTH = 24
# As small as blocks of 64 allow: every kind of input is one a device, or two, of two each along fsdp and tensor.
BLOCKS = replace(
    SHAPE, hidden_size=128, intermediate_size=256, num_hidden_layers=2, head_dim=32, initializer_range=0.05
)
TYPES = {"int8": ("int8", "s8"), "nf4": ("uint8", "u8")}


def _job(quantize: str, remat: str = "none", dtype: str = "float32") -> Train:
    this = job(BLOCKS)
    return replace(this, model=replace(this.model, quantize=quantize, remat=remat, dtype=dtype))


@cache
def _ready(quantize: str) -> Ready:
    return ready(_job(quantize))


@pytest.mark.parametrize("quantize", TYPES)
def test_codes_and_scales_are_this_table(quantize):
    # Mutation: the spec of the inputs left out, so that each device holds all of them.
    codes, scales = {"int8": ((128, 256), (1, 1)), "nf4": ((64, 128), (2, 4))}[quantize]
    plan = _ready(quantize).plan
    found = {path: (w.dims, w.shape, w.spec, w.dtype) for path, w in plan.weights.items() if w.of}
    inputs = {"int8": [None, None], "nf4": ["fsdp", "tensor"]}[quantize]
    gate, down, o = "layers.mlp.gate_proj", "layers.mlp.down_proj", "layers.self_attn.o_proj"
    dtype = TYPES[quantize][0]
    assert len(found) == 14
    assert found[f"{gate}.codes"] == ("LIF", (2, codes[0], 256), P(None, "fsdp", "tensor"), dtype)
    assert found[f"{gate}.scales"] == ("LIF", (2, scales[0], 256), P(None, inputs[0], "tensor"), "float32")
    assert found[f"{down}.codes"] == ("LID", (2, codes[1], 128), P(None, "tensor", "fsdp"), dtype)
    assert found[f"{down}.scales"] == ("LID", (2, scales[1], 128), P(None, inputs[1], "fsdp"), "float32")
    assert found[f"{o}.codes"] == ("LID", (2, codes[0], 128), P(None, "tensor", "fsdp"), dtype)
    assert found["layers.self_attn.q_proj.codes"][:2] == ("LIN", (2, codes[0], 128))
    frozen = state.by_path(plan.frozen)
    assert {
        path: (like.shape, str(like.dtype), like.sharding.spec) for path, like in frozen.items() if path in found
    } == {path: (shape, dtype, spec) for path, (_, shape, spec, dtype) in found.items()}
    others = {path: like.dtype for path, like in frozen.items() if path not in found}
    assert set(map(str, others.values())) == {"float32"}  # embedding, norms, head
    assert not any(path.endswith("proj.kernel") for path in others)


def _dequantized(this: Ready) -> Ready:
    """The same job with a plain base that holds what the codes stand for."""
    plain = ready(_job("none"))
    values = state.by_path(plain.frozen)
    stored = state.by_path(this.frozen)
    for path, weight in base_weights(BLOCKS, this.job.model.quantize).items():
        if weight.of is None:
            values[path] = stored[path]
        elif path.endswith(".codes"):
            name = path.removesuffix("codes")
            layers = [
                dequantize(Quantized(stored[path][i], stored[f"{name}scales"][i]), np.dtype("float32"))
                for i in range(weight.shape[0])
            ]
            kernel = np.stack([np.asarray(layer) for layer in layers])
            values[f"{name}kernel"] = jax.device_put(kernel, values[f"{name}kernel"].sharding)
    return plain._replace(frozen=state.from_paths(plain.frozen, values))


@pytest.mark.parametrize("quantize", [pytest.param("int8", marks=pytest.mark.slow), "nf4"])
def test_gradients_are_those_of_a_plain_base_with_the_same_numbers(quantize):
    # Mutations: the rule for the backward pass contracts over another dimension (no program), or leaves out the scales.
    this = _ready(quantize)
    arrays = random_rows(4, LENGTH)
    with jax.set_mesh(this.mesh):
        plain = _dequantized(this)
    (found, seen), (wanted, other) = gradients(this)(arrays), gradients(plain)(arrays)
    np.testing.assert_allclose(seen.loss, other.loss, rtol=1e-6)
    assert all(np.isfinite(array).all() and np.any(array) for array in found.values())
    assert_same(found, wanted)


@pytest.mark.parametrize(("quantize", "near"), [("int8", 0.002), ("nf4", 0.05)])
def test_the_loss_is_near_that_of_the_base_as_it_was(quantize, near):
    # Mutation: the codes of one layer given to all.
    arrays = random_rows(8, LENGTH)

    def loss(this: Ready) -> float:
        with jax.set_mesh(this.mesh):
            batch = on_mesh(arrays, this.mesh)
            model = nnx.merge(this.plan.graph, this.now.trained, this.frozen)
            total, targets = jax.jit(loss_sum)(model, type(batch)(*(part[0] for part in batch)))
            return float(total / targets)

    exact, found = loss(_ready("none")), loss(_ready(quantize))
    assert 0 < abs(found - exact) < near * exact


@pytest.mark.slow
@pytest.mark.parametrize("quantize", TYPES)
def test_steps_on_eight_devices_are_those_on_one(quantize):
    # Mutation: scales not gathered over fsdp (no program).
    sizes = (2, 2, 2)
    this = _ready(quantize)
    windows = [random_rows(8, LENGTH, seed=seed) for seed in range(2)]
    (one, seen), (other, there) = train(this, windows), train(moved(this, sizes), windows)
    np.testing.assert_allclose([m.loss for m in seen], [m.loss for m in there], rtol=1e-5)
    assert_same(one, other, rtol=1e-4)


def _compiled(this: Ready, sizes: tuple[int, int, int]) -> str:
    """The step compiled for a mesh of CPU devices; no array is put there."""
    mesh = sharding.make_mesh(Mesh(data=sizes[0], fsdp=sizes[1], tensor=sizes[2]), jax.devices()[: int(np.prod(sizes))])
    placed = moved(this, sizes)
    with jax.set_mesh(mesh):
        return placed.step.lower(placed.now, placed.frozen, on_mesh(random_rows(8, LENGTH), mesh)).compile().as_text()


@pytest.mark.parametrize("quantize", TYPES)
def test_codes_are_what_travels(quantize):
    # Mutation: dequantised before the reshard: f32[128,256] and others are gathered.
    text = _compiled(_ready(quantize), (1, 4, 1) if quantize == "int8" else (1, 2, 1))
    gathered = re.findall(r"= (\w+)\[([\d,]*)\]\S* all-gather\(", text)
    sizes = [(kind, int(np.prod([int(n) for n in dims.split(",")]))) for kind, dims in gathered]
    smallest = 128 * 64  # numbers of the smallest kernel, k_proj
    whole = smallest // (1 if quantize == "int8" else 2)
    assert len([size for kind, size in sizes if kind == TYPES[quantize][1] and size >= whole]) >= 7
    head = 96 * 128  # which is gathered as it is
    assert [(kind, size) for kind, size in sizes if kind[0] in "fb" and size >= smallest and size != head] == []


def test_a_block_is_never_cut():
    # Mutation: the spec of the inputs left out of the scales, or the check of the fan-in.
    plan, mesh = _ready("nf4").plan, sharding.make_mesh(Mesh(data=1, fsdp=4, tensor=1), jax.devices()[:4])
    said = r"q_proj.scales: dimension I of size 2 \(blocks of 64 inputs .* over mesh.fsdp = 4"
    with pytest.raises(ValueError, match=said):
        sharding.check_divisible(mesh, BLOCKS, plan.weights, 4)
    sharding.check_divisible(mesh, BLOCKS, _ready("int8").plan.weights, 4)
    with pytest.raises(ValueError, match=r"down_proj.kernel: its 200 inputs are no multiple of the 64 .* int8 or none"):
        base_weights(replace(BLOCKS, intermediate_size=200), "nf4")


def test_only_a_frozen_base_is_quantised():
    # Mutation: the check left out; the trained tree would hold integers.
    with pytest.raises(ValueError, match=r"model.quantize 'nf4' is for a frozen base: set trainable 'lora'"):
        replace(_job("nf4"), trainable="all", lora=Lora())
