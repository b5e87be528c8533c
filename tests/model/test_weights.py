"""The weight table against a literal: what a reader can look up, and what must not change by accident."""

from dataclasses import replace

import numpy as np
from jax import P

from bioinstruct_jax.config import Lora
from bioinstruct_jax.model.weights import base_weights, lora_weights
from tests.small import SHAPE

KERNELS = {
    "self_attn.q_proj": ("LDN", (3, 32, 32), P(None, "fsdp", "tensor")),
    "self_attn.k_proj": ("LDM", (3, 32, 16), P(None, "fsdp", "tensor")),
    "self_attn.v_proj": ("LDM", (3, 32, 16), P(None, "fsdp", "tensor")),
    "self_attn.o_proj": ("LND", (3, 32, 32), P(None, "tensor", "fsdp")),
    "mlp.gate_proj": ("LDF", (3, 32, 48), P(None, "fsdp", "tensor")),
    "mlp.up_proj": ("LDF", (3, 32, 48), P(None, "fsdp", "tensor")),
    "mlp.down_proj": ("LFD", (3, 48, 32), P(None, "tensor", "fsdp")),
}
OTHERS = {
    "embed_tokens.embedding": ("VD", (96, 32), P("tensor", "fsdp")),
    "layers.input_layernorm.scale": ("LD", (3, 32), P(None, None)),
    "layers.post_attention_layernorm.scale": ("LD", (3, 32), P(None, None)),
    "norm.scale": ("D", (32,), P(None)),
    "lm_head.kernel": ("DV", (32, 96), P("fsdp", "tensor")),
}
ADAPTERS = {
    "self_attn.q_proj": ("LDR", P(None, "fsdp", None), "LRN", P(None, None, ("tensor", "fsdp"))),
    "self_attn.k_proj": ("LDR", P(None, "fsdp", None), "LRM", P(None, None, ("tensor", "fsdp"))),
    "self_attn.v_proj": ("LDR", P(None, "fsdp", None), "LRM", P(None, None, ("tensor", "fsdp"))),
    "self_attn.o_proj": ("LNR", P(None, ("tensor", "fsdp"), None), "LRD", P(None, None, "fsdp")),
    "mlp.gate_proj": ("LDR", P(None, "fsdp", None), "LRF", P(None, None, ("tensor", "fsdp"))),
    "mlp.up_proj": ("LDR", P(None, "fsdp", None), "LRF", P(None, None, ("tensor", "fsdp"))),
    "mlp.down_proj": ("LFR", P(None, ("tensor", "fsdp"), None), "LRD", P(None, None, "fsdp")),
}


def test_the_base_is_this_table():
    expected = {f"layers.{name}.kernel": value for name, value in KERNELS.items()} | OTHERS
    found = {path: (weight.dims, weight.shape, weight.spec) for path, weight in base_weights(SHAPE).items()}
    assert found == expected


def test_adapters_follow_from_base_specs_and_never_divide_the_rank():
    expected = {}
    for name, (a_dims, a_spec, b_dims, b_spec) in ADAPTERS.items():
        expected[f"layers.{name}.lora_a"] = (a_dims, a_spec)
        expected[f"layers.{name}.lora_b"] = (b_dims, b_spec)
    table = lora_weights(SHAPE, Lora(rank=4))
    assert {path: (weight.dims, weight.spec) for path, weight in table.items()} == expected
    assert all(weight.shape[weight.dims.index("R")] == 4 for weight in table.values())


def test_targets_choose_the_projections():
    table = lora_weights(SHAPE, Lora(rank=4, targets=("q_proj", "down_proj")))
    assert {path.rsplit(".", 1)[0] for path in table} == {"layers.self_attn.q_proj", "layers.mlp.down_proj"}


def test_tied_models_have_no_head():
    assert "lm_head.kernel" not in base_weights(replace(SHAPE, tie_word_embeddings=True))


def test_to_hub_and_back_is_the_identity_and_hub_shapes_are_out_by_in():
    # Mutation: a transpose left out of `to_hub` gives [in, out].
    tables = base_weights(replace(SHAPE, attention_bias=True, mlp_bias=True)) | lora_weights(SHAPE, Lora(rank=4))
    for path, weight in tables.items():
        shape = weight.shape[1:] if weight.stacked else weight.shape
        layer = np.random.default_rng(0).normal(size=shape)
        assert weight.to_hub(layer).shape == weight.hub_shape, path
        np.testing.assert_array_equal(weight.from_hub(weight.to_hub(layer)), layer)
    assert tables["layers.self_attn.q_proj.kernel"].hub_shape == (32, 32)
    assert tables["layers.mlp.down_proj.kernel"].hub_shape == (32, 48)
    assert tables["layers.mlp.down_proj.lora_a"].hub_shape == (4, 48)
    assert tables["layers.mlp.down_proj.lora_b"].hub_shape == (32, 4)
