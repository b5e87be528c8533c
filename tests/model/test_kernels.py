"""Which attention kernel a mesh gets, that each is `attention.attend`, and that compilers of TPU and GPU take it."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import P
from jax.sharding import AbstractDevice, AbstractMesh, AxisType

from bioinstruct_jax.config import Mesh
from bioinstruct_jax.model import kernels
from bioinstruct_jax.model.attention import attend
from bioinstruct_jax.model.kernels import Kernel, choose
from bioinstruct_jax.training import sharding
from tests.small import SHAPE

HEADS = P(("data", "fsdp"), None, "tensor")
KERNELS = {"splash": "tpu", "triton": "cuda"}
WIDE = replace(SHAPE, head_dim=16)
ANYWHERE = AbstractMesh((1, 1, 1), sharding.AXES, axis_types=(AxisType.Explicit,) * 3)


def _one_device() -> jax.sharding.Mesh:
    return sharding.make_mesh(Mesh(), jax.devices()[:1])


def _operands(B: int, S: int, K: int, G: int, H: int, *, seed: int = 0) -> list[np.ndarray]:
    """q, k, v and segments: short ones, padding behind them, a row of padding, a row of one segment."""
    random = np.random.default_rng(seed)
    q, k, v = (random.normal(size=size).astype(np.float32) for size in [(B, S, K, G, H), (B, S, K, H), (B, S, K, H)])
    segments = np.sort(random.integers(1, 6, (B, S)), axis=1).astype(np.int32)
    segments[:, S - S // 5 :] = 0
    segments[0], segments[1] = 0, 1
    return [2 * q, k, v, segments]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("sizes", [(3, 256, 2, 3, 16), (3, 128, 3, 1, 24)], ids=["grouped", "one query a key"])
def test_a_kernel_is_the_reference(kernel, sizes):
    # Sharp scores, and two blocks of keys for splash. Mutations, each for both: no segment ids; no scale (splash: q as
    # it is; triton: sm_scale 1); query heads in the order [G, K]; not causal; keys and values exchanged.
    weights = jnp.sin(jnp.arange(float(np.prod(sizes))).reshape(sizes))

    def value_and_gradients(attention, q, k, v, segments):
        out, pullback = jax.vjp(lambda *qkv: attention(*qkv, segments), q, k, v)
        return out, *pullback(weights)

    mesh, specs = _one_device(), [HEADS, HEADS, HEADS, P(("data", "fsdp"))]
    with jax.set_mesh(mesh):
        operands = [
            jax.device_put(array, jax.NamedSharding(mesh, spec))
            for array, spec in zip(_operands(*sizes), specs, strict=True)
        ]
        measure = jax.jit(value_and_gradients, static_argnums=0)
        expected, found = (measure(call, *operands) for call in (attend, Kernel(kernel, (128, 128), interpret=True)))
    for name, one, other in zip(("out", "dq", "dk", "dv"), expected, found, strict=True):
        assert np.any(one)
        np.testing.assert_allclose(other, one, rtol=1e-5, atol=1e-5 * float(np.abs(one).max()), err_msg=name)


def _devices(platform: str, kind: str) -> AbstractMesh:
    device = AbstractDevice(device_kind=kind, num_cores=None, platform=platform)
    return AbstractMesh((1, 1, 1), sharding.AXES, axis_types=(AxisType.Explicit,) * 3, abstract_device=device)


TPU, V6E = _devices("tpu", "TPU v5 lite"), _devices("tpu", "TPU v6 lite")
GPU = _devices("gpu", "NVIDIA H200")


def test_the_devices_decide_which_kernel_runs():
    # Mutations: jax.default_backend() asked instead of the mesh; the table of blocks not looked at.
    def auto(mesh) -> Kernel:
        return choose("auto", mesh, WIDE, 256)

    assert auto(TPU) == choose("splash", TPU, WIDE, 256) == Kernel("splash", (512, 512))
    assert auto(V6E) == Kernel("splash", (1024, 2048))
    assert auto(GPU) == choose("triton", GPU, WIDE, 256) == Kernel("triton")
    assert auto(_one_device()) == auto(ANYWHERE) == choose("reference", TPU, WIDE, 256) == kernels.REFERENCE
    for kernel in KERNELS:  # emulated on a CPU; real where an abstract mesh leaves the devices open
        assert choose(kernel, _one_device(), WIDE, 256) == Kernel(kernel, interpret=True)
        assert choose(kernel, ANYWHERE, WIDE, 256) == Kernel(kernel)


REFUSED = {
    "splash on a gpu": ("splash", GPU, WIDE, 256, "kernel for a TPU, and these devices are 'NVIDIA H200'.* auto"),
    "triton on a tpu": ("triton", TPU, WIDE, 256, "kernel for a GPU, and these devices are 'TPU v5 lite'.* auto"),
    "splash, 300 tokens": ("auto", TPU, WIDE, 300, "multiple of 128 tokens, and data.length is 300: set .* 384, or"),
    "triton, 300 tokens": ("auto", GPU, WIDE, 300, "multiple of 16 tokens, and data.length is 300: set .* 304, or"),
    "triton, small heads": (
        "auto",
        GPU,
        SHAPE,
        256,
        "heads of at least 16 elements, and these have 8: set .*reference",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_kernel_that_cannot_take_a_job_says_so(case):
    # Mutations: each check left out; the reference put in its place.
    *arguments, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        choose(*arguments)


@pytest.mark.parametrize("length", [128, 384, 640, 1024, 2048, 4096, 6144])
@pytest.mark.parametrize("kernel", KERNELS)
def test_blocks_fit_every_row_and_nothing_runs_twice_where_the_output_is_kept(kernel, length):
    # Lowered for the kernel's own platform, without a device. Keeping what is named "attention" spares the backward
    # pass the forward kernel. Mutations: blocks as the table has them; `checkpoint_name` of triton's residuals, or
    # splash's `residual_checkpoint_name`, left out.
    mesh = GPU if kernel == "triton" else ANYWHERE  # Triton's lowering asks which GPU
    attention = choose(kernel, mesh, WIDE, length)

    def operand(*size: int, spec: P = HEADS, dtype=jnp.bfloat16) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct(size, dtype, sharding=jax.NamedSharding(mesh, spec))

    sizes = operand(2, length, 2, 2, 16), operand(2, length, 2, 16), operand(2, length, 2, 16)
    ids = operand(2, length, spec=P(("data", "fsdp")), dtype=jnp.int32)

    def calls(policy) -> int:
        def total(q, k, v, segments):
            return jnp.sum(jax.checkpoint(lambda *qkv: jnp.cos(attention(*qkv, segments)), policy=policy)(q, k, v))

        with jax.sharding.use_abstract_mesh(mesh):
            traced = jax.jit(jax.value_and_grad(total, (0, 1, 2))).trace(*sizes, ids)
            text = traced.lower(lowering_platforms=(KERNELS[kernel],)).as_text()
        return len(re.findall(r"custom_call @(?:tpu_custom_call|triton_kernel_call|__gpu\S*triton\S*)", text))

    again, once = calls(None), calls(jax.checkpoint_policies.save_only_these_names(kernels.NAME))
    assert (again, once) == (4, 3)


COMPILE = """
import json, sys
import jax, jax.numpy as jnp, numpy as np
from jax import P
from jax.experimental import topologies
from bioinstruct_jax.config import Mesh, Shape
from bioinstruct_jax.model.kernels import choose
from bioinstruct_jax.training.sharding import make_mesh

