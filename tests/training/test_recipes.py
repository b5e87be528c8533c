"""One table of compiler options: what it says for which chip, and that training hands it to the compiler."""

import json

import jax
import pytest

from bioinstruct_jax import train
from bioinstruct_jax.training import recipes
from tests import tiny_run


@pytest.mark.parametrize(
    ("platform", "kind", "deterministic", "options"),
    [
        ("tpu", "TPU v6 lite", False, {"xla_tpu_scoped_vmem_limit_kib": "98304"}),
        ("tpu", "TPU v6e", True, {"xla_tpu_scoped_vmem_limit_kib": "98304"}),
        ("tpu", "TPU v5 lite", True, {}),
        ("tpu", "TPU v5p", False, {}),
        ("tpu", "TPU7x", False, {}),
        ("gpu", "NVIDIA H200", False, {}),
        ("gpu", "NVIDIA H200", True, {"xla_gpu_deterministic_ops": True}),
        ("cpu", "cpu", True, {}),
    ],
)
def test_the_options_of_each_chip(platform, kind, deterministic, options):
    # Mutations: v6's options for every TPU; a GPU's given to a TPU; `deterministic` not looked at.
    assert recipes.compiler_options(platform, kind, deterministic) == options


def test_every_option_has_a_reason_and_says_what_was_not_measured():
    every = [option for options in (*recipes.CHIPS.values(), *recipes.DETERMINISTIC.values()) for option in options]
    assert every
    for option in every:
        assert option.name.startswith("xla_")
        assert "measured" in option.reason, option.name


@pytest.mark.slow
def test_training_gives_them_to_every_program_and_writes_them_down(tmp_path, monkeypatch):
    # Mutations: `job.deterministic` replaced by False; no compiler_options for the held-out loss, or for the step.
    monkeypatch.setitem(recipes.DETERMINISTIC, "cpu", recipes.DETERMINISTIC["gpu"])  # XLA takes it on any platform
    told, compile_ = [], jax.stages.Lowered.compile

    def spy(self, compiler_options=None, **rest):
        told.append(compiler_options)
        return compile_(self, compiler_options, **rest)

    monkeypatch.setattr(jax.stages.Lowered, "compile", spy)
    few = {"steps": 1, "micro_batches": 1, "eval_every": 0, "checkpoint_every": 0}
    file = tiny_run.write(tmp_path, optimizer={"warmup_steps": 0}, training=few, deterministic=True)
    assert train.main([str(file)]) == 0
    options = {"xla_gpu_deterministic_ops": True}
    assert told.count(options) == 2  # the step, the held-out loss
    environment = json.loads((tmp_path / "runs/run/environment.json").read_text())
    assert environment["compiler_options"] == options
