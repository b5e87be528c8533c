"""The JAX engine as a language model that answers `evaluation.language_model` requests."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bioinstruct_jax.evaluation import encoding
from bioinstruct_jax.evaluation.language_model import (
    Completion,
    CompletionRequest,
    Finish,
    OnResult,
    Score,
    ScoreRequest,
    TooLong,
)
from bioinstruct_jax.inference.batches import Branches, Prompt, row_length
from bioinstruct_jax.inference.engine import Engine
from bioinstruct_jax.inference.slots import CHUNK
from bioinstruct_jax.inference.text_stream import TextStream
from bioinstruct_jax.model import rope

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, eq=False)
class JaxLanguageModel:
    """Implements `evaluation.language_model.LanguageModel`.

    Results do not depend on batch, order or padding, beyond the rounding of the model's dtype.

    Attributes:
        ends: tokens that end an answer.
        context: longest sequence in tokens; longer requests are answered with TooLong.
        bos: whether a raw text gets BOS in front; rendered prompts bring their own.
    """

    engine: Engine
    tokenizer: PreTrainedTokenizerFast
    ends: frozenset[int]
    context: int
    bos: bool

    def loglikelihood(
        self, requests: Sequence[ScoreRequest], on_result: OnResult[Score | TooLong] | None = None
    ) -> list[Score | TooLong]:
        """A Score for each request that fits. All continuations of a context are read in one row of a forward pass.

        Raises:
            ValueError: a continuation without a token of its own, or no valid Unicode; names the request.
        """
        results: dict[int, Score | TooLong] = {}

        def put(i: int, result: Score | TooLong) -> None:
            results[i] = result
            if on_result:
                on_result(i, result)

        contexts: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
        for i, request in enumerate(requests):
            with naming(i):
                ids, rest = encoding.encode_pair(request.context, request.continuation, self.tokenizer, bos=self.bos)
            if len(ids) + len(rest) - 1 > self.context:
                put(i, TooLong(len(ids) + len(rest), self.context))
            else:
                contexts.setdefault(tuple(ids), []).append((i, np.array(rest, np.int32)))
        groups = [(ids, group) for ids, members in contexts.items() for group in self._groups(ids, members)]

        def take(number: int, scores: list[tuple[float, bool]]) -> None:
            for (i, rest), (value, greedy) in zip(groups[number][1], scores, strict=True):
                put(i, Score(value, greedy, len(rest)))

        self.engine.score([_branches(ids, group) for ids, group in groups], take)
        return [results[i] for i in range(len(requests))]

    def _groups(
        self, ids: tuple[int, ...], members: list[tuple[int, np.ndarray]]
    ) -> Iterator[list[tuple[int, np.ndarray]]]:
        """Continuations that go into one row: as many as the context is long, one where rotary positions forbid it."""
        group: list[tuple[int, np.ndarray]] = []
        for member in members:
            full = group and row_length(_branches(ids, [*group, member])) > self.context
            if full or (group and rope.by_length(self.engine.shape)):
                yield group
                group = []
            group.append(member)
        yield group

    def complete(
        self,
        requests: Sequence[CompletionRequest],
        on_result: OnResult[Completion | TooLong] | None = None,
        on_text: Callable[[int, str], None] | None = None,
    ) -> list[Completion | TooLong]:
        """A Completion for each request that leaves room for a token.

        Args:
            on_text: called with the place of a request and its next stretch of text, often, for a person who reads on.

        Raises:
            ValueError: an empty prompt, no valid Unicode, or a stop token that the vocabulary lacks; names the request.
        """
        results: dict[int, Completion | TooLong] = {}
        prompts: list[Prompt] = []
        places: list[int] = []

        def put(i: int, result: Completion | TooLong) -> None:
            results[i] = result
            if on_result:
                on_result(i, result)

        for i, request in enumerate(requests):
            with naming(i):
                ids = encoding.encode_prompt(request.prompt, self.tokenizer, bos=self.bos)
                ends = self.ends | encoding.end_tokens(request.stop_tokens, self.tokenizer)
            if len(ids) >= self.context:
                put(i, TooLong(len(ids), self.context))
                continue
            places.append(i)
            prompts.append(
                Prompt(
                    np.array(ids, np.int32),
                    min(request.max_tokens, self.context - len(ids)),
                    ends,
                    temperature=request.temperature,
                    top_k=request.top_k,
                    top_p=request.top_p,
                    repetition_penalty=request.repetition_penalty,
                    seed=request.seed,
                )
            )
        streams = [TextStream(self.tokenizer, requests[i].stop) for i in places]

        def take(number: int, tokens: list[int], last: bool) -> bool:
            stream, prompt, i = streams[number], prompts[number], places[number]
            stream.push([token for token in tokens if token not in prompt.ends])
            done = last or stream.stopped
            if on_text and (text := stream.show(done)):
                on_text(i, text)
            if done:
                finish: Finish = "length" if prompt.max_tokens == requests[i].max_tokens else "context"
                if stream.stopped:
                    finish = "stop"
                elif tokens[-1] in prompt.ends:
                    finish = "end"
                put(i, Completion(stream.text, finish, len(stream.tokens) + (finish == "end"), len(prompt.tokens)))
            return stream.stopped

        if prompts:
            self.engine.complete(prompts, take, steps=1 if on_text else CHUNK)
        return [results[i] for i in range(len(requests))]


def _branches(ids: tuple[int, ...], group: list[tuple[int, np.ndarray]]) -> Branches:
    return Branches(np.array(ids, np.int32), tuple(rest for _, rest in group))


@contextlib.contextmanager
def naming(i: int) -> Iterator[None]:
    """Says which request a ValueError is about."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"request {i}: {error}") from error
