"""Whether vLLM would serve an adapter as it is, beside its base, and why not.

Worked out from vLLM's loader as it stands in its sources (2026): `lora/peft_helper.py` reads adapter_config.json,
`lora/lora_model.py` the tensors by their names, `lora/model_manager.py` puts them into the modules of the model, and
`config/lora.py` lists the ranks. vLLM itself is not run. Where its versions differ, the stricter one counts: an adapter
without problems is taken by all.
"""

import re
from collections import Counter
from typing import Any, NamedTuple

from upath import UPath

from bioinstruct_jax.config import PROJECTIONS
from bioinstruct_jax.interop import peft_config
from bioinstruct_jax.interop.peft_adapter import WEIGHTS, tensors
from bioinstruct_jax.interop.peft_config import CONFIG
from bioinstruct_jax.interop.tensor_file import Tensor

MAX_LORA_RANK = 16  # vLLM's, unless it is told another
RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # those it can be told
_NEEDED = ("r", "lora_alpha", "target_modules")
_MERGE = "merge it into its base with `bioinstruct export --out=FOLDER` and serve that"
_PEFT_MERGE = "merge it into its base with peft's merge_and_unload() and serve that, or train without it"

# Fields that vLLM refuses, or does not read although they change what the adapter computes.
_FIELDS = {
    "peft_type": "vLLM serves LoRA adapters only",
    "use_dora": "vLLM refuses DoRA",
    "bias": "vLLM refuses adapters with biases",
    "lora_bias": "vLLM refuses adapters with biases",
    "modules_to_save": "vLLM refuses adapters with whole modules",
    "trainable_token_indices": "vLLM refuses adapters with embedding rows",
    "layer_replication": "vLLM does not read it and gives the base its usual layers",
    "init_lora_weights": "vLLM does not change the base's weights as PEFT does when it loads such an adapter",
}
_IGNORED = "vLLM does not read this field, so it may compute something else than PEFT"
_HARMLESS = {"task_type", "fan_in_fan_out"}  # vLLM has one kind of model, and the second is about the base in PEFT

_PAIR = re.compile(r".+\.lora_(?P<side>[AB])\.weight|.+\.lora_embedding_(?P<embedding>[AB])")
_SKIPPED = (".embed_tokens.base_layer.weight", ".lm_head.base_layer.weight")  # copies of the base, left aside by vLLM
_ATTENTION, _MLP = "|".join(PROJECTIONS[:4]), "|".join(PROJECTIONS[4:])
_MODULE = re.compile(rf"model\.layers\.\d+\.(self_attn\.({_ATTENTION})|mlp\.({_MLP}))|model\.embed_tokens|lm_head")
_LAST_NAME = re.compile(rf"(.*\.)?({_ATTENTION}|{_MLP}|embed_tokens|lm_head)")  # all that vLLM asks before it loads


class _Part(NamedTuple):
    """A tensor that vLLM takes for A or B of a module."""

    tensor: Tensor
    module: str
    side: str


def problems(folder: UPath, max_lora_rank: int = MAX_LORA_RANK) -> list[str]:
    """Why vLLM would refuse an adapter of a LLaMA, or would compute something else than PEFT; empty: it takes it.

    Any adapter in PEFT form can be asked about, ours or not, supported by this package or not. Only
    adapter_config.json and the header of adapter_model.safetensors are read.

    Args:
        max_lora_rank: what vLLM is started with.

    Returns:
        For each reason what, where and what to do.

    Raises:
        FileNotFoundError: one of the two files is not there.
        ValueError: one of them is damaged, or vLLM cannot be started with that `max_lora_rank`.
    """
    if max_lora_rank not in RANKS:
        raise ValueError(f"max_lora_rank {max_lora_rank}: vLLM can be started with {', '.join(map(str, RANKS))} only")
    fields = peft_config.read(folder)
    found = _fields(folder / CONFIG, fields)
    if not (folder / WEIGHTS).exists() and (folder / "adapter_model.bin").exists():
        return [
            *found,
            f"{folder}: only adapter_model.bin, a pickle, which is not read here, so its tensors cannot be checked; "
            "save the adapter again with peft's save_pretrained(folder, safe_serialization=True)",
        ]
    of_file = {name: tensor for name, tensor in tensors(folder).items() if not name.endswith(_SKIPPED)}
    parts = [
        _Part(tensor, peft_config.module_of(name), match["side"] or match["embedding"])
        for name, tensor in of_file.items()
        if (match := _PAIR.fullmatch(name))
    ]
    unknown = of_file.keys() - {part.tensor.name for part in parts}
    found += _names(folder / WEIGHTS, sorted(unknown), parts)
    return found + (_ranks(folder, fields, parts, max_lora_rank) if fields.get("peft_type") == "LORA" else [])


