"""Training goes on from an adapter that peft made: found, refused, placed, trained, resumed."""

import json
import re
import shlex
import shutil
from dataclasses import replace

import jax
import numpy as np
import peft
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM
from upath import UPath

from bioinstruct_jax import settings, train
from bioinstruct_jax.config import Data, Lora, Mesh, Model, Source, Tokenizer, Train, Training
from bioinstruct_jax.data import dataset
from bioinstruct_jax.data.prompts import Template
from bioinstruct_jax.interop import hub_config, hub_weights, peft_adapter, start
from bioinstruct_jax.model.weights import lora_weights
from bioinstruct_jax.training import state
from bioinstruct_jax.training.recorder import Recorder
from bioinstruct_jax.training.sharding import make_mesh
from tests.interop.llama_pairs import SIZES, reference
from tests.tiny_run import metric_rows, write

DRUGS = ("metoprolol", "lisinopril", "warfarin", "furosemide", "amoxicillin", "sertraline", "heparin", "insulin")
LORA = Lora(rank=6, alpha=9.0, targets=("q_proj", "v_proj", "down_proj"))  # what the patterns below come to
OPTIONS = ("--lora.rank=6", "--lora.alpha=9.0", "--lora.targets=[q_proj, v_proj, down_proj]")


def _random(model: torch.nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for key, parameter in model.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, 0, 0.1)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    sizes = {"vocab_size": 2048, "num_hidden_layers": 2, "max_position_embeddings": 256}
    reference(0, num_key_value_heads=2, **sizes).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def made(base, tmp_path_factory):
    """An adapter of peft with patterns, B far from zero."""
    folder = tmp_path_factory.mktemp("peft")
    patterns = {"rank_pattern": {"down_proj": 6}, "alpha_pattern": {"down_proj": 30}}
    config = peft.LoraConfig(r=4, lora_alpha=6, target_modules=["q_proj", "v_proj", "down_proj"], **patterns)
    model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    _random(model, 1)
    model.save_pretrained(folder)
    return folder


def _job(folder, base, adapter) -> list[str]:
    """The arguments of a run of three steps."""
    file = write(
        folder,
        [{"instruction": f"Which class is {drug}?", "input": "", "output": f"The class of {drug}."} for drug in DRUGS],
        model={"weights": str(base), "shape": None},
        lora={"rank": 16, "dropout": 0.0, "start": str(adapter)},
        data={"length": 96, "held_out": 0.3},
        optimizer={"warmup_steps": 0, "weight_decay": 0.1},
        training={"steps": 3, "batch_rows": 8, "micro_batches": 1, "eval_every": 0},
    )
    return [str(file), *OPTIONS]


@pytest.fixture(scope="module")
def finished(base, made, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    assert train.main(_job(folder, base, made)) == 0
    return folder / "runs" / "run"


def test_the_first_loss_is_that_of_peft(finished, base, made):
    # Mutation: `initialize` instead of `start.place`; the factor of the patterns left out.
    job = settings.loads((finished / "config.yaml").read_text(), job=Train, where="config.yaml")
    rows = dataset.load(job).held_out
    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(made)).eval()
    total = count = 0.0
    for tokens, segments, weights in zip(rows.tokens, rows.segments, rows.weights, strict=True):
        real = int((segments == 1).sum())
        with torch.no_grad():
            logits = model(torch.tensor(tokens[None, :real])).logits[0].double()
        losses = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens[1:real]).long(), reduction="none")
        target = weights[1:real].astype(bool)
        total, count = total + losses.numpy()[target].sum(), count + target.sum()
    first = next(row["held_out_loss"] for row in metric_rows(finished) if "held_out_loss" in row)
    assert abs(first - total / count) < 1e-4 * total / count


def test_what_was_trained_loads_in_peft_and_is_not_the_start(finished, base, made):
    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), str(finished / "adapter"))
    shape = hub_config.read_shape(UPath(base))
    lora, before = peft_adapter.load(UPath(made), shape)
    assert lora == LORA
    _, after = peft_adapter.load(UPath(finished / "adapter"), shape)
    table = lora_weights(shape, LORA)
    tensors = {name: parameter.detach().numpy() for name, parameter in model.named_parameters() if "lora_" in name}
    assert len(tensors) == 2 * len(table)
    for path, weight in table.items():
        for layer in range(2):
            there = tensors[weight.hub.format(i=layer).replace(".weight", ".default.weight")]
            np.testing.assert_array_equal(there, weight.to_hub(after[path][layer]))
            assert np.abs(after[path][layer] - before[path][layer]).max() > 1e-3


