"""A model of an evaluation, ready to be asked for as long as it is needed; JAX is imported where it runs alone."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bioinstruct_jax.api.caller import key_of
from bioinstruct_jax.evaluation.models.predictions import Predictions
from bioinstruct_jax.evaluation.models.server import ServerModel
from bioinstruct_jax.evaluation.runner import cache, folder
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.evaluation.runner.ready import Foretold, Ready, Served
from bioinstruct_jax.tasks import compared

LOCAL = ("jax", "transformers")


@contextmanager
def opened(model: Model, job: Evaluate, plan: Sequence[Planned], shared: str | None, out: Path) -> Iterator[Ready]:
    """A model of the job, for as long as it is needed.

    Args:
        shared: as `shared_template` gives it.
        out: folder of the evaluation, for a server's journal.

    Raises:
        ValueError: something is damaged, missing or does not belong together; says what to do.
        OSError: a folder or file is not there, or may not be read.
    """
    if model.runs_on == "server":
        assert model.endpoint is not None  # the settings have checked it
        journal = out / folder.SERVERS / f"{model.name}.jsonl"
        journal.parent.mkdir(parents=True, exist_ok=True)
        with ServerModel(model.name, model.endpoint, journal=journal, budget=job.budget) as server:
            server.check()
            if restricted := sum(one.items for one in plan if one.task.licence.restricted):
                server.check(restricted=restricted)
            told = {"model": model.endpoint.model, "base_url": model.endpoint.base_url, "template": "the server's own"}
            yield Served(model.name, cache.key(told), server, server.notes(), told)
    elif model.runs_on == "predictions":
        assert model.predictions is not None
        with Predictions(model.predictions) as predictions:
            notes = [*predictions.notes, *_matched(predictions, plan)]
            told = {"predictions": model.predictions}
            yield Foretold(model.name, cache.key(told), predictions, notes, told)
    else:
        from bioinstruct_jax.inference.evaluated import ready

        yield ready(model, shared)


def check(job: Evaluate, plan: Sequence[Planned]) -> None:
    """Look for what would end the evaluation at a later model, before the first is asked: keys and predictions.

    Raises ValueError or OSError as `opened`.
    """
    for model in job.models[1:]:
        if model.runs_on == "server":
            assert model.endpoint is not None
            key_of(model.name, model.endpoint)
        elif model.runs_on == "predictions":
            assert model.predictions is not None
            with Predictions(model.predictions) as predictions:
                _matched(predictions, plan)


def _matched(predictions: Predictions, plan: Sequence[Planned]) -> list[str]:
    """Holds predictions against the items that are scored, and says what is odd; ValueError where these are others."""
    notes = []
    for one in plan:
        if not (found := predictions.protocols(one.task.name)):
            notes.append(f"no predictions of {one.task.name}, which is not scored")
            continue
        if predictions.numbered(one.task.name):
            items = enumerate(one.task.items(one.corpora, one.split), 1)
            predictions.name(one.task.name, (compared.row_id(one.task, one.split, *pair) for pair in items))
        ids = [question.id for question in one.questions()]
        for protocol in found:
            if protocol in one.protocols:
                notes += predictions.check(one.task.name, protocol, ids)
    return notes


def shared_template(models: Sequence[Model]) -> str | None:
    """The template that the first adapter with a record was trained with, for the models that record none."""
    for model in models:
        if model.runs_on in LOCAL and model.adapter is not None:
            from bioinstruct_jax.interop import hub_config, locate
            from bioinstruct_jax.interop.peft_adapter import PROMPT

            file = locate.adapter(model.adapter) / PROMPT
            if file.exists():
                return str(hub_config.read_json(file).get("name"))
    return None
