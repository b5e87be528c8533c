import math
from dataclasses import replace

import numpy as np
import pytest

from bioinstruct_jax.config import Shape
from bioinstruct_jax.data import tokenizer
from bioinstruct_jax.data.prompts import render, template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokens import encode_prompt
from bioinstruct_jax.evaluation import encoding
from bioinstruct_jax.evaluation.language_model import (
    Completion,
    CompletionRequest,
    LanguageModel,
    Score,
    ScoreRequest,
    TooLong,
)
from bioinstruct_jax.inference.jax_language_model import JaxLanguageModel
from tests.inference.engines import engine, random_arrays, uncached


@pytest.fixture(scope="module")
def model() -> JaxLanguageModel:
    tiny = tokenizer.load("tiny")
    shape = Shape(
        vocab_size=len(tiny),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
    )
    made = engine(shape, random_arrays(shape), slots=4)
    return JaxLanguageModel(made, tiny, frozenset({tiny.eos_token_id}), 96, True)


def _text(model, request) -> Completion:
    (result,) = model.complete([request])
    assert isinstance(result, Completion)
    return result


def test_it_is_a_language_model(model):
    asked: LanguageModel = model
    assert len(asked.complete([CompletionRequest("Aspirin", max_tokens=2)])) == 1


def test_a_stop_text_ends_the_answer_and_is_not_part_of_it(model):
    free = _text(model, CompletionRequest("Aspirin is", max_tokens=40))
    assert free.finish == "length"
    assert free.tokens == 40
    stop = free.text[10:13]
    stopped = _text(model, CompletionRequest("Aspirin is", max_tokens=40, stop=("never written", stop)))
    assert stopped.finish == "stop"
    assert stopped.text == free.text[: free.text.index(stop)]
    assert 0 < stopped.tokens < 40


def test_a_stop_token_ends_the_answer(model):
    # Mutation: the end token's text kept.
    tiny = model.tokenizer
    ids = encoding.encode_prompt("Aspirin is", tiny, bos=True)
    free = _text(model, CompletionRequest("Aspirin is", max_tokens=5))
    first = int(uncached(model.engine, ids)[-1].argmax())
    name = tiny.convert_ids_to_tokens(first)
    ended = _text(model, CompletionRequest("Aspirin is", max_tokens=5, stop_tokens=(name,)))
    assert (ended.finish, ended.text, ended.tokens) == ("end", "", 1)
    other = replace(model, ends=model.ends | {first})
    assert _text(other, CompletionRequest("Aspirin is", max_tokens=5)) == ended
    assert free.text.startswith(tiny.decode([first]))
    with pytest.raises(ValueError, match="request 1: token '<never>' is not in the tokenizer's vocabulary"):
        model.complete([CompletionRequest("a"), CompletionRequest("a", stop_tokens=("<never>",))])


def test_streamed_text_is_the_text(model):
    shown: dict[int, str] = {0: "", 1: ""}

    def show(i: int, text: str) -> None:
        shown[i] += text

    asked = [
        CompletionRequest("Aspirin is", max_tokens=30, stop=("zz",)),
        CompletionRequest("The heart", max_tokens=20, temperature=1.0),
    ]
    results = model.complete(asked, on_text=show)
    assert [result.text for result in results] == [shown[0], shown[1]]
    assert model.complete(asked) == results


def test_what_does_not_fit_is_said_and_nothing_is_cut(model):
    # Mutation: a prompt cut to the context.
    long = "word " * 200
    seen = {}
    results = model.complete([CompletionRequest(long), CompletionRequest("a", max_tokens=500)], seen.__setitem__)
    tokens = len(encoding.encode_prompt(long, model.tokenizer, bos=True))
    assert results[0] == TooLong(tokens, 96)
    assert isinstance(results[1], Completion)
    assert results[1].finish in ("context", "end")
    assert results[1].prompt_tokens + results[1].tokens <= 96
    assert seen == dict(enumerate(results))
    scores = model.loglikelihood([ScoreRequest(long, " x"), ScoreRequest("a", " x"), ScoreRequest("a", long)])
    assert [type(score) for score in scores] == [TooLong, Score, TooLong]


def test_a_rendered_prompt_is_read_as_in_training(model):
    tiny = model.tokenizer
    alpaca = template("alpaca", tiny)
    record = Record(id="1", instruction="Name the drug </s>.", input="aspirin", output="x")
    pieces = tuple(render(record, alpaca, with_answer=False))
    assert encoding.encode_prompt(pieces, tiny, bos=True) == encode_prompt(record, alpaca, tiny).tolist()
    assert _text(model, CompletionRequest(pieces, max_tokens=1)).prompt_tokens == len(
        encode_prompt(record, alpaca, tiny)
    )


def test_scores_equal_those_of_the_uncached_forward(model):
    requests = [
        ScoreRequest(context, choice)
        for context in ("Question: 1?\nAnswer:", "Is it so?", "")
        for choice in (" yes", " no", " it depends on the dose", " yes")
    ]
    seen = {}
    scores = model.loglikelihood(requests, seen.__setitem__)
    assert seen == dict(enumerate(scores))
    for request, score in zip(requests, scores, strict=True):
        ids, rest = encoding.encode_pair(request.context, request.continuation, model.tokenizer, bos=True)
        logits = uncached(model.engine, ids + rest, 48)[len(ids) - 1 : -1].astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        assert score.tokens == len(rest)
        assert math.isclose(score.loglikelihood, logs[np.arange(len(rest)), rest].sum(), rel_tol=1e-5)
        assert score.greedy == (logits.argmax(-1).tolist() == rest)


def test_choices_of_one_context_are_read_in_one_row(model, monkeypatch):
    # Mutation: requests not grouped by context.
    rows = []
    engine_score = type(model.engine).score

    def counted(self, requests, on_result):
        rows.extend(requests)
        engine_score(self, requests, on_result)

    monkeypatch.setattr(type(model.engine), "score", counted)
    letters = [ScoreRequest(f"Question {i}?\nAnswer:", f" {letter}") for letter in "ABCD" for i in range(3)]
    model.loglikelihood(letters)
    assert [len(row.continuations) for row in rows] == [4, 4, 4]
    rows.clear()
    model.loglikelihood([ScoreRequest("a", " long" * 10) for _ in range(20)])
    assert len(rows) > 1  # more than the context's length would not fit into one row


@pytest.mark.parametrize("request_", [CompletionRequest(()), CompletionRequest("\ud800")])
def test_prompts_that_cannot_be_read_are_named(request_, model):
    with pytest.raises(ValueError, match="request 1: "):
        model.complete([CompletionRequest("a", max_tokens=1), request_])
    with pytest.raises(ValueError, match="request 0: the continuation '' has no token"):
        model.loglikelihood([ScoreRequest("a", "")])


def test_nothing_asked_nothing_done(model):
    assert model.complete([]) == []
    assert model.loglikelihood([]) == []
