"""A model of the hub, with an adapter or without, as a language model that PyTorch runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bioinstruct_jax import files
from bioinstruct_jax.evaluation.encoding import adds_bos
from bioinstruct_jax.inference import loaded
from bioinstruct_jax.inference.hub_language_model import HubLanguageModel
from bioinstruct_jax.inference.loaded import Loaded
from bioinstruct_jax.interop import peft_adapter

if TYPE_CHECKING:
    from upath import UPath


def load(
    model: str | None,
    adapter: str | None = None,
    *,
    dtype: str | None = None,
    batch: int = 32,
    context: int | None = None,
    bos: bool | None = None,
) -> Loaded[HubLanguageModel]:
    """Read a model onto the first CUDA device, or the CPU. No code of the model's own is run, and no pickle is read.

    Args:
        model: local folder or hub id, of any architecture in transformers; None: the base that the adapter names.
        adapter: PEFT folder, run folder or hub id; it stays beside its base.
        dtype: of weights and products, ``float32`` or ``bfloat16``; None: float32 on a CPU, else bfloat16.
        batch: sequences at once.
        context: longest sequence in tokens; None: what the base was made for.
        bos: whether raw texts get BOS in front; None: as the tokenizer does by itself.

    Raises:
        ValueError: a package is missing, nothing is named, weights are pickles or in a bucket, the architecture needs
            code of its own, no tokenizer is there, or a file is damaged.
        OSError: something is not there or may not be read.
    """
    try:
        import peft
        import torch
        import transformers
    except ImportError as error:
        raise ValueError(
            f"runs_on transformers needs a package that is not installed ({error}): "
            "pip install 'bioinstruct-jax[transformers]'"
        ) from error
    base, place = loaded.places(model, adapter)
    for folder, weights in ((base, "model*.safetensors"), *(((place, peft_adapter.WEIGHTS),) if place else ())):
        if not files.is_local(folder):
            raise ValueError(f"{folder}: transformers reads local folders alone; copy it here, or give runs_on: jax")
        if not any(folder.glob(weights)):
            raise ValueError(
                f"{folder}: no {weights}; weights as pickles (*.bin, *.pt) can run code and are not read: save them "
                "with save_pretrained(..., safe_serialization=True)"
            )
    words, tokenizer = loaded.words_of(base, place)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kind = dtype or ("float32" if device == "cpu" else "bfloat16")
    try:
        made: Any = transformers.AutoModelForCausalLM.from_pretrained(
            str(base),
            dtype=getattr(torch, kind),
            trust_remote_code=False,
            use_safetensors=True,
            local_files_only=True,
        )
    except (ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{base}: transformers {transformers.__version__} cannot read it: {_start(error)}") from error
    loaded.check_rows(words, base, made.get_input_embeddings().weight.shape[0])
    limit = _longest_context(base, made.config) if context is None else context
    if place is not None:
        made = peft.PeftModel.from_pretrained(made, str(place), is_trainable=False)
    bos = adds_bos(tokenizer) if bos is None else bos
    language_model = HubLanguageModel(made.to(device).eval(), tokenizer, loaded.ends(words, base), limit, bos, batch)
    return Loaded(language_model, base, place, words)


def _longest_context(base: UPath, config: Any) -> int:
    """``max_position_embeddings``, which ``dynamic`` scaling goes beyond by its factor."""
    config = config.get_text_config()
    if not hasattr(config, "max_position_embeddings"):  # under whichever name config.json has it
        raise ValueError(f"{base / 'config.json'}: no longest context is given there; give the model's `context`")
    longest = config.max_position_embeddings
    rope = config.to_dict().get("rope_parameters") or {}
    return int(longest * (rope.get("factor", 1) if rope.get("rope_type") == "dynamic" else 1))


def _start(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
