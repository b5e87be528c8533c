"""The ordinary commands that a cell is made of: what anyone can run to repeat it."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from bioinstruct_jax import settings, yaml12
from bioinstruct_jax.config import Train
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model
from bioinstruct_jax.studies import arms, folder, learners
from bioinstruct_jax.studies.grid import Cell
from bioinstruct_jax.studies.job import Study


@dataclass(frozen=True)
class Command:
    """`python -m bioinstruct_jax.<verb> <words>`."""

    verb: Literal["train", "evaluate"]
    words: tuple[str, ...]


def commands(job: Study, cell: Cell) -> list[Command]:
    """Both commands of a cell that is tuned, the second alone of others. Raises ValueError as `model`."""
    tuned = [train(job, cell)] if cell.kind == "tuned" else []
    return [*tuned, evaluate(job, cell)]


def anywhere(wanted: Sequence[Command]) -> str:
    """The same for a shell that stands in any folder: paths of settings are those of this one."""
    return f"cd {shlex.quote(str(Path.cwd()))} && {line(wanted)}"


def line(wanted: Sequence[Command]) -> str:
    """Commands as one line for a shell, by this Python; each is run if the one before it ended well."""
    return " && ".join(shlex.join([sys.executable, "-m", f"bioinstruct_jax.{one.verb}", *one.words]) for one in wanted)


def train(job: Study, cell: Cell) -> Command:
    """The training of a tuned cell."""
    out = folder.place(job)
    sources = yaml12.inline([{"path": str(arms.file(job, cell))}])
    own = [f"--name={cell.name}", f"--runs_dir={out / folder.RUNS}", f"--seed={cell.seed}", f"--data.sources={sources}"]
    one = learners.of(job, cell.model)
    return Command("train", (one.settings, *learners.options(one), *own))


def training(job: Study, cell: Cell) -> Train:
    """The settings that its command leads to. Raises ValueError for settings that cannot be used."""
    return settings.load(list(train(job, cell).words), learners.TRAIN, Train, settings.NoExtras)[0]


def evaluate(job: Study, cell: Cell) -> Command:
    """The evaluation of a cell; raises ValueError as `model`."""
    out = folder.place(job)
    models = yaml12.inline([_given(model(job, cell))])
    words = (str(out / folder.EVALUATION), f"--out={out / folder.SCORES / cell.name}", f"--models={models}")
    return Command("evaluate", words)


def evaluation(job: Study, cell: Cell) -> Evaluate:
    """The settings that its command leads to; raises ValueError as `model`."""
    return replace(
        folder.scored(job), out=str(folder.place(job) / folder.SCORES / cell.name), models=(model(job, cell),)
    )


def model(job: Study, cell: Cell) -> Model:
    """The model of a cell, by the cell's name; base and tuned ones are asked in the template of training.

    Raises:
        ValueError: the settings of training cannot be used, or their base is no folder or hub id by itself.
    """
    if cell.kind == "comparator":
        return next(one for one in job.comparators if one.name == cell.name)
    one = learners.of(job, cell.model)
    tuning = learners.train_settings(one)
    if tuning.model.weights == "random":
        raise ValueError(
            f"models: {one.name}: {one.settings} has model.weights 'random', which is made anew with each seed; train "
            "a base first, and give its folder: set {model.weights: runs/NAME/model}"
        )
    if tuning.model.revision is not None:
        raise ValueError(
            f"models: {one.name}: model.revision {tuning.model.revision!r}: `evaluate` takes no revision; download it, "
            "and give its folder as model.weights"
        )
    place: dict[str, Any] = {"model": tuning.model.weights}
    if cell.kind == "tuned":
        run = str(folder.place(job) / folder.RUNS / cell.name)
        place = {"adapter" if tuning.trainable == "lora" else "model": run}
    return Model(name=cell.name, template=tuning.data.template, **place)


def _given(one: Model) -> dict[str, Any]:
    """What of a model's settings is not their default, as plain values."""
    plain, usual = (yaml12.read(settings.dump(each)).value for each in (one, Model(model="any")))
    assert isinstance(plain, dict)
    assert isinstance(usual, dict)
    usual["model"] = None
    return {key: value for key, value in plain.items() if key == "name" or value != usual[key]}
