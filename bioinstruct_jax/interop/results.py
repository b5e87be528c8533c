"""What a finished run leaves for other tools: a PEFT adapter or a whole model, read back to be sure."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
from flax import nnx
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import Train
from bioinstruct_jax.data.dataset import Dataset
from bioinstruct_jax.interop import hub_config, hub_weights, model_card, peft_adapter
from bioinstruct_jax.interop.base import Base
from bioinstruct_jax.model.weights import base_weights, lora_weights
from bioinstruct_jax.resources import shipped_base
from bioinstruct_jax.run_folder import RunFolder
from bioinstruct_jax.training import processes
from bioinstruct_jax.training.state import by_path

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def save_base(folder: UPath, frozen: nnx.State, base: Base, tokenizer: PreTrainedTokenizerFast, dtype: str) -> None:
    """A random base beside its adapter: without it, the adapter could be loaded into nothing."""
    _save_model(folder, by_path(frozen), base, tokenizer, dtype)


def save(
    folder: RunFolder, job: Train, trained: nnx.State, base: Base, identity: dict[str, Any], data: Dataset
) -> UPath:
    """Write what was trained, read it back and compare; then the model card.

    Args:
        folder: the run folder; an adapter goes to ``adapter/``, a fully tuned model to ``model/``.
        identity: name and hash of the base, from `base.identity`.

    Returns:
        The folder written.

    Raises:
        ValueError: if what stands on disk is not what is in memory, naming the first tensor that differs.
    """
    arrays = by_path(trained)
    if job.trainable == "all":
        made, table = folder.path / "model", base_weights(base.shape)
        _save_model(made, arrays, base, data.tokenizer, "float32")
        record = json.dumps(data.template.record(), indent=2, ensure_ascii=False, sort_keys=True) + "\n"
        if folder.writes:
            files.write_text(made / peft_adapter.PROMPT, record)
    else:
        made, table = folder.path / "adapter", lora_weights(base.shape, job.lora)
        peft_adapter.save(
            made,
            arrays,
            lora=job.lora,
            shape=base.shape,
            base=_name(job, base, folder.path / "base"),
            revision=job.model.revision,
            tokenizer=data.tokenizer,
            template_record=data.template.record(),
        )
        processes.meet("written adapter")
        peft_adapter.verify(made, arrays, lora=job.lora, shape=base.shape)
    card = model_card.card(
        job,
        base=identity,
        data=data.report,
        losses=folder.losses(),
        sha256=hub_weights.base_hash(arrays, table),
        versions=folder.versions(),
    )
    if folder.writes:
        files.write_text(made / "README.md", card)
    return made


def _name(job: Train, base: Base, made: UPath) -> str:
    """By which an adapter names its base; a shipped one by its folder, which other loaders find too."""
    if base.folder is None:
        return str(made)
    return str(base.folder) if shipped_base(job.model.weights) else job.model.weights


def _save_model(
    folder: UPath, arrays: dict[str, Any], base: Base, tokenizer: PreTrainedTokenizerFast, dtype: str
) -> None:
    table = base_weights(base.shape)
    hub_weights.save(folder, arrays, table, max_shard_bytes=5 * 10**9)
    processes.meet(f"written {folder.name}")
    back = hub_weights.load(folder, arrays, table)
    for name, array in arrays.items():
        if not jnp.array_equal(array, back[name]):
            raise ValueError(f"{folder}: {name} was read back with other values than were written; is the disk full?")
    if not processes.first():
        return
    peft_adapter.save_tokenizer(folder, tokenizer)
    hub_config.write_config(folder, base.shape, bos=tokenizer.bos_token_id, eos=tokenizer.eos_token_id, dtype=dtype)
