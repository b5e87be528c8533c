"""Nothing read is nothing accepted: for every key of `Train`, what changes when it is changed.

open-instruct#1823 (`--resume_from_checkpoint` was never read). A key without an entry in a table
below fails.
"""

import copy
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import huggingface_hub.constants
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from bioinstruct_jax import files, run_folder, schema, train
from bioinstruct_jax.config import Train
from bioinstruct_jax.data import dataset, tokenizer
from bioinstruct_jax.data.prompts import ALPACA_INPUT, ALPACA_NO_INPUT, template
from bioinstruct_jax.inference import while_training
from bioinstruct_jax.interop import base, hub_config, start
from bioinstruct_jax.model.weights import base_weights
from bioinstruct_jax.training import program, recipes, sharding, state
from bioinstruct_jax.training.optimizer import make_optimizer
from tests.evaluation import choice_corpora

# Keys whose effect another test shows.
ELSEWHERE = {
    "training.best": "test_resume.py::test_the_best_adapter_is_the_one_that_is_left_and_training_ends_early",
    "evaluation.every_steps": "inference/test_while_training.py::"
    "test_scores_are_noted_before_training_at_the_chosen_steps_and_at_the_end",
    "training.early_stopping": "test_resume.py::test_the_best_adapter_is_the_one_that_is_left_and_training_ends_early",
    "training.skip_nonfinite": "test_resume.py::test_what_is_not_finite_stops_the_run_or_is_left_out",
    "training.save_failures": "test_resume.py::test_a_disk_without_room_ends_the_run_with_its_own_code",
    "training.profile_steps": "training/test_profile.py::test_a_window_of_a_run",
    "training.profile_after": "training/test_profile.py::test_a_window_of_a_run",
}

SIGNS = ["fever", "cough", "rash", "pallor", "oedema", "jaundice", "wheeze", "stridor", "ascites", "clubbing"]
SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SHAPE |= {"num_key_value_heads": 2, "max_position_embeddings": 256, "initializer_range": 0.2}
HOME = Path()  # of this module's files; set once by `home`


@pytest.fixture(scope="module", autouse=True)
def home(tmp_path_factory) -> Path:
    """Rows, a base without weights, a tokenizer, and a hub cache with one model in two revisions."""
    global HOME
    HOME = tmp_path_factory.mktemp("keys")
    rows = [
        {
            "instruction": f"Is there {sign}?",
            "input": f"{sign} " * place,
            "output": f"Yes, {sign}.",
            "category": sign[:1],
        }
        for place, sign in enumerate(SIGNS)
    ]
    rows += [{"instruction": "Long?", "input": "no " * 400, "output": "Yes."}]
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    _lines("rows.jsonl", [row | {"other": "x"} for row in rows])
    _lines("more.jsonl", rows[:3])
    _lines("both.jsonl", [rows[0] | {"messages": said}])
    _lines("bad.jsonl", [*rows, {"instruction": "no output"}])
    _lines("set/train.jsonl", rows[:4])
    _lines("set/test.jsonl", rows[4:])
    choice_corpora.write(HOME / "corpora")
    medqa = HOME / "corpora/medqa/phrases_no_exclude_{}.jsonl"
    dev, rows_of_test = str(medqa).format("dev"), Path(str(medqa).format("test")).read_text(encoding="utf-8")
    files.write_text(files.path(dev), rows_of_test.splitlines(keepends=True)[0])
    shutil.copytree(HOME / "corpora", HOME / "others")
    medmcqa = HOME / "others/medmcqa/dev.json"
    files.write_text(files.path(medmcqa), medmcqa.read_text(encoding="utf-8").replace("scurvy", "bleeding gums"))
    shape = job({"model.shape.vocab_size": 2048}).model.shape
    snapshots = HOME / "hub/models--o--m/snapshots"
    for place in (HOME / "base", snapshots / ("a" * 40), snapshots / ("b" * 40)):
        hub_config.write_config(files.path(place), shape, bos=0, eos=1, dtype="float32")
    for name, commit in (("main", "a"), ("v2", "b")):
        files.write_text(files.path(HOME / "hub/models--o--m/refs" / name), commit * 40)
    tokenizer.train([ALPACA_INPUT, ALPACA_NO_INPUT], 400).save_pretrained(HOME / "tokenizer")
    return HOME


def _lines(name: str, rows: list[dict]) -> None:
    files.write_text(files.path(HOME / name), "".join(json.dumps(row) + "\n" for row in rows))


