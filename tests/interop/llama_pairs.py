"""Small LLaMAs in transformers and in JAX, from the same files, with attention sharp enough to show any mistake."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from upath import UPath

from bioinstruct_jax.config import Lora, Mesh, Shape
from bioinstruct_jax.interop import hub_config, hub_weights
from bioinstruct_jax.model.llama import Llama
from bioinstruct_jax.model.weights import base_weights
from bioinstruct_jax.training.sharding import make_mesh

SIZES = {"vocab_size": 96, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
LONGEST = 16  # the original context; sequences are LENGTH tokens long
LENGTH = 48
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
FAMILIES = {
    "llama1": {"num_key_value_heads": 4, "rms_norm_eps": 1e-6},
    "llama2_gqa": {"num_key_value_heads": 2, "rms_norm_eps": 1e-5},
    "llama3": {"num_key_value_heads": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    "llama31": {
        "num_key_value_heads": 1,
        "max_position_embeddings": 4 * LONGEST,
        "rope_parameters": LLAMA3 | {"rope_theta": 500.0, "original_max_position_embeddings": LONGEST},
    },
    "llama32_tied": {
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "max_position_embeddings": 4 * LONGEST,
        "rope_parameters": LLAMA3 | {"rope_theta": 500.0, "original_max_position_embeddings": LONGEST},
    },
    "linear": {"num_key_value_heads": 2, "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}},
    "dynamic": {
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "dynamic", "factor": 3.0, "rope_theta": 1e3},
    },
    "head_dim": {"num_key_value_heads": 2, "head_dim": 20},
    "biases": {"num_key_value_heads": 2, "attention_bias": True, "mlp_bias": True},
}


def reference(seed: int, **settings) -> LlamaForCausalLM:
    """A transformers model with random weights of every kind, queries and keys scaled up."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        **(SIZES | {"max_position_embeddings": LONGEST, "bos_token_id": 0, "eos_token_id": 1} | settings)
    )
    config._attn_implementation = "eager"
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.uniform_(0.5, 1.5)
            elif name.endswith("bias"):
                weight.normal_(0, 0.5)
            elif "embed" in name:
                weight.normal_(0, 0.3)
            else:
                weight.normal_(0, weight.shape[1] ** -0.5)
            if "q_proj.weight" in name or "k_proj.weight" in name:
                weight.mul_(2.5)
    return model


def tokens(seed: int = 0, rows: int = 2, vocabulary: int = SIZES["vocab_size"]) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, vocabulary, (rows, LENGTH))


def torch_logits(model, tokens_BS: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(tokens_BS)).logits.numpy()


def entropy_share(model: LlamaForCausalLM, tokens_BS: np.ndarray) -> float:
    """Mean entropy of attention, as a share of the largest possible."""
    with torch.no_grad():
        layers = model(torch.from_numpy(tokens_BS), output_attentions=True).attentions
    visible = torch.arange(1, tokens_BS.shape[1] + 1).float()
    entropies = torch.stack([-(a * a.clamp_min(1e-30).log()).sum(-1) for a in layers])
    return float((entropies[..., 1:] / visible[1:].log()).mean())


def load(folder: Path | UPath, dtype=jnp.float32) -> tuple[Shape, dict[str, jax.Array]]:
    """A folder's shape, and its weights on one device."""
    shape = hub_config.read_shape(UPath(folder))
    mesh = make_mesh(Mesh(), jax.devices()[:1])
    table = base_weights(shape)
    abstract = {path: weight.abstract(dtype, mesh) for path, weight in table.items()}
    return shape, hub_weights.load(UPath(folder), abstract, table)


def build(shape: Shape, arrays: dict, lora: Lora | None = None) -> Llama:
    """The model around `arrays`; call under `jax.set_mesh`."""
    return Llama(shape, lora, jnp.dtype("float32"), lambda path, _: arrays[path])


def jax_logits(shape: Shape, arrays: dict, tokens_BS: np.ndarray, lora: Lora | None = None) -> np.ndarray:
    positions_BS = jnp.broadcast_to(jnp.arange(tokens_BS.shape[1]), tokens_BS.shape)
    segments_BS = jnp.ones(tokens_BS.shape, jnp.int32)
    with jax.set_mesh(make_mesh(Mesh(), jax.devices()[:1])):
        forward = jax.jit(lambda arrays, tokens_BS: build(shape, arrays, lora)(tokens_BS, positions_BS, segments_BS))
        return np.asarray(forward(arrays, jnp.asarray(tokens_BS)))