def test_the_start_is_remembered(finished, made, base):
    # EasyDeL#259: an adapter is worth nothing without what it came from. Mutation: the hash of what was trained.
    shape = hub_config.read_shape(UPath(base))
    sha256 = hub_weights.base_hash(peft_adapter.load(UPath(made), shape)[1], lora_weights(shape, LORA))
    recorded = json.loads((finished / "finished.json").read_text())["start"]
    assert recorded == {"adapter": str(made), "sha256": sha256}
    assert f"| started from | {made.name}, sha256 `{sha256}` |" in (finished / "adapter" / "README.md").read_text()


def _interrupt(monkeypatch, at: int) -> None:
    record = Recorder.step

    def interrupted(self, step, measured):
        if step == at:
            raise KeyboardInterrupt
        record(self, step, measured)

    monkeypatch.setattr(Recorder, "step", interrupted)


def test_resumed_is_as_uninterrupted_and_another_start_is_refused(finished, base, made, tmp_path, monkeypatch, capsys):
    # Mutation: the adapter's hash left out of the identity: the second start goes through.
    copy = tmp_path / "start"
    shutil.copytree(made, copy)
    arguments = _job(tmp_path, base, copy)
    _interrupt(monkeypatch, 3)
    assert train.main(arguments) == 130
    monkeypatch.undo()
    file = copy / "adapter_model.safetensors"
    content = file.read_bytes()
    tensors = load_file(file)
    next(iter(tensors.values()))[0, 0] += 1
    save_file(tensors, file)
    assert train.main(arguments) == 2
    assert "belongs to another run: base was" in capsys.readouterr().err
    file.write_bytes(content)
    assert train.main(arguments) == 0
    run = tmp_path / "runs" / "run"
    for name in ("metrics.jsonl", "adapter/adapter_model.safetensors"):
        assert (run / name).read_bytes() == (finished / name).read_bytes(), name


def test_a_run_folder_is_an_adapter_and_the_options_of_the_message_can_be_copied(finished, base, tmp_path, capsys):
    arguments = _job(tmp_path, base, finished)[:1]
    assert train.main(arguments) == 2
    message = capsys.readouterr().err
    assert "lora.rank is 16, the adapter's 6" in message
    options = shlex.split(message.split("Set ")[1])
    assert options == list(OPTIONS)
    assert train.main([*arguments, *options, "--training.steps=1"]) == 0
    (start_loss,) = (row["held_out_loss"] for row in metric_rows(tmp_path / "runs" / "run") if row["step"] == 0)
    assert start_loss == pytest.approx(metric_rows(finished)[-1]["held_out_loss"], rel=1e-5)


# ------------------------------------------------------------------ what is refused, and the shards

ALPACA = Template(name="alpaca", bos="<s>", end="</s>", hash="a" * 64, tokenizer=None)


def _train(weights: str, adapter, lora: Lora = LORA, **model) -> Train:
    return Train(
        name="a",
        model=Model(weights=weights, **model),
        lora=replace(lora, start=str(adapter)),
        tokenizer=Tokenizer(path="tiny"),
        data=Data(sources=(Source(path="seeds"),), length=64),
        training=Training(steps=1),
    )


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2, 2), (1, 8, 1), (1, 1, 2)])
def test_the_values_lie_in_the_shards_of_the_plan(sizes, base, made):
    # Mutation: every shard filled with the first one's values.
    shape = hub_config.read_shape(UPath(base))
    job = _train(str(base), made)
    adapter = start.resolve(job, shape, ALPACA)
    names = ("data", "fsdp", "tensor")
    mesh = make_mesh(Mesh(**dict(zip(names, sizes, strict=True))), jax.devices()[: int(np.prod(sizes))])
    plan = state.by_path(state.plan(job, shape, mesh).trained)
    placed = start.place(adapter, plan)
    _, loaded = peft_adapter.load(UPath(made), shape)
    assert placed.keys() == loaded.keys()
    for path, array in placed.items():
        assert array.sharding == plan[path].sharding
        np.testing.assert_array_equal(np.asarray(array), loaded[path])