def tree(changes: dict[str, Any]) -> dict[str, Any]:
    """The settings of a small job, with those of `changes` (dotted; HOME/ in a text is the folder of the files)."""
    made: dict[str, Any] = {
        "name": "run",
        "runs_dir": "HOME/runs",
        "platform": "cpu",
        "model": {"weights": "random", "shape": SHAPE, "dtype": "float32", "remat": "none"},
        "lora": {"rank": 4, "alpha": 8.0},
        "tokenizer": {"path": "tiny"},
        "data": {"sources": [{"path": "HOME/rows.jsonl"}], "length": 128, "cache_dir": "HOME/cache"},
        "optimizer": {"learning_rate": 0.01},
        "training": {"steps": 4, "batch_rows": 8},
        "mesh": {},
    }
    made = copy.deepcopy(made)
    for name, value in changes.items():
        *path, last = name.replace(".N", ".0").split(".")
        section: Any = made
        for key in path:
            section = section[int(key)] if isinstance(section, list) else section.setdefault(key, {})
        section[last] = copy.deepcopy(value)  # or a later change would reach into it
    return json.loads(json.dumps(made).replace("HOME", str(HOME)))


def job(changes: dict[str, Any]) -> Train:
    return TypeAdapter(Train).validate_python(tree(changes))


# -------------------------------------------------------------------- ways to look at a job


def step(changes: dict[str, Any]) -> str:
    """The train step as it is given to XLA; no array is made."""
    this = job(changes)
    mesh = sharding.make_mesh(this.mesh, jax.devices()[:1])
    plan = state.plan(this, base.resolve(this, len(tokenizer.load("tiny"))).shape, mesh)
    return program.lower(this, plan, make_optimizer(this.optimizer, this.training.steps or 1), mesh).as_text()


def weights(changes: dict[str, Any]) -> str:
    """Hash of the initial values of the head."""
    this, path = job(changes), "lm_head.kernel"
    shape = base.resolve(this, 300).shape
    weight, key = base_weights(shape)[path], jax.random.key(this.seed)
    return _sha256({path: np.asarray(state.initial_value(path, weight, shape, key, jnp.dtype("float32")))})


def rows(changes: dict[str, Any]) -> tuple[str, str | None]:
    """Hash of the rows of tokens to train on, and of those held out."""
    found = dataset.load(job(changes))
    train_rows, held_out = (None if part is None else _sha256(vars(part)) for part in (found.train, found.held_out))
    return str(train_rows), held_out


def caches(changes: dict[str, Any]) -> list[str]:
    """Which cache folders of a fresh pair something is written to."""
    wanted = job(changes | {"data.length": 100 + len(changes)})  # rows that no other test has made
    before = set(HOME.glob("cache*/*"))
    dataset.load(wanted)
    return sorted({file.parent.name for file in {*HOME.glob("cache*/*")} - before})


def mesh(changes: dict[str, Any]) -> dict[str, int]:
    return dict(sharding.make_mesh(job(changes).mesh, jax.devices()).shape)


def folder(changes: dict[str, Any]) -> str:
    """The run folder, made."""
    found = run_folder.open_run(job(changes)).path
    assert (found / "config.yaml").exists()
    return str(found)


def platform(changes: dict[str, Any]) -> str | None:
    """Which platform the verb asks JAX for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_PLATFORMS", "")
        assert train.main([_file(changes), "--preview=1"]) == 0
        return os.environ["JAX_PLATFORMS"]


def model(changes: dict[str, Any]) -> str:
    """The folder of the base model, or what it is; the hub is its cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(HOME / "hub"))
        patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
        return str(base.resolve(job(changes), 300).folder)


def adapter(changes: dict[str, Any]) -> object:
    """The adapter that training goes on from."""
    this, fast = job(changes), tokenizer.load("tiny")
    return start.resolve(this, base.resolve(this, len(fast)).shape, template("alpaca", fast))


