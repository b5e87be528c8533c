"""What a plan needs to know of a job beside its settings: the size of its base and of its data, without a network."""

import contextlib
import math
from dataclasses import replace

from bioinstruct_jax import files, settings
from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.data import dataset, tokenizer
from bioinstruct_jax.interop import base
from bioinstruct_jax.resources import resource, shipped_base


def base_shape(job: Train) -> Shape:
    """The base's size, with its vocabulary: of config.json where `model.weights` is a folder, else of the settings.

    A hub id is not looked up: `model.shape` says its size, or a shipped configuration that names the same id.

    Raises:
        ValueError: it is said nowhere, or a folder contradicts the settings.
    """
    weights, wanted = job.model.weights, job.model.shape
    if weights != "random" and files.path(shipped_base(weights) or weights).is_dir():
        return base.resolve(job, 0).shape
    if wanted is None:
        if (shipped := _shipped(weights)) is not None:
            return base_shape(shipped)
        raise ValueError(
            f"the size of model.weights {weights!r} is not known here: give model.shape.* as its config.json has it, "
            "or the folder of the model"
        )
    if wanted.vocab_size:
        return wanted
    size = job.tokenizer.train_vocab_size
    if size is None:
        if not job.tokenizer.path:
            raise ValueError("model.shape.vocab_size is not given; it is in the base's config.json")
        size = len(tokenizer.load(job.tokenizer.path))
    return replace(wanted, vocab_size=size)


def _shipped(weights: str) -> Train | None:
    """The first shipped configuration of a base that says its size."""
    for file in sorted(resource("configs").glob("*.yaml")):
        with contextlib.suppress(settings.SettingsError):  # some leave model.weights to their user
            job = settings.loads(file.read_text(encoding="utf-8"), job=Train, where=file.name)
            if job.model.weights == weights and job.model.shape is not None:
                return job
    return None


def training_rows(job: Train) -> int:
    """Packed rows to train on, if sources and tokenizer lie on this machine.

    Raises:
        ValueError, OSError: they do not, naming what is missing, or cannot be used.
    """
    missing = [source.path for source in job.data.sources if source.path != "seeds" and not _here(source.path)]
    words = job.tokenizer.path or (None if job.tokenizer.train_vocab_size else job.model.weights)
    if words not in (None, "tiny") and not _here(str(words)):
        missing.append(f"the tokenizer of {words}")
    if missing:
        raise FileNotFoundError(f"not on this machine: {', '.join(missing)}")
    return len(dataset.load(job).train.tokens)


def _here(name: str) -> bool:
    return files.path(name).exists()


def steps(job: Train, rows: int | None) -> int | None:
    """Optimizer steps of the run, as `train` counts them; None if they follow from rows that nobody knows."""
    if job.training.steps:
        return job.training.steps
    return math.ceil((job.training.epochs or 0) * rows / job.training.batch_rows) if rows else None
