import shlex
import string
import sys
from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st

from bioinstruct_jax import settings
from bioinstruct_jax.evaluate import Options as EvaluateOptions
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.studies import commands, folder, grid, learners
from bioinstruct_jax.studies.grid import Cell
from bioinstruct_jax.usage import Verb
from tests.studies import grids

NAMES = st.text(string.ascii_letters + string.digits + " '\"$#&é[]{}:,", min_size=1, max_size=12)
VLLM = {"name": "other", "runs_on": "server", "endpoint": {"model": "m", "base_url": "http://127.0.0.1:9/v1"}}


def test_training_is_that_of_the_settings_with_the_keys_of_the_cell(tmp_path):
    # Mutations: seed, runs_dir or sources left out; `set` behind the study's own keys.
    study = grids.job(
        tmp_path, models=[{"name": "small", "settings": str(grids.file(tmp_path).parent / "tune.yaml"),
                           "set": {"optimizer.learning_rate": 0.5, "optimizer": {"warmup_steps": 1}}}]
    )  # fmt: skip
    cell = replace(grids.TUNED, name="small-all-natural-s2", seed=2)
    made, bare = commands.training(study, cell), learners.train_settings(study.models[0])
    assert (made.name, made.seed, made.runs_dir) == (cell.name, 2, str(tmp_path / "study" / "runs"))
    assert (made.optimizer.learning_rate, made.optimizer.warmup_steps) == (0.5, 1)
    assert [source.path for source in made.data.sources] == [str(tmp_path / "study/arms/all-natural.jsonl")]
    data = replace(made.data, sources=bare.data.sources)
    assert replace(made, name=bare.name, seed=bare.seed, runs_dir=bare.runs_dir, data=data) == bare


@limits(max_examples=25)
@given(name=NAMES, rate=st.floats(1e-9, 1, allow_nan=False), text=NAMES)
def test_a_shell_gives_back_every_word(tmp_path_factory, name, rate, text):
    # Mutation: words joined with spaces and not quoted.
    home = tmp_path_factory.mktemp("home") / name
    home.mkdir()
    study = grids.job(home)
    study = replace(
        study, models=(replace(study.models[0], set={"optimizer.learning_rate": rate, "lora.start": text}),)
    )
    both = commands.commands(study, grids.TUNED)
    first, second = commands.line(both).split(" && ") if "&&" not in name + text else (None, None)
    for one, line in zip(both, (first, second), strict=True):
        assert line is None or shlex.split(line) == [sys.executable, "-m", f"bioinstruct_jax.{one.verb}", *one.words]
    made = commands.training(study, grids.TUNED)
    assert (made.optimizer.learning_rate, made.lora.start) == (rate, text)


@pytest.mark.parametrize(
    "cell", [grids.TUNED, grids.BASE, Cell("other", "comparator", "other", "")], ids=lambda c: c.kind
)
def test_evaluation_is_that_of_the_study_for_one_model(tmp_path, cell):
    # Mutations: `models` left in evaluation.yaml and not given; a null written for the default of `model`.
    study = grids.job(tmp_path, comparators=[VLLM], evaluation={"tasks": ["QA"], "limit": 7})
    folder.begin(study)
    words = list(commands.evaluate(study, cell).words)
    read, _ = settings.load(words, Verb("evaluate", "", ()), Evaluate, EvaluateOptions)
    assert read == commands.evaluation(study, cell)
    assert (read.out, read.limit, read.tasks) == (str(tmp_path / "study/scores" / cell.name), 7, ("QA",))
    (model,) = read.models
    assert model.name == cell.name
    assert "model: null" not in words[-1]


def test_which_model_a_cell_is(tmp_path):
    study = grids.job(tmp_path, comparators=[VLLM])
    tuned, base = (commands.model(study, cell) for cell in (grids.TUNED, grids.BASE))
    assert (tuned.adapter, tuned.model, tuned.template) == (str(tmp_path / f"study/runs/{tuned.name}"), None, "alpaca")
    assert (base.adapter, base.model, base.template) == (None, str(tmp_path / "base"), "alpaca")
    assert commands.model(study, grid.cells(study)[-1]) == study.comparators[0]


def test_a_run_that_tunes_all_weights_leaves_a_model(tmp_path):
    # Mutation: the run given as an adapter, which `evaluate` refuses.
    study = grids.job(tmp_path)
    tune = yaml.safe_load((tmp_path / "tune.yaml").read_text()) | {"trainable": "all"}
    del tune["lora"]
    (tmp_path / "tune.yaml").write_text(yaml.safe_dump(tune))
    model = commands.model(study, grids.TUNED)
    assert (model.adapter, model.model) == (None, str(tmp_path / f"study/runs/{grids.TUNED.name}"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model.weights": "random", "model.shape": {"hidden_size": 8}}, "made anew with each seed"),
        ({"model.revision": "abc"}, "takes no revision"),
    ],
)
def test_a_base_that_cannot_be_scored_is_refused(tmp_path, change, said):
    study = grids.job(tmp_path)
    learner = replace(study.models[0], set=change)
    if "model.shape" in change:
        shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
        learner = replace(learner, set={**change, "model.shape": {**shape, "max_position_embeddings": 128}})
    with pytest.raises(ValueError, match=said):
        commands.model(replace(study, models=(learner,)), grids.BASE)
