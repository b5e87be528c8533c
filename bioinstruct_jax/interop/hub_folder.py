"""What stands in a folder of LLaMA weights in Hugging Face layout, and whether it is the model that is wanted."""

import itertools
import json
from typing import BinaryIO, NamedTuple

import numpy as np
from upath import UPath

from bioinstruct_jax.interop.tensor_file import Tensor, read_header, read_rows
from bioinstruct_jax.model.weights import Weight

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
_HEAD = "lm_head.weight"  # stands in the files of some models whose head is tied to the embedding


class HubTensor(NamedTuple):
    """One tensor of a file: a weight, or one layer of a stacked weight."""

    name: str
    path: str
    layer: int | None


def hub_tensors(table: dict[str, Weight]) -> list[HubTensor]:
    """The tensors that hold a table's weights, in hub order: as the table, but layer by layer."""
    stacked = {path: weight for path, weight in table.items() if weight.stacked}
    layers = next(iter(stacked.values())).shape[0] if stacked else 0
    inner = [HubTensor(weight.hub.format(i=i), path, i) for i in range(layers) for path, weight in stacked.items()]
    before = list(itertools.takewhile(lambda path: path not in stacked, table))
    after = [path for path in table if path not in stacked and path not in before]
    outer = [[HubTensor(table[path].hub, path, None) for path in paths] for paths in (before, after)]
    return [*outer[0], *inner, *outer[1]]


def find(folder: UPath) -> dict[str, Tensor]:
    """Every tensor of a folder's safetensors files, by name; reads headers only. Raises as `load` does."""
    if (folder / SINGLE).exists():
        return read_header(folder / SINGLE)
    if not (folder / INDEX).exists():
        others = sorted(
            file.name for file in folder.iterdir() if file.suffix in (".bin", ".pth", ".pt", ".safetensors")
        )
        sound = [name for name in others if name.endswith(".safetensors")]
        if sound:
            raise FileNotFoundError(
                f"{folder}: no {SINGLE} and no {INDEX} (or a link to nothing), but {', '.join(sound[:3])}: "
                f"one file is to be called {SINGLE}, several need the index; download the whole folder again"
            )
        raise FileNotFoundError(
            f"{folder}: no {SINGLE} and no {INDEX}"
            + (f", but {', '.join(others[:3])}. " if others else ". ")
            + "Pickled weights (.bin, .pth) can run code and are not read: load the model with transformers, "
            "save it with save_pretrained(folder), and give that folder"
        )
    try:
        placed: dict[str, str] = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(placed.values()))
        outside = [name for name in names if "/" in name or "\\" in name]
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"{folder / INDEX}: damaged or without 'weight_map' ({error!r}); download it again") from error
    if outside:
        raise ValueError(f"{folder / INDEX}: names a file outside the folder, {outside[0]!r}")
    found: dict[str, Tensor] = {}
    for name in names:
        tensors = read_header(folder / name)
        for twice in found.keys() & tensors.keys():
            raise ValueError(f"{folder / name}: tensor {twice} stands in {found[twice].file.name} as well")
        found |= tensors
    for tensor, name in placed.items():
        if tensor not in found or found[tensor].file.name != name:
            raise ValueError(f"{folder / name}: tensor {tensor} is missing, though {INDEX} says it is there")
    return found


def check(folder: UPath, found: dict[str, Tensor], table: dict[str, Weight]) -> None:
    """Hold the tensors of a folder against the weights that config.json asks for.

    Raises:
        ValueError: one is missing, has another shape, or is known to no weight.
    """
    wanted = {name: table[path] for name, path, _ in hub_tensors(table)}
    for name, weight in wanted.items():
        if name not in found:
            files = ", ".join(sorted({tensor.file.name for tensor in found.values()})) or "no tensor at all"
            raise ValueError(f"{folder}: tensor {name} of shape {list(weight.hub_shape)} is missing ({files} searched)")
        if found[name].shape != weight.hub_shape:
            raise ValueError(
                f"{found[name].file}: tensor {name} has shape {list(found[name].shape)}, but {list(weight.hub_shape)} "
                "follows from config.json: one of the two belongs to another model"
            )
    for name, tensor in found.items():
        rotary = name.endswith("rotary_emb.inv_freq")  # older files hold these, which follow from config.json
        if name not in wanted and name != _HEAD and not rotary:
            raise ValueError(
                f"{tensor.file}: tensor {name} has no place in the model that config.json describes; "
                "a bias needs attention_bias or mlp_bias, a further layer num_hidden_layers"
            )


def check_tied(streams: dict[UPath, BinaryIO], found: dict[str, Tensor], table: dict[str, Weight]) -> None:
    """Refuses a head in the files, where the model has none of its own, that differs from the embedding."""
    embeddings = [weight for weight in table.values() if weight.kind == "embedding"]
    if _HEAD not in found or not embeddings or any(weight.hub == _HEAD for weight in table.values()):
        return
    head, tied = found[_HEAD], found[embeddings[0].hub]
    same = head.shape == tied.shape
    for start in range(0, head.shape[0] if same else 0, 4096):
        rows = slice(start, start + 4096)
        left, right = (read_rows(streams[tensor.file], tensor, rows, np.dtype(np.float32)) for tensor in (head, tied))
        same = same and np.array_equal(left, right)
    if not same:
        raise ValueError(
            f"{head.file}: tensor {_HEAD} differs from {tied.name}, but config.json says tie_word_embeddings: true; "
            "set it to false if the model has a head of its own"
        )
