import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from transformers import LlamaForCausalLM
from upath import UPath

from bioinstruct_jax.config import Lora, Mesh
from bioinstruct_jax.interop import hub_config, hub_weights
from bioinstruct_jax.interop.hub_folder import INDEX, SINGLE
from bioinstruct_jax.model.weights import base_weights, lora_weights
from bioinstruct_jax.training.sharding import make_mesh
from tests.benchmarks import loading
from tests.interop.llama_pairs import (
    FAMILIES,
    LENGTH,
    LONGEST,
    entropy_share,
    jax_logits,
    load,
    reference,
    tokens,
    torch_logits,
)


def _gap(left, right) -> float:
    return float(np.abs(left - right).max())


def _saved(folder: Path, family: str = "llama2_gqa", shard: str = "1GB") -> LlamaForCausalLM:
    model = reference(0, **FAMILIES[family])
    model.save_pretrained(folder, max_shard_size=shard)
    return model


@pytest.mark.parametrize(
    ("family", "shard"), [*((family, "1GB") for family in FAMILIES), ("llama2_gqa", "20KB"), ("llama32_tied", "20KB")]
)
def test_logits_equal_those_of_transformers_in_both_directions(family, shard, tmp_path):
    # Mutations (each beyond 1e-2): from_hub without .T; heads grouped [G, K] instead of [K, G]; rotary scaling dropped;
    # layers written to index 0; to_hub without .T (second half).
    assert LENGTH > LONGEST
    model, rows = _saved(tmp_path / "theirs", family, shard), tokens()
    assert entropy_share(model, rows) < 0.5
    assert (tmp_path / "theirs" / INDEX).exists() == (shard == "20KB")
    wanted = torch_logits(model, rows)
    shape, arrays = load(tmp_path / "theirs")
    assert _gap(jax_logits(shape, arrays, rows), wanted) < 1e-4

    ours = UPath(tmp_path / "ours")
    files = hub_weights.save(ours, arrays, base_weights(shape), max_shard_bytes=20_000 if shard == "20KB" else 10**9)
    assert all(file.exists() for file in files)
    assert (len(files) > 1) == (shard == "20KB")
    hub_config.write_config(ours, shape, bos=0, eos=1, dtype="float32")
    back = LlamaForCausalLM.from_pretrained(ours, attn_implementation="eager").eval()
    np.testing.assert_array_equal(torch_logits(back, rows), wanted)


def test_bfloat16_files_and_targets(tmp_path):
    model = reference(0, **FAMILIES["llama2_gqa"]).bfloat16()
    model.save_pretrained(tmp_path)
    _, wide = load(tmp_path)
    _, narrow = load(tmp_path, dtype=jnp.bfloat16)
    for path, array in narrow.items():
        assert array.dtype == jnp.bfloat16
        np.testing.assert_array_equal(array.astype(jnp.float32), wide[path])


@pytest.mark.slow
def test_memory_beyond_the_arrays_is_a_layer_and_little_more(tmp_path):
    # maxtext#551. Mutations: a stacked weight built from a list of all its layers; whole files read at once.
    layer = loading.write_model(tmp_path, megabytes=600)
    assert len(list(tmp_path.glob("*.safetensors"))) == loading.FILES
    seen = loading.measure("ours", tmp_path)
    assert seen.size > 550e6
    assert seen.peak - seen.size < layer + 200e6


