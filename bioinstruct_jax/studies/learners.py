"""How the models of a study are tuned: their settings of `train`, as its command line will make them."""

from collections.abc import Iterator, Mapping
from typing import Any

from bioinstruct_jax import schema, settings, yaml12
from bioinstruct_jax.config import Train
from bioinstruct_jax.settings import NoExtras, SettingsError
from bioinstruct_jax.studies.job import Learner, Study
from bioinstruct_jax.usage import Verb

OWN = ("name", "runs_dir", "seed", "data.sources")  # keys of `train` that a study sets for each cell
TRAIN = Verb("train", "", ())


def of(job: Study, name: str) -> Learner:
    """A model of the study by its name."""
    return next(one for one in job.models if one.name == name)


def options(learner: Learner) -> list[str]:
    """`Learner.set` as words of `train`'s command line, in its order: ``--data.length=512``.

    A section within it is taken key by key, so that what it does not name stays as the settings have it.
    """
    return [f"--{key}={yaml12.inline(value)}" for key, value in _keys(learner.set, Train, "")]


def train_settings(learner: Learner) -> Train:
    """The settings of `train` for a model, before a cell sets its name, folder, seed and rows.

    Raises:
        SettingsError (a ValueError): the file is not there or not valid; `set` has a key or value that `train` does not
            take, or one that the study sets itself; or each cell would have another tokenizer. Names the model.
    """
    where = f"models: {learner.name}"
    for key, _ in _keys(learner.set, Train, ""):
        if any(f"{key}.".startswith(f"{own}.") for own in OWN):
            raise SettingsError(f"{where}: set: {key} is set by the study for each cell; leave it out")
    try:
        job, _ = settings.load([learner.settings, *options(learner)], TRAIN, Train, NoExtras)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from None
    if job.tokenizer.train_vocab_size:
        raise SettingsError(
            f"{where}: tokenizer.train_vocab_size {job.tokenizer.train_vocab_size} trains a tokenizer on the rows of "
            "each arm, so no two cells could be compared. Give tokenizer.path, or a base that has a tokenizer"
        )
    return job


def _keys(values: Mapping[str, Any], kind: Any, above: str) -> Iterator[tuple[str, Any]]:
    """Every value with its key in full, sections taken apart."""
    for key, value in values.items():
        inner = kind
        for part in str(key).split("."):
            inner = schema.child(inner, part) if inner is not None else None
        if isinstance(value, Mapping) and schema.fields(inner):
            yield from _keys(value, inner, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