def enough_for(rank: int) -> int | None:
    """The smallest ``max_lora_rank`` with which vLLM takes an adapter of this rank; None if there is none."""
    return next((size for size in RANKS if size >= rank), None)


def _fields(file: UPath, fields: dict[str, Any]) -> list[str]:
    found = [f"{file}: {name} is missing, and vLLM needs it; add it" for name in _NEEDED if name not in fields]
    for name in peft_config.unsupported(fields):
        if name not in _HARMLESS:
            found.append(f"{file}: {name} = {fields.get(name)!r}: {_FIELDS.get(name, _IGNORED)}; {_PEFT_MERGE}")
    return found


def _names(file: UPath, unknown: list[str], parts: list[_Part]) -> list[str]:
    """What is wrong with the names of the tensors: one message for each kind of mistake, with an example."""
    sides = Counter(part.module for part in parts)
    strange = [part for part in parts if not _MODULE.fullmatch(part.module)]
    kinds = {
        f"is no lora_A or lora_B, and vLLM refuses the file for it; {_PEFT_MERGE}": unknown,
        "has no A or no B beside it, and vLLM fails on it; save the adapter again": [
            part.tensor.name for part in parts if sides[part.module] == 1
        ],
        f"is in a module that no LLaMA has in vLLM, which refuses the file for it; {_PEFT_MERGE}": [
            part.tensor.name for part in strange if not _LAST_NAME.fullmatch(part.module)
        ],
        "is in a module that vLLM does not find in a LLaMA, and leaves out without a word; rename it to the form "
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": [
            part.tensor.name for part in strange if _LAST_NAME.fullmatch(part.module)
        ],
    }
    return [
        f"{file}: tensor {names[0]}{f' (and {len(names) - 1} more)' if len(names) > 1 else ''} {what}"
        for what, names in kinds.items()
        if names
    ]


def _ranks(folder: UPath, fields: dict[str, Any], parts: list[_Part], largest: int) -> list[str]:
    """Ranks above `largest`, ranks that are not those of the tensors, and scales that vLLM would get wrong."""
    file, rslora = folder / CONFIG, bool(fields.get("use_rslora"))
    owns = {part.module: peft_config.own(file, fields, part.module) for part in parts}
    stated = peft_config.own(file, fields | {"rank_pattern": {}, "alpha_pattern": {}}, "")
    found = []
    rank = max([stated.rank, *(one.rank for one in owns.values())])
    if rank > largest:
        enough = enough_for(rank)
        advice = f"start it with --enable-lora --max-lora-rank {enough}" if enough else _MERGE
        where = "r" if rank == stated.rank else "rank_pattern"
        found.append(f"{file}: rank {rank} ({where}) is above vLLM's max_lora_rank {largest}; {advice}")
    for tensor, module, side in parts:
        if len(tensor.shape) != 2 or tensor.shape["AB".index(side)] != owns[module].rank:
            found.append(
                f"{tensor.file}: tensor {tensor.name} has shape {list(tensor.shape)}, but {CONFIG} says rank "
                f"{owns[module].rank}; the two files do not belong together: save the adapter again"
            )
            break
    scale = peft_config.exact_scale(stated, rslora)
    other = [module for module, one in owns.items() if peft_config.exact_scale(one, rslora) != scale]
    if other:
        patterns = " and ".join(name for name in ("rank_pattern", "alpha_pattern") if fields.get(name))
        found.append(
            f"{file}: {patterns}: vLLM scales every module as r = {stated.rank} and lora_alpha = {stated.alpha:g} say, "
            f"which is wrong for {len(other)} of {len(owns)}, {other[0]} for one; {_MERGE}"
        )
    return found
