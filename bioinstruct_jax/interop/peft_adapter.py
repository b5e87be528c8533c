"""LoRA adapters as PEFT reads and writes them: adapter_model.safetensors, and what stands beside it."""

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import PROJECTIONS, Lora, Shape
from bioinstruct_jax.interop import peft_config
from bioinstruct_jax.interop.hub_folder import hub_tensors
from bioinstruct_jax.interop.hub_weights import to_host
from bioinstruct_jax.interop.peft_config import CONFIG
from bioinstruct_jax.interop.tensor_file import Tensor, read_header, read_rows, write
from bioinstruct_jax.model.weights import Weight, lora_weights

WEIGHTS, PROMPT = "adapter_model.safetensors", "prompt_template.json"


class Tokenizer(Protocol):
    """What of a transformers tokenizer is used here."""

    def save_pretrained(self, save_directory: str) -> Any: ...


def save(
    folder: UPath,
    arrays: dict[str, Any],
    *,
    lora: Lora,
    shape: Shape,
    base: str,
    revision: str | None,
    tokenizer: Tokenizer,
    template_record: dict[str, Any],
) -> None:
    """An adapter with everything needed to use it; its config is written last, and then `verify` should be called.

    Every process calls this, the first one writes.

    Args:
        arrays: the adapter's weights by path, jax or numpy, float32.
        base, revision: name of the base model as PEFT shall load it.
        tokenizer: saved beside, with its chat template if it has one.
        template_record: name, text and hash of the prompt template, as ``prompt_template.json``.
    """
    table = lora_weights(shape, lora)
    tensors = hub_tensors(table)
    entries = [(t.name, np.dtype(arrays[t.path].dtype), table[t.path].hub_shape) for t in tensors]
    numbers = [to_host(arrays[t.path], table[t.path], t.layer) for t in tensors]
    if jax.process_index() != 0:
        return
    files.make_folder(folder)
    (folder / CONFIG).unlink(missing_ok=True)
    write(folder / WEIGHTS, entries, numbers)
    save_tokenizer(folder, tokenizer)
    files.write_text(folder / PROMPT, json.dumps(template_record, indent=2, ensure_ascii=False, sort_keys=True) + "\n")
    fields = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "revision": revision,
        "inference_mode": True,
        "r": lora.rank,
        "lora_alpha": int(lora.alpha) if lora.alpha == int(lora.alpha) else lora.alpha,
        "lora_dropout": lora.dropout,
        "use_rslora": lora.rslora,
        "target_modules": [name for name in PROJECTIONS if name in lora.targets],
        "bias": "none",
        "fan_in_fan_out": False,
        "init_lora_weights": True,
        "modules_to_save": None,
        "layers_to_transform": None,
        "layers_pattern": None,
    }
    files.write_text(folder / CONFIG, json.dumps(fields, indent=2) + "\n")


def save_tokenizer(folder: UPath, tokenizer: Tokenizer) -> None:
    """The tokenizer's files in a folder, which may lie in a bucket; transformers itself writes to local disk only."""
    with tempfile.TemporaryDirectory() as local:
        tokenizer.save_pretrained(local)
        for file in sorted(Path(local).iterdir()):
            (folder / file.name).write_bytes(file.read_bytes())


@dataclass(frozen=True)
class Adapter:
    """An adapter whose files belong together and to the base; its numbers are not read yet.

    Attributes:
        folder: where it lies.
        fields: its adapter_config.json.
        lora: one rank and one scale for all projections (`peft_config.common`).
        table: describes its weights.
        found: the tensors of the file, by name.
        factors: on B of each module, by name in LlamaForCausalLM.
    """

    folder: UPath
    fields: dict[str, Any]
    lora: Lora
    table: dict[str, Weight]
    found: dict[str, Tensor]
    factors: dict[str, float]


def find(folder: UPath, shape: Shape) -> Adapter:
    """What stands in the folder of an adapter made here or by PEFT, checked against the base; reads headers only.

    Raises:
        FileNotFoundError: no adapter_config.json or adapter_model.safetensors.
        ValueError: naming file and field or tensor: damaged, made for another base, or of a kind not supported (DoRA,
            bias, modules_to_save, ...), with the reason.
    """
    file = folder / CONFIG
    fields = peft_config.read(folder)
    for field, reason in peft_config.unsupported(fields).items():
        raise ValueError(f"{file}: {field} = {fields.get(field)!r} is not supported: {reason}")
    found = tensors(folder)
    all_modules = peft_config.modules(shape)
    wanted = {module for module in all_modules if peft_config.targeted(file, fields, module)}
    names = {peft_config.module_of(name) for name in found}
    for name in sorted(wanted - names):
        raise ValueError(f"{folder / WEIGHTS}: no tensor for {name}, which target_modules in {CONFIG} asks for")
    for name in sorted(names - wanted):
        tensor = next(tensor for tensor in found if peft_config.module_of(tensor) == name)
        reason = "that target_modules asks for" if name in all_modules else "of this base that can have an adapter"
        raise ValueError(f"{folder / WEIGHTS}: tensor {tensor} is not in a projection {reason}")
    owns = {module: peft_config.own(file, fields, module) for module in sorted(wanted)}
    lora, factors = peft_config.common(file, fields, owns)
    table = lora_weights(shape, lora)
    _check_tensors(folder, found, table, {module: one.rank for module, one in owns.items()})
    return Adapter(folder, fields, lora, table, found, factors)


