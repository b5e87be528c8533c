"""Nothing read is nothing accepted: for every key of `Chat` and `Export`, what changes when it is changed."""

import io
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bioinstruct_jax import chat, export, schema
from bioinstruct_jax.inference import load as loading
from bioinstruct_jax.inference.jax_language_model import JaxLanguageModel
from tests.interop.merged_pairs import save_adapter, save_base

LOAD, COMPLETE = loading.load, JaxLanguageModel.complete


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A base, an adapter of rank 4 on it, and both again with other numbers."""
    folder = tmp_path_factory.mktemp("keys")
    save_base(folder / "base")
    save_base(folder / "other", rms_norm_eps=1e-3)
    save_adapter(folder / "adapter", folder / "base")
    save_adapter(folder / "second", folder / "base", seed=2)
    return folder


def _words(home: Path, options: dict[str, Any]) -> list[str]:
    return [f"--{key}={value}".replace("HOME", str(home)) for key, value in options.items() if value is not None]


# -------------------------------------------------------------------- chat

WARM = {"temperature": 1.5}
CHAT_KEYS: dict[str, tuple[Any, dict[str, Any]]] = {  # the value, and what else is set before and after
    "model": ("HOME/other", {}),
    "adapter": ("HOME/second", {}),
    "template": ("llama2", {}),
    "system": ("Be brief.", {"template": "llama2"}),
    "max_tokens": (4, {}),
    "temperature": (1.5, {}),
    "top_k": (1, WARM),
    "top_p": (0.01, WARM),
    "repetition_penalty": (9.0, {}),
    "seed": (1, WARM),
    "dtype": ("bfloat16", {}),
    "context": (128, {}),
}


@cache
def _loaded(*words: Any, **more: Any) -> Any:
    """The real thing, once for all tests that ask for the same."""
    return LOAD(*words, **more)


@pytest.fixture
def asked(monkeypatch) -> list[tuple]:
    """What reaches the model: which one, and the request."""
    seen: list[tuple] = []

    def load(*words: Any, **more: Any) -> Any:
        seen.append((words, sorted(more.items())))
        return _loaded(*words, **more)

    def complete(self: Any, requests: Any, on_result: Any = None, on_text: Any = None) -> Any:
        seen.append(tuple(requests))
        return COMPLETE(self, requests, on_result, on_text)

    monkeypatch.setattr(loading, "load", load)
    monkeypatch.setattr(JaxLanguageModel, "complete", complete)
    return seen


def _answer(home: Path, given: dict[str, Any], monkeypatch) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO("Is there fever?\n"))
    return chat.main(_words(home, {"adapter": "HOME/adapter", "max_tokens": 12} | given))


@pytest.mark.parametrize("key", CHAT_KEYS)
def test_a_key_of_chat_reaches_the_model(home, asked, monkeypatch, capsys, key):
    # Mutations: top_p or repetition_penalty not handed to the request; the system text left out of the prompt.
    value, given = CHAT_KEYS[key]
    monkeypatch.setitem(globals(), "COMPLETE", lambda self, requests, *_: (_ for _ in ()).throw(ValueError("enough")))
    seen = []
    for options in (given, given | {key: value}):
        asked.clear()
        assert _answer(home, options, monkeypatch) == 1
        assert "error: line 1: enough" in capsys.readouterr().err
        seen.append(repr(asked))
    assert seen[0] != seen[1]


@pytest.mark.slow
@pytest.mark.parametrize("key", CHAT_KEYS)
def test_a_key_of_chat_changes_what_is_said(home, asked, monkeypatch, capsys, key):
    # The same down to the answer; dtype and context may leave it as it is, and are said.
    value, given = CHAT_KEYS[key]
    said = []
    for options in (given, given | {key: value}):
        assert _answer(home, options, monkeypatch) == 0
        captured = capsys.readouterr()
        said.append(captured.out + (captured.err if key in ("dtype", "context") else ""))
    assert said[0] != said[1]


# -------------------------------------------------------------------- export

EXPORT_KEYS = {"adapter", "base", "out", "dtype", "max_shard_gb", "check_vllm", "max_lora_rank"}


def test_every_key_of_export_is_seen(home, capsys):
    # Mutations: max_shard_gb or dtype replaced by its default in merge_into; max_lora_rank not handed on.
    def exported(**options: Any) -> tuple[int, str]:
        code = export.main(_words(home, {"adapter": "HOME/adapter"} | options))
        return code, "".join(capsys.readouterr())

    assert exported(out="HOME/one")[0] == 0
    more = {"dtype": "float16", "max_shard_gb": 1e-4, "check_vllm": "true"}
    code, said = exported(out="HOME/two", base="HOME/other", **more)
    assert code == 0, said
    assert "vLLM would load" in said
    settings = [json.loads((home / name / "config.json").read_text()) for name in ("one", "two")]
    assert [one["torch_dtype"] for one in settings] == ["float32", "float16"]
    assert settings[0]["rms_norm_eps"] != settings[1]["rms_norm_eps"] == 1e-3  # of the base
    assert [len([*(home / name).glob("*.safetensors")]) > 1 for name in ("one", "two")] == [False, True]
    code, said = exported(check_vllm="true", adapter="HOME/second")
    assert (code, str(home / "second") in said) == (0, True)
    assert exported(check_vllm="true", max_lora_rank=1)[0] == 1


# -------------------------------------------------------------------- no key without an entry


@pytest.mark.parametrize(("kind", "shown"), [(chat.Chat, {*CHAT_KEYS}), (export.Export, EXPORT_KEYS)])
def test_every_key_has_an_entry(kind, shown):
    # Mutation: a field added to Chat or Export, or one removed.
    assert {key.name for key in schema.keys(kind)} == shown
