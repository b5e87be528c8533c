"""The benchmark of attention, small and on a CPU: who is exact, who is caught, and what the table says."""

import json
import sys
from dataclasses import replace
from importlib import util

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from bioinstruct_jax.model.attention import attend, masked
from tests.benchmarks import attention, candidates

HERE = [name for name in candidates.candidates(tiny=True) if "tokamax" not in name or util.find_spec("tokamax")]


@pytest.fixture(scope="module")
def cases() -> dict[str, attention.Case]:
    made = {kind: attention.case("llama3_1_8b", kind, tiny=True) for kind in ("full", "packed")}
    segments, noise = made["packed"].segments.at[:, 200:].set(0), made["packed"].noise.at[:, 200:].set(0)
    return made | {"packed": replace(made["packed"], segments=segments, noise=noise)}  # with padding


@pytest.mark.parametrize("name", HERE)
def test_a_candidate_is_exact_or_is_caught(name, cases, monkeypatch):
    # Grouped queries. Only the one that is given no segments is unequal, on packed rows alone, and is not timed.
    # Mutations: a candidate without its mask or segment ids; query heads in the order [G, K]; no scale in `_mha`.
    monkeypatch.setattr(sys, "argv", sys.argv[:1])  # tokamax reads them
    found = attention.measure(candidates.candidates(tiny=True)[name], cases["packed"], repeats=1)
    unsegmented = name == "xla-unsegmented"
    assert found["verdict"] == ("unequal" if unsegmented else "exact"), found["errors"]
    assert ("both" in found) == (not unsegmented)
    if unsegmented:
        assert attention.measure(candidates.candidates(tiny=True)[name], cases["full"], repeats=1)["verdict"] == "exact"


def test_the_kernel_in_other_blocks_compiles_for_a_gpu(cases):
    # To the GPU's own call, without one. Mutation: blocks that its backward pass refuses, as (128, 32, 64, 32) for both
    # the rows of queries and of keys was.
    operands = [*cases["packed"].qkv, cases["packed"].segments]
    gpu = AbstractMesh((), (), abstract_device=AbstractDevice("NVIDIA H200", num_cores=None, platform="gpu"))
    for name, one in candidates.candidates(tiny=False).items():
        if name.startswith("triton-"):
            both = jax.jit(jax.value_and_grad(lambda *qkvs, one=one: one(*qkvs).sum(dtype=jnp.float32), (0, 1, 2)))
            with jax.sharding.use_abstract_mesh(gpu):  # its lowering asks which one
                text = both.trace(*operands).lower(lowering_platforms=("cuda",)).as_text()
            assert text.count("custom_call @__gpu$xla.gpu.triton") + text.count("custom_call @triton_kernel_call") == 3


def _one_key_more(q, k, v, segments):
    """A single token, the first of the first row's second segment, sees the one before it."""
    here, row = jnp.argmax(segments[0] == 2), jnp.arange(segments.shape[1])
    seen = (segments[:, :, None] == segments[:, None, :]) & (row[:, None] >= row)
    return masked(q, k, v, seen | ((row[:, None] == here) & (row == here - 1)))


