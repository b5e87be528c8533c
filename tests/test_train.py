"""The verb, end to end: from rows of text to a run folder, on eight CPU devices."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from bioinstruct_jax import settings, train
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.training.recorder import Recorder
from tests.tiny_run import ROWS, SHAPE, metric_rows, write


def _files(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_the_run_folder_holds_what_the_design_promises(finished):
    assert {file.name for file in finished.iterdir()} == {
        "config.yaml", "metrics.jsonl", "timing.jsonl", "loss.png", "report.html", "data.json", "rows.jsonl",
        "bad_rows.jsonl", "environment.json", "finished.json", "checkpoints", "adapter", "base",
    }  # fmt: skip
    assert {file.name for file in (finished / "adapter").iterdir()} == {
        "adapter_model.safetensors", "adapter_config.json", "prompt_template.json", "README.md",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip


def test_metrics_have_every_step_and_every_held_out_loss(finished):
    rows = metric_rows(finished)
    assert [row["step"] for row in rows if "loss" in row] == [1, 2, 3, 4, 5, 6]
    assert [row["step"] for row in rows if "held_out_loss" in row] == [0, 2, 4, 6]
    assert rows[1].keys() == {"step", "loss", "grad_norm", "learning_rate", "target_tokens", "tokens", "padding"}
    assert rows[-1]["held_out_loss"] < rows[0]["held_out_loss"]


def test_a_finished_run_says_so_and_changes_nothing(finished, capsys):
    before = _files(finished)
    assert train.main([str(finished / "config.yaml")]) == 0
    assert "finished; nothing was changed" in capsys.readouterr().out
    assert _files(finished) == before


def test_the_adapter_in_peft_gives_our_logits(finished):
    # The files as other tools read them; alpaca-lora#293 (an empty adapter) and every transposition show here.
    import torch
    from flax import nnx
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from bioinstruct_jax.config import Train
    from bioinstruct_jax.files import path
    from bioinstruct_jax.interop import base, peft_adapter
    from bioinstruct_jax.interop.hub_weights import load
    from bioinstruct_jax.training import sharding, state

    theirs = AutoModelForCausalLM.from_pretrained(finished / "base")
    theirs = PeftModel.from_pretrained(theirs, finished / "adapter").eval()
    tokens = np.random.default_rng(0).integers(0, 2048, (8, 16))
    with torch.no_grad():
        expected = theirs(torch.tensor(tokens)).logits.numpy()
        with theirs.disable_adapter():
            plain = theirs(torch.tensor(tokens)).logits.numpy()
    assert np.abs(expected - plain).max() > 1e-2  # the adapter does something

    job = settings.loads((finished / "config.yaml").read_text(), job=Train, where="config.yaml")
    mesh = sharding.make_mesh(job.mesh)
    with jax.set_mesh(mesh):
        origin = base.resolve(job, 2048)
        plan = state.plan(job, origin.shape, mesh)
        _, arrays = peft_adapter.load(path(finished / "adapter"), origin.shape)
        frozen = state.from_paths(plan.frozen, load(path(finished / "base"), state.by_path(plan.frozen), plan.weights))
        shardings = {name: like.sharding for name, like in state.by_path(plan.trained).items()}
        trained = {name: jax.device_put(array, shardings[name]) for name, array in arrays.items()}
        model = nnx.merge(plan.graph, state.from_paths(plan.trained, trained), frozen)
        spec = jax.NamedSharding(mesh, jax.P(("data", "fsdp"), None))
        places = [np.broadcast_to(row, (8, 16)).astype(np.int32) for row in (np.arange(16), np.ones(16))]
        ours = model(*(jax.device_put(array, spec) for array in (tokens.astype(np.int32), *places)))
    np.testing.assert_allclose(ours, expected, atol=1e-4)


@pytest.mark.parametrize("stop", [pytest.param(3, marks=pytest.mark.slow), 5])
def test_an_interrupted_run_goes_on_as_if_it_had_not_been(finished, tmp_path, monkeypatch, stop):
    # alpaca-lora#72, FastChat#1280. Mutation: a checkpoint without the optimizer, metrics not cut back to the
    # checkpoint, or dropout keyed by a counter that starts anew, each change a byte of the files compared.
    record = Recorder.step

    def interrupted(self, step, measured):
        if step == stop:
            raise KeyboardInterrupt
        record(self, step, measured)

    file = write(tmp_path)
    monkeypatch.setattr(Recorder, "step", interrupted)
    assert train.main([str(file)]) == 130
    monkeypatch.setattr(Recorder, "step", record)
    run = tmp_path / "runs" / "run"
    assert not (run / "finished.json").exists()
    assert train.main([str(file)]) == 0
    for name in ("metrics.jsonl", "adapter/adapter_model.safetensors"):
        assert (run / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.slow
def test_a_base_left_by_a_start_that_failed_is_not_taken_for_the_adapters_own(finished, tmp_path, monkeypatch):
    # Mutation: `save_base` skipped where base/config.json stands leaves the base of the first seed beside the adapter.
    file = write(tmp_path)
    monkeypatch.setattr(Recorder, "start_clock", lambda self: (_ for _ in ()).throw(KeyboardInterrupt))
    assert train.main([str(file), "--seed=5"]) == 130
    monkeypatch.undo()
    run = tmp_path / "runs" / "run"
    for name in ("metrics.jsonl", "timing.jsonl"):
        (run / name).unlink()
    assert not (run / "checkpoints").exists()
    assert train.main([str(file)]) == 0
    name = "base/model.safetensors"
    assert (run / name).read_bytes() == (finished / name).read_bytes()


def test_a_torn_finished_file_is_no_finished_run(finished, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    (copy / "finished.json").write_text("")
    assert train.main([str(copy / "config.yaml"), f"--runs_dir={tmp_path}"]) == 2  # its settings name another folder
    text = (copy / "config.yaml").read_text().replace(str(finished.parent), str(tmp_path))
    (copy / "config.yaml").write_text(text)
    assert train.main([str(copy / "config.yaml")]) == 0
    assert json.loads((copy / "finished.json").read_text())["steps"] == 6
    assert (copy / "metrics.jsonl").read_bytes() == (finished / "metrics.jsonl").read_bytes()


def test_lost_metrics_are_not_glossed_over(finished, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(finished, copy)
    text = (copy / "config.yaml").read_text().replace(str(finished.parent), str(tmp_path))
    (copy / "config.yaml").write_text(text)
    (copy / "finished.json").unlink()
    (copy / "metrics.jsonl").unlink()
    assert train.main([str(copy / "config.yaml")]) == 2
    assert "lacks 6 of the 6 steps" in capsys.readouterr().err


def test_a_run_of_the_same_name_with_other_settings_is_refused(finished, capsys):
    assert train.main([str(finished / "config.yaml"), "--optimizer.learning_rate=0.02"]) == 2
    assert "optimizer.learning_rate: 0.01 -> 0.02" in capsys.readouterr().err


def test_a_folder_of_another_verb_is_refused_and_left_as_it_is(tmp_path, capsys):
    # Mutation: a folder with anybody's files taken for a new run: its settings are replaced, and its report.
    place = tmp_path / "runs" / "run"
    place.mkdir(parents=True)
    (place / "config.yaml").write_text(
        settings.dump(Prepare(out=str(place), corpora="corpora", sources=[{"task": "bc5cdr"}]))
    )
    (place / "report.html").write_text("of prepare")
    before = _files(place)
    assert train.main([str(write(tmp_path))]) == 2
    assert f"the run folder {place} is no run and not empty: nothing is overwritten" in capsys.readouterr().err
    assert _files(place) == before


@pytest.mark.slow
def test_full_fine_tuning_leaves_a_model_that_stops(tmp_path):
    # trl#976, unsloth#416: every example has EOS in its loss, so an overfitted model writes the answer and stops.
    # Mutation: Piece(template.end, True, False) in `_plain`: the model goes on after its answer.
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from bioinstruct_jax.data.prompts import template
    from bioinstruct_jax.data.records import Record
    from bioinstruct_jax.data.tokens import encode_prompt

    changes = {
        "trainable": "all",
        "lora": {"rank": 16, "dropout": 0.0},
        "data": {"held_out": 0.0},
        "training": {"steps": 150, "batch_rows": 8, "micro_batches": 1, "eval_every": 0, "checkpoint_every": 0},
    }
    assert train.main([str(write(tmp_path, ROWS[:4], **changes))]) == 0
    folder = tmp_path / "runs" / "run" / "model"
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(folder)
    for row in ROWS[:4]:
        prompt = encode_prompt(Record(id="", **row), template("alpaca", tokenizer), tokenizer)
        with torch.no_grad():
            written = model.generate(torch.tensor(prompt[None]), max_new_tokens=40, do_sample=False)[0, len(prompt) :]
        assert tokenizer.decode(written[:-1]) == row["output"]
        assert written[-1] == tokenizer.eos_token_id


def test_bad_rows_are_written_down_and_good_ones_are_kept(tmp_path):
    file = write(tmp_path, training={"steps": 2, "eval_every": 0, "checkpoint_every": 0})
    with (tmp_path / "rows.jsonl").open("ab") as rows:
        rows.write(b'{"instruction": "Cut off\n\xff\xfe\n{"instruction": "No answer", "output": ""}\n')
    assert train.main([str(file)]) == 0
    bad = [json.loads(line) for line in (tmp_path / "runs/run/bad_rows.jsonl").read_text().splitlines()]
    assert [row["line"] for row in bad] == [13, 14, 15]
    report = json.loads((tmp_path / "runs/run/data.json").read_text())
    assert report["bad_rows"]["count"] == 3
    assert report["records"] == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"sources": [{"path": "/nowhere/rows.jsonl"}]}}, "/nowhere/rows.jsonl"),
        ({"model": {"weights": "/nowhere/llama"}}, "/nowhere/llama"),
        ({"tokenizer": {"path": "/nowhere/tokenizer"}}, "/nowhere/tokenizer"),
        ({"mesh": {"data": 3}}, "does not fit 8 device"),
        ({"training": {"batch_rows": 6, "micro_batches": 2}}, "cannot be divided over data x fsdp = 8"),
        ({"model": {"shape": SHAPE | {"vocab_size": 100}}}, "100 embedding rows"),
        ({"data": {"length": 16}}, "more than 16 tokens"),
        ({"runs_dir": "memory://runs"}, "not to memory://"),
        ({"training": {"steps": None, "epochs": 0.1}}, "would never reach its peak"),
    ],
)
def test_what_cannot_run_ends_with_a_message_and_code_2(tmp_path, capsys, changes, message):
    file = write(tmp_path, **changes)
    assert train.main([str(file)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


@pytest.mark.parametrize("option", ["--track=none", "--preview=1"])
def test_a_base_that_is_nowhere_is_told_by_its_setting(tmp_path, monkeypatch, capsys, option):
    # Mutation: its tokenizer is asked for first: minutes of retries, and no word of model.weights or of what to do.
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: (_ for _ in ()).throw(OSError("no net")))
    monkeypatch.setattr("bioinstruct_jax.data.tokenizer.load", lambda *_: pytest.fail("the tokenizer is asked for"))
    file = write(tmp_path, model={"weights": "nobase", "shape": None}, tokenizer={"path": None})
    assert train.main([str(file), option]) == 2
    assert (
        "model.weights 'nobase': no such local folder, not in the local cache, and the hub cannot be reached (no net). "
        "Download the model where there is a network and give its folder"
    ) in capsys.readouterr().err


def test_the_saved_adapter_is_float32_and_not_empty(finished):
    tensors = load_file(finished / "adapter" / "adapter_model.safetensors")
    assert len(tensors) == 2 * 7 * SHAPE["num_hidden_layers"]
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    assert any(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)


def test_devices_that_are_not_there_are_an_error_of_the_settings(tmp_path):
    # Mutation: the first question to JAX is another one, whose error is an assertion of JAX's own.
    file = write(tmp_path, platform="gpu")
    command = [sys.executable, "-m", "bioinstruct_jax.train", str(file)]
    ended = subprocess.run(command, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "platform 'gpu': JAX finds no such device here" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_too_little_memory_is_told_with_what_to_do(tmp_path, monkeypatch, capsys):
    def full(*_, **__):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 17179869184 bytes.")

    monkeypatch.setattr(train, "run", full)
    assert train.main([str(write(tmp_path))]) == 2
    assert "training.micro_batches" in capsys.readouterr().err