shape = Shape(hidden_size=1024, intermediate_size=8, num_hidden_layers=1, num_attention_heads=8, num_key_value_heads=4)
devices = topologies.get_topology_desc(platform="tpu", topology_name=sys.argv[1]).devices
mesh = make_mesh(Mesh(data=1, fsdp=-1, tensor=2), devices)
length, heads, rows = 1024, P(("data", "fsdp"), None, "tensor"), P(("data", "fsdp"))
found = []
for name in ("auto", "reference"):
    attention = choose(name, mesh, shape, length)
    def operand(*size, spec=heads, dtype=jnp.bfloat16):
        return jax.ShapeDtypeStruct((len(devices), length, *size), dtype, sharding=jax.NamedSharding(mesh, spec))
    def total(q, k, v, segments):
        return jnp.sum(attention(q, k, v, segments).astype(jnp.float32) ** 2)
    with jax.set_mesh(mesh):
        traced = jax.jit(jax.grad(total, (0, 1, 2))).trace(
            operand(4, 2, 128), operand(4, 128), operand(4, 128), operand(spec=rows, dtype=jnp.int32)
        )
        made = traced.lower(lowering_platforms=("tpu",)).compile()
    text = made.as_text()
    found.append([attention.name, text.count('custom_call_target="tpu_custom_call"'), f"{length},{length}" in text])
print(json.dumps(found))
"""


@pytest.mark.slow
@pytest.mark.parametrize("slice_", ["v5e:2x4", "v6e:2x4"])
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu, the TPU's compiler, is not installed")
def test_the_compiler_of_a_tpu_takes_splash_which_forms_no_square_of_scores(slice_):
    # No TPU is needed. Mutation: `auto` that gives the reference.
    asked = {"JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1", "TPU_WORKER_HOSTNAMES": "localhost"}
    asked |= {"TPU_ACCELERATOR_TYPE": "v5litepod-16", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}
    call = [sys.executable, "-c", COMPILE, slice_]
    done = subprocess.run(call, env=os.environ | asked, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.splitlines()[-1]) == [["splash", 3, False], ["reference", 0, True]]
