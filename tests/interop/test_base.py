"""The base of a training, by its settings: what contradicts its config.json is told with what to do."""

import pytest

from bioinstruct_jax import settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.interop import base
from bioinstruct_jax.resources import shipped_base
from bioinstruct_jax.usage import Verb


def job_of(words: list[str]) -> Train:
    return settings.load(words, Verb("train", "", ()), Train, settings.NoExtras)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tiny"], r"model.shape.hidden_size 128, config.json \d+.*Set model.shape to null.*train small"),
        (["small", "--data.length=1024"], r"data.length 1024 is .* 512: give --data.length=512"),
    ],
)
def test_what_contradicts_its_config_is_told(words, said):
    job = job_of([*words, f"--model.weights={shipped_base('small')}"])
    with pytest.raises(ValueError, match=said):
        base.resolve(job, 500)


def test_without_a_shape_of_its_own_it_is_that_of_config_json():
    job = job_of(["small"])
    found = base.resolve(job, 500)
    assert found.shape.max_position_embeddings == 512
    with pytest.raises(ValueError, match="9999 ids but the base model only"):
        base.resolve(job, 9999)