def test_without_a_start_there_is_none(base):
    job = replace(_train(str(base), "x"), lora=LORA)
    assert start.resolve(job, hub_config.read_shape(UPath(base)), ALPACA) is None


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"rank": 4}, "--lora.rank=6"),
        ({"alpha": 8.0, "rslora": True}, "--lora.alpha=9.0 --lora.rslora=false"),
        ({"targets": ("v_proj",)}, "--lora.targets='[q_proj, v_proj, down_proj]'"),
    ],
)
def test_other_settings_are_named_with_what_to_set(changes, options, base, made):
    # Mutation: alpha not compared.
    job = _train(str(base), made, replace(LORA, **changes))
    with pytest.raises(ValueError, match=re.escape(f". Set {options}") + "$"):
        start.resolve(job, hub_config.read_shape(UPath(base)), ALPACA)


def test_dropout_and_the_order_of_targets_are_the_jobs_own(base, made):
    lora = replace(LORA, dropout=0.5, targets=("down_proj", "v_proj", "q_proj"))
    assert start.resolve(_train(str(base), made, lora), hub_config.read_shape(UPath(base)), ALPACA)


@pytest.mark.parametrize(
    ("recorded", "weights", "refused"),
    [
        ("meta-llama/Llama-2-7b-hf", "meta-llama/Llama-2-13b-hf", True),
        ("meta-llama/Llama-2-7b-hf", "Meta-Llama/llama-2-7b-HF", False),
        ("/models/llama", "meta-llama/Llama-2-7b-hf", False),
        ("meta-llama/Llama-2-7b-hf", "/models/llama", False),
        (None, "meta-llama/Llama-2-7b-hf", False),
        ("meta-llama/Llama-2-7b-hf", "random", True),
        ("/models/llama", "random", True),
    ],
)
def test_the_base_is_compared_where_both_names_are_known(recorded, weights, refused, base, made, tmp_path):
    # Mutation: a path compared with a hub id.
    shutil.copytree(made, tmp_path / "a")
    file = tmp_path / "a" / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"base_model_name_or_path": recorded}))
    shape = hub_config.read_shape(UPath(base))
    job = _train(weights, tmp_path / "a", shape=shape if weights == "random" else None)
    if refused:
        with pytest.raises(ValueError, match=re.escape(f"--model.weights={recorded}")):
            start.resolve(job, shape, ALPACA)
    else:
        assert start.resolve(job, shape, ALPACA)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"name": "alpaca", "hash": "a" * 64}, None),
        ({"name": "medtuned", "hash": "b" * 64}, r"'medtuned' .*'alpaca' .*--data\.template=medtuned"),
        ({"name": "alpaca", "hash": "b" * 64}, r"the same name, but .*--tokenizer\.path="),
        ({"somebody": "else's file"}, None),
        (["alpaca"], r"prompt_template\.json"),
    ],
)
def test_another_prompt_template_is_refused(record, message, base, made, tmp_path):
    # LlamaFactory#2509, medgemma#37. Mutation: names compared instead of hashes.
    shutil.copytree(made, tmp_path / "a")
    (tmp_path / "a" / "prompt_template.json").write_text(json.dumps(record))
    shape, job = hub_config.read_shape(UPath(base)), _train(str(base), tmp_path / "a")
    if message is None:
        assert start.resolve(job, shape, ALPACA)
    else:
        with pytest.raises(ValueError, match=message):
            start.resolve(job, shape, ALPACA)


def test_an_adapter_of_another_shape_and_one_that_is_not_there(base, made, tmp_path):
    shape = replace(hub_config.read_shape(UPath(base)), hidden_size=2 * SIZES["hidden_size"])
    with pytest.raises(ValueError, match="another base"):
        start.resolve(_train(str(base), made), shape, ALPACA)
    with pytest.raises(FileNotFoundError, match=r"lora\.start '/nowhere/adapter'"):
        start.resolve(_train(str(base), "/nowhere/adapter"), shape, ALPACA)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(FileNotFoundError, match=r"lora\.start .*the run has no adapter/ yet"):
        start.resolve(_train(str(base), tmp_path), shape, ALPACA)


def test_full_fine_tuning_goes_on_from_no_adapter():
    with pytest.raises(ValueError, match="trainable 'all'"):
        replace(_train("x", "y", Lora()), trainable="all")


def test_a_hub_id_downloads_what_an_adapter_is_made_of(base, made, monkeypatch):
    # Mutation: the patterns of a base model.
    asked = {}

    def download(name, revision, allow_patterns):
        asked[name] = allow_patterns
        return str(made)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    job = _train(str(base), "owner/adapter")
    assert start.resolve(job, hub_config.read_shape(UPath(base)), ALPACA).folder == UPath(made)
    assert {"adapter_config.json", "adapter_model.safetensors", "prompt_template.json"} <= set(asked["owner/adapter"])
    assert "config.json" not in asked["owner/adapter"]
