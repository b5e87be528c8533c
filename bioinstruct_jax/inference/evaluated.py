"""The models of an evaluation that run here, loaded by JAX or by transformers, in the template they are asked in."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import jax
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data import prompts
from bioinstruct_jax.evaluation.runner.job import Model
from bioinstruct_jax.evaluation.runner.ready import Local
from bioinstruct_jax.inference.conversation import choose_template
from bioinstruct_jax.inference.load import load
from bioinstruct_jax.inference.opened import LOCAL, shared_template
from bioinstruct_jax.interop import hub_config, locate, wording
from bioinstruct_jax.interop.peft_adapter import PROMPT
from bioinstruct_jax.interop.wording import Words


def template_of(models: Sequence[Model]) -> prompts.Template:
    """The template in which the first model that runs here is asked; its weights are not read.

    Raises ValueError where none does.
    """
    model = next((model for model in models if model.runs_on in LOCAL), None)
    if model is None:
        raise ValueError("no model runs here: what a server makes of a question, its own template decides")
    words = _words(model)
    return _chosen(model, shared_template(models), words, len(words.tokenizer or ()))[0]


ANSWERS = 1  # raised whenever a model would answer the same question otherwise than before: what is kept is asked anew


def ready(model: Model, shared: str | None) -> Local:
    """Load a model; raises ValueError or OSError as `opened.opened`."""
    try:
        local = _transformers(model, shared) if model.runs_on == "transformers" else _jax(model, shared)
    except ValueError as error:
        raise ValueError(f"{model.name}: {_keys(str(error))}") from error
    except OSError as error:
        raise OSError(f"{model.name}: {_keys(str(error))}") from error
    if model.adapter is not None and model.model is not None:
        named = locate.recorded_base(locate.adapter(model.adapter))
        if named is not None and named.rstrip("/") != str(local.told["model"]).rstrip("/"):
            local.notes.append(f"its adapter was trained on {named}, and is scored on {local.told['model']}")
    return local


def _keys(said: str) -> str:
    """An error of loading, with the settings by their names here."""
    return (
        said.replace("--base", "models.N.model")
        .replace("--model", "models.N.model")
        .replace("--adapter", "models.N.adapter")
    )


def _jax(model: Model, shared: str | None) -> Local:
    dtype = model.dtype or ("float32" if jax.default_backend() == "cpu" else "bfloat16")
    base = locate.whole_model(model.model) if model.model else None
    loaded = load(base, model.adapter, dtype=dtype, slots=model.batch, context=model.context)
    template, notes = _chosen(model, shared, loaded.words, loaded.language_model.engine.shape.vocab_size or 0)
    told = _told(loaded.base, loaded.adapter, dtype, loaded.language_model.context, template)
    return Local(model.name, _fingerprint(told), loaded.language_model, template, notes, told)


def _transformers(model: Model, shared: str | None) -> Local:
    from bioinstruct_jax.inference import hub_load

    base = locate.whole_model(model.model) if model.model else None
    loaded = hub_load.load(base, model.adapter, dtype=model.dtype, batch=model.batch, context=model.context)
    rows = loaded.language_model.model.get_input_embeddings().weight.shape[0]
    template, notes = _chosen(model, shared, loaded.words, rows)
    dtype = str(loaded.language_model.model.dtype).removeprefix("torch.")
    told = _told(loaded.base, loaded.adapter, dtype, loaded.language_model.context, template)
    return Local(
        model.name, _fingerprint(told | {"runs_on": "transformers"}), loaded.language_model, template, notes, told
    )


def _words(model: Model) -> Words:
    """Tokenizer and template of a model, without its weights."""
    adapter = locate.adapter(model.adapter) if model.adapter is not None else None
    named = locate.whole_model(model.model) if model.model else None
    base = locate.base(named, adapter) if adapter is not None else hub_config.locate(named or "", None, setting="model")
    words = wording.read(adapter or base, base)
    if words.tokenizer is None:
        raise ValueError(f"{model.name}: {base} has no tokenizer{' and neither has its adapter' if adapter else ''}")
    return words


def _chosen(model: Model, shared: str | None, words: Words, rows: int) -> tuple[prompts.Template, list[str]]:
    """The template to ask in, and warnings; `shared` stands in only where the model records none and none is named."""
    if model.template is None and words.record is None and shared is not None and words.template is not None:
        return prompts.template(shared, words.template.tokenizer), [
            f"no {PROMPT} says how it was trained; it is asked in the template {shared}, as the tuned model is"
        ]
    return choose_template(model.template, words, rows)


def _told(base: UPath, adapter: UPath | None, dtype: str, context: int, template: prompts.Template) -> dict[str, Any]:
    return {
        "model": str(base),
        "adapter": str(adapter) if adapter else None,
        "dtype": dtype,
        "context": context,
        "template": template.name,
        "template_hash": template.hash,
        "files": {
            role: {file.name: files.sha256(file) for file in _files(folder)}
            for role, folder in (("base", base), ("adapter", adapter))
            if folder is not None
        },
    }


def _files(place: UPath) -> list[UPath]:
    """The files of a model's folder that its answers depend on."""
    found = [file for file in place.iterdir() if file.suffix in (".safetensors", ".json", ".model")]
    return sorted(found, key=lambda file: file.name)


def _fingerprint(told: dict[str, Any]) -> str:
    """Hash of weights, settings and tokenizer as they lie there, and of what they are read with; not of where."""
    parts = {name: value for name, value in told.items() if name not in ("model", "adapter")}
    return hashlib.sha256(json.dumps([ANSWERS, parts], sort_keys=True).encode()).hexdigest()
