"""A model of an evaluation, loaded by JAX or by transformers, in the prompt template it is to be asked in."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import jax
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import Shape
from bioinstruct_jax.data import prompts
from bioinstruct_jax.evaluation.runner.job import Model
from bioinstruct_jax.evaluation.runner.ready import Local
from bioinstruct_jax.inference.conversation import choose_template
from bioinstruct_jax.inference.load import Loaded, load
from bioinstruct_jax.interop import hub_config, locate
from bioinstruct_jax.interop.peft_adapter import PROMPT
from bioinstruct_jax.interop.wording import Words


def recorded_template(models: Sequence[Model]) -> str | None:
    """The template that the first adapter with a record was trained with, for the models that have none."""
    for model in models:
        if model.adapter is not None:
            file = locate.adapter(model.adapter) / PROMPT
            if file.exists():
                return str(hub_config.read_json(file).get("name"))
    return None


def ready(model: Model, shared: str | None) -> Local:
    """Load a model.

    Args:
        shared: template of models that record none, so that base and tuned are asked alike.

    Raises:
        ValueError: something is damaged, missing or does not belong together; says what to do.
        OSError: a folder or file is not there, or may not be read.
    """
    if model.runs_on == "transformers":
        return _transformers(model, shared)
    dtype = model.dtype or ("float32" if jax.default_backend() == "cpu" else "bfloat16")
    base = locate.whole_model(model.model) if model.model else None
    loaded = load(base, model.adapter, dtype=dtype, slots=model.batch, context=model.context)
    template, notes = chosen(model, shared, loaded.words, loaded.language_model.engine.shape)
    return Local(
        name=model.name,
        fingerprint=_fingerprint(loaded.base, loaded.adapter, template, dtype, loaded.language_model.context),
        language_model=loaded.language_model,
        template=template,
        notes=[f"{model.name}: {note}" for note in notes],
        told=_told(loaded, template, dtype),
    )


def chosen(model: Model, shared: str | None, words: Words, shape: Shape) -> tuple[prompts.Template, list[str]]:
    """The template to ask in, and warnings; `shared` stands in only where the model records none and none is named."""
    if model.template is None and words.record is None and shared is not None and words.template is not None:
        return prompts.template(shared, words.template.tokenizer), [
            f"no {PROMPT} says how it was trained; it is asked in the template {shared}, as the tuned model is"
        ]
    return choose_template(model.template, words, shape)


def _transformers(model: Model, shared: str | None) -> Local:
    raise NotImplementedError


def _told(loaded: Loaded, template: prompts.Template, dtype: str) -> dict[str, Any]:
    return {
        "model": str(loaded.base),
        "adapter": str(loaded.adapter) if loaded.adapter else None,
        "dtype": dtype,
        "context": loaded.language_model.context,
        "template": template.name,
        "template_hash": template.hash,
    }


def _fingerprint(base: UPath, adapter: UPath | None, template: prompts.Template, dtype: str, context: int) -> str:
    """Hash of weights, settings and tokenizer files as they lie there, and of what they are read with."""
    digest = hashlib.sha256(json.dumps([template.hash, dtype, context, adapter is not None]).encode())
    for folder in (base, *([adapter] if adapter else [])):
        for file in sorted(folder.iterdir(), key=lambda file: file.name):
            if file.suffix in (".safetensors", ".json", ".model"):
                digest.update(f"{file.name} {files.sha256(file)}\n".encode())
    return digest.hexdigest()
