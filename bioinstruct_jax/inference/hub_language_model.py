"""A causal language model of transformers, of any architecture, that answers `evaluation.language_model` requests.

For models that the JAX engine does not know, and to check it: the same prompts become the same tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

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
from bioinstruct_jax.inference.batches import power
from bioinstruct_jax.inference.text_stream import TextStream

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

Ids = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class HubLanguageModel:
    """Implements `evaluation.language_model.LanguageModel`.

    Results do not depend on batch, order or padding, beyond the rounding of the model's dtype. Answers are written by a
    loop of its own, not by ``generate``, whose random numbers depend on the batch.

    Attributes:
        model: a causal language model of transformers or peft, in eval mode, on one device.
        ends: tokens that end an answer.
        context: longest sequence in tokens; longer requests are answered with TooLong.
        bos: whether a raw text gets BOS in front; rendered prompts bring their own.
        batch: sequences at once.
    """

    model: Any
    tokenizer: PreTrainedTokenizerFast
    ends: frozenset[int]
    context: int
    bos: bool
    batch: int

    def loglikelihood(
        self, requests: Sequence[ScoreRequest], on_result: OnResult[Score | TooLong] | None = None
    ) -> list[Score | TooLong]:
        """A Score for each request that fits. Continuations of one token share the one row of their context.

        Raises:
            ValueError: a continuation without a token of its own, or no valid Unicode; names the request.
        """
        results, put = gathered(on_result)
        rows: dict[Ids, list[tuple[int, Ids]]] = {}  # what is read, and the continuations that end behind it
        for i, context, rest in encoding.pairs(requests, self.tokenizer, put, bos=self.bos, limit=self.context):
            rows.setdefault((*context, *rest[:-1]), []).append((i, rest))

        def targets(row: Ids) -> int:
            return max(len(rest) for _, rest in rows[row])

        for some in _batches(rows, lambda row: (power(4, targets(row)), len(row)), self.batch):
            logs = self._log_probabilities(some, max(map(targets, some)))
            for row, log in zip(some, logs, strict=True):
                for i, wanted in rows[row]:
                    at = log[len(log) - len(wanted) :]
                    value = float(at[range(len(wanted)), wanted].double().sum())
                    put(i, Score(value, at.argmax(-1).tolist() == list(wanted), len(wanted)))
        return [results[i] for i in range(len(requests))]

    def complete(
        self, requests: Sequence[CompletionRequest], on_result: OnResult[Completion | TooLong] | None = None
    ) -> list[Completion | TooLong]:
        """A Completion for each request that leaves room for a token.

        Raises:
            ValueError: an empty prompt, no valid Unicode, or a stop token that the vocabulary lacks; names the request.
        """
        results, put = gathered(on_result)
        started = encoding.starts(requests, self.tokenizer, put, ends=self.ends, bos=self.bos, limit=self.context)
        writing = [
            _Writing(one, requests[one.place], TextStream(self.tokenizer, requests[one.place].stop)) for one in started
        ]
        for some in _batches(writing, lambda one: (power(2, one.start.most), len(one.start.prompt)), self.batch):
            self._write(some, put)
        return [results[i] for i in range(len(requests))]

    def _log_probabilities(self, rows: Sequence[Ids], last: int) -> torch.Tensor:
        """log p of each token of the vocabulary at the last places of rows, float32 [N, last, V].

        Rows are padded in front, so that the places that are asked for stand at their end: logits of the others, which
        would fill the memory, are not made where the model can leave them out.
        """
        import torch

        with torch.inference_mode():
            tokens, mask = self._padded(rows)
            asked = self._known(attention_mask=mask, position_ids=_positions(mask), logits_to_keep=last)
            logits = self.model(input_ids=tokens, use_cache=False, **asked).logits[:, -last:]
            return torch.log_softmax(logits.float(), -1)

    def _write(self, some: list[_Writing], put: OnResult[Completion]) -> None:
        """Write completions, one a row, until each has ended; a row that has goes on unread."""
        import torch

        with torch.inference_mode():
            tokens, mask = self._padded([one.start.prompt for one in some])
            positions, cache, going = _positions(mask), None, set(range(len(some)))
            while True:
                asked = self._known(attention_mask=mask, position_ids=positions, logits_to_keep=1)
                said = self.model(input_ids=tokens, past_key_values=cache, use_cache=True, **asked)
                chosen = self._chosen(said.logits[:, -1].float(), some, going)
                for row in sorted(going):
                    if result := some[row].take(int(chosen[row])):
                        put(some[row].start.place, result)
                        going.remove(row)
                if not going:
                    return
                cache, tokens, positions = said.past_key_values, chosen[:, None], positions[:, -1:] + 1
                mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)

    def _chosen(self, logits: torch.Tensor, some: list[_Writing], going: set[int]) -> torch.Tensor:
        """The next token of each row, [N]."""
        best = logits.argmax(-1)
        for row in going:
            request = some[row].request
            if request.temperature > 0 or request.repetition_penalty != 1:
                best[row] = some[row].choose(logits[row])
        return best

    def _padded(self, rows: Sequence[Ids]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens and mask, [N, S], padded in front."""
        import torch

        width = max(map(len, rows))
        tokens = torch.tensor([[0] * (width - len(row)) + list(row) for row in rows])
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
        return tokens.to(self.model.device), mask.to(self.model.device)

    def _known(self, **arguments: Any) -> dict[str, Any]:
        """Those of the arguments that this architecture takes."""
        model = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        takes = inspect.signature(model.forward).parameters
        return {name: value for name, value in arguments.items() if name in takes}


@dataclass(eq=False)
class _Writing:
    """A completion while it is written."""

    start: encoding.Start
    request: CompletionRequest
    stream: TextStream
    written: Ids = ()
    random: torch.Generator | None = None

    def take(self, token: int) -> Completion | None:
        """Add a token; the completion, once it has ended with it."""
        self.written += (token,)
        ended = token in self.start.ends
        if not ended:
            self.stream.push([token])
        if not (ended or self.stream.stopped or len(self.written) == self.start.most):
            return None
        finish: Finish = "length" if self.start.most == self.request.max_tokens else "context"
        finish = "end" if ended else "stop" if self.stream.stopped else finish
        return Completion(self.stream.text, finish, len(self.written), len(self.start.prompt))

    def choose(self, logits: torch.Tensor) -> int:
        """The next token by the request's settings, in transformers' order: penalty, temperature, top-k, top-p."""
        import torch

        request, logits = self.request, logits.cpu()
        if request.repetition_penalty != 1:
            seen = torch.tensor(sorted({*self.start.prompt, *self.written}))
            logits[seen] *= torch.where(logits[seen] < 0, request.repetition_penalty, 1 / request.repetition_penalty)
        if not request.temperature:
            return int(logits.argmax())
        scaled, order = (logits / request.temperature).sort(descending=True, stable=True)
        if request.top_k:
            scaled[request.top_k :] = -torch.inf
        shares = scaled.softmax(-1)
        shares[1:][shares.cumsum(-1)[:-1] >= request.top_p] = 0
        self.random = self.random or torch.Generator().manual_seed(request.seed)
        return int(order[torch.multinomial(shares, 1, generator=self.random)])


def _batches(some: Iterable[T], size: Callable[[T], Any], count: int) -> Iterator[list[T]]:
    """Those of about one size together, the largest first, so that memory runs out at once or not at all."""
    ordered = sorted(some, key=size, reverse=True)
    for start in range(0, len(ordered), count):
        yield ordered[start : start + count]


def _positions(mask: torch.Tensor) -> torch.Tensor:
    return (mask.cumsum(-1) - 1).clamp_min(0)
