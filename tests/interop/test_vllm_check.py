"""What vLLM's loader would say of real adapters of peft; vLLM itself does not run here."""

import json
import re

import peft
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM, LlamaModel
from upath import UPath

from bioinstruct_jax.interop import vllm_check

SIZES = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}


def _made(folder, config: dict, kind=peft.LoraConfig, base=LlamaForCausalLM) -> UPath:
    torch.manual_seed(0)
    task = {"task_type": "CAUSAL_LM"} if base is LlamaForCausalLM else {}
    peft.get_peft_model(base(LlamaConfig(**SIZES)), kind(**task, **config)).save_pretrained(folder)
    return UPath(folder)


QV = {"r": 8, "lora_alpha": 16, "target_modules": ["q_proj", "v_proj"]}
TAKEN = {
    "plain": QV,
    "all_linear": {"target_modules": "all-linear"},
    "regex": {"target_modules": r".*\.1\.mlp\.(up|down)_proj"},
    "rslora": QV | {"use_rslora": True},
    "layers": QV | {"layers_to_transform": [1]},
    "gaussian": QV | {"init_lora_weights": "gaussian"},
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "rank_16": QV | {"r": 16},
    "patterns_that_change_nothing": QV | {"rank_pattern": {"k_proj": 64, "q_proj": 8}, "alpha_pattern": {"q_proj": 16}},
    "another_rank_of_the_same_scale": QV | {"rank_pattern": {"q_proj": 4}, "alpha_pattern": {"q_proj": 8}},
    "the_same_by_rslora": QV | {"use_rslora": True, "rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 8}},
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_vllm_takes(name, tmp_path):
    # Mutations: every pattern refused; names of lm_head and embed_tokens unknown; copies of the embedding not skipped;
    # alpha / r compared for rsLoRA.
    assert vllm_check.problems(_made(tmp_path, TAKEN[name])) == []


# name: peft's settings, and what the messages say, one each
REFUSED = {
    "rank": (QV | {"r": 17}, [r"rank 17 \(r\) is above vLLM's max_lora_rank 16; start it .*--max-lora-rank 32"]),
    "no_rank_is_enough": (QV | {"r": 513}, ["rank 513 .* merge it"]),
    "dora": (QV | {"use_dora": True}, ["use_dora = True: .*merge", "lora_magnitude_vector.* refuses the file"]),
    "bias": (QV | {"bias": "lora_only"}, ["bias = 'lora_only'"]),
    "lora_bias": (QV | {"lora_bias": True}, ["lora_bias = True", r"lora_B\.bias"]),
    "modules_to_save": (QV | {"modules_to_save": ["lm_head"]}, ["modules_to_save", "lm_head.weight"]),
    "tokens": (QV | {"trainable_token_indices": [1]}, ["trainable_token_indices", "token"]),
    "pissa": (QV | {"init_lora_weights": "pissa"}, ["init_lora_weights = 'pissa'"]),
    "alora": (QV | {"alora_invocation_tokens": [1, 2]}, ["alora_invocation_tokens .*does not read"]),
    "rank_pattern": (QV | {"rank_pattern": {"v_proj": 4}}, ["rank_pattern: vLLM scales .* wrong for 2 of 4, .*v_proj"]),
    "alpha_pattern": (QV | {"alpha_pattern": {r"1\.self_attn\.q_proj": 4}}, ["alpha_pattern: .* 1 of 4, .*1.*q_proj"]),
    "rank_by_pattern": (
        QV | {"rank_pattern": {"v_proj": 64}, "alpha_pattern": {"v_proj": 128}},
        [r"rank 64 \(rank_pattern\) .*--max-lora-rank 64"],
    ),
    "rslora_pattern": (QV | {"use_rslora": True, "rank_pattern": {"v_proj": 4}}, ["rank_pattern"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_vllm_does_not_take_and_why(name, tmp_path):
    # vllm#9280, vllm#32599, vllm's peft_helper. Mutation for each: its rule left out.
    config, messages = REFUSED[name]
    found = vllm_check.problems(_made(tmp_path, config))
    assert len(found) == len(messages), found
    for problem, message in zip(found, messages, strict=True):
        assert re.search(message, problem), problem
        assert str(tmp_path) in problem


def test_another_kind_of_adapter(tmp_path):
    folder = _made(tmp_path, {"r": 4, "target_modules": ["q_proj"]}, kind=peft.LoHaConfig)
    found = vllm_check.problems(folder)
    assert "peft_type = 'LOHA'" in " ".join(found)
    assert "hada" in found[-1]


def test_names_that_vllm_would_pass_over(tmp_path):
    # An adapter of the model without its head: vLLM knows q_proj, but no layers.0.self_attn.q_proj.
    # Mutation: only the last part of a name compared.
    (problem,) = vllm_check.problems(_made(tmp_path, QV, base=LlamaModel))
    assert "tensor base_model.model.layers.0.self_attn.q_proj.lora_A.weight (and 7 more)" in problem
    assert "leaves out without a word" in problem


@pytest.mark.parametrize(("rank", "largest", "taken"), [(8, 8, True), (9, 8, False), (64, 64, True), (512, 512, True)])
def test_the_largest_rank(rank, largest, taken, tmp_path):
    # Mutation: >= instead of >.
    folder = _made(tmp_path, QV | {"r": rank})
    assert (vllm_check.problems(folder, largest) == []) == taken


def test_a_size_that_vllm_cannot_be_started_with(tmp_path):
    with pytest.raises(ValueError, match=r"max_lora_rank 24: .* 16, 32"):
        vllm_check.problems(_made(tmp_path, QV), 24)


def _rename(tensors: dict, old: str, new: str) -> None:
    tensors[new] = tensors.pop(old)


KEY = "base_model.model.model.layers.1.self_attn.v_proj.lora_B.weight"
EDITS = {
    "lonely": (lambda t: t.pop(KEY), r"v_proj\.lora_A\.weight has no A or no B beside it"),
    "foreign": (lambda t: [_rename(t, n, n.replace("q_proj", "c_attn")) for n in list(t) if "q_proj" in n], "c_attn"),
    "default": (lambda t: _rename(t, KEY, KEY.replace("B.", "B.default.")), r"lora_B\.default\.weight is no"),
    "shape": (lambda t: t.update({KEY: t[KEY][:, :3].copy()}), r"shape \[16, 3\], but .* says rank 8"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_tensors_that_do_not_fit(edit, tmp_path):
    change, message = EDITS[edit]
    folder = _made(tmp_path, QV)
    tensors = load_file(folder / "adapter_model.safetensors")
    change(tensors)
    save_file(tensors, folder / "adapter_model.safetensors")
    assert re.search(message, " ".join(vllm_check.problems(folder)))


@pytest.mark.parametrize("name", ["r", "lora_alpha", "target_modules"])
def test_a_field_that_vllm_needs(name, tmp_path):
    folder = _made(tmp_path, QV)
    file = folder / "adapter_config.json"
    fields = json.loads(file.read_text())
    del fields[name]
    file.write_text(json.dumps(fields))
    (problem,) = vllm_check.problems(folder)
    assert f"{name} is missing" in problem


def test_only_the_header_is_read(tmp_path):
    folder = _made(tmp_path, QV)
    file = folder / "adapter_model.safetensors"
    content = file.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    file.write_bytes(content[:length] + b"\xff" * (len(content) - length))  # every number is NaN
    assert vllm_check.problems(folder) == []


def test_damaged_and_missing_files(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"adapter_config\.json"):
        vllm_check.problems(UPath(tmp_path))
    folder = _made(tmp_path, QV)
    weights = folder / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ValueError, match="cut off"):
        vllm_check.problems(folder)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"adapter_model\.safetensors"):
        vllm_check.problems(folder)
    (folder / "adapter_model.bin").touch()
    (problem,) = vllm_check.problems(folder)
    assert "pickle" in problem
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(ValueError, match="line 1"):
        vllm_check.problems(folder)
