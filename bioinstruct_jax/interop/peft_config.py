"""adapter_config.json: which projections have an adapter, with which rank and scale, and what is refused and why."""

import math
import re
from collections import Counter
from fractions import Fraction
from typing import Any, NamedTuple

from pydantic import ValidationError
from upath import UPath

from bioinstruct_jax.config import PROJECTIONS, Lora, Shape
from bioinstruct_jax.interop import hub_config
from bioinstruct_jax.interop.hub_folder import hub_tensors
from bioinstruct_jax.model.weights import lora_weights

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."  # PEFT's wrapper; what follows is the module's name in LlamaForCausalLM

# Fields that are read here, and those that change neither the function nor its training.
_READ = {"peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "rank_pattern"}
_READ |= {"exclude_modules", "layers_to_transform", "layers_pattern", "init_lora_weights", "alpha_pattern"}
_HARMLESS = {"auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode", "megatron_core"}
_HARMLESS |= {"qalora_group_size", "eva_config", "runtime_config"}
_NAMES = {"target_modules": str, "exclude_modules": str, "layers_pattern": str, "layers_to_transform": int}
_REASONS = {
    "use_dora": "DoRA rescales the base's weights by learnt magnitudes",
    "bias": "biases would be trained and replaced",
    "lora_bias": "adapters have no bias of their own",
    "modules_to_save": "whole modules beside the adapter would have to be replaced",
    "trainable_token_indices": "rows of the embedding would have to be replaced",
    "layer_replication": "the base would get other layers",
    "fan_in_fan_out": "LLaMA's projections are not stored transposed",
}
_UNCHANGED_BASE = (True, False, None, "gaussian", "eva", "orthogonal")  # ways to start that leave the base as it was


class Own(NamedTuple):
    """What PEFT gives one projection of one layer."""

    rank: int
    alpha: float


def read(folder: UPath) -> dict[str, Any]:
    """The fields of a folder's adapter_config.json, of whatever kind of adapter.

    Raises:
        FileNotFoundError: there is none.
        ValueError: naming file and field, if it is damaged.
    """
    file = folder / CONFIG
    if not file.exists():
        raise FileNotFoundError(
            f"{folder}: no {CONFIG}; give the folder of an adapter in PEFT form, or of a run that is finished"
        )
    fields = hub_config.read_json(file)
    for name, kind in _NAMES.items():
        value = fields.get(name)
        if not all(
            type(one) is kind for one in (value if isinstance(value, list) else [] if value is None else [value])
        ):
            raise ValueError(f"{file}: {name} = {value!r}: a {kind.__name__}, a list of them or null is expected")
    for name in ("rank_pattern", "alpha_pattern"):
        if not isinstance(fields.get(name) or {}, dict):
            raise ValueError(f"{file}: {name} = {fields[name]!r}: a JSON object (module: number) or null is expected")
    return fields


def unsupported(fields: dict[str, Any]) -> dict[str, str]:
    """The fields that make an adapter more, or other, than LoRA matrices beside the base, each with the reason."""
    found = {}
    if fields.get("peft_type") != "LORA":
        found["peft_type"] = "only LORA can be read"
    if fields.get("task_type") not in ("CAUSAL_LM", None):
        found["task_type"] = "only CAUSAL_LM can be read"
    if fields.get("init_lora_weights") not in _UNCHANGED_BASE:
        found["init_lora_weights"] = (
            "it changes the base's weights; convert it with peft's "
            "save_pretrained(path_initial_model_for_weight_conversion=...)"
        )
    for name, value in fields.items():
        if name not in _READ | _HARMLESS and value not in (None, False, "", "none", [], {}):
            found[name] = _REASONS.get(
                name, "this field is not understood, and it may change what the adapter computes"
            )
    return found


def modules(shape: Shape) -> list[str]:
    """Names in LlamaForCausalLM of all projections that can have an adapter."""
    tensors = hub_tensors(lora_weights(shape, Lora(rank=1)))
    return sorted({module_of(tensor.name) for tensor in tensors})


def module_of(tensor: str) -> str:
    """The module that a tensor of an adapter belongs to, as LlamaForCausalLM names it."""
    return tensor.removeprefix(_PREFIX).rsplit(".lora_", 1)[0]


def targeted(file: UPath, fields: dict[str, Any], module: str) -> bool:
    """Whether PEFT gives this module an adapter (`peft.tuners.tuners_utils.check_target_module_exists`)."""

    def named(pattern: str | list[str] | None) -> bool:
        if isinstance(pattern, str):
            return pattern != "" and _regex(file, pattern).fullmatch(module) is not None
        return any(module == name or module.endswith(f".{name}") for name in pattern or [])

    targets, layers = fields.get("target_modules"), fields.get("layers_to_transform")
    if named(fields.get("exclude_modules")):
        return False
    if isinstance(targets, str):
        return targets.lower() == "all-linear" or named(targets)
    if layers is None or layers == [] or module in (targets or []):  # a whole name is taken in any layer
        return named(targets)
    patterns = fields.get("layers_pattern") or r"[^.]*"
    patterns = [patterns] if isinstance(patterns, str) else patterns
    found = [_regex(file, rf"(?:.*?\.)?{pattern}\.(?P<layer>\d+)\.").match(module) for pattern in patterns]
    number = next((int(one["layer"]) for one in found if one), None)
    return named(targets) and number in (layers if isinstance(layers, list) else [layers])


def own(file: UPath, fields: dict[str, Any], module: str) -> Own:
    """Rank and alpha of one module: those of the first matching key of each pattern, else `r` and `lora_alpha`.

    A key matches a name, or its end after a dot, as a regular expression (`peft.utils.other.get_pattern_key`). What is
    left out has peft's own value, 8.

    Raises:
        ValueError: naming file, field and key, if rank or alpha is no positive number or a key no regular expression.
    """
    rank_at, rank = _value(file, fields, "rank_pattern", "r", module)
    alpha_at, alpha = _value(file, fields, "alpha_pattern", "lora_alpha", module)
    if type(rank) is not int or rank < 1:
        raise ValueError(f"{file}: {rank_at} = {rank!r}: a rank is a positive whole number")
    if type(alpha) not in (int, float) or not math.isfinite(alpha) or alpha <= 0:
        raise ValueError(f"{file}: {alpha_at} = {alpha!r}: alpha is a positive number")
    return Own(rank, float(alpha))


def _value(file: UPath, fields: dict[str, Any], pattern: str, otherwise: str, module: str) -> tuple[str, Any]:
    for key, value in (fields.get(pattern) or {}).items():
        if _regex(file, rf"(.*\.)?({key})$").match(module):
            return f"{pattern}[{key!r}]", value
    return otherwise, fields.get(otherwise, 8)


def _regex(file: UPath, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{file}: {pattern!r} is no regular expression ({error})") from error


def exact_scale(one: Own, rslora: bool) -> Fraction:
    """alpha / r, or for rsLoRA the square of alpha / sqrt(r): equal scales are equal without rounding."""
    return Fraction(one.alpha) ** 2 / one.rank if rslora else Fraction(one.alpha) / one.rank


def common(file: UPath, fields: dict[str, Any], owns: dict[str, Own]) -> tuple[Lora, dict[str, float]]:
    """One Lora for all projections, and the factor on B of each module that keeps its own scale.

    Our model has one rank and one scale. The rank becomes the largest one, and the scale that of most modules, so that
    their factor is 1; without patterns it is 1 everywhere, and rank and alpha stay as they are.

    Args:
        owns: rank and alpha of each module that has an adapter; at least one.

    Raises:
        ValueError: naming file and field, if a setting is no possible one.
    """
    rslora = fields.get("use_rslora") or False
    power = 0.5 if rslora else 1.0
    rank = max(one.rank for one in owns.values())
    scales = {module: exact_scale(one, rslora) for module, one in owns.items()}
    most = Counter(scales.values()).most_common(1)[0][0]
    like = max((one for module, one in owns.items() if scales[module] == most), key=lambda one: one.rank)
    try:
        lora = Lora(
            rank=rank,
            alpha=like.alpha * (rank / like.rank) ** power,
            dropout=fields.get("lora_dropout") or 0.0,
            rslora=rslora,
            targets=tuple(name for name in PROJECTIONS if any(module.endswith(f".{name}") for module in owns)),
        )
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{file}: {where}: {first['msg']} ({first['input']!r})") from error
    return lora, {module: float(scale / most) ** power for module, scale in scales.items()}
