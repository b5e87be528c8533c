"""The JAX engine as a language model that answers `evaluation.language_model` requests."""

from __future__ import annotations

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
    gathered,
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
        results, put = gathered(on_result)
        contexts: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
        for one in encoding.pairs(requests, self.tokenizer, put, bos=self.bos, limit=self.context):
            contexts.setdefault(one.context, []).append((one.place, np.array(one.continuation, np.int32)))
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
        results, put = gathered(on_result)
        fit = encoding.starts(requests, self.tokenizer, put, ends=self.ends, bos=self.bos, limit=self.context)
        started = list(fit)
        prompts = [_prompt(one, requests[one.place]) for one in started]
        streams = [TextStream(self.tokenizer, requests[one.place].stop) for one in started]

        def take(number: int, tokens: list[int], last: bool) -> bool:
            stream, prompt, i = streams[number], prompts[number], started[number].place
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


def _prompt(start: encoding.Start, request: CompletionRequest) -> Prompt:
    return Prompt(
        np.array(start.prompt, np.int32),
        start.most,
        start.ends,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        repetition_penalty=request.repetition_penalty,
        seed=request.seed,
    )
