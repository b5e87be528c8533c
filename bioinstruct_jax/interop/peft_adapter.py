"""LoRA adapters as PEFT reads and writes them: adapter_model.safetensors and adapter_config.json."""

import json
import re
import tempfile
from pathlib import Path
from typing import Any, Protocol

import jax
import numpy as np
from pydantic import ValidationError
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import PROJECTIONS, Lora, Shape
from bioinstruct_jax.interop.hub_folder import hub_tensors
from bioinstruct_jax.interop.hub_weights import to_host
from bioinstruct_jax.interop.tensor_file import Tensor, read_header, read_rows, write
from bioinstruct_jax.model.weights import lora_weights

WEIGHTS, CONFIG, PROMPT = "adapter_model.safetensors", "adapter_config.json", "prompt_template.json"
_PREFIX = "base_model.model."  # PEFT's wrapper; what follows is the module's name in LlamaForCausalLM

# Fields of adapter_config.json that are read here, and those that change neither the function nor its training.
_READ = {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules"}
_READ |= {"exclude_modules", "layers_to_transform", "layers_pattern", "init_lora_weights"}
_HARMLESS = {"auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "megatron_core"}
_HARMLESS |= {"qalora_group_size", "eva_config", "runtime_config"}
_NAMES = {"target_modules": str, "exclude_modules": str, "layers_pattern": str, "layers_to_transform": int}
_REASONS = {
    "use_dora": "DoRA rescales the base's weights by learnt magnitudes",
    "rank_pattern": "every projection must have the same rank",
    "alpha_pattern": "every projection must have the same alpha",
    "bias": "biases would be trained and replaced",
    "lora_bias": "adapters have no bias of their own",
    "modules_to_save": "whole modules beside the adapter would have to be replaced",
    "trainable_token_indices": "rows of the embedding would have to be replaced",
    "layer_replication": "the base would get other layers",
    "fan_in_fan_out": "LLaMA's projections are not stored transposed",
}
_UNCHANGED_BASE = (True, False, None, "gaussian", "eva", "orthogonal")  # ways to start that leave the base as it was


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
    folder.mkdir(parents=True, exist_ok=True)
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


def load(folder: UPath, shape: Shape) -> tuple[Lora, dict[str, np.ndarray]]:
    """An adapter made here or by PEFT, as its settings and its weights by path, float32.

    A projection that the adapter leaves out in some layers has A = B = 0 there, which is the same function and, as both
    gradients are then zero, stays so in training.

    Raises:
        FileNotFoundError: no adapter_config.json or adapter_model.safetensors.
        ValueError: naming file and field or tensor: damaged, made for another base, or of a kind not supported (DoRA,
            bias, modules_to_save, rank or alpha patterns, ...), with the reason.
    """
    fields = _read_config(folder)
    found = _find(folder)
    wanted = {name for name in _modules(shape) if _targeted(folder / CONFIG, fields, name)}
    names = {name.removeprefix(_PREFIX).rsplit(".lora_", 1)[0] for name in found}
    for name in sorted(wanted - names):
        raise ValueError(f"{folder / WEIGHTS}: no tensor for {name}, which target_modules in {CONFIG} asks for")
    for name in sorted(names - wanted):
        tensors = next(tensor for tensor in found if name in tensor)
        raise ValueError(f"{folder / WEIGHTS}: tensor {tensors} is not in a projection that target_modules asks for")
    try:
        lora = Lora(  # with peft's own values for what is left out
            rank=fields.get("r", 8),
            alpha=fields.get("lora_alpha", 8),
            dropout=fields.get("lora_dropout") or 0.0,
            rslora=fields.get("use_rslora") or False,
            targets=tuple(name for name in PROJECTIONS if any(module.endswith(f".{name}") for module in wanted)),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{folder / CONFIG}: {where}: {first['msg']} ({first['input']!r})") from error
    return lora, _read_weights(folder, found, lora, shape)


def _read_config(folder: UPath) -> dict[str, Any]:
    file = folder / CONFIG
    if not file.exists():
        raise FileNotFoundError(f"{folder}: no {CONFIG}; give the folder of an adapter in PEFT form")
    try:
        fields = json.loads(files.read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}, line {error.lineno}: no valid JSON ({error.msg})") from error
    if not isinstance(fields, dict):
        raise ValueError(f"{file}: a JSON object is expected, found {type(fields).__name__}")
    if fields.get("peft_type") != "LORA" or fields.get("task_type", "CAUSAL_LM") not in ("CAUSAL_LM", None):
        raise ValueError(
            f"{file}: peft_type {fields.get('peft_type')!r}, task_type {fields.get('task_type')!r}: "
            "only LORA for CAUSAL_LM can be read"
        )
    if fields.get("init_lora_weights") not in _UNCHANGED_BASE:
        raise ValueError(
            f"{file}: init_lora_weights {fields['init_lora_weights']!r} changes the base's weights; convert it "
            "with peft's save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    for name, kind in _NAMES.items():
        value = fields.get(name)
        if not all(
            type(one) is kind for one in (value if isinstance(value, list) else [] if value is None else [value])
        ):
            raise ValueError(f"{file}: {name} = {value!r}: a {kind.__name__}, a list of them or null is expected")
    for name, value in fields.items():
        if name in _READ | _HARMLESS or value in (None, False, "", "none", [], {}):
            continue
        reason = _REASONS.get(name, "this field is not understood, and it may change what the adapter computes")
        raise ValueError(f"{file}: {name} = {value!r} is not supported: {reason}")
    return fields


def _find(folder: UPath) -> dict[str, Tensor]:
    file = folder / WEIGHTS
    if not file.exists() and (folder / "adapter_model.bin").exists():
        raise FileNotFoundError(
            f"{folder}: only adapter_model.bin, a pickle that can run code and is not read; load it with peft and save "
            "it again with save_pretrained(folder, safe_serialization=True)"
        )
    found = read_header(file)
    if not found:
        raise ValueError(f"{file}: holds no tensor; the adapter was saved empty (tloen/alpaca-lora issue 293)")
    return found


def _modules(shape: Shape) -> list[str]:
    """Names in LlamaForCausalLM of all projections that can have an adapter."""
    tensors = hub_tensors(lora_weights(shape, Lora(rank=1)))
    return sorted({tensor.name.removeprefix(_PREFIX).rsplit(".lora_", 1)[0] for tensor in tensors})


def _targeted(file: UPath, fields: dict[str, Any], module: str) -> bool:
    """Whether PEFT gives this module an adapter (`peft.tuners.tuners_utils.check_target_module_exists`)."""

    def match(pattern: str, text: str, whole: bool) -> re.Match[str] | None:
        try:
            return (re.fullmatch if whole else re.match)(pattern, text)
        except re.error as error:
            raise ValueError(f"{file}: {pattern!r} is no regular expression ({error})") from error

    def named(pattern: str | list[str] | None) -> bool:
        if isinstance(pattern, str):
            return pattern != "" and match(pattern, module, True) is not None
        return any(module == name or module.endswith(f".{name}") for name in pattern or [])

    targets, layers = fields.get("target_modules"), fields.get("layers_to_transform")
    if named(fields.get("exclude_modules")):
        return False
    if isinstance(targets, str):
        return targets == "all-linear" or named(targets)
    if layers is None or layers == []:
        return named(targets)
    patterns = fields.get("layers_pattern") or r"[^.]*"
    patterns = [patterns] if isinstance(patterns, str) else patterns
    found = [match(rf"(?:.*?\.)?{pattern}\.(?P<layer>\d+)\.", module, False) for pattern in patterns]
    number = next((int(one["layer"]) for one in found if one), None)
    return named(targets) and number in (layers if isinstance(layers, list) else [layers])


def _read_weights(folder: UPath, found: dict[str, Tensor], lora: Lora, shape: Shape) -> dict[str, np.ndarray]:
    table = lora_weights(shape, lora)
    arrays = {path: np.zeros(weight.shape, np.float32) for path, weight in table.items()}
    left = set(found)
    with (folder / WEIGHTS).open("rb") as stream:
        for name, path, layer in hub_tensors(table):
            tensor, weight = found.get(name), table[path]
            if tensor is None:
                continue
            if tensor.shape != weight.hub_shape:
                raise ValueError(
                    f"{tensor.file}: tensor {name} has shape {list(tensor.shape)}, but r = {lora.rank} and the base "
                    f"ask for {list(weight.hub_shape)}: it was made for another base, or its layers differ in rank"
                )
            arrays[path][layer] = weight.from_hub(read_rows(stream, tensor, slice(None), np.dtype(np.float32)))
            left.discard(name)
            pair = name.replace("lora_A", "lora_B") if "lora_A" in name else name.replace("lora_B", "lora_A")
            if pair not in found:
                raise ValueError(f"{tensor.file}: tensor {pair} is missing beside {name}")
    for name in sorted(left):
        raise ValueError(f"{folder / WEIGHTS}: tensor {name} has no place in the adapter that {CONFIG} describes")
    return arrays


def verify(folder: UPath, arrays: dict[str, Any], *, lora: Lora, shape: Shape) -> None:
    """Reads a saved adapter back and compares it, bit for bit, with what was to be saved.

    Raises:
        ValueError: naming what differs: a setting, a tensor, or that every B is zero, so that nothing was learnt.
        FileNotFoundError: a file is missing.
    """
    read_lora, read = load(folder, shape)
    expected = Lora(**(vars(lora) | {"targets": tuple(name for name in PROJECTIONS if name in lora.targets)}))
    if read_lora != expected:
        raise ValueError(f"{folder / CONFIG}: read back as {read_lora}, but {expected} was saved")
    table = lora_weights(shape, lora)
    if arrays.keys() != table.keys():
        raise ValueError(f"{folder}: weights {sorted(arrays.keys() ^ table.keys())} are not both trained and saved")
    for _, path, layer in hub_tensors(table):
        saved = table[path].to_hub(read[path][layer])
        trained = to_host(arrays[path], table[path], layer)
        if (
            trained.dtype != saved.dtype
            or np.ascontiguousarray(trained).tobytes() != np.ascontiguousarray(saved).tobytes()
        ):
            raise ValueError(f"{folder / WEIGHTS}: {path}, layer {layer}, is not what was trained; save it again")
    if not any(read[path].any() for path, weight in table.items() if weight.kind == "lora_b"):
        raise ValueError(
            f"{folder / WEIGHTS}: every B is zero, so the adapter does nothing; the learning rate was zero, or no row "
            "had a target token"
        )
