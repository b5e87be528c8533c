import tracemalloc
from pathlib import Path

import jax
import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from upath import UPath

from bioinstruct_jax.config import Lora, Mesh, Shape
from bioinstruct_jax.interop import hub_config, merge, peft_adapter
from bioinstruct_jax.interop.hub_folder import INDEX, SINGLE
from bioinstruct_jax.interop.hub_weights import save as save_weights
from bioinstruct_jax.model.weights import base_weights, lora_weights
from bioinstruct_jax.training.sharding import make_mesh
from tests.interop.llama_pairs import torch_logits
from tests.interop.merged_pairs import VOCABULARY, merged_by_peft, save_adapter, save_base, with_adapter

BFLOAT16, FLOAT32 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)


def _merge(base: Path, adapter: Path) -> merge.Merge:
    shape = hub_config.read_shape(UPath(base))
    return merge.Merge(UPath(base), shape, *peft_adapter.load(UPath(adapter), shape))


@pytest.fixture
def pair(tmp_path) -> tuple[Path, Path]:
    save_base(tmp_path / "base")
    save_adapter(tmp_path / "adapter", tmp_path / "base")
    return tmp_path / "base", tmp_path / "adapter"


@pytest.mark.parametrize(
    ("family", "adapter", "stored"),
    [
        ("llama1", "all", torch.float32),
        ("llama2_gqa", "all", torch.bfloat16),
        ("llama2_gqa", "regex", torch.float32),
        ("llama32_tied", "all", torch.float16),
        ("biases", "rslora", torch.float32),
        ("head_dim", "all", torch.float32),
        ("head_dim", "rslora", torch.bfloat16),
        ("llama31", "patterns", torch.float32),
    ],
)
def test_tensors_are_those_that_peft_merges(family, adapter, stored, tmp_path):
    # peft#2321, peft#1043, unsloth#3091: low precision. B A is exact here, so all but the patterns (whose scale
    # is folded into B) is equal bit for bit, in float32 and cast.
    # Mutations: W cast to bfloat16 before the sum; no scale; A B instead of B A; alpha / r for rsLoRA; o_proj's A taken
    # as [in, R] (`reshape(merge.adapter.shape)` without to_hub); layer 0 of A for all layers.
    save_base(tmp_path / "base", family, stored)
    save_adapter(tmp_path / "adapter", tmp_path / "base", adapter)
    wanted, work = (
        merged_by_peft(tmp_path / "base", tmp_path / "adapter"),
        _merge(tmp_path / "base", tmp_path / "adapter"),
    )
    plain = load_file(tmp_path / "base" / SINGLE)
    moved = [name for name, tensor in wanted.items() if not np.array_equal(tensor, plain[name].astype(np.float32))]
    assert len(moved) >= 6
    for dtype in (FLOAT32, BFLOAT16, np.dtype(np.float16)):
        out = UPath(tmp_path / dtype.name)
        written = merge.save(out, work, dtype, max_shard_bytes=10**9)
        found = load_file(out / SINGLE)
        assert found.keys() == wanted.keys() == {name for name, _ in written.so_far}
        for name, tensor in found.items():
            assert tensor.dtype == dtype
            expected = wanted[name].astype(dtype)
            if adapter == "patterns":
                np.testing.assert_allclose(tensor.astype(np.float32), expected.astype(np.float32), rtol=1e-2, atol=1e-6)
            else:
                np.testing.assert_array_equal(tensor, expected)
        if adapter == "patterns" and dtype == FLOAT32:
            for name, tensor in found.items():
                np.testing.assert_allclose(tensor, wanted[name], atol=1e-6)


def test_shards_have_at_most_the_size_asked_for(pair, tmp_path):
    out = UPath(tmp_path / "out")
    merge.save(out, _merge(*pair), FLOAT32, max_shard_bytes=20_000)
    largest = max(tensor.nbytes for tensor in load_file(pair[0] / SINGLE).values())
    assert (out / INDEX).exists()
    assert len(list(out.glob("model-*"))) > 5
    for file in out.glob("model-*"):
        tensors = load_file(file)
        assert sum(tensor.nbytes for tensor in tensors.values()) <= (20_000 if len(tensors) > 1 else largest)


@pytest.mark.parametrize("name", ["all", "rslora"])
def test_logits_of_base_and_adapter_are_those_of_peft(name, pair, tmp_path):
    # Rows that are padded, and fewer than the eight devices. Mutation: padding rows not cut off again; the mask of
    # real tokens left out.
    save_adapter(tmp_path / "other", pair[0], name)
    work = _merge(pair[0], tmp_path / "other")
    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (3, 20)).astype(np.int32)
    segments = (np.arange(20) < np.array([[20], [7], [13]])).astype(np.int32)
    wanted = torch_logits(with_adapter(pair[0], tmp_path / "other"), tokens.astype(np.int64))[segments > 0]
    mesh = merge.device_mesh(work.shape)
    assert mesh.size == len(jax.devices()) == 8
    arrays = merge.load_base(work, mesh) | merge.load_adapter(work, mesh)
    found = merge.logits(work.shape, arrays, work.lora, (tokens, segments), mesh)
    assert found.shape == (40, VOCABULARY)
    assert np.abs(found - wanted).max() < 1e-4


def test_a_width_that_the_devices_do_not_divide(tmp_path):
    save_base(tmp_path / "base", hidden_size=36, num_attention_heads=2, num_key_value_heads=2)
    mesh = merge.device_mesh(hub_config.read_shape(UPath(tmp_path / "base")))
    assert mesh.size == 4


