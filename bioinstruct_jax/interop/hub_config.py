"""Where a base model lies, and its config.json: read into a Shape, and written for transformers."""

import json
import re
from dataclasses import fields
from typing import Any

from pydantic import ValidationError
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.resources import shipped_base
from bioinstruct_jax.shape_settings import RopeScaling, Shape

GENERATION = "generation_config.json"
TOKENIZER_FILES = (
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template*",
    "vocab.json",
    "merges.txt",
)
MODEL_FILES = ("config.json", GENERATION, "model*.safetensors", "model.safetensors.index.json", *TOKENIZER_FILES)

# Read below. A missing one has the value that transformers' LlamaConfig gives it, not the one of Shape.
_SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_DEFAULTS: dict[str, Any] = {
    "num_key_value_heads": None,
    "head_dim": None,
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "initializer_range": 0.02,
}
_ROPE = ("rope_theta", "rope_scaling", "rope_parameters")
_SCALING = tuple(field.name for field in fields(RopeScaling))
_IN_ROPE = ("rope_theta", "type", *_SCALING)

# Fields that may only have the values at which they change nothing.
_FIXED: dict[str, tuple[Any, ...]] = {
    "model_type": ("llama",),
    "hidden_act": ("silu", "swish"),
    "attention_dropout": (0, None),
    "partial_rotary_factor": (1, None),
    "is_causal": (True, None),
}
_ROPE_TYPES = ("default", "linear", "dynamic", "llama3")

# Fields that say nothing about the function: names, types in memory, decoding, token ids, history of the file.
_HARMLESS = """
    _name_or_path name_or_path architectures transformers_version torch_dtype dtype use_cache pretraining_tp
    bos_token_id eos_token_id pad_token_id sep_token_id unk_token_id decoder_start_token_id is_decoder return_dict
    id2label label2id num_labels finetuning_task task_specific_params problem_type tokenizer_class prefix
    attn_implementation _attn_implementation _attn_implementation_autoset _attn_implementation_internal
    chunk_size_feed_forward max_sequence_length unsloth_version unsloth_fixed transformers.js_config
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k
    top_p typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size
    num_return_sequences begin_suppress_tokens suppress_tokens bad_words_ids forced_bos_token_id
    forced_eos_token_id remove_invalid_values exponential_decay_length_penalty output_scores return_dict_in_generate
"""
_KNOWN = {*_SIZES, *_DEFAULTS, *_ROPE, *_FIXED, *_HARMLESS.split()}


def locate(
    weights: str, revision: str | None, *, setting: str = "model.weights", wanted: tuple[str, ...] = MODEL_FILES
) -> UPath:
    """The folder of a base model: a local one, a bucket's, or a hub model's files, which are downloaded.

    Args:
        weights: local folder, bucket URL, name of a shipped base, or hub id; a local folder wins. ``HF_TOKEN`` opens
            gated models.
        revision: branch, tag or commit of a hub id.
        setting: what `weights` is called where the user wrote it.
        wanted: patterns of the files to download; those of an adapter are `peft_adapter`'s and the tokenizer's.

    Raises:
        FileNotFoundError: no such folder, model, revision, or no network.
        PermissionError: the model is gated and this user has no access.
        ValueError: `weights` is neither a path nor a hub id, or a revision is given for a folder.
    """
    folder = files.path(shipped_base(weights) or weights)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"a revision, {revision!r}, means nothing for the folder {weights}; leave it out")
        return folder
    if folder.exists():
        raise ValueError(f"{setting} {weights!r} is a file; give the folder that holds *.safetensors and its config")
    if "://" in weights or not re.fullmatch(r"[\w-][\w.-]*(/[\w-][\w.-]*)?", weights):
        raise FileNotFoundError(f"{setting} {weights!r}: there is no such folder")
    return _download(weights, revision, setting, wanted)


def check_there(weights: str, revision: str | None) -> None:
    """Refuse a base that is not there before anything else is read; of a hub model, only small files are downloaded.

    Raises as `locate`.
    """
    if weights != "random":
        locate(weights, revision, wanted=("config.json", *TOKENIZER_FILES))


