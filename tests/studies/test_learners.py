"""The settings of a model of a study are those that `train`'s command line makes."""

import pytest

from bioinstruct_jax import settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.settings import NoExtras, SettingsError
from bioinstruct_jax.studies.job import Learner
from bioinstruct_jax.studies.learners import TRAIN, options, train_settings


def learner(**keys) -> Learner:
    return Learner(name="small", settings="tiny", set=keys)


def test_settings_are_those_of_the_same_command():
    given = learner(
        **{
            "optimizer.learning_rate": 1e-4,
            "lora": {"targets": ["q_proj", "v_proj"], "rank": 4},
            "model.revision": None,
            "data.template": "medtuned",
            "training.best": "1",
        }
    )
    said = options(given)
    assert said == [
        "--optimizer.learning_rate=0.0001",
        "--lora.targets=[q_proj, v_proj]",
        "--lora.rank=4",
        "--model.revision=null",
        "--data.template=medtuned",
        "--training.best='1'",
    ]
    del given.set["training.best"]
    job = train_settings(given)
    assert job == settings.load(["tiny", *options(given)], TRAIN, Train, NoExtras)[0]
    assert (job.optimizer.learning_rate, job.lora.targets, job.lora.rank) == (1e-4, ("q_proj", "v_proj"), 4)
    # Mutation: sections set whole would lose what the file says of the others.
    assert job.lora.alpha == settings.load(["tiny"], TRAIN, Train, NoExtras)[0].lora.alpha


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"optimizer.learning_rat": 1}, "models: small: --optimizer.learning_rat: unknown key; .*learning_rate"),
        ({"optimizer": {"learning_rat": 1}}, "models: small: --optimizer.learning_rat: unknown key"),
        ({"data.length": "long"}, "models: small: --data.length: needs a whole number"),
        ({"preview": 3}, "models: small: --preview: unknown key"),
        ({"seed": 3}, "models: small: set: seed is set by the study"),
        ({"data": {"sources": [{"path": "x"}]}}, "models: small: set: data.sources is set by the study"),
        ({"data.sources.0.path": "x"}, "set: data.sources.0.path is set by the study"),
    ],
)
def test_what_train_does_not_take_names_the_model(keys, said):
    with pytest.raises(SettingsError, match=said):
        train_settings(learner(**keys))


def test_settings_that_are_not_there_and_tokenizers_of_each_arm():
    with pytest.raises(SettingsError, match="models: small: tinny: no such settings file; did you mean tiny"):
        train_settings(Learner(name="small", settings="tinny"))
    with pytest.raises(SettingsError, match="train_vocab_size 300 trains a tokenizer on the rows of each arm"):
        train_settings(learner(**{"tokenizer.path": None, "tokenizer.train_vocab_size": 300}))
