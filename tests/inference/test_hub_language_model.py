import builtins
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import peft
import pytest
import torch
import transformers

from bioinstruct_jax.data import tokenizer
from bioinstruct_jax.data.prompts import render, template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation import encoding
from bioinstruct_jax.evaluation.language_model import (
    Completion,
    CompletionRequest,
    LanguageModel,
    Score,
    ScoreRequest,
    TooLong,
)
from bioinstruct_jax.inference import hub_load
from bioinstruct_jax.inference import load as jax_load
from tests.interop.llama_pairs import FAMILIES, reference

PROMPTS = ("Question: Which drug?\nAnswer:", "Is aspirin a drug?", "The heart " * 4)
CONTEXTS = (*PROMPTS, "")
CHOICES = (" yes", " no", " it depends on the dose", " A", " B", " yes")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Threads cost more than they save where tensors are this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A base with a tokenizer, and an adapter that peft made for it."""
    base, adapter = tmp_path_factory.mktemp("base"), tmp_path_factory.mktemp("adapter")
    tiny = tokenizer.load("tiny")
    settings = FAMILIES["llama2_gqa"] | {"vocab_size": len(tiny), "max_position_embeddings": 64, "eos_token_id": [1, 7]}
    model = reference(0, **settings)
    model.save_pretrained(base)
    tiny.save_pretrained(base)
    tuned = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "down_proj"]))
    torch.manual_seed(1)
    for key, parameter in tuned.named_parameters():
        if "lora_" in key:
            torch.nn.init.normal_(parameter, 0, 0.3)
    tuned.save_pretrained(adapter)
    return str(base), str(adapter)


@pytest.fixture(scope="module", params=[pytest.param("base", marks=pytest.mark.slow), "adapter"])
def pair(request, folders):
    """The same model in transformers and in JAX."""
    base, adapter = folders
    named = adapter if request.param == "adapter" else None
    hub, ours = hub_load.load(base, named, dtype="float32", batch=3), jax_load.load(base, named)
    assert hub.words.template == ours.words.template
    return hub.language_model, ours.language_model


@pytest.fixture(scope="module")
def model(folders):
    return hub_load.load(folders[0], dtype="float32", batch=4).language_model


def scored(tiny) -> list[ScoreRequest]:
    pieces = tuple(render(Record("1", "Say.", "", "x"), template("alpaca", tiny), with_answer=False))[:1]
    contexts = (*CONTEXTS, pieces)
    return [ScoreRequest(context, choice) for context in contexts for choice in CHOICES]


def test_log_likelihoods_are_those_of_the_jax_engine(pair):
    # Mutations: positions counted from the padding on; the last token of a continuation read as well.
    hub, ours = pair
    asked: LanguageModel = hub
    requests = scored(hub.tokenizer)
    found, wanted = asked.loglikelihood(requests), ours.loglikelihood(requests)
    for one, other in zip(found, wanted, strict=True):
        assert isinstance(one, Score)
        assert abs(one.loglikelihood - other.loglikelihood) < 1e-3
        assert (one.greedy, one.tokens) == (other.greedy, other.tokens)


def test_greedy_texts_are_those_of_the_jax_engine(pair):
    # Mutation: positions counted from the padding on.
    hub, ours = pair
    requests = [CompletionRequest(context, max_tokens=12 + 5 * i) for i, context in enumerate(PROMPTS)]
    requests += [
        CompletionRequest("Aspirin is", max_tokens=500),
        CompletionRequest("Aspirin is", max_tokens=30, repetition_penalty=1.3),
        CompletionRequest("word " * 200),
        CompletionRequest("Aspirin is", max_tokens=30, stop=("zzz", "e")),
    ]
    found = hub.complete(requests)
    assert found == ours.complete(requests)
    assert {type(one) for one in found} == {Completion, TooLong}


def test_a_stop_token_ends_the_answer(model):
    # Mutation: the end token's text kept.
    tiny = model.tokenizer
    free = model.complete([CompletionRequest("Aspirin is", max_tokens=5)])[0]
    ids = torch.tensor([encoding.encode_prompt("Aspirin is", tiny, bos=model.bos)])
    with torch.no_grad():
        first = int(model.model(ids).logits[0, -1].argmax())
    assert free.text.startswith(tiny.decode([first]))
    name = tiny.convert_ids_to_tokens(first)
    (ended,) = model.complete([CompletionRequest("Aspirin is", max_tokens=5, stop_tokens=(name,))])
    assert (ended.finish, ended.text, ended.tokens) == ("end", "", 1)


def test_adapters_matter(folders):
    plain, tuned = (hub_load.load(folders[0], one, dtype="float32").language_model for one in (None, folders[1]))
    requests = [CompletionRequest("Aspirin is", max_tokens=20)]
    assert plain.complete(requests) != tuned.complete(requests)


@pytest.mark.parametrize("batch", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_batch_and_order_change_no_result(model, batch):
    # Mutation: one random generator for the whole batch.
    scores, written = (
        scored(model.tokenizer),
        [
            CompletionRequest(context, max_tokens=10 + i, temperature=t, seed=i, top_k=k, top_p=p)
            for i, (context, t, k, p) in enumerate(
                (context, t, k, p)
                for context in PROMPTS
                for t, k, p in ((0, 0, 1), (1, 0, 1), (2, 5, 1), (1.5, 0, 0.8))
            )
        ],
    )
    other = replace(model, batch=batch)
    seen: dict[int, Score | TooLong] = {}
    back = other.loglikelihood(scores[::-1], seen.__setitem__)
    assert seen == dict(enumerate(back))
    values = [[one.loglikelihood for one in found] for found in (model.loglikelihood(scores), back[::-1])]
    np.testing.assert_allclose(*values, rtol=1e-5)
    assert other.complete(written[::-1])[::-1] == model.complete(written)


def test_choices_of_one_token_are_read_in_one_row(model, monkeypatch):
    # Mutation: a row a request.
    rows = []
    inner = type(model)._log_probabilities

    def counted(self, some, last):
        rows.extend(some)
        return inner(self, some, last)

    monkeypatch.setattr(type(model), "_log_probabilities", counted)
    letters = [ScoreRequest(f"Question {i}\nAnswer:", f" {one}") for i in range(5) for one in "ABCD"]
    lengths = {
        len(encoding.encode_pair(one.context, one.continuation, model.tokenizer, bos=model.bos)[1]) for one in letters
    }
    assert len(model.loglikelihood(letters)) == 20
    assert lengths == {1}
    assert len(rows) == 5


def test_sampling_follows_the_models_probabilities(model):
    # Mutation: top_p cut before the token that reaches it.
    draws = 300
    asked = [CompletionRequest("Aspirin is", max_tokens=1, temperature=1.0, top_k=3, seed=i) for i in range(draws)]
    found = [one.text for one in replace(model, batch=200).complete(asked)]
    ids = torch.tensor([encoding.encode_prompt("Aspirin is", model.tokenizer, bos=model.bos)])
    with torch.no_grad():
        likeliest = model.model(ids).logits[0, -1].topk(3)
    shares = likeliest.values.softmax(-1).tolist()
    for token, share in zip(likeliest.indices.tolist(), shares, strict=True):
        text = model.tokenizer.decode([token], skip_special_tokens=True)
        count = sum(one == text for one in found)
        assert abs(count / draws - share) < 4 * (share * (1 - share) / draws) ** 0.5 + 1e-9
    least = [CompletionRequest("Aspirin is", max_tokens=1, temperature=1.0, top_p=1e-6, seed=i) for i in range(5)]
    greedy = CompletionRequest("Aspirin is", max_tokens=1)
    assert {one.text for one in model.complete(least)} == {model.complete([greedy])[0].text}


def test_what_does_not_fit_is_said_and_nothing_is_cut(model):
    long = "word " * 200
    scores = model.loglikelihood([ScoreRequest(long, " x"), ScoreRequest("a", " x"), ScoreRequest("a", long)])
    assert [type(score) for score in scores] == [TooLong, Score, TooLong]
    assert scores[0].limit == 64
    with pytest.raises(ValueError, match=r"request 1: .*no token of its own"):
        model.loglikelihood([ScoreRequest("a", " x"), ScoreRequest("a", "")])
    with pytest.raises(ValueError, match="request 0: token '<never>'"):
        model.complete([CompletionRequest("a", stop_tokens=("<never>",))])


def test_another_architecture_is_read_as_its_config_says(tmp_path):
    # The engine reads LLaMA alone; GPT-2 has learned positions, so that padding in front would show.
    tiny = tokenizer.load("tiny")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=len(tiny), n_positions=48, n_embd=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=1
    )
    config.initializer_range = 0.4
    made = transformers.GPT2LMHeadModel(config).eval()
    made.save_pretrained(tmp_path)
    tiny.save_pretrained(tmp_path)
    model = hub_load.load(str(tmp_path), dtype="float32").language_model
    assert model.context == 48
    requests = [ScoreRequest(context, choice) for context in CONTEXTS[1:] for choice in CHOICES]
    for request, score in zip(requests, model.loglikelihood(requests), strict=True):
        ids, rest = encoding.encode_pair(request.context, request.continuation, tiny, bos=model.bos)
        with torch.no_grad():
            logs = made(torch.tensor([ids + rest])).logits[0, len(ids) - 1 : -1].log_softmax(-1)
        assert abs(score.loglikelihood - float(logs[range(len(rest)), rest].sum())) < 1e-4
    found = model.complete([CompletionRequest("Aspirin is", max_tokens=9), CompletionRequest("The", max_tokens=9)])
    for text, one in zip(("Aspirin is", "The"), found, strict=True):
        ids = torch.tensor([encoding.encode_prompt(text, tiny, bos=model.bos)])
        theirs = made.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=9, do_sample=False, pad_token_id=0, eos_token_id=1
        )
        assert one.text == tiny.decode(theirs[0, ids.shape[1] :], skip_special_tokens=True)


def test_what_cannot_be_read_is_said(folders, tmp_path, monkeypatch):
    # Mutations: `use_safetensors` left out; `trust_remote_code` on.
    with pytest.raises(ValueError, match="give --model=FOLDER"):
        hub_load.load(None)
    with pytest.raises(FileNotFoundError, match="--model"):
        hub_load.load(str(tmp_path / "nothing"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for load in (hub_load.load, jax_load.load):
        with pytest.raises(FileNotFoundError, match=r"not in the local cache.*[Dd]ownload the model"):
            load("nobody-here/no-such-model")
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text("{}")
    torch.save({}, pickled / "pytorch_model.bin")
    with pytest.raises(ValueError, match="pickles"):
        hub_load.load(str(pickled))
    own = tmp_path / "own"
    own.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (own / name).write_bytes((Path(folders[0]) / name).read_bytes())
    code = "open(__file__ + '.ran', 'w').close()\nclass C: pass\nclass M: pass\n"
    (own / "code.py").write_text(code)
    auto = {"AutoConfig": "code.C", "AutoModelForCausalLM": "code.M"}
    (own / "config.json").write_text(json.dumps({"model_type": "my-own", "auto_map": auto}))
    with pytest.raises(ValueError, match="cannot read it"):
        hub_load.load(str(own))
    assert not list(own.glob("*.ran"))
    inner = builtins.__import__

    def without(name, *more):
        if name == "peft":
            raise ImportError("No module named 'peft'")
        return inner(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ValueError, match=r"peft.*pip install 'bioinstruct-jax\[transformers\]'"):
        hub_load.load(folders[0])
