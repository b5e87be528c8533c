"""An encoder of the hub, of BERT's kind, whose vectors BERTScore compares. PyTorch runs it, on the CPU."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from bioinstruct_jax import files
from bioinstruct_jax.evaluation.bertscore import Encoded
from bioinstruct_jax.interop import hub_config

if TYPE_CHECKING:
    from upath import UPath

    from bioinstruct_jax.evaluation.runner.job import BertScore

WEIGHTS = "model*.safetensors"
WANTED = (*hub_config.MODEL_FILES, "vocab.txt", "*.model")


class HubEncoder:
    """Implements `evaluation.bertscore.Encoder`.

    Args:
        model: that gives ``last_hidden_state``.
        tokenizer: of transformers.
        longest: tokens of a text, the opening and the closing one included.
        space: put a space in front of each text, so that a first word is the token that it is within a sentence.
        note: as `Encoder.note`.
    """

    def __init__(self, model: Any, tokenizer: Any, longest: int, space: bool, note: str):
        self._model, self._tokenizer, self._longest, self._space = model, tokenizer, longest, space
        self._apart = [tokenizer.cls_token_id, tokenizer.sep_token_id]
        self.note = note

    def encode(self, text: str) -> Encoded:
        """One text at a time, so that no score depends on its neighbours."""
        import torch

        text = " " * self._space + text.strip()
        ids = self._tokenizer(text, verbose=False)["input_ids"]
        cut = max(0, len(ids) - self._longest)
        if cut:
            ids = self._tokenizer(text, truncation=True, max_length=self._longest)["input_ids"]
        with torch.inference_mode():
            row = torch.tensor([ids])
            vectors = self._model(row, attention_mask=torch.ones_like(row)).last_hidden_state[0]
        return Encoded(vectors.double().numpy(), ~np.isin(ids, self._apart), cut)


def load(setting: BertScore) -> HubEncoder:
    """Read the first layers of an encoder. No code of the model's own is run, and no pickle is read.

    Raises:
        ValueError: a package is missing, weights are pickles, in a bucket or not those of an encoder, there are fewer
            layers, or no tokenizer.
        OSError: something is not there or may not be read.
    """
    try:
        import torch  # noqa: F401
        import transformers
    except ImportError as error:
        raise ValueError(
            f"bertscore needs a package that is not installed ({error}): pip install 'bioinstruct-jax[bertscore]'"
        ) from error
    folder = hub_config.locate(setting.model, None, setting="bertscore.model", wanted=WANTED)
    if not files.is_local(folder):
        raise ValueError(f"bertscore.model {folder}: transformers reads local folders alone; copy it here")
    if not any(folder.glob(WEIGHTS)):
        raise ValueError(
            f"bertscore.model {folder}: no {WEIGHTS}; weights as pickles (*.bin, *.pt) can run code and are not read: "
            "save them with save_pretrained(..., safe_serialization=True)"
        )
    quiet = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()  # about the layers that are left out
    try:
        config, tokenizer, model, missing = _read(folder, setting.layer)
        longest = _longest(model, tokenizer)
    except (ValueError, KeyError, AttributeError, RuntimeError, OSError) as error:
        said = " ".join(str(error).split())[:300]
        raise ValueError(
            f"bertscore.model {folder}: transformers {transformers.__version__} cannot take it: {said}"
        ) from error
    finally:
        transformers.logging.set_verbosity(quiet)
    if missing:
        raise ValueError(
            f"bertscore.model {folder}: the weights lack {len(missing)} tensors of {config.model_type}, {missing[0]} "
            "the first; they would be random"
        )
    if tokenizer.cls_token_id is None or tokenizer.sep_token_id is None:
        raise ValueError(
            f"bertscore.model {folder}: its tokenizer names no cls_token and sep_token, which are not compared"
        )
    space = isinstance(tokenizer, transformers.RobertaTokenizer | transformers.GPT2Tokenizer)
    note = (
        f"encoder {setting.model} (weights {_hash(folder)}), layer {setting.layer}, no idf, not rescaled, "
        f"transformers {transformers.__version__}; of a text, what is beyond {longest:,} tokens is not compared"
    )
    return HubEncoder(model, tokenizer, longest, space, note)


def _read(folder: UPath, layer: int) -> tuple[Any, Any, Any, list[str]]:
    """Configuration, tokenizer, model up to a layer, and the tensors that its files lack and that matter."""
    import torch
    import transformers

    local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
    config = transformers.AutoConfig.from_pretrained(str(folder), **local)
    if config.is_encoder_decoder:
        raise ValueError(f"{config.model_type} has an encoder and a decoder; give an encoder alone")
    if layer > config.num_hidden_layers:
        raise ValueError(f"bertscore.layer is {layer}, but it has {config.num_hidden_layers} layers")
    config.num_hidden_layers = layer
    tokenizer = transformers.AutoTokenizer.from_pretrained(str(folder), **local)
    model, found = transformers.AutoModel.from_pretrained(
        str(folder), config=config, dtype=torch.float32, use_safetensors=True, output_loading_info=True, **local
    )
    return config, tokenizer, model.eval(), sorted(name for name in found["missing_keys"] if "pooler" not in name)


def _longest(model: Any, tokenizer: Any) -> int:
    """Tokens for which there are positions; RoBERTa's table has some more rows, for padding."""
    positions = [model.config.max_position_embeddings]
    for name, module in model.named_modules():
        if name.endswith("position_embeddings"):
            unused = 0 if module.padding_idx is None else module.padding_idx + 1
            positions.append(module.num_embeddings - unused)
    return min(*positions, tokenizer.model_max_length)


def _hash(folder: UPath) -> str:
    """The beginning of a hash over the weights."""
    weights = sorted(folder.glob(WEIGHTS), key=lambda file: file.name)
    return hashlib.sha256("".join(files.sha256(file) for file in weights).encode()).hexdigest()[:12]
