from dataclasses import replace

from bioinstruct_jax.planning import compile, row, slices
from bioinstruct_jax.planning.compile import Compiled, Memory
from bioinstruct_jax.planning.traffic import Collective
from tests.small import SHAPE, job


def made(name: str, **changes) -> row.Row:
    this = replace(job(), model=replace(job().model, shape=SHAPE, **changes))
    this = replace(this, data=replace(this.data, length=24))
    return row.plan(this, SHAPE, slices.find(name), asked=this, rows=None, timeout=3)


def test_a_gpu_is_asked_what_train_would_be(monkeypatch):
    # Mutation: the formula answers for rows that the kernel of a GPU does not take.
    assert made("h100-1", attention="reference").outcome == "fits"
    found = made("h100-1")
    assert (found.outcome, "multiple of 16" in found.reason) == ("impossible", True)
    assert "kernel for a TPU" in made("h100-1", attention="splash").reason


def test_a_compile_that_breaks_down_is_a_row(monkeypatch):
    def broken(*_, **__):
        raise compile.CompilerError("v5e-8: the compiler was stopped after 3 s")

    monkeypatch.setattr(compile, "compile_for", broken)
    found = made("v5e-8")
    assert (found.outcome, found.reason) == ("impossible", "v5e-8: the compiler was stopped after 3 s")


def test_a_network_whose_speed_is_not_known_is_named(monkeypatch):
    # Mutation: its time taken as none without a word.
    between = Collective("all-reduce", 2, 1e9, 1, True)
    answer = Compiled({"data": 2, "fsdp": 8, "tensor": 1}, Memory(1, 1, 2), 1.0, (between,), {})
    monkeypatch.setattr(compile, "compile_for", lambda *_, **__: answer)
    assert "is not published" in made("2xv4-8").reason
    assert not made("2xv5e-8").reason
