"""What programs send, read from their text: small ones compiled for eight CPU devices, and lines of the TPU's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import P
from jax.sharding import AxisType

from bioinstruct_jax.planning import traffic
from bioinstruct_jax.training.hlo import UnreadableError

X = 64 * 128 * 4  # bytes of the array below


@pytest.fixture(scope="module")
def mesh() -> jax.sharding.Mesh:
    return jax.make_mesh((2, 4), ("a", "b"), axis_types=(AxisType.Explicit,) * 2, devices=jax.devices()[:8])


def program(function, mesh: jax.sharding.Mesh, spec: P) -> str:
    array = jax.ShapeDtypeStruct((64, 128), jnp.float32, sharding=jax.NamedSharding(mesh, spec))
    with jax.set_mesh(mesh):
        return jax.jit(function).lower(array).compile().as_text()


def over(axis: str, function, spec: P, out: P):
    return jax.shard_map(function, in_specs=spec, out_specs=out, axis_names={"a", "b"}, check_vma=False)


@pytest.mark.parametrize(
    ("function", "spec", "kind", "devices", "sent"),
    [
        (lambda x: jax.reshard(x, P(None, None)), P("b", None), "all-gather", 4, X * 3 / 4),
        (lambda x: jax.reshard(x, P("a", None)), P(("a", "b"), None), "all-gather", 4, X / 2 * 3 / 4),
        (lambda x: jnp.sum(x, 0), P("b", None), "all-reduce", 4, 128 * 4 * 2 * 3 / 4),
        (
            over("b", lambda x: jax.lax.psum_scatter(x, "b", tiled=True), P(None, None), P("b", None)),
            P(None, None),
            "reduce-scatter",
            4,
            X * 3 / 4,
        ),
        (
            over("b", lambda x: jax.lax.all_to_all(x, "b", 1, 0, tiled=True), P("b", None), P(None, "b")),
            P("b", None),
            "all-to-all",
            4,
            X / 4 * 3 / 4,
        ),
        (
            over("a", lambda x: jax.lax.ppermute(x, "a", [(0, 1), (1, 0)]), P("a", None), P("a", None)),
            P("a", None),
            "collective-permute",
            2,
            X / 2,
        ),
    ],
)
def test_bytes_are_those_of_a_ring(mesh, function, spec, kind, devices, sent):
    # Mutations: all-reduce counted once; reduce-scatter by its result; the whole mesh taken for every group.
    (found,) = traffic.collectives(program(function, mesh, spec), [0] * 8)
    assert (found.kind, found.devices, found.sent, found.times) == (kind, devices, sent, 1)


def test_what_is_in_loops_counts_for_every_turn(mesh):
    # Mutation: `times` not multiplied, inside or out.
    def gathered(x):
        def inner(carry, _):
            whole = jax.reshard(jnp.sin(carry), P(None, None))
            return carry + jax.reshard(whole[::-1], P("b", None)), None

        def outer(carry, _):
            return jax.lax.scan(inner, carry, None, length=5)[0], None

        return jax.lax.scan(outer, x, None, length=3)[0]

    found = [one for one in traffic.collectives(program(gathered, mesh, P("b", None)), [0] * 8) if one.times > 1]
    assert found
    assert {one.times for one in found} == {15}


def test_groups_that_span_slices_are_told(mesh):
    # Devices 0 to 3 are one slice: along `b` nothing leaves it, along `a` everything does.
    slices = [0] * 4 + [1] * 4
    within = program(lambda x: jax.reshard(x, P(None, None)), mesh, P("b", None))
    between = program(lambda x: jax.reshard(x, P(None, None)), mesh, P("a", None))
    assert [one.between_slices for one in traffic.collectives(within, slices)] == [False]
    assert [one.between_slices for one in traffic.collectives(between, slices)] == [True]


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("replica_groups={{0,1},{2,3}}, x", [[0, 1], [2, 3]]),
        ("replica_groups={}, x", [[0, 1, 2, 3]]),
        ("replica_groups=[2,2]<=[4], x", [[0, 1], [2, 3]]),
        ("replica_groups=[2,2]<=[2,2]T(1,0), x", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a'}, x", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'b'}, x", [[0, 1], [2, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2] {'a','b'}, x", [[0, 1, 2, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2], device_ids=([2,2]T(1,0)) {'b'}, x", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=2,'b'=2], device_ids=(0,3,1,2) {'b'}, x", [[0, 3], [1, 2]]),
        ("replica_groups=mesh['a'=4] {'a':(1)2}, x", [[0, 2], [1, 3]]),
        ("replica_groups=mesh['a'=4] {'a':(2)2}, x", [[0, 1], [2, 3]]),
    ],
)
def test_every_way_to_write_groups(text, rows):
    found = sorted(sorted(row) for row in traffic.groups(text, 4).tolist())
    assert found == rows


TPU = """\
HloModule jit_step, is_scheduled=true

%step_of_the_chain (p: bf16[1,64]) -> (bf16[1,512], bf16[8]) {
  %p = bf16[1,64]{1,0:T(8,128)(2,1)S(1)} parameter(0)
  %g.2 = bf16[1,512]{1,0:T(8,128)(2,1)S(1)} all-gather(%p), channel_id=7, replica_groups=mesh['x'=8] {'x'}
  ROOT %t = (bf16[1,512]{1,0}, bf16[8]{0}) tuple(%g.2, %p)
}

