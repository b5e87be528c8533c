"""Requests to token ids, for any model whose tokenizer is at hand."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from bioinstruct_jax.data.prompts import Piece
from bioinstruct_jax.data.tokenizer import token_id
from bioinstruct_jax.data.tokens import check_unicode, encode_pieces
from bioinstruct_jax.evaluation.language_model import CompletionRequest, OnResult, ScoreRequest, Text, TooLong

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class Pair(NamedTuple):
    """The tokens of a ScoreRequest, and its place."""

    place: int
    context: tuple[int, ...]
    continuation: tuple[int, ...]


class Start(NamedTuple):
    """What a completion goes on from.

    Attributes:
        place: of its request.
        prompt: its tokens.
        ends: tokens that end it.
        most: tokens that it may have: as many as asked for, or as fit.
    """

    place: int
    prompt: tuple[int, ...]
    ends: frozenset[int]
    most: int


def pairs(
    requests: Sequence[ScoreRequest],
    tokenizer: PreTrainedTokenizerFast,
    put: OnResult[TooLong],
    *,
    bos: bool,
    limit: int,
) -> Iterator[Pair]:
    """The requests that fit a context of `limit` tokens; the others are put as TooLong.

    Raises:
        ValueError: as `encode_pair`; names the request.
    """
    for place, request in enumerate(requests):
        with _naming(place):
            ids, rest = encode_pair(request.context, request.continuation, tokenizer, bos=bos)
        if len(ids) + len(rest) - 1 > limit:
            put(place, TooLong(len(ids) + len(rest), limit))
        else:
            yield Pair(place, tuple(ids), tuple(rest))


def starts(
    requests: Sequence[CompletionRequest],
    tokenizer: PreTrainedTokenizerFast,
    put: OnResult[TooLong],
    *,
    ends: frozenset[int],
    bos: bool,
    limit: int,
) -> Iterator[Start]:
    """The requests that leave room for a token in a context of `limit`; the others are put as TooLong.

    Args:
        ends: tokens that end every answer.

    Raises:
        ValueError: as `encode_prompt` and `end_tokens`; names the request.
    """
    for place, request in enumerate(requests):
        with _naming(place):
            ids = encode_prompt(request.prompt, tokenizer, bos=bos)
            own = end_tokens(request.stop_tokens, tokenizer)
        if len(ids) >= limit:
            put(place, TooLong(len(ids), limit))
        else:
            yield Start(place, tuple(ids), ends | own, min(request.max_tokens, limit - len(ids)))


def adds_bos(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Whether the tokenizer by itself begins a text with its BOS token."""
    return tokenizer.bos_token is not None and tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]


def encode_prompt(text: Text, tokenizer: PreTrainedTokenizerFast, *, bos: bool) -> list[int]:
    """Token ids of a prompt. A rendered one brings its control tokens; a raw text gets BOS in front if `bos`.

    Control tokens typed in a text are text.

    Raises:
        ValueError: it has no tokens, or is no valid Unicode.
    """
    pieces = (*_first(tokenizer, bos), Piece(text)) if isinstance(text, str) else text
    ids = _ids(pieces, tokenizer)
    if not ids:
        raise ValueError("the prompt is empty, and without BOS there is nothing to go on from")
    return ids


def encode_pair(
    context: Text, continuation: str, tokenizer: PreTrainedTokenizerFast, *, bos: bool
) -> tuple[list[int], list[int]]:
    """Token ids of a context and of what may follow it, cut as `language_model.ScoreRequest` says.

    An empty context is the BOS token, or the EOS token of a tokenizer without.

    Raises:
        ValueError: the continuation has no token of its own, or a text is no valid Unicode.
    """
    if isinstance(context, str):
        blanks = len(context) - len(context.rstrip())
        if blanks:
            context, continuation = context[:-blanks], context[-blanks:] + continuation
        before = _ids((Piece(context),), tokenizer) if context else []
        both = _ids((Piece(context + continuation),), tokenizer)
        first = [token_id(piece.text, tokenizer) for piece in _first(tokenizer, bos or not before)]
        ids, rest = [*first, *before] or [tokenizer.eos_token_id], both[len(before) :]
    else:
        ids = encode_prompt(context, tokenizer, bos=False)
        rest = _ids((*context, Piece(continuation)), tokenizer)[len(ids) :]
    if not rest:
        raise ValueError(f"the continuation {continuation!r} has no token of its own after its context")
    return ids, rest


def end_tokens(names: tuple[str, ...], tokenizer: PreTrainedTokenizerFast) -> frozenset[int]:
    """Ids of control tokens. Raises ValueError for one that the vocabulary lacks."""
    return frozenset(token_id(name, tokenizer) for name in names)


@contextlib.contextmanager
def _naming(place: int) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"request {place}: {error}") from error


def _first(tokenizer: PreTrainedTokenizerFast, bos: bool) -> tuple[Piece, ...]:
    return (Piece(tokenizer.bos_token, control=True),) if bos and tokenizer.bos_token is not None else ()


def _ids(pieces: tuple[Piece, ...], tokenizer: PreTrainedTokenizerFast) -> list[int]:
    check_unicode(pieces)
    return encode_pieces([pieces], tokenizer.bos_token, tokenizer)[0][0].tolist()