def asked(changes: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """The tasks that are scored while training, how, and on which items."""
    corpora = {"evaluation.tasks": ["medmcqa"], "evaluation.corpora": "HOME/corpora"}
    found = while_training.read(job(corpora | changes))
    return [(one.task.name, one.protocol, [question.record.input for question in one.questions]) for one in found]


def options(changes: dict[str, Any]) -> object:
    """What the compiler is told for a GPU; tests/training/test_recipes.py shows that training tells it."""
    return recipes.compiler_options("gpu", "NVIDIA H200", job(changes).deterministic)


def settings(changes: dict[str, Any]) -> bool:
    """Whether the settings are taken."""
    return bool(job(changes))


def _sha256(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _file(changes: dict[str, Any]) -> str:
    file = HOME / f"{hashlib.sha256(json.dumps(changes).encode()).hexdigest()[:12]}.yaml"
    file.write_text(yaml.safe_dump(tree(changes)), encoding="utf-8")
    return str(file)


# -------------------------------------------------------------------- the keys of training


@dataclass(frozen=True)
class Seen:
    """The value a key is given, how the change is seen, what else is set for both; or the message that refuses it."""

    value: Any
    by: Callable[[dict[str, Any]], object]
    given: dict[str, Any] = field(default_factory=dict)
    refused: str = ""


BANDS = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 96}
LLAMA3 = {"model.shape.rope_scaling": {"rope_type": "llama3", "factor": 4.0} | BANDS}
LINEAR = {"model.shape.rope_scaling": {"rope_type": "linear", "factor": 2.0}}
ROPE = "model.shape.rope_scaling."
BASE = {"model.weights": "HOME/base", "model.shape": None}

KEYS = {
    "name": Seen("other", folder),
    "runs_dir": Seen("HOME/elsewhere", folder),
    "seed": Seen(1, step, {"lora.dropout": 0.1}),
    "platform": Seen("tpu", platform),
    "deterministic": Seen(True, options),
    "trainable": Seen("all", step, {"lora": {}}),
    "model.weights": Seen("HOME/base", model),
    "model.revision": Seen("v2", model, {"model.weights": "o/m"}),
    "model.shape.vocab_size": Seen(3000, step),
    "model.shape.hidden_size": Seen(64, step),
    "model.shape.intermediate_size": Seen(64, step),
    "model.shape.num_hidden_layers": Seen(3, step),
    "model.shape.num_attention_heads": Seen(2, step),
    "model.shape.num_key_value_heads": Seen(4, step),
    "model.shape.head_dim": Seen(16, step),
    "model.shape.max_position_embeddings": Seen(64, settings, refused="beyond model.shape.max_position_embeddings"),
    "model.shape.rms_norm_eps": Seen(1e-3, step),
    "model.shape.rope_theta": Seen(5e5, step),
    ROPE + "rope_type": Seen("dynamic", step, LINEAR),
    ROPE + "factor": Seen(3.0, step, LINEAR),
    ROPE + "low_freq_factor": Seen(2.0, step, LLAMA3),
    ROPE + "high_freq_factor": Seen(8.0, step, LLAMA3),
    ROPE + "original_max_position_embeddings": Seen(64, step, LLAMA3),
    "model.shape.tie_word_embeddings": Seen(True, step),
    "model.shape.attention_bias": Seen(True, step),
    "model.shape.mlp_bias": Seen(True, step),
    "model.shape.initializer_range": Seen(0.1, weights),
    "model.dtype": Seen("bfloat16", step),
    "model.quantize": Seen("int8", step),
    "model.attention": Seen("splash", step),
    "model.remat": Seen("full", step),
    "model.unroll": Seen(2, step),
    "model.logits_mib": Seen(0.1, step),
    "lora.rank": Seen(8, step),
    "lora.alpha": Seen(16.0, step),
    "lora.dropout": Seen(0.1, step),
    "lora.rslora": Seen(True, step),
    "lora.targets": Seen(["q_proj"], step),
    "lora.start": Seen("HOME/nothing", adapter, BASE, refused="lora.start .*there is no such folder"),
    "tokenizer.path": Seen("HOME/tokenizer", rows),
    "tokenizer.train_vocab_size": Seen(400, rows, {"tokenizer": {"train_vocab_size": 300}}),
    "data.sources": Seen([{"path": "HOME/rows.jsonl"}, {"path": "HOME/more.jsonl"}], rows),
    "data.sources.N.path": Seen("HOME/more.jsonl", rows),
    "data.sources.N.format": Seen("chat", rows, {"data.sources.N.path": "HOME/both.jsonl"}),
    "data.sources.N.split": Seen("test", rows, {"data.sources.N.path": "HOME/set"}),
    "data.sources.N.weight": Seen(2.0, rows),
    "data.sources.N.categories": Seen(["f"], rows),
    "data.sources.N.columns": Seen({"output": "other"}, rows),
    "data.template": Seen("medtuned", rows),
    "data.length": Seen(200, rows),
    "data.packing": Seen(False, rows),
    "data.over_length": Seen("truncate_input", rows),
    "data.on_bad_row": Seen("raise", rows, {"data.sources.N.path": "HOME/bad.jsonl"}, refused="line 12: missing field"),
    "data.held_out": Seen(0.3, rows),
    "data.cache_dir": Seen("HOME/cache2", caches),
    "optimizer.learning_rate": Seen(0.02, step),
    "optimizer.schedule": Seen("linear", step),
    "optimizer.warmup_steps": Seen(2, step),
    "optimizer.warmup_share": Seen(0.5, step, {"optimizer.warmup_steps": 0}),
    "optimizer.weight_decay": Seen(0.1, step),
    "optimizer.b1": Seen(0.8, step),
    "optimizer.b2": Seen(0.95, step),
    "optimizer.eps": Seen(1e-6, step),
    "optimizer.clip_norm": Seen(None, step),
    "training.steps": Seen(5, step),
    "training.batch_rows": Seen(16, step),
    "training.micro_batches": Seen(2, step),
    "evaluation.tasks": Seen([], asked),
    "evaluation.corpora": Seen("HOME/others", asked),
    "evaluation.protocol": Seen("generated", asked),
    "evaluation.limit": Seen(2, asked),
    "evaluation.split": Seen("test", asked, {"evaluation.tasks": ["medqa"], "evaluation.split": "dev"}),
    "mesh.data": Seen(2, mesh),
    "mesh.fsdp": Seen(2, mesh, {"mesh.data": -1, "mesh.fsdp": 1}),
    "mesh.tensor": Seen(2, mesh),
}


@cache
def _before(by: Callable[[dict[str, Any]], object], given: str) -> object:
    return by(json.loads(given))


@pytest.mark.parametrize("key", KEYS)
def test_a_changed_key_changes_something_or_is_refused(key):
    # Mutations: eps, b2, rms_norm_eps, high_freq_factor or initializer_range replaced by their defaults where they are
    # read; `split`, `categories` or `revision` not handed on.
    seen = KEYS[key]
    before = _before(seen.by, json.dumps(seen.given))
    if seen.refused:
        with pytest.raises((ValueError, OSError), match=seen.refused):
            seen.by(seen.given | {key: seen.value})
    else:
        assert seen.by(seen.given | {key: seen.value}) != before


@pytest.mark.parametrize("by", sorted({seen.by for seen in KEYS.values()} - {caches}, key=lambda by: by.__name__))
def test_what_is_not_changed_looks_the_same_twice(by):
    # Without this, a look at something random would show a change for any key.
    assert by({}) == by({})


# -------------------------------------------------------------------- keys that a whole run shows

RUN = {"lora.targets": ["q_proj"], "model.shape.num_hidden_layers": 1, "data.packing": False, "data.held_out": 0.2}
RUN_CHANGES: dict[str, Any] = {"training.epochs": 5.0, "training.steps": None, "training.eval_every": 2}
RUN_CHANGES |= {"training.checkpoint_every": 1, "training.keep_checkpoints": 3, "track": "tensorboard"}


def _metrics(run: Path, name: str) -> list[int]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [row["step"] for row in map(json.loads, lines) if name in row]


def _checkpoints(run: Path) -> list[int]:
    return sorted(int(place.name) for place in (run / "checkpoints").iterdir() if place.name.isdecimal())


@pytest.fixture(scope="module")
def runs(home) -> tuple[Path, Path]:
    """A run, and one with RUN_CHANGES."""
    for name, changes in (("plain", {}), ("changed", RUN_CHANGES)):
        assert train.main([_file(RUN | changes | {"name": name})]) == 0
    return home / "runs/plain", home / "runs/changed"


RUN_KEYS: dict[str, tuple[Callable[[Path], object], object, object]] = {
    "training.epochs": (lambda run: _metrics(run, "loss"), [1, 2, 3, 4], [1, 2, 3, 4, 5]),
    "training.eval_every": (lambda run: _metrics(run, "held_out_loss"), [0, 4], [0, 2, 4, 5]),
    "training.checkpoint_every": (lambda run: _checkpoints(run)[:1], [4], [3]),
    "training.keep_checkpoints": (lambda run: len(_checkpoints(run)), 1, 3),
    "track": (lambda run: (run / "tensorboard").exists(), False, True),
}


@pytest.mark.slow
@pytest.mark.parametrize("key", RUN_KEYS)
def test_a_key_is_seen_in_the_run_folder(runs, key):
    view, before, after = RUN_KEYS[key]
    assert [view(run) for run in runs] == [before, after]


# -------------------------------------------------------------------- no key without an entry


def test_every_key_has_an_entry():
    # Mutation: a field added to config.Optimizer, or one removed.
    names = {key.name for key in schema.keys(Train) if not schema.fields(key.kind)}  # values, not sections
    assert names == {*KEYS, *RUN_KEYS, *ELSEWHERE}
    assert not ELSEWHERE.keys() & {*KEYS, *RUN_KEYS}
    for file, test in (name.split("::") for name in ELSEWHERE.values()):
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(encoding="utf-8")
