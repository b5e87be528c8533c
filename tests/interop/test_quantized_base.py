"""A base quantised on its way in, what identifies it, and what is said of it afterwards."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from upath import UPath

from bioinstruct_jax import train
from bioinstruct_jax.config import Mesh, Train
from bioinstruct_jax.interop import base, hub_config, hub_weights
from bioinstruct_jax.interop.hub_folder import SINGLE
from bioinstruct_jax.model.quantize import NF4
from bioinstruct_jax.model.weights import base_weights
from bioinstruct_jax.training import state
from bioinstruct_jax.training.sharding import make_mesh
from tests import tiny_run
from tests.small import SHAPE, job

BLOCKS = replace(SHAPE, hidden_size=128, intermediate_size=256, num_hidden_layers=2, head_dim=32)
KINDS = ["int8", "nf4"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A base in bfloat16, as most files are."""
    made, random = tmp_path_factory.mktemp("base"), np.random.default_rng(0)
    table = base_weights(BLOCKS)
    arrays = {path: random.normal(0, 0.1, w.shape).astype(ml_dtypes.bfloat16) for path, w in table.items()}
    hub_weights.save(UPath(made), arrays, table, max_shard_bytes=10**9)
    hub_config.write_config(UPath(made), BLOCKS, bos=0, eos=1, dtype="bfloat16")
    return made


def _job(weights: Path | str, quantize: str) -> Train:
    this = job(BLOCKS)
    return replace(this, model=replace(this.model, weights=str(weights), quantize=quantize))


def _placed(this: Train, folder: Path | None, sizes: tuple[int, int, int] = (1, 1, 1)) -> tuple[dict, dict]:
    """Frozen arrays by path, and the identity of the base."""
    mesh = make_mesh(Mesh(data=sizes[0], fsdp=sizes[1], tensor=sizes[2]), jax.devices()[: int(np.prod(sizes))])
    with jax.set_mesh(mesh):
        plan, origin = state.plan(this, BLOCKS, mesh), base.Base(BLOCKS, UPath(folder) if folder else None)
        trained, frozen = base.place(this, plan, origin, None)
        for path, array in state.by_path(frozen).items():
            assert array.sharding.spec == plan.weights[path].spec
        return state.by_path(frozen), base.identity(this, plan, origin, trained, frozen)


def _file(folder: Path, weight) -> np.ndarray:
    """The tensors [out, in] of a kernel in the file, float32 [layers, out, in]."""
    found = load_file(folder / SINGLE)
    return np.stack([found[weight.hub.format(i=i)].astype(np.float32) for i in range(weight.shape[0])])


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2, 2)])
def test_nf4_is_that_of_the_file_read_flat_as_in_qlora(folder, sizes):
    # Mutations: blocks along the outputs; inputs of o_proj in another order; layers written to index 0.
    frozen, _ = _placed(_job(folder, "nf4"), folder, sizes)
    for path, weight in base_weights(BLOCKS, "nf4").items():
        if weight.kind != "codes" or not weight.of:
            continue
        flat = _file(folder, weight.of).reshape(2, -1, 64)
        absmax = np.abs(flat).max(axis=-1)
        codes = np.abs((flat / absmax[..., None])[..., None].astype(np.float64) - np.array(NF4)).argmin(axis=-1)
        packed = (codes[..., 0::2] << 4 | codes[..., 1::2]).reshape(2, -1)
        scales_path = path.removesuffix("codes") + "scales"
        scales = base_weights(BLOCKS, "nf4")[scales_path]
        for i in range(2):
            np.testing.assert_array_equal(weight.to_hub(np.asarray(frozen[path][i])).ravel(), packed[i], err_msg=path)
            np.testing.assert_array_equal(scales.to_hub(np.asarray(frozen[scales_path][i])).ravel(), absmax[i])


@pytest.mark.parametrize("sizes", [(1, 1, 1), (2, 2, 2)])
def test_int8_is_that_of_each_output_in_the_file(folder, sizes):
    # Mutation: the absmax of a device's own inputs, seen on (2, 2, 2).
    frozen, _ = _placed(_job(folder, "int8"), folder, sizes)
    for path, weight in base_weights(BLOCKS, "int8").items():
        if weight.kind == "codes" and weight.of:
            kernel = _file(folder, weight.of)
            scales = (np.abs(kernel).max(axis=-1, keepdims=True) / np.float32(127)).astype(np.float32)
            for i in range(2):
                found = weight.to_hub(np.asarray(frozen[path][i])).astype(int)
                np.testing.assert_array_less(np.abs(found - kernel[i] / scales[i]), 0.5 + 1e-4)