def _download(name: str, revision: str | None, setting: str, wanted: tuple[str, ...]) -> UPath:
    from huggingface_hub import errors, snapshot_download

    what = f"{setting} {name!r}" + (f", revision {revision!r}" if revision else "")
    try:
        return UPath(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))
    except errors.GatedRepoError as error:
        raise PermissionError(
            f"{what} is gated: accept its licence on https://huggingface.co/{name} and set HF_TOKEN to a token of yours"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise FileNotFoundError(f"{what}: the model is on the hub, but this revision is not") from error
    except errors.RepositoryNotFoundError as error:
        raise FileNotFoundError(
            f"{what}: no such local folder, and no such model on the hub (a private one needs HF_TOKEN)"
        ) from error
    except errors.HFValidationError as error:
        raise ValueError(f"{what}: no such local folder, and no valid hub id ({error})") from error
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        raise FileNotFoundError(
            f"{what}: no such local folder, not in the local cache, and the hub cannot be reached ({reason}). "
            "Download the model where there is a network and give its folder"
        ) from error


def read_shape(folder: UPath) -> Shape:
    """The shape in ``config.json`` of a LLaMA 1, 2, 3, 3.1 or 3.2, as transformers 4 or 5 wrote it.

    Raises:
        FileNotFoundError: without config.json.
        ValueError: naming file and field: damaged, another architecture, or a field that is not understood.
    """
    file = folder / "config.json"
    if not file.exists():
        raise FileNotFoundError(f"{folder}: no config.json; give the folder of a model in Hugging Face layout")
    found = read_json(file)
    _refuse_others(file, found)
    missing = [name for name in _SIZES if found.get(name) is None]
    if missing:
        raise ValueError(f"{file}: {', '.join(missing)} missing; the size of the model is not known without")
    values = {name: found[name] for name in _SIZES} | {
        name: found.get(name, value) for name, value in _DEFAULTS.items()
    }
    theta, scaling = _rope(file, found, values["max_position_embeddings"])
    try:
        return Shape(**values, rope_theta=theta, rope_scaling=RopeScaling(**scaling) if scaling else None)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the sizes together"
        value = f" ({first['input']!r})" if isinstance(first["input"], str | int | float | bool | list) else ""
        if error.title == "RopeScaling":
            where = f"rope_scaling.{where}" if first["loc"] else "rope_scaling"
        raise ValueError(f"{file}: {where}: {first['msg'].removeprefix('Value error, ')}{value}") from error


def _refuse_others(file: UPath, found: dict[str, Any]) -> None:
    for name in ("architectures", "layer_types"):
        value = found.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
            raise ValueError(f"{file}: {name} = {value!r}: a list of names is expected")
    architectures = found.get("architectures") or ["LlamaForCausalLM"]
    kind = found.get("model_type")
    if kind != "llama" or [str(name).lower() for name in architectures] != ["llamaforcausallm"]:
        raise ValueError(
            f"{file}: model_type {kind!r}, architectures {architectures} is no LLaMA language model; only model_type "
            "'llama' with LlamaForCausalLM (LLaMA 1, Llama 2, 3, 3.1, 3.2) can be read"
        )
    if found.get("quantization_config"):
        raise ValueError(f"{file}: quantization_config: quantised weights cannot be read; take the original model")
    if found.get("auto_map"):
        raise ValueError(f"{file}: auto_map: the model brings code of its own, which is not run")
    for name, value in found.items():
        if name in _FIXED and value not in _FIXED[name]:
            raise ValueError(f"{file}: {name} = {value!r} is not supported, only {_FIXED[name][0]!r}")
        if name == "layer_types" and value and set(value) == {"full_attention"}:
            continue
        if name not in _KNOWN and value is not None and value not in ("", [], {}):
            raise ValueError(
                f"{file}: the field {name} = {value!r} is not understood; it may change what the model computes. "
                "If it does not, remove it from the file"
            )


def _rope(file: UPath, found: dict[str, Any], longest: int) -> tuple[float, dict[str, Any] | None]:
    """Theta, and the fields of RopeScaling or None, from the old form, the new one, or both if they agree."""
    forms = {name: found[name] for name in ("rope_scaling", "rope_parameters") if found.get(name)}
    thetas = {"rope_theta": found.get("rope_theta")}
    scalings = []
    for name, form in forms.items():
        if not isinstance(form, dict):
            raise ValueError(f"{file}: {name} = {form!r}: a JSON object is expected")
        kinds = {repr(form[key]) for key in ("rope_type", "type") if form.get(key) is not None}
        kind = next((form[key] for key in ("rope_type", "type") if form.get(key) is not None), "default")
        if kind not in _ROPE_TYPES:
            raise ValueError(
                f"{file}: {name}: rope_type {kind!r} cannot be computed; LLaMA's are {', '.join(_ROPE_TYPES)}"
            )
        for key, value in form.items():
            if key == "partial_rotary_factor" and value in _FIXED[key]:
                continue
            if key not in _IN_ROPE and value is not None:
                raise ValueError(f"{file}: {name}.{key} = {value!r} is not understood; rotary positions depend on it")
        if len(kinds) != 1 and form.keys() - {"rope_theta", "partial_rotary_factor"}:
            raise ValueError(f"{file}: {name}: rope_type and type say {sorted(kinds)}; exactly one is needed")
        thetas[f"{name}.rope_theta"] = form.get("rope_theta")
        scalings.append(_scaling(form, kind, longest))
    given = {where: value for where, value in thetas.items() if value is not None}
    for where, value in given.items():
        if type(value) not in (int, float):
            raise ValueError(f"{file}: {where} = {value!r}: a number is expected")
    if len(set(given.values())) > 1 or any(scaling != scalings[0] for scaling in scalings):
        raise ValueError(f"{file}: {', '.join([*given, *forms])} contradict each other; remove the wrong one")
    return next(iter(given.values()), 10000.0), scalings[0] if scalings else None


def _scaling(form: dict[str, Any], kind: str, longest: int) -> dict[str, Any] | None:
    if kind == "default":
        return None
    values = {key: value for key, value in form.items() if key in _SCALING and value is not None}
    values["rope_type"] = kind
    if kind == "llama3":
        values.setdefault("original_max_position_embeddings", longest)  # as transformers 5 does
    else:
        values.pop("original_max_position_embeddings", None)  # which transformers reads for llama3 only
    return values


def write_config(folder: UPath, shape: Shape, *, bos: int | None, eos: int | list[int] | None, dtype: str) -> None:
    """``config.json`` that transformers 4 and 5 read alike: rotary settings stand there in the old form and the new.

    To be written after the weights: a folder without it is no model to any tool.

    Args:
        dtype: of the saved weights, ``float32``, ``bfloat16`` or ``float16``.
    """
    scaling = shape.rope_scaling
    longest = shape.max_position_embeddings
    if scaling and scaling.rope_type == "dynamic":
        longest = scaling.original_max_position_embeddings or longest  # transformers stretches from this one
    given = {name: getattr(scaling, name) for name in _SCALING} if scaling else {}
    given = {name: value for name, value in given.items() if value is not None}
    if scaling and scaling.rope_type != "llama3":
        given.pop("original_max_position_embeddings", None)
    values = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": shape.vocab_size,
        "hidden_size": shape.hidden_size,
        "intermediate_size": shape.intermediate_size,
        "num_hidden_layers": shape.num_hidden_layers,
        "num_attention_heads": shape.num_attention_heads,
        "num_key_value_heads": shape.key_value_heads,
        "head_dim": shape.head_size,
        "hidden_act": "silu",
        "max_position_embeddings": longest,
        "initializer_range": shape.initializer_range,
        "rms_norm_eps": shape.rms_norm_eps,
        "rope_theta": shape.rope_theta,
        "rope_scaling": given or None,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta} | given,
        "tie_word_embeddings": shape.tie_word_embeddings,
        "attention_bias": shape.attention_bias,
        "attention_dropout": 0.0,
        "mlp_bias": shape.mlp_bias,
        "pretraining_tp": 1,
        "use_cache": True,
        "bos_token_id": bos,
        "eos_token_id": eos,
        "pad_token_id": None,
        "torch_dtype": dtype,
    }
    files.write_text(folder / "config.json", json.dumps(values, indent=2) + "\n")


