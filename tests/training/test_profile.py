import json

import jax
import jax.numpy as jnp
import pytest
from upath import UPath

from bioinstruct_jax import train
from bioinstruct_jax.training import profile
from bioinstruct_jax.training.profile import Event, Window, kinds, sentence, table
from tests.tiny_run import write


@pytest.fixture(scope="module")
def compiled() -> jax.stages.Compiled:
    """The gradient of two scanned layers on four devices, with every scope that the train step has."""
    mesh = jax.make_mesh((4,), ("fsdp",), devices=jax.devices()[:4], axis_types=(jax.sharding.AxisType.Auto,))

    def loss(weights_LDD, x_BD):
        def layer(x, weight):
            x = x @ weight
            with jax.named_scope("attention"):
                return jax.nn.softmax(x @ x.T) @ x, None

        x_BD, _ = jax.lax.scan(layer, x_BD, weights_LDD)
        with jax.named_scope("loss"):
            return jnp.sum(jax.nn.logsumexp(x_BD @ weights_LDD[0], axis=-1))

    def step(weights_LDD, x_BD):
        gradient = jax.grad(loss)(weights_LDD, x_BD)
        with jax.named_scope("optimizer"):
            return weights_LDD - jnp.sqrt(gradient**2) * 0.1

    rows, all_ = jax.NamedSharding(mesh, jax.P("fsdp")), jax.NamedSharding(mesh, jax.P())
    of = (
        jax.ShapeDtypeStruct((2, 64, 64), jnp.float32, sharding=all_),
        jax.ShapeDtypeStruct((32, 64), jnp.float32, sharding=rows),
    )
    return jax.jit(step, out_shardings=all_).lower(*of).compile()


def test_every_kind_is_found_in_a_compiled_program(compiled):
    # Mutations: scopes of the gradient, which read transpose(jvp(attention)), not seen; containers counted; a
    # collective counted under the scope that it serves; a fused product taken for "other".
    found = kinds(compiled.as_text())
    assert set(found.values()) >= set(profile.KINDS) - {"other"}
    assert all(kind == "collectives" for name, kind in found.items() if name.startswith(("all-gather", "all-reduce")))
    assert not any(name.startswith(("while", "call")) for name in found)
    assert "transpose" in compiled.as_text()


def test_a_kind_for_each_form_of_an_instruction():
    text = """HloModule jit_step, is_scheduled=true

%fused_computation.1 (param_0: bf16[8,16]) -> bf16[8,16] {
  %param_0 = bf16[8,16]{1,0:T(8,128)(2,1)} parameter(0)
  ROOT %dot.9 = bf16[8,16]{1,0:T(8,128)(2,1)} dot(%param_0, %param_0), metadata={op_name="jit(step)/dot_general"}
}

ENTRY %main.10 (p: bf16[8,16]) -> (bf16[8,16], f32[]) {
  %p = bf16[8,16]{1,0} parameter(0)
  %fusion.1 = bf16[8,16]{1,0:T(8,128)(2,1)S(1)} fusion(%p), kind=kOutput, calls=%fused_computation.1
  %fusion.2 = bf16[8,16]{1,0} fusion(%p), calls=%fused_computation.1, metadata={op_name="jit(step)/jvp(loss)/dot"}
  %gemm = (bf16[8,16]{1,0}, s8[4]{0}) custom-call(%p), custom_call_target="gemm", metadata={op_name="dot_general"}
  %splash = bf16[8,16]{1,0} custom-call(%p), backend_config={"custom_call_config":{
"metadata":"{}"
}}, metadata={op_name="jit(step)/transpose(jvp(attention))/kernel"}
  %gather = (bf16[8,16]{1,0}, bf16[64,16]{1,0}) all-gather-start(%p), metadata={op_name="jit(step)/attention/reshard"}
  %while.3 = (s32[], /*index=1*/bf16[8,16]{1,0}) while(%p), metadata={op_name="jit(step)/while"}
  ROOT %norm = f32[] reduce(%p), metadata={op_name="jit(step)/lossless/reduce"}
}
"""
    found = kinds(text)
    assert {
        name: found.get(name) for name in ("fusion.1", "fusion.2", "gemm", "splash", "gather", "while.3", "norm")
    } == {
        "fusion.1": "products",
        "fusion.2": "loss",
        "gemm": "products",
        "splash": "attention",
        "gather": "collectives",
        "while.3": None,
        "norm": "other",
    }


def test_seconds_a_step_on_each_device():
    # Two devices, two steps in 10 s. Mutations: overlapping events counted as busy twice; devices added up.
    kind_of = {"dot": "products", "softmax": "attention"}
    seen = [
        Event("a", "dot", 0e9, 4e9),
        Event("a", "softmax", 2e9, 4e9),
        Event("a", "unknown", 0e9, 10e9),
        Event("b", "dot", 0e9, 2e9),
    ]
    made = table(seen, kind_of, steps=2, seconds=10.0)
    assert made["products"] == 1.5  # 6 s / 2 devices / 2 steps
    assert made["attention"] == 1
    assert made["host"] == 3  # busy 6 and 2: 4 in the mean, of 10 s, for 2 steps
    assert made["step"] == 5
    assert sentence(made).startswith("a step took 5,000.0 ms: attention 20%, loss 0%")
    assert table([], kind_of, steps=1, seconds=1.0)["host"] == 1


@pytest.mark.parametrize(("after", "steps", "recorded"), [pytest.param(1, 2, 2, marks=pytest.mark.slow), (4, 5, 2)])
def test_a_window_of_a_run(tmp_path, finished, after, steps, recorded):
    # The second window is longer than the run. Mutations: the first step recorded too; a window left open.
    file = write(
        tmp_path,
        training={"steps": 6, "eval_every": 2, "checkpoint_every": 2, "profile_steps": steps, "profile_after": after},
    )
    assert train.main([str(file)]) == 0
    run = tmp_path / "runs" / "run"
    made = json.loads((run / "profile" / "table.json").read_text())
    spent = made["seconds"]
    assert made["steps"] == recorded
    assert all(spent[kind] > 0 for kind in ("attention", "loss", "products"))
    assert sum(spent.values()) - spent["step"] >= 0.99 * spent["step"]
    assert list((run / "profile").rglob("*.xplane.pb"))
    assert (run / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()


def test_a_window_that_nobody_asked_for_records_nothing(tmp_path, compiled):
    with Window(UPath(tmp_path), compiled, after=0, steps=0) as window:
        assert [window.before_step(()) for _ in range(3)] == [None] * 3
        assert window.end(()) is None
    assert not list(tmp_path.iterdir())


def test_a_run_that_fails_within_the_window_ends_the_trace(tmp_path, compiled):
    def fails():
        with Window(UPath(tmp_path), compiled, after=0, steps=2) as window:
            window.before_step(())
            raise KeyError

    for _ in range(2):  # a trace left open would make the second one fail
        with pytest.raises(KeyError):
            fails()


def test_no_trace(tmp_path):
    with pytest.raises(ValueError, match="holds no trace"):
        profile.events(tmp_path, "jit_step")