def test_an_empty_or_pickled_folder_says_what_to_do(tmp_path):
    reference(0, **FAMILIES["llama1"]).config.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        load(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(FileNotFoundError, match=r"pytorch_model\.bin.*save_pretrained"):
        load(tmp_path)


def _edit(folder: Path, change) -> None:
    tensors = load_file(folder / SINGLE)
    change(tensors)
    save_file(tensors, folder / SINGLE)


NAME = "model.layers.1.self_attn.k_proj.weight"
EDITS = {
    "missing": (lambda t: t.pop(NAME), f"{NAME}.*missing"),
    "extra": (lambda t: t.update({"model.layers.3.mlp.up_proj.weight": t[NAME]}), "layers.3.mlp.up_proj.weight"),
    "bias": (lambda t: t.update({"model.layers.0.self_attn.q_proj.bias": np.ones(32, np.float32)}), "q_proj.bias"),
    "shape": (lambda t: t.update({NAME: np.ascontiguousarray(t[NAME].T)}), rf"{NAME}.*\[32, 16\]"),
    "nan": (lambda t: t[NAME].__setitem__((3, 4), np.nan), f"{NAME}.*NaN"),
    "inf": (lambda t: t["model.norm.weight"].__setitem__(5, -np.inf), r"model.norm.weight.*row 5"),
    "integers": (lambda t: t.update({NAME: t[NAME].astype(np.int8)}), f"{NAME}.*I8"),
    "no_head": (lambda t: t.pop("lm_head.weight"), "lm_head.weight.*missing"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_wrong_tensor_is_named(edit, tmp_path):
    # Mutation: reading only the tensors that are wanted, so that an extra one goes unseen.
    change, message = EDITS[edit]
    _saved(tmp_path)
    _edit(tmp_path, change)
    with pytest.raises(ValueError, match=message) as raised:
        load(tmp_path)
    assert str(tmp_path) in str(raised.value)


def test_a_damaged_shard_is_named(tmp_path):
    _saved(tmp_path, shard="20KB")
    shard = sorted(tmp_path.glob("model-*.safetensors"))[2]
    content = shard.read_bytes()
    shard.write_bytes(content[:-4])
    with pytest.raises(ValueError, match=rf"{shard.name}: cut off.*tensor (model|lm_head)\."):
        load(tmp_path)
    shard.unlink()
    with pytest.raises(FileNotFoundError, match=shard.name):
        load(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"weight_map": 3}', '{"weight_map": {"x": 3}}', "[]"])
def test_a_damaged_index(text, tmp_path):
    _saved(tmp_path, shard="20KB")
    (tmp_path / INDEX).write_text(text)
    with pytest.raises(ValueError, match=r"index\.json"):
        load(tmp_path)


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    # Mutation: the later one taken.
    _saved(tmp_path, shard="20KB")
    index = json.loads((tmp_path / INDEX).read_text())
    first, second = sorted(set(index["weight_map"].values()))[:2]
    there = next(name for name, file in index["weight_map"].items() if file == first)
    tensors = load_file(tmp_path / second) | {there: load_file(tmp_path / first)[there]}
    save_file(tensors, tmp_path / second)
    with pytest.raises(ValueError, match=f"{second}: tensor {there} stands in {first} as well"):
        load(tmp_path)


def test_an_index_leads_nowhere_else(tmp_path):
    _saved(tmp_path, shard="20KB")
    index = json.loads((tmp_path / INDEX).read_text())
    wrong = index | {"weight_map": index["weight_map"] | {NAME: "../outside.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(wrong))
    with pytest.raises(ValueError, match="outside the folder"):
        load(tmp_path)
    first = min(index["weight_map"].values())
    (tmp_path / INDEX).write_text(json.dumps(index | {"weight_map": index["weight_map"] | {"ghost.weight": first}}))
    with pytest.raises(ValueError, match=r"ghost\.weight is missing"):
        load(tmp_path)


def test_tied_head_in_the_file(tmp_path):
    # Mutation: accepting any lm_head where the configuration ties it.
    _saved(tmp_path, "llama32_tied")
    _, arrays = load(tmp_path)
    _edit(tmp_path, lambda t: t.update({"lm_head.weight": t["model.embed_tokens.weight"].copy()}))
    np.testing.assert_array_equal(load(tmp_path)[1]["embed_tokens.embedding"], arrays["embed_tokens.embedding"])
    _edit(tmp_path, lambda t: t["lm_head.weight"].__setitem__((95, 0), 7.0))
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from model\.embed_tokens\.weight"):
        load(tmp_path)


def test_rotary_buffers_of_old_files_do_no_harm(tmp_path):
    _saved(tmp_path)
    _edit(tmp_path, lambda t: t.update({"model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(4, np.float32)}))
    load(tmp_path)


def test_an_interrupted_save_is_no_model_and_the_next_one_is(tmp_path, monkeypatch):
    # Mutation: writing the index before the shards, or leaving the old config.json where it was.
    _saved(tmp_path, shard="20KB")
    shape, arrays = load(tmp_path)
    table, real, calls = base_weights(shape), hub_weights.to_host, []

    def breaks(*arguments):
        calls.append(arguments)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(hub_weights, "to_host", breaks)
    with pytest.raises(KeyboardInterrupt):
        hub_weights.save(UPath(tmp_path), arrays, table, max_shard_bytes=20_000)
    assert not (tmp_path / "config.json").exists()
    assert not (tmp_path / INDEX).exists()
    monkeypatch.undo()
    hub_weights.save(UPath(tmp_path), arrays, table, max_shard_bytes=10**9)
    hub_config.write_config(UPath(tmp_path), shape, bos=0, eos=1, dtype="float32")
    assert [file.name for file in tmp_path.glob("*.safetensors")] == [SINGLE]
    assert hub_weights.base_hash(load(tmp_path)[1], table) == hub_weights.base_hash(arrays, table)


def test_a_hash_tells_every_change(tmp_path):
    # Mutations: hashing bytes without names; leaving out all layers but the first.
    _saved(tmp_path)
    shape, arrays = load(tmp_path)
    table = base_weights(shape)
    first = hub_weights.base_hash(arrays, table)
    assert first == hub_weights.base_hash({path: np.asarray(array) for path, array in arrays.items()}, table)
    assert first != hub_weights.base_hash({p: a.astype(jnp.bfloat16) for p, a in arrays.items()}, table)
    for path, array in arrays.items():
        changed = np.array(array)
        changed.flat[-1] += 1
        assert first != hub_weights.base_hash(arrays | {path: changed}, table), path
    keys, values = (lora_weights(shape, Lora(rank=1, targets=(name,))) for name in ("k_proj", "v_proj"))
    same = [np.ones(weight.shape, np.float32) for weight in keys.values()]
    assert [weight.shape for weight in keys.values()] == [weight.shape for weight in values.values()]
    digests = {hub_weights.base_hash(dict(zip(table, same, strict=True)), table) for table in (keys, values)}
    assert len(digests) == 2


def test_a_bucket(tmp_path):
    model = _saved(tmp_path)
    shape, arrays = load(tmp_path)
    bucket = UPath("memory://weights/model")
    hub_weights.save(bucket, arrays, base_weights(shape), max_shard_bytes=20_000)
    hub_config.write_config(bucket, shape, bos=0, eos=1, dtype="float32")
    back_shape, back = load(bucket)
    assert back_shape == shape
    assert _gap(jax_logits(shape, back, tokens()), torch_logits(model, tokens())) < 1e-4


@pytest.mark.parametrize("block", [None, 900])
def test_shards_of_eight_devices_hold_what_one_device_holds(block, tmp_path, monkeypatch):
    # Mutation: the row where a slice begins taken in heads instead of numbers (no H in the unit). In blocks: a block
    # written where it stands in the file, not in the shard; columns of a shard not cut; the last, shorter block lost.
    if block:
        monkeypatch.setattr(hub_weights, "BLOCK", block)
    _saved(tmp_path, "biases", "20KB")
    shape = hub_config.read_shape(UPath(tmp_path))
    table, digests, files, values = base_weights(shape), set(), set(), []
    for data, fsdp, tensor in ((1, 1, 1), (2, 2, 2), (1, 4, 2), (8, 1, 1)):
        mesh = make_mesh(Mesh(data=data, fsdp=fsdp, tensor=tensor), jax.devices()[: data * fsdp * tensor])
        abstract = {path: weight.abstract("float32", mesh) for path, weight in table.items()}
        with jax.set_mesh(mesh):  # as train.py has it
            arrays = hub_weights.load(UPath(tmp_path), abstract, table)
            for path, array in arrays.items():
                assert array.sharding == abstract[path].sharding, path
            values.append({path: np.asarray(array) for path, array in arrays.items()})
            digests.add(hub_weights.base_hash(arrays, table))
            (file,) = hub_weights.save(UPath(tmp_path / "again"), arrays, table, max_shard_bytes=10**9)
        files.add(file.read_bytes())
    assert len(digests) == len(files) == 1
    for other in values[1:]:
        for path, array in other.items():
            np.testing.assert_array_equal(array, values[0][path])
