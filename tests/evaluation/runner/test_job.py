"""The settings of an evaluation: what is refused, and that every shipped configuration is one."""

import re

import pytest

from bioinstruct_jax import settings
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model
from bioinstruct_jax.resources import resource

ONE = (Model(model="m"),)


SHIPPED = ("base_and_tuned", "demo", "medical_llamas", "medtuned_dev", "papers", "server", "stored_outputs")


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_configurations_are_whole_and_dump_to_themselves(name):
    file = resource("configs", f"evaluation/{name}.yaml")
    job = settings.loads(file.read_text(encoding="utf-8"), job=Evaluate, where=str(file))
    assert settings.loads(settings.dump(job), job=Evaluate, where="again") == job
    assert f"evaluate {name}" in file.read_text(encoding="utf-8"), "its header says the command"


def test_every_shipped_configuration_is_tested():
    shipped = {file.stem for file in resource("configs", "evaluation/papers.yaml").parent.iterdir()}
    assert shipped == set(SHIPPED)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"tasks": ("med_qa",)}, "'med_qa' is neither a task nor a group; did you mean medqa?"),
        ({"tasks": ()}, "at least 1 item"),
        ({"models": ONE + ONE}, "two have one name"),
        ({"baseline": "other"}, "baseline 'other': the models are model"),
        ({"protocols": ()}, "at least 1 item"),
        ({"judge": {"tasks": ("GENN",)}}, "'GENN' is neither a task nor a group"),
        ({"bertscore": {"model": "roberta-large"}}, "layer"),
        ({"bertscore": {"model": "roberta-large", "layer": 0}}, "greater than 0"),
        ({"resamples": 10}, "greater than or equal to 100"),
    ],
)
def test_what_cannot_be_is_refused_with_the_values(changed, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Evaluate(**{"out": "o", "models": ONE} | changed)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({}, "give model, adapter, or both"),
        ({"runs_on": "server"}, "runs_on server needs endpoint"),
        ({"runs_on": "predictions"}, "runs_on predictions needs predictions"),
        ({"model": "m", "predictions": "p.jsonl"}, "runs_on jax takes no predictions"),
        ({"runs_on": "predictions", "predictions": "p", "adapter": "a"}, "takes neither model nor adapter"),
        ({"model": "m", "name": "a/b"}, "should match pattern"),
    ],
)
def test_a_model_is_what_runs_it_needs(model, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        Model(**model)
