"""The verb, on a machine without a TPU: what it says, what it refuses, and that it compiles the step of `train`."""

import importlib.util
import json

import pytest

from bioinstruct_jax import plan
from bioinstruct_jax.planning import compile, inputs
from bioinstruct_jax.planning.traffic import Collective
from tests.tiny_run import write

needs_libtpu = pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed")
GIB = 2**30


@pytest.fixture
def job(tmp_path) -> str:
    return str(write(tmp_path))


@pytest.fixture
def compiler(monkeypatch):
    """A compiler in which a row takes 2 GiB beside 1 GiB; the list of jobs it was asked for."""
    asked = []

    def compile_for(job, shape, steps, slice_, *, timeout):
        asked.append((job, steps, slice_, timeout))
        rows = job.training.batch_rows / job.training.micro_batches / slice_.chips
        peak = int((1 + 2 * rows) * GIB)
        if peak > slice_.chip.memory:
            return compile.TooBig(peak, slice_.chip.memory)
        sent = (Collective("all-gather", 8, 1e6, 2, False),)
        mesh = {"data": 1, "fsdp": slice_.chips, "tensor": 1}
        return compile.Compiled(mesh, compile.Memory(GIB, peak - GIB, peak), 3.0, sent, {"jax": "1", "libtpu": "2"})

    monkeypatch.setattr(compile, "compile_for", compile_for)
    monkeypatch.setattr(compile, "check_installed", lambda: None)
    return asked


def test_one_slice_in_full(job, compiler, capsys):
    assert plan.main([job, "--slice=v5e-4", "--training.batch_rows=8", "--training.micro_batches=2"]) == 0
    said = capsys.readouterr().out
    assert "3.00 GiB a chip at the peak, of 15.75; by the TPU's compiler (jax 1, libtpu 2; 3 s)" in said
    assert "0.00 GB a chip and step" in said
    assert "for 6 steps" in said
    assert compiler[0][1] == 6