def generation(folder: UPath, *, bos: int | None, end: int | None) -> dict[str, Any]:
    """The fields of ``generation_config.json`` for a model made from the one in a folder.

    They are those that stand there, or else the token ids of its ``config.json``; ``bos_token_id`` and
    ``eos_token_id`` (a number, or a list of them) are always among them, null if nothing is known.

    Args:
        bos: taken where the folder names none.
        end: ends an answer; becomes one of the tokens at which servers stop.

    Raises:
        ValueError: naming file and field, if the files are damaged.
    """
    fields = read_json(folder / GENERATION) if (folder / GENERATION).exists() else {}
    fields.pop("_from_model_config", None)  # would make transformers read config.json instead
    config = read_json(folder / "config.json")
    tokens = {}
    for name in ("bos_token_id", "eos_token_id"):
        file = folder / (GENERATION if fields.get(name) is not None else "config.json")
        value = config.get(name) if fields.get(name) is None else fields[name]
        ids = value if isinstance(value, list) else [] if value is None else [value]
        if not all(type(one) is int and one >= 0 for one in ids):
            raise ValueError(f"{file}: {name} = {value!r}: a token id, a list of them or null is expected")
        tokens[name] = ids
    starts = [*tokens["bos_token_id"], *([] if bos is None else [bos])]
    ends = list(dict.fromkeys([*tokens["eos_token_id"], *([] if end is None else [end])]))
    return fields | {
        "bos_token_id": starts[0] if starts else None,
        "eos_token_id": ends if len(ends) > 1 else ends[0] if ends else None,
    }


def read_json(file: UPath) -> dict[str, Any]:
    """The object in a JSON file. Raises ValueError that names file and line if there is none."""
    try:
        found = json.loads(files.read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}, line {error.lineno}: no valid JSON ({error.msg}); download it again") from error
    except RecursionError as error:
        raise ValueError(f"{file}: JSON nested too deeply to be such a file; download it again") from error
    if not isinstance(found, dict):
        raise ValueError(f"{file}: a JSON object is expected, found {type(found).__name__}")
    return found