@pytest.mark.parametrize("quantize", KINDS)
def test_the_identity_is_of_what_was_loaded_whatever_the_mesh(folder, quantize):
    # EasyDeL#259. Mutations: `quantize` left out; the hash of embedding and norms alone.
    (_, one), (_, other) = (_placed(_job(folder, quantize), folder, sizes) for sizes in ((1, 1, 1), (2, 2, 2)))
    _, plain = _placed(_job(folder, "none"), folder)
    assert one == other
    assert (one["quantize"], "quantize" in plain) == (quantize, False)
    assert one["sha256"] != plain["sha256"]


@pytest.mark.parametrize("quantize", KINDS)
def test_a_random_base_is_quantised_as_it_would_be_from_its_files(quantize, tmp_path):
    # Mutation: codes made of values that were not cast as the files are.
    this = _job("random", quantize)
    this = replace(this, model=replace(this.model, dtype="bfloat16"))
    made, _ = _placed(this, None)
    mesh = make_mesh(Mesh(), jax.devices()[:1])
    with jax.set_mesh(mesh):
        frozen = state.plan(this, BLOCKS, mesh).frozen
        whole = state.by_path(base.unquantized(this, base.Base(BLOCKS, None), mesh, frozen))
    hub_weights.save(UPath(tmp_path), whole, base_weights(BLOCKS), max_shard_bytes=10**9)
    back, _ = _placed(replace(this, model=replace(this.model, weights=str(tmp_path))), tmp_path)
    assert made.keys() == back.keys()
    for path, array in made.items():
        np.testing.assert_array_equal(np.asarray(array), np.asarray(back[path]), err_msg=path)


@pytest.mark.parametrize("quantize", KINDS)
def test_no_more_than_a_layer_is_there_unquantised(folder, quantize, monkeypatch):
    # Mutation: all layers read and stacked before they are quantised.
    place, smallest, largest = hub_weights._place, 128 * 64, 128 * 256
    outer = ((96, 128), (128, 96))  # embedding and head

    def placed(*arguments):
        new = [array for array in jax.live_arrays() if array.dtype == jnp.float32 and id(array) not in before]
        kernels = [array for array in new if array.size >= smallest and array.shape not in outer]
        assert sum(array.size for array in kernels) <= largest
        return place(*arguments)

    before = {id(array) for array in jax.live_arrays()}
    monkeypatch.setattr(hub_weights, "_place", placed)
    frozen, _ = _placed(_job(folder, quantize), folder)
    sizes = {path: array.nbytes for path, array in frozen.items() if path.endswith(("codes", "scales"))}
    whole = sum(weight.size for weight in base_weights(BLOCKS).values() if weight.kind == "kernel" and weight.stacked)
    assert sum(sizes.values()) < whole * {"int8": 1.04, "nf4": 0.5626}[quantize]


@pytest.mark.parametrize("quantize", KINDS)
def test_what_is_not_finite_is_refused(folder, quantize, tmp_path):
    tensors = load_file(folder / SINGLE)
    name = "model.layers.1.mlp.down_proj.weight"
    tensors[name] = tensors[name].copy()
    tensors[name][3, 5] = np.inf
    save_file(tensors, tmp_path / SINGLE, {"format": "pt"})
    with pytest.raises(ValueError, match=rf"{name} holds NaN or infinity in row 3"):
        _placed(_job(tmp_path, quantize), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("quantize", KINDS)
def test_a_run_says_so_and_goes_on_with_no_other_base(quantize, tmp_path, capsys):
    # Mutations: the card without its sentence; the base of the run folder written from codes.
    shape = tiny_run.SHAPE | {"hidden_size": 64, "intermediate_size": 64}
    file = tiny_run.write(tmp_path, model={"shape": shape, "quantize": quantize}, mesh={"data": -1, "fsdp": 1})
    assert train.main([str(file)]) == 0
    run = tmp_path / "runs" / "run"
    card = (run / "adapter" / "README.md").read_text()
    assert f"trained on a base quantised to {quantize}" in card
    assert f"sha256 of the base, its kernels in {quantize}" in card
    about = json.loads((run / "checkpoints" / "6" / "manifest.json").read_text())["about"]
    assert about["base"]["quantize"] == quantize
    kernels = [tensor for name, tensor in load_file(run / "base" / SINGLE).items() if "_proj" in name]
    assert {str(tensor.dtype) for tensor in kernels} == {"float32"}
    assert all(len(np.unique(tensor)) > 0.9 * tensor.size for tensor in kernels)  # codes have few values
    assert train.main([str(file), "--model.quantize=none"]) == 2
    assert f"model.quantize: {quantize} -> none" in capsys.readouterr().err