def test_json_has_every_number_and_nothing_else_on_standard_output(job, compiler, capsys):
    # Mutation: progress printed to standard output.
    assert plan.main([job, "--slices=v5e-4,v5e-256,h100-1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report) == {"rows", "best", "recommended", "hours_unknown"}
    first, large, gpu = report["rows"]
    assert set(first) == set(large) == set(gpu)
    assert (first["by"], gpu["by"]) == ("compiler", "arithmetic")
    assert first["sent"] == 2e6
    assert first["peak"] == first["arguments"] + first["temporaries"]
    assert first["hours"] == pytest.approx(6 * first["step_seconds"] / 3600)
    assert first["tokens_per_second"] == pytest.approx(16 * 128 / first["step_seconds"])
    assert first["bound"] in first["seconds"]
    assert large["settings"] == ["--training.batch_rows=256", "--training.micro_batches=1"]
    assert set(report["recommended"]) == {"fewest chips", "most tokens a chip", "fastest"}


def test_too_much_memory_is_a_row(job, compiler, capsys):
    words = [job, "--slice=v5e-4", "--training.batch_rows=64", "--training.micro_batches=1"]
    assert plan.main(words) == 1
    said = capsys.readouterr()
    assert "out of memory" in said.out
    assert "needs 33.00 GiB a chip of 15.75" in said.out
    assert "Traceback" not in said.err
    assert plan.main([*words, "--slices=v5e-4,v5e-8", "--slice=null"]) == 0
    assert "out of memory" not in capsys.readouterr().out  # fewer rows at once


def test_the_search_tells_the_largest_batch(job, compiler, capsys):
    assert plan.main([job, "--slice=v5e-4", "--search", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["best"]["rows"] == 7  # 1 + 2 x 7 of 15.75 GiB
    assert report["best"]["remat"] == "none"
    assert {row["remat"] for row in report["rows"]} == {"none", "attention", "full", "offload"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--slice=v5e-9"], "unknown slice 'v5e-9'; did you mean v5e-"),
        ([], "give --slice=v5e-8"),
        (["--slice=v5e-8", "--slices=all"], "not both"),
        (["--slice=h100-1", "--rows=0"], "rows"),
        (["--slice=h100-1", "--model.weights=no/such", "--model.shape=null", "--tokenizer.path=tiny"], "model.shape"),
    ],
)
def test_what_cannot_be_planned(job, capsys, words, said):
    assert plan.main([job, *words]) == 2
    assert said in capsys.readouterr().err


def test_without_the_compiler_it_says_what_to_install(job, monkeypatch, capsys):
    monkeypatch.setattr(compile.importlib.util, "find_spec", lambda name: None)
    assert plan.main([job, "--slice=v5e-8"]) == 2
    assert "pip install 'bioinstruct-jax[plan]'" in capsys.readouterr().err
    assert plan.main([job, "--slice=h100-1"]) == 0  # by arithmetic
    assert "by arithmetic, not compiled" in capsys.readouterr().out


def test_hours_need_rows(job, compiler, capsys):
    epochs = [job, "--slice=v5e-4", "--training.steps=null", "--training.epochs=3", "--optimizer.warmup_steps=0"]
    missing = "--data.sources=[{path: not/here}]"
    assert plan.main([*epochs, missing]) == 0
    assert "not on this machine: not/here; --rows=N" in capsys.readouterr().out
    assert plan.main([*epochs, missing, "--rows=160"]) == 0
    assert "for 30 steps" in capsys.readouterr().out
    assert plan.main(epochs) == 0  # the rows are at hand
    assert " steps" in capsys.readouterr().out


def test_config_may_be_an_option(job, compiler, capsys):
    for words in (["--config", job], [f"--config={job}"]):
        assert plan.main([*words, "--slice=v5e-4"]) == 0
    assert [one[0].data.length for one in compiler] == [128, 128]


@pytest.mark.parametrize("name", ["llama1_7b", "llama2_7b", "llama2_13b", "llama3_1_8b"])
def test_presets_need_no_network_and_no_weights(name, compiler, capsys):
    # Mutation: the hub asked for config.json.
    weights = ["--model.weights=not/here"] if name.startswith("llama1") else []
    assert plan.main([name, "--slice=v5e-8", *weights]) == 0
    assert "the tokenizer of" in capsys.readouterr().out
    shape = inputs.base_shape(compiler[0][0])
    assert shape.vocab_size == (128256 if name == "llama3_1_8b" else 32000)


def test_a_hub_id_without_a_shape_has_that_of_the_shipped_configuration(job):
    from dataclasses import replace

    from bioinstruct_jax import settings, train
    from bioinstruct_jax.config import Train
    from bioinstruct_jax.usage import Verb

    words = [job, "--model={weights: meta-llama/Llama-3.1-8B}"]
    this, _ = settings.load(words, Verb("plan", "", ()), Train, train.Options)
    assert inputs.base_shape(this).vocab_size == 128256
    other = replace(this, model=replace(this.model, weights="meta-llama/Llama-3.1-8"))
    with pytest.raises(ValueError, match=r"model\.shape"):
        inputs.base_shape(other)


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize("name", ["v5e-4", "2xv5e-4", "tpu7x-4", "v4-4"])
def test_the_tpus_own_compiler(job, capsys, name):
    # The tiny step for real. Mutation: an environment without TPU_SKIP_MDS_QUERY, or JAX_PLATFORMS left to JAX.
    words = [
        "--training.batch_rows=16",
        "--training.micro_batches=2",
        "--model.dtype=bfloat16",
        "--lora.dropout=0.0",
        "--json",
    ]
    assert plan.main([job, f"--slice={name}", *words]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["outcome"] == "fits"
    assert 0 < row["arguments"] < row["peak"] < 2**30
    assert row["sent"] > 0
    assert (row["sent_between_slices"] > 0) == (name == "2xv5e-4")


@needs_libtpu
@pytest.mark.slow
def test_the_tpus_own_compiler_refuses_what_does_not_fit(capsys):
    words = ["--training.batch_rows=512", "--training.micro_batches=1", "--model.remat=none", "--lora.dropout=0.0"]
    assert plan.main(["llama2_7b", "--slice=v5e-4", *words, "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["outcome"] == "out of memory"
    assert row["peak"] > row["limit"] == int(15.75 * GIB)


@needs_libtpu
@pytest.mark.slow
def test_the_forward_pass_runs_once_in_one_micro_batch_as_in_two(job, capsys):
    # Each pass gathers every weight once. Mutation: a scan over a single micro-batch, with which XLA makes three passes
    # of two.
    sent = []
    for parts in (1, 2):
        words = [f"--training.batch_rows={4 * parts}", f"--training.micro_batches={parts}", "--model.dtype=bfloat16"]
        assert plan.main([job, "--slice=v5e-4", "--lora.dropout=0.0", "--model.remat=full", *words, "--json"]) == 0
        sent.append(json.loads(capsys.readouterr().out)["rows"][0]["sent"])
    assert 0.4 < sent[0] / sent[1] < 0.6


@needs_libtpu
@pytest.mark.slow
def test_a_mesh_that_cannot_be_is_a_row(job, capsys):
    assert plan.main([job, "--slice=v5e-4", "--mesh.tensor=4", "--json"]) == 1
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["outcome"], "mesh.tensor = 4" in row["reason"]) == ("impossible", True)
