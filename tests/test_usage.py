from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field

from bioinstruct_jax import config, schema, settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.train import EXAMPLES
from bioinstruct_jax.usage import Verb

VERB = Verb("train", "Trains.", EXAMPLES, default=Path("tiny.yaml"))


@config.config
class Extras:
    preview: Annotated[config.Natural, Field(description="print so many rows")] = 0


@pytest.fixture
def help_text(capsys):
    with pytest.raises(SystemExit) as caught:
        settings.load(["x.yaml", "--help"], VERB, Train, Extras)
    assert caught.value.code == 0
    return capsys.readouterr().out


def test_every_key_stands_in_the_help(help_text):
    # Mutation: leaving out the keys of list items in schema.keys
    for key in schema.keys(Train):
        if not schema.fields(key.kind):
            assert f"--{key.name}={schema.word(key.kind)}" in help_text
            assert key.description.split(";")[0].split()[0] in help_text
    assert "--data.sources.N.path=TEXT" in help_text
    assert "--model.shape.rope_scaling.rope_type=linear|dynamic|llama3" in help_text
    assert "--preview=INT" in help_text
    assert "print so many rows" in help_text


def test_sections_defaults_and_examples(help_text):
    assert help_text.startswith("usage: python -m bioinstruct_jax.train [CONFIG.yaml]")
    assert "model: The base model." in help_text
    assert "peak learning rate (default: 0.0002)" in help_text
    assert "name of the run folder (required)" in help_text
    assert "Examples:\n  python -m bioinstruct_jax.train\n" in help_text


def test_the_examples_are_possible(help_text):
    import shlex

    examples = help_text.split("Examples:\n")[1].splitlines()
    assert len(examples) >= 4
    for example in examples:
        options = [word for word in shlex.split(example)[3:] if word.startswith("--")]
        job, _ = settings.load(["llama2_7b", "--optimizer.warmup_steps=0", *options], VERB, Train, Extras)
        assert isinstance(job, Train)


@pytest.mark.parametrize(("columns", "widest"), [("80", 80), ("500", 120)])
def test_lines_fit_the_terminal(columns, widest, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    with pytest.raises(SystemExit):
        settings.load(["-h"], replace(VERB, description="Trains. " * 40), Train, Extras)
    lines = capsys.readouterr().out.split("Examples:")[0].splitlines()
    assert max(len(line) for line in lines if not line.lstrip().startswith(("--", "usage"))) <= widest
