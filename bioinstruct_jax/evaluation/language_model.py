"""What an evaluator asks of a language model, whatever runs it: how likely a text is, and what text comes next.

The JAX engine (`inference.jax_language_model`), a server or transformers answer the same requests; no framework here.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from bioinstruct_jax.data.prompts import Piece

Text = str | tuple[Piece, ...]  # raw text, or a prompt as `prompts.render` writes it, with its control tokens


def plain(text: Text) -> str:
    """A prompt as one text, control tokens by their names."""
    return text if isinstance(text, str) else "".join(piece.text for piece in text)


Result = TypeVar("Result", contravariant=True)


@dataclass(frozen=True)
class ScoreRequest:
    """How likely is `continuation` after `context`? Requests of equal context, such as choices, share their work.

    With a raw text, blanks at the end of the context count as the beginning of the continuation, and its tokens are
    those of both together less those of the context (the convention of lm-evaluation-harness). After a rendered prompt
    the continuation is encoded by itself, as an answer is in training.
    """

    context: Text
    continuation: str


@dataclass(frozen=True)
class Score:
    """Of one ScoreRequest.

    Attributes:
        loglikelihood: log p(continuation | context) in nats, summed over its tokens.
        greedy: whether each of its tokens is the likeliest at its place.
        tokens: of the continuation.
    """

    loglikelihood: float
    greedy: bool
    tokens: int


@dataclass(frozen=True)
class CompletionRequest:
    """What comes after `prompt`?

    Raises ValueError for a value that no sampler takes.

    Attributes:
        max_tokens: at most so many new ones, the end token included.
        stop: texts at which the completion ends; they are not part of it.
        stop_tokens: control tokens at which it ends, beside those that end an answer of this model anyway.
        temperature: 0 takes the likeliest token; else logits are divided by it.
        top_k: sample among so many likeliest tokens; 0: among all.
        top_p: sample among the likeliest tokens that together have this probability (Holtzman et al., 2020).
        repetition_penalty: divides positive and multiplies negative logits of tokens seen before, in the prompt too
            (Keskar et al., 2019).
        seed: the same request with the same seed gives the same text, whatever else is in the batch.
    """

    prompt: Text
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    stop_tokens: tuple[str, ...] = ()
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        def check(name: str, possible: bool, needs: str) -> None:
            if not possible:
                raise ValueError(f"{name} {getattr(self, name)!r}: needs to be {needs}")

        check("max_tokens", self.max_tokens >= 1, "at least 1")
        check("temperature", 0 <= self.temperature < math.inf, "0 (the likeliest token) or more")
        check("top_k", self.top_k >= 0, "0 (all tokens) or more")
        check("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        check("repetition_penalty", 0 < self.repetition_penalty < math.inf, "above 0; 1 is none")
        check("seed", 0 <= self.seed < 2**32, "a whole number from 0 to 2**32 - 1")
        for name in ("stop", "stop_tokens"):
            texts = getattr(self, name)
            check(name, not isinstance(texts, str) and all(texts), "a tuple of texts that are not empty")


Finish = Literal["end", "stop", "length", "context"]


@dataclass(frozen=True)
class Completion:
    """Of one CompletionRequest.

    Attributes:
        text: without stop texts and control tokens.
        finish: ``end``: the model ended its answer, or wrote a stop token; ``stop``: it wrote a stop text; ``length``:
            max_tokens are written; ``context``: the model's context is full.
        tokens: new ones, with the end token or the stop text.
        prompt_tokens: of the prompt.
    """

    text: str
    finish: Finish
    tokens: int
    prompt_tokens: int


@dataclass(frozen=True)
class TooLong:
    """In place of a result: the request has `tokens` tokens, the model's context only `limit`. Nothing was cut."""

    tokens: int
    limit: int


OnResult = Callable[[int, Result], None]  # called with a request's place and its result, as soon as it is known


def gathered(on_result: OnResult[Any] | None) -> tuple[dict[int, Any], OnResult[Any]]:
    """Results by the place of their request, and what puts one there and hands it on."""
    results: dict[int, Any] = {}

    def put(place: int, result: Any) -> None:
        results[place] = result
        if on_result:
            on_result(place, result)

    return results, put


class LanguageModel(Protocol):
    """Answers requests; a result stands at the place of its request and does not depend on the others."""

    def loglikelihood(
        self, requests: Sequence[ScoreRequest], on_result: OnResult[Score | TooLong] | None = None
    ) -> list[Score | TooLong]: ...

    def complete(
        self, requests: Sequence[CompletionRequest], on_result: OnResult[Completion | TooLong] | None = None
    ) -> list[Completion | TooLong]: ...