WRONG = {
    "not causal": lambda q, k, v, s: masked(q, k, v, s[:, :, None] == s[:, None, :]),
    "one key more": _one_key_more,
    "no scale": lambda q, k, v, s: attend(q * q.shape[-1] ** 0.5, k, v, s),
    "no gradient of v": lambda q, k, v, s: attend(q, k, jax.lax.stop_gradient(v), s),
    "a tenth more of dk": lambda q, k, v, s: attend(q, 1.1 * k - jax.lax.stop_gradient(0.1 * k), v, s),
    "NaN in dk": lambda q, k, v, s: attend(q, k + 0 * jnp.sqrt(k - jax.lax.stop_gradient(k)), v, s),
    "one NaN": lambda q, k, v, s: attend(q, k, v, s).at[0, 5, 0, 0, 0].set(jnp.nan),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_nearly_right_is_unequal(name, cases):
    # Mutations: gradients not compared; `any` for `all`; the mean over positions for the largest; max() of NaN.
    found = attention.measure(WRONG[name], cases["packed"], repeats=1)
    assert found["verdict"] == "unequal", found["errors"]
    if name == "one key more":  # of 2 x 256 tokens, one is wrong
        assert min(found["errors"].values()) > attention.TOLERANCE


def test_pairs_are_those_that_see_each_other(cases):
    # Mutations: the square of a segment; padding counted as a segment.
    assert attention.visible_pairs(np.array([[1, 1, 1, 2, 0, 0], [1, 2, 2, 3, 3, 3]])) == (6 + 1) + (1 + 3 + 6)
    assert cases["packed"].segments.max() > 2
    assert cases["packed"].pairs < cases["full"].pairs / 2


def _row(candidate: str, kind: str, verdict: str = "exact", seconds: float = 0.0) -> dict:
    timed = {"seconds": seconds, "tflops": 321.0, "peak_gib": 1.5}
    row = {"model": "llama2_7b", "input": kind, "candidate": candidate, "verdict": verdict}
    return row | ({"both": timed, "forward": timed} if seconds else {})


FOUND = [
    _row("slow", "full", seconds=0.5),
    _row("slow", "packed", seconds=0.25),
    _row("wrong", "full", seconds=0.001),
    _row("wrong", "packed", "unequal") | {"errors": {"dq": 2.0, "dk": float("nan"), "dv": 3.0}},
    _row("broken", "full", "failed") | {"error": "out of memory"},
    _row("broken", "packed", "not installed"),
]


def test_the_table_names_no_winner_that_is_wrong_somewhere():
    # Mutations: the fastest row taken, whatever its candidate is elsewhere; max() that loses NaN; errors left out.
    text = attention.report(FOUND, measured=True)
    assert "llama2_7b, full: slow is the fastest" in text
    assert "llama2_7b, packed: slow is the fastest" in text
    assert "| llama2_7b, full | slow | exact |  | 500.00 (321) | 500.00 (321) | 1.50 |" in text
    assert "| llama2_7b, packed | wrong | unequal | nan |  |  |  |" in text
    assert "broken: out of memory" in text


def test_without_a_gpu_nothing_is_called_measured():
    # Mutations: the table or the winner of a CPU's times printed as if they were a GPU's.
    text = attention.report(FOUND, measured=False)
    assert "nothing is measured" in text
    assert "no measurement" in text
    assert "fastest" not in text
    assert "321" not in text


@pytest.mark.slow
def test_the_command_runs_tiny(tmp_path, capsys):
    # Mutations: `measured` true; a child's failure that ends the parent.
    out = tmp_path / "attention.json"
    given = ["--tiny", "--models", "llama2_7b", "--repeats", "2", "--out", str(out)]
    assert attention.main([*given, "--candidates", "reference", "xla-unsegmented"]) == 0
    found = json.loads(out.read_text(encoding="utf-8"))
    assert found["measured"] is False
    assert found["versions"]["jax"] == jax.__version__
    assert [row["verdict"] for row in found["rows"]] == ["exact", "exact", "exact", "unequal"]
    assert "llama2_7b, packed | xla-unsegmented | unequal" in capsys.readouterr().out


@pytest.mark.slow
def test_a_candidate_that_ends_its_process_is_a_row(monkeypatch):
    # Mutations: rows of the cases that were never reached left out; the last line of the error not told.
    options = attention._options(["--models", "llama2_7b"])  # no GPU here: each child says so and ends
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    found = attention._apart(options, "reference")
    assert [row["verdict"] for row in found] == ["failed", "failed"]
    assert "add --tiny" in found[0]["error"]
    assert attention.report(found, measured=True).count("add --tiny") == 1
