import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from bioinstruct_jax import schema, settings
from bioinstruct_jax.config import Lora, Mesh, Shape, Train
from bioinstruct_jax.resources import resource
from bioinstruct_jax.shape_settings import RopeScaling

PRESETS = ("llama1_7b", "llama1_13b", "llama2_7b", "llama2_13b", "llama3_1_8b", "llama2_7b_chat", "llama2_13b_chat")
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
TINY = {
    "name": "a",
    "model": {"weights": "random", "shape": SIZES},
    "tokenizer": {"path": "tiny"},
    "data": {"sources": [{"path": "seeds"}]},
    "training": {"steps": 5},
}


def preset(name: str) -> Train:
    text = resource("configs", f"{name}.yaml").read_text()
    if name.startswith("llama1"):
        text = text.replace("model:\n", "model:\n  weights: mine\n")
    return settings.loads(text, job=Train, where=name)


def parameters(shape: Shape) -> int:
    """Of an untied LLaMA without biases: embedding and head; per layer q o k v, gate up down, two norms; a norm."""
    D, F = shape.hidden_size, shape.intermediate_size
    heads = 2 * D * shape.num_attention_heads * shape.head_size + 2 * D * shape.key_value_heads * shape.head_size
    return 2 * shape.vocab_size * D + shape.num_hidden_layers * (heads + 3 * D * F + 2 * D) + D


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("llama1_7b", 6_738_415_616),
        ("llama1_13b", 13_015_864_320),
        ("llama2_7b", 6_738_415_616),
        ("llama2_13b", 13_015_864_320),
        ("llama3_1_8b", 8_030_261_248),
        ("llama2_7b_chat", 6_738_415_616),
        ("llama2_13b_chat", 13_015_864_320),
    ],
)
def test_presets_have_the_published_size(name, count):
    # Mutation: intermediate_size 11008 -> 11009 in a preset
    assert parameters(preset(name).model.shape) == count


def test_presets_differ_where_the_bases_differ():
    facts = {name: preset(name).model.shape for name in PRESETS}
    assert [shape.max_position_embeddings for shape in facts.values()] == [2048, 2048, 4096, 4096, 131072, 4096, 4096]
    assert [shape.rms_norm_eps for shape in facts.values()] == [1e-6, 1e-6, 1e-5, 1e-5, 1e-5, 1e-5, 1e-5]
    assert [shape.rope_theta for shape in facts.values()] == [1e4, 1e4, 1e4, 1e4, 5e5, 1e4, 1e4]
    assert facts["llama3_1_8b"].rope_scaling == RopeScaling(
        rope_type="llama3",
        factor=8.0,
        low_freq_factor=1.0,
        high_freq_factor=4.0,
        original_max_position_embeddings=8192,
    )


@pytest.mark.parametrize("size", ["7b", "13b"])
def test_a_chat_preset_is_the_plain_one_with_what_its_header_says(size):
    # Mutation: another rms_norm_eps in one of them.
    changed = settings.changes(preset(f"llama2_{size}"), preset(f"llama2_{size}_chat"))
    sections = {line.split(":")[0] for line in changed}
    allowed = r"name|trainable|model\.weights|lora\..+|data\.(sources\..+|template|over_length)"
    allowed += (
        r"|optimizer\.(learning_rate|warmup_steps)|training\.(batch_rows|micro_batches|eval_every|checkpoint_every)"
    )
    assert [key for key in sections if not re.fullmatch(allowed, key)] == []
    assert {"trainable", "model.weights", "data.template", "optimizer.warmup_steps"} <= sections


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_a_preset_says_whose_it_is(name):
    text = resource("configs", f"{name}.yaml").read_text()
    header, _, body = text.partition("\nname: ")
    assert f"python -m bioinstruct_jax.train {name}" in header
    assert "Hardware meant" in header
    assert header.count("not measured") == 2
    for line in f"name: {body}".splitlines():
        if line and not re.fullmatch(r"\s*\w+:", line):
            assert re.search(r"  # (paper|base|ours)( \(.+\))?$", line), line


@pytest.mark.parametrize("name", ["llama1_7b", "llama1_13b"])
def test_llama_1_asks_for_the_users_own_weights(name):
    text = resource("configs", f"{name}.yaml").read_text()
    with pytest.raises(
        settings.SettingsError,
        match=r"model\.weights: missing \('random'; 'small', which is shipped .*or a local folder.*give --model",
    ):
        settings.loads(text, job=Train, where=name)


def test_the_smallest_job_and_its_defaults():
    job = Train(**TINY)
    assert job.lora == Lora(rank=16, alpha=32.0, dropout=0.0)
    assert job.mesh == Mesh(data=1, fsdp=-1, tensor=1)
    assert job.model.shape.key_value_heads == 4
    assert job.model.shape.head_size == 16
    with pytest.raises(AttributeError):
        job.seed = 1


def changed(path: str, value: object) -> dict:
    tree = {key: dict(part) if isinstance(part, dict) else part for key, part in TINY.items()}
    *above, last = path.split(".")
    section = tree
    for key in above:
        section[key] = dict(section.get(key, {}))
        section = section[key]
    section[last] = value
    return tree


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("model.shape", None, "weights 'random' need model.shape"),
        ("model.shape.num_attention_heads", 3, "hidden_size 64 is no multiple"),
        ("model.shape.num_key_value_heads", 3, "num_attention_heads 4 is no multiple of num_key_value_heads 3"),
        ("model.shape.head_dim", 5, "head_dim 5 is odd"),
        ("model.shape.rope_scaling", {"rope_type": "llama3", "factor": 8}, "rope_type llama3 needs low_freq_factor"),
        (
            "model.shape.rope_scaling",
            {"rope_type": "linear", "factor": 8, "low_freq_factor": 1},
            "mean nothing for rope_type linear",
        ),
        ("lora.targets", ["q_proj", "q_proj"], "at most once"),
        ("tokenizer.train_vocab_size", 300, "path and train_vocab_size exclude each other"),
        ("tokenizer", {"train_vocab_size": 259}, "greater than or equal to 260"),
        ("tokenizer", {}, "has no tokenizer of its own"),
        ("training.epochs", 1, "either epochs or steps"),
        ("training.micro_batches", 3, "batch_rows 8 is no multiple of micro_batches 3"),
        ("training.eval_every", 5, "set data.held_out"),
        ("optimizer.warmup_steps", 6, "warmup_steps 6 is more than training.steps 5"),
        ("mesh", {"data": -1}, "one of them may be -1"),
        ("data.length", 4096, "is beyond model.shape.max_position_embeddings 2048"),
        ("data.held_out", 0.6, "less than or equal to 0.5"),
    ],
)
def test_impossible_combinations(path, value, message):
    with pytest.raises(ValidationError, match=re.escape(message)):
        Train(**changed(path, value))


def test_a_new_vocabulary_needs_random_weights():
    with pytest.raises(ValidationError, match="makes a new vocabulary"):
        Train(**TINY | {"model": {"weights": "mine"}, "tokenizer": {"train_vocab_size": 300}})


def test_every_setting_is_read_by_something():
    # open-instruct#1823. Mutation: a field that nothing reads, added to any section, fails here.
    package = Path(__file__).parent.parent / "bioinstruct_jax"
    code = "\n".join(file.read_text(encoding="utf-8") for file in package.rglob("*.py"))
    for key in schema.keys(Train):
        assert re.search(rf"\.{key.path[-1]}\b", code), key.name