def test_the_base_is_compared_as_it_is_stored(tmp_path):
    # Norms in float32 beside kernels in bfloat16. Mutation: everything loaded in the most frequent type.
    save_base(tmp_path / "base", dtype=torch.bfloat16)
    save_adapter(tmp_path / "adapter", tmp_path / "base")
    file = tmp_path / "base" / SINGLE
    tensors = load_file(file)
    tensors["model.norm.weight"] = np.linspace(0.9, 1.1, 32, dtype=np.float32)
    save_file(tensors, file)
    work = _merge(tmp_path / "base", tmp_path / "adapter")
    arrays = merge.load_base(work, merge.device_mesh(work.shape))
    np.testing.assert_array_equal(arrays["norm.scale"], tensors["model.norm.weight"])
    assert arrays["layers.self_attn.q_proj.kernel"].dtype == BFLOAT16
    assert merge.usual_dtype(work.base) == BFLOAT16
    for array in tensors.values():
        array = array.astype(np.float64)
    save_file({name: array.astype(np.float64) for name, array in load_file(file).items()}, file)
    assert merge.usual_dtype(work.base) == FLOAT32
    assert merge.load_base(work, merge.device_mesh(work.shape))["norm.scale"].dtype == FLOAT32


NAME = "model.layers.1.mlp.down_proj.weight"


def test_what_is_read_back_is_what_was_to_be_written(pair, tmp_path):
    # unsloth#7937. Mutation: read_back that compares names and shapes only.
    work, out = _merge(*pair), UPath(tmp_path / "out")
    mesh = merge.device_mesh(work.shape)
    written = merge.save(out, work, BFLOAT16, max_shard_bytes=10**9)
    arrays = merge.read_back(out, work, BFLOAT16, written, mesh)
    assert arrays.keys() == base_weights(work.shape).keys()
    tensors = load_file(out / SINGLE)
    tensors[NAME] = (
        np.nextafter(tensors[NAME], ml_dtypes.bfloat16(9)) if False else tensors[NAME] * ml_dtypes.bfloat16(-1)
    )
    save_file(tensors, out / SINGLE)
    with pytest.raises(ValueError, match=rf"tensor {NAME} was read back with other values"):
        merge.read_back(out, work, BFLOAT16, written, mesh)


def test_a_number_beyond_the_type_is_refused(pair, tmp_path):
    # Mutation: no check after the cast: the file holds infinity.
    tensors = load_file(pair[0] / SINGLE)
    tensors[NAME][3, 4] = 7e4
    save_file(tensors, pair[0] / SINGLE)
    with pytest.raises(ValueError, match=rf"tensor {NAME}, merged, reaches 7\d+, which float16 cannot hold.*bfloat16"):
        merge.save(UPath(tmp_path / "out"), _merge(*pair), np.dtype(np.float16), max_shard_bytes=10**9)


def test_the_host_holds_one_tensor_at_a_time(tmp_path):
    # Mutation: `save_tensors(folder, entries, iter(list(numbers())), ...)` holds the whole model.
    shape = Shape(vocab_size=64, hidden_size=128, intermediate_size=256, num_hidden_layers=12, num_attention_heads=2)
    random = np.random.default_rng(0)
    arrays = {path: random.normal(0, 1, w.shape).astype(BFLOAT16) for path, w in base_weights(shape).items()}
    base = UPath(tmp_path / "base")
    save_weights(base, arrays, base_weights(shape), max_shard_bytes=10**9)
    lora = Lora(rank=2)
    adapter = {path: random.normal(0, 1, w.shape).astype(np.float32) for path, w in lora_weights(shape, lora).items()}
    largest = 4 * max(weight.size // weight.shape[0] for weight in base_weights(shape).values() if weight.stacked)
    work = merge.Merge(base, shape, lora, adapter)
    merge.save(UPath(tmp_path / "warm"), work, BFLOAT16, max_shard_bytes=10**9)
    tracemalloc.start()
    merge.save(UPath(tmp_path / "out"), work, BFLOAT16, max_shard_bytes=10**9)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * largest < sum(array.nbytes for array in arrays.values())


def test_the_forward_casts_one_layer_at_a_time():
    # Mutation: without `compiler_options`, XLA makes a float32 copy of all layers of a bfloat16 base.
    shape = Shape(vocab_size=64, hidden_size=128, intermediate_size=256, num_hidden_layers=12, num_attention_heads=2)
    mesh = make_mesh(Mesh(), jax.devices()[:1])
    arrays = {path: weight.abstract(BFLOAT16, mesh) for path, weight in base_weights(shape).items()}
    batch = [
        jax.ShapeDtypeStruct((1, 8), np.int32, sharding=jax.NamedSharding(mesh, jax.P(("data", "fsdp"), None)))
    ] * 3
    with jax.set_mesh(mesh):
        memory = merge._forward(shape, None).lower(arrays, *batch).compile().memory_analysis()
    assert memory.temp_size_in_bytes < memory.argument_size_in_bytes / 2


def test_the_gap_in_words():
    zero, one = np.zeros((2, 3), np.float32), np.ones((2, 3), np.float32)
    assert merge.gap(one + 0.01, one, zero, BFLOAT16).lines() == [
        "largest logit difference to base + adapter: 0.01 on 2 tokens of prompts",
        "logits reach 1, and the adapter moves them by up to 1; bfloat16 rounds each weight by up to 1 part in 256",
    ]
    assert "--dtype=float32" in merge.gap(one + 0.9, one, zero, BFLOAT16).lines()[-1]
    assert "changes nothing" in merge.gap(one, one, one, FLOAT32).lines()[-1]
    with pytest.raises(ValueError, match="NaN"):
        merge.gap(one, one * np.nan, zero, FLOAT32)
