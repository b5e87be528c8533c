"""Bases with tokenizer and adapters made by peft, small, and the models that peft merges from them."""

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import peft
import torch
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from bioinstruct_jax.data import prompts, tokenizer
from tests.interop.llama_pairs import FAMILIES, reference

VOCABULARY = 480
ADAPTERS = {
    "all": {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"},
    "rslora": {"r": 3, "lora_alpha": 5, "target_modules": ["q_proj", "o_proj", "down_proj"], "use_rslora": True},
    "regex": {"r": 4, "lora_alpha": 16, "target_modules": r".*\.layers\.[02]\.(self_attn\.(k|v)|mlp\.up)_proj"},
    "patterns": {
        "r": 4,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj", "gate_proj"],
        "rank_pattern": {"v_proj": 2},
        "alpha_pattern": {"gate_proj": 3},
    },
}


@cache
def words() -> PreTrainedTokenizerFast:
    """A tokenizer that knows the words of a prompt, with the special tokens of Llama 3 beside ``<s>`` and ``</s>``."""
    made = tokenizer.train([prompts.ALPACA_INPUT], 470)
    made.add_special_tokens({"additional_special_tokens": list(prompts.LLAMA3_TOKENS)})
    return made


def save_base(folder: Path, family: str = "llama2_gqa", dtype: torch.dtype = torch.float32, **settings) -> None:
    """A base with its tokenizer; no generation_config.json. Attention is half as sharp, for rounding to be seen."""
    model = reference(0, **(FAMILIES[family] | {"vocab_size": VOCABULARY, "max_position_embeddings": 512} | settings))
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.q_proj.weight.mul_(0.5)
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink()
    words().save_pretrained(folder)


def save_adapter(folder: Path, base: Path, name: str = "all", template: str | None = "alpaca", seed: int = 1) -> None:
    """An adapter whose A and B are multiples of a power of two, so that B A is exact in float32 in any order."""
    model = peft.get_peft_model(
        LlamaForCausalLM.from_pretrained(base, dtype=torch.float32),
        peft.LoraConfig(task_type="CAUSAL_LM", **ADAPTERS[name]),
    )
    generator = np.random.default_rng(seed)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_" in key:
                parameter.copy_(torch.from_numpy(generator.integers(-16, 17, parameter.shape) / 256.0))
    model.save_pretrained(folder)
    if template:
        words().save_pretrained(folder)
        record = prompts.template(template, words()).record()
        (folder / "prompt_template.json").write_text(json.dumps(record))


def with_adapter(base: Path, adapter: Path) -> torch.nn.Module:
    """Base and adapter in peft, float32, unmerged."""
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        return peft.PeftModel.from_pretrained(model, str(adapter)).eval()


def merged_by_peft(base: Path, adapter: Path) -> dict[str, np.ndarray]:
    """Tensors of peft's own merge in float32, by name; a head that is the embedding left out."""
    model = with_adapter(base, adapter).merge_and_unload()
    tied = model.config.tie_word_embeddings
    tensors = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    return {name: tensor for name, tensor in tensors.items() if not (tied and name == "lm_head.weight")}