%all-reduce-scatter.1 (q: f32[16,8]) -> f32[2,8] {
  %q = f32[16,8]{1,0} parameter(0)
  %r = f32[16,8]{1,0} all-reduce(%q), channel_id=9, replica_groups=[1,8]<=[8], to_apply=%add
  ROOT %s = f32[2,8]{1,0} dynamic-slice(%r, %c, %z), dynamic_slice_sizes={2,8}
}

%body (b: (s32[], bf16[1,64])) -> (s32[], bf16[1,64]) {
  %b = (s32[]{:T(128)}, /*index=1*/bf16[1,64]{1,0:T(8,128)(2,1)S(1)}) parameter(0)
  %start = (bf16[1,512]{1,0}, bf16[8]{0}) fusion(%x), kind=kCustom, calls=%step_of_the_chain
  %middle = (bf16[1,512]{1,0}, bf16[8]{0}) fusion(%x), kind=kCustom, calls=%step_of_the_chain
  %scattered = f32[2,8]{1,0} fusion(%y), kind=kCustom, calls=%all-reduce-scatter.1
  ROOT %out = (s32[]{:T(128)}, bf16[1,64]{1,0}) tuple(%i, %x)
}

%condition (c: (s32[], bf16[1,64])) -> pred[] {
  %n = s32[]{:T(128)} constant(6), metadata={op_name="lt"}
  %c = (s32[]{:T(128)}, bf16[1,64]{1,0}) parameter(0)
  %i = s32[]{:T(128)} get-tuple-element(%c), index=0
  ROOT %lt = pred[]{:T(512)} compare(%i, %n), direction=LT
}

ENTRY %main (a: bf16[1,64]) -> bf16[1,64] {
  %a = bf16[1,64]{1,0} parameter(0)
  %ags = (bf16[1,64]{1,0}, bf16[1,512]{1,0}) all-gather-start(%a), channel_id=1, replica_groups=[1,8]<=[8]
  %agd = bf16[1,512]{1,0} all-gather-done(%ags)
  %w = (s32[]{:T(128)}, bf16[1,64]{1,0}) while(%t), condition=%condition, body=%body, metadata={op_name="while"}
  ROOT %o = bf16[1,64]{1,0} get-tuple-element(%w), index=1
}
"""
SEND = """\
  %s = (bf16[2,8]{1,0:T(8,128)(2,1)}, u32[], token[]) send(%x, %k), channel_id=2, is_host_transfer=true, \
frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}
  %w = """


def test_the_tpu_compilers_own_forms():
    # A chain of one channel counts once, as does a start with its done; a bound in the condition; a reduce-scatter.
    # Mutations: `seen` dropped; "-done" counted; the all-reduce of the wrapper taken for one.
    found = {(one.kind, one.sent, one.times) for one in traffic.collectives(TPU, [0] * 8)}
    assert found == {
        ("all-gather", 1024 * 7 / 8, 1),
        ("all-gather", 1024 * 7 / 8, 6),
        ("reduce-scatter", 16 * 8 * 4 * 7 / 8, 6),
    }
    assert len(traffic.collectives(TPU, [0] * 8)) == 3


def test_a_loop_that_counts_by_two():
    # XLA's own, of a gather beside its product. Mutations: the step taken for 1; for a constant that is not added.
    text = TPU.replace("%n = s32[]{:T(128)} constant(6)", "%n = u32[]{:T(128)} constant(7)")
    two = "  %two = u32[]{:T(128)} constant(2)\n  %five = u32[]{:T(128)} constant(5)\n  %j = u32[] add(%i, %two)\n"
    root = "  ROOT %out = (s32[]{:T(128)}, bf16[1,64]{1,0}) tuple(%i, %x)"
    text = text.replace(root, two + root.replace("s32", "u32").replace("%i", "%j"))
    assert {one.times for one in traffic.collectives(text, [0] * 8)} == {1, 4}
    with pytest.raises(UnreadableError, match="how often"):
        traffic.collectives(text.replace("add(%i, %two)", "add(%i, %i)"), [0] * 8)


def test_what_goes_to_another_slice_through_the_hosts():
    # Mutation: `send` not counted, with which several slices would exchange nothing.
    found = traffic.collectives(TPU.replace("  %w = ", SEND), [0] * 8)
    assert [(one.sent, one.times) for one in found if one.between_slices] == [(32, 1)]


def test_what_cannot_be_read_is_an_error():
    with pytest.raises(UnreadableError, match="how often"):
        traffic.collectives(TPU.replace("constant(6)", "parameter(1)"), [0] * 8)
    with pytest.raises(UnreadableError, match="replica groups"):
        traffic.collectives(TPU.replace("replica_groups=[1,8]<=[8]", "replica_groups=new"), [0] * 8)


def test_sizes():
    assert traffic.size("bf16[2,3]{1,0:T(8,128)(2,1)S(1)}") == 12
    assert traffic.size("(f32[], pred[4], s4[8], f8e4m3fn[3], token[])") == 4 + 4 + 4 + 3
    assert np.array(traffic.groups("replica_groups={}", 2)).shape == (1, 2)
