"""The base model of a job: its size, its values on the mesh, and what identifies it afterwards."""

from dataclasses import dataclass, replace
from typing import Any

import jax
from flax import nnx
from upath import UPath

from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.interop import hub_config, hub_weights, start
from bioinstruct_jax.interop.peft_adapter import Adapter
from bioinstruct_jax.model.weights import base_weights, lora_weights
from bioinstruct_jax.training.state import Plan, by_path, from_paths, initialize
from bioinstruct_jax.training.state import plan as plan_model


@dataclass(frozen=True)
class Base:
    """Where a base model comes from.

    Attributes:
        shape: with its vocabulary size.
        folder: its files in Hugging Face layout; None for random weights.
    """

    shape: Shape
    folder: UPath | None


def resolve(job: Train, vocabulary: int) -> Base:
    """Find the base model and its size; reads config.json but no weights.

    Args:
        vocabulary: ids that the tokenizer can give; random weights get that many rows.

    Raises:
        ValueError: if the size, the settings and the tokenizer contradict each other; names both values.
        FileNotFoundError: if the model is not there.
    """
    wanted = job.model.shape
    if job.model.weights == "random":
        assert wanted is not None  # config.Model holds this
        shape = wanted if wanted.vocab_size else replace(wanted, vocab_size=vocabulary)
        folder = None
    else:
        folder = hub_config.locate(job.model.weights, job.model.revision)
        shape = hub_config.read_shape(folder)
        if wanted is not None:
            _same(wanted, shape, job.model.weights)
    if vocabulary > (shape.vocab_size or 0):
        raise ValueError(
            f"the tokenizer has {vocabulary} ids but the base model only {shape.vocab_size} embedding rows: "
            "they do not belong together; check tokenizer.path and model.weights"
        )
    if job.data.length > shape.max_position_embeddings:
        raise ValueError(
            f"data.length {job.data.length} is beyond the base model's max_position_embeddings "
            f"{shape.max_position_embeddings}: give --data.length={shape.max_position_embeddings} or less"
        )
    return Base(shape, folder)


def _same(wanted: Shape, found: Shape, weights: str) -> None:
    differences = [
        f"model.shape.{name} {getattr(wanted, name)!r}, config.json {getattr(found, name)!r}"
        for name in Shape.__dataclass_fields__
        if name not in ("vocab_size", "initializer_range", "num_key_value_heads", "head_dim")
        and getattr(wanted, name) != getattr(found, name)
    ]
    for name in ("key_value_heads", "head_size"):
        if getattr(wanted, name) != getattr(found, name):
            differences.append(f"{name} {getattr(wanted, name)}, config.json {getattr(found, name)}")
    if wanted.vocab_size and wanted.vocab_size != found.vocab_size:
        differences.append(f"model.shape.vocab_size {wanted.vocab_size}, config.json {found.vocab_size}")
    if differences:
        raise ValueError(
            f"model.shape is not that of {weights}: {'; '.join(differences)}. Set model.shape to null, and the size is "
            "that of config.json; or start from settings made for this base (train small, for the shipped one)"
        )


def place(job: Train, plan: Plan, base: Base, adapter: Adapter | None) -> tuple[nnx.State, nnx.State]:
    """The trained and the frozen tree with their values, made or read straight into their shards.

    Args:
        adapter: that training goes on from, as `start.resolve` gives it; None: A random, B zero.
    """
    if base.folder is None:
        trained = initialize(plan.trained, plan.weights, base.shape, job.seed)
        return trained, initialize(plan.frozen, plan.weights, base.shape, job.seed)
    table = base_weights(base.shape, job.model.quantize)
    if job.trainable == "all":
        return from_paths(plan.trained, hub_weights.load(base.folder, by_path(plan.trained), table)), plan.frozen
    frozen = from_paths(plan.frozen, hub_weights.load(base.folder, by_path(plan.frozen), table))
    if adapter is not None:
        return from_paths(plan.trained, start.place(adapter, by_path(plan.trained))), frozen
    return initialize(plan.trained, plan.weights, base.shape, job.seed), frozen


def unquantized(job: Train, base: Base, mesh: jax.sharding.Mesh, frozen: nnx.State) -> nnx.State:
    """A random base as `frozen` holds it, or, where that is quantised, as it was before: made again, all of it."""
    if job.model.quantize == "none":
        return frozen
    whole = plan_model(replace(job, model=replace(job.model, quantize="none")), base.shape, mesh)
    return initialize(whole.frozen, whole.weights, base.shape, job.seed)


def identity(job: Train, plan: Plan, base: Base, trained: nnx.State, frozen: nnx.State) -> dict[str, Any]:
    """Name and hash of the base: an adapter is worth nothing without knowing what it adapts.

    The hash is of the base as it lies in memory: of a quantised one, of codes and scales, and ``quantize`` says how.
    With ``lora.start``, name and hash of that adapter as well, under ``start``.

    Args:
        trained, frozen: as `place` gives them, before the first step.
    """
    arrays = by_path(frozen if job.trainable == "lora" else trained)
    found: dict[str, Any] = {
        "weights": job.model.weights,
        "revision": job.model.revision,
        "seed": job.seed if base.folder is None else None,
        "sha256": hub_weights.base_hash(arrays, base_weights(base.shape, job.model.quantize)),
    }
    if job.model.quantize != "none":
        found["quantize"] = job.model.quantize
    if job.lora.start is not None:
        sha256 = hub_weights.base_hash(by_path(trained), lora_weights(base.shape, job.lora))
        found["start"] = {"adapter": job.lora.start, "sha256": sha256}
    return found