def tensors(folder: UPath) -> dict[str, Tensor]:
    """The tensors of an adapter's file, by name; reads its header only. Raises as `find` does."""
    file = folder / WEIGHTS
    if not file.exists():
        pickled = (folder / "adapter_model.bin").exists()
        raise FileNotFoundError(
            f"{folder}: {'only adapter_model.bin, a' if pickled else f'no {WEIGHTS}. An adapter_model.bin is a'} "
            "pickle that can run code and is not read; load it with peft and save it again with "
            "save_pretrained(folder, safe_serialization=True)"
        )
    found = read_header(file)
    if not found:
        raise ValueError(f"{file}: holds no tensor; the adapter was saved empty (tloen/alpaca-lora issue 293)")
    return found


def _check_tensors(folder: UPath, found: dict[str, Tensor], table: dict[str, Weight], ranks: dict[str, int]) -> None:
    left = set(found)
    for name, path, _ in hub_tensors(table):
        tensor, module = found.get(name), peft_config.module_of(name)
        if tensor is None:
            continue
        left.discard(name)
        wanted = list(table[path].hub_shape)
        wanted[1 if "lora_B" in name else 0] = ranks[module]
        if list(tensor.shape) != wanted:
            raise ValueError(
                f"{tensor.file}: tensor {name} has shape {list(tensor.shape)}, but r = {ranks[module]} (r and "
                f"rank_pattern in {CONFIG}) and the base ask for {wanted}: it was made for another base, or the two "
                "files do not belong together"
            )
        pair = name.replace("lora_A", "lora_B") if "lora_A" in name else name.replace("lora_B", "lora_A")
        if pair not in found:
            raise ValueError(f"{tensor.file}: tensor {pair} is missing beside {name}")
    for name in sorted(left):
        raise ValueError(f"{folder / WEIGHTS}: tensor {name} has no place in the adapter that {CONFIG} describes")


def read(adapter: Adapter, path: str) -> np.ndarray:
    """One weight of an adapter, stacked over layers, float32, in the form our model has it.

    y = xW + s (xA)B has one rank R and one scale s here. An adapter of smaller rank gets columns of zeros in A and rows
    of zeros in B; one of another scale s' has its B multiplied by s'/s, with one rounding. The function is the same. In
    training the gradients of A are the same too, those of B are s/s' times PEFT's, and those of the zeros are zero, so
    that AdamW leaves them as they are. A projection that the adapter leaves out in some layers has A = B = 0 there, for
    the same reason.

    Raises:
        ValueError: naming file and tensor, if the file ends early or a number is NaN or infinite.
    """
    weight = adapter.table[path]
    array = np.zeros(weight.shape, np.float32)
    with (adapter.folder / WEIGHTS).open("rb") as stream:
        for name, of, layer in hub_tensors(adapter.table):
            if of != path or name not in adapter.found:
                continue
            numbers = read_rows(stream, adapter.found[name], slice(None), np.dtype(np.float32))
            factor = adapter.factors[peft_config.module_of(name)]
            if weight.kind == "lora_b" and factor != 1:
                numbers = (numbers.astype(np.float64) * factor).astype(np.float32)
            whole = np.zeros(weight.hub_shape, np.float32)
            whole[: numbers.shape[0], : numbers.shape[1]] = numbers
            array[layer] = weight.from_hub(whole)
    return array


def load(folder: UPath, shape: Shape) -> tuple[Lora, dict[str, np.ndarray]]:
    """An adapter made here or by PEFT, as its settings and its weights by path; `read` says in which form.

    Raises:
        FileNotFoundError, ValueError: as `find` and `read` do.
    """
    adapter = find(folder, shape)
    return adapter.lora, {path: read(adapter, path) for path in adapter.table}


def verify(folder: UPath, arrays: dict[str, Any], *, lora: Lora, shape: Shape) -> None:
    """Reads a saved adapter back and compares it, bit for bit, with what was to be saved.

    Raises:
        ValueError: naming what differs: a setting, a tensor, or that every B is zero, so that nothing was learnt.
        FileNotFoundError: a file is missing.
    """
    read_lora, back = load(folder, shape)
    expected = replace(lora, start=None, targets=tuple(name for name in PROJECTIONS if name in lora.targets))
    if read_lora != expected:
        raise ValueError(f"{folder / CONFIG}: read back as {read_lora}, but {expected} was saved")
    table = lora_weights(shape, lora)
    if arrays.keys() != table.keys():
        raise ValueError(f"{folder}: weights {sorted(arrays.keys() ^ table.keys())} are not both trained and saved")
    for _, path, layer in hub_tensors(table):
        saved = table[path].to_hub(back[path][layer])
        trained = to_host(arrays[path], table[path], layer)
        if (
            trained.dtype != saved.dtype
            or np.ascontiguousarray(trained).tobytes() != np.ascontiguousarray(saved).tobytes()
        ):
            raise ValueError(f"{folder / WEIGHTS}: {path}, layer {layer}, is not what was trained; save it again")
    if not any(back[path].any() for path, weight in table.items() if weight.kind == "lora_b"):
        raise ValueError(
            f"{folder / WEIGHTS}: every B is zero, so the adapter does nothing; the learning rate was zero, or no row "
            "had a target token"
        )
