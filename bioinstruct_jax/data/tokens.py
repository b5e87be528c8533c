"""Rendered prompts to token ids with loss weights.

Every text piece is encoded by itself with special-token parsing off, so that an inference prompt is token for token the
beginning of the training example, and no text ever becomes a control token.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bioinstruct_jax.data.prompts import Piece, Template, render
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokenizer import control_tokens, definition, token_id

if TYPE_CHECKING:
    import tokenizers
    from transformers import PreTrainedTokenizerFast

CHUNK = 512  # records a call of the Rust tokenizer, which uses all cores


@dataclass(frozen=True, eq=False)
class Example:
    """One example: `tokens` int32 [T] and `weights` uint8 [T]; 1 = a target, predicted from the token before."""

    id: str
    tokens: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Refused:
    """A record that gave no example, and why."""

    id: str
    reason: str


@dataclass(frozen=True, eq=False)
class TextEncoder:
    """A tokenizer for text alone: at the start of a sequence, and inside one (no space put before the first word)."""

    start: tokenizers.Tokenizer
    inside: tokenizers.Tokenizer
    control: frozenset[int]
    literals: tuple[str, ...]  # names of vocabulary entries that some models match as text
    moved: dict[int, int]  # id in start and inside -> id in the tokenizer, for added words


def encode(record: Record, template: Template, tokenizer: PreTrainedTokenizerFast) -> Example:
    """Encodes a record with its answer.

    Raises:
      ValueError: the template refuses the record, its text is no valid Unicode, or it would have no target token.
    """
    (encoded,) = encode_all([record], template, tokenizer)
    if isinstance(encoded, Refused):
        raise ValueError(f"record {record.id}: {encoded.reason}")
    return encoded


def encode_prompt(record: Record, template: Template, tokenizer: PreTrainedTokenizerFast) -> np.ndarray:
    """Token ids int32 [P] of the prompt alone: exactly the first P tokens of ``encode``.

    Raises:
      ValueError: the template refuses the record, or its text is no valid Unicode.
    """
    pieces = render(record, template, with_answer=False)
    check_unicode(pieces)
    return encode_pieces([pieces], template.bos, tokenizer)[0][0]


def encode_all(
    records: Sequence[Record],
    template: Template,
    tokenizer: PreTrainedTokenizerFast,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Example | Refused]:
    """Encodes many records on all cores: one result a record, in their order.

    Raises:
      ValueError: an example without a target token, which is a defect of template or tokenizer.
    """
    results: list[Example | Refused] = []
    for begin in range(0, len(records), CHUNK):
        chunk: list[list[Piece] | Refused] = []
        for record in records[begin : begin + CHUNK]:
            try:
                pieces = render(record, template)
                check_unicode(pieces)
                chunk.append(pieces)
            except ValueError as error:
                chunk.append(Refused(record.id, str(error)))
        encoded = iter(encode_pieces([pieces for pieces in chunk if isinstance(pieces, list)], template.bos, tokenizer))
        for record, pieces_or_refused in zip(records[begin : begin + CHUNK], chunk, strict=True):
            if isinstance(pieces_or_refused, Refused):
                results.append(pieces_or_refused)
                continue
            tokens, weights = next(encoded)
            if not weights.any():
                raise ValueError(f"record {record.id}: none of its {len(tokens)} tokens is a target")
            results.append(Example(record.id, tokens, weights))
        on_progress(min(begin + CHUNK, len(records)), len(records))
    return results


def shorten_input(
    record: Record, template: Template, tokenizer: PreTrainedTokenizerFast, length: int
) -> Example | None:
    """The example with the longest beginning of `record.input` for which it has at most `length` tokens.

    Instruction and answer stay whole. None if even one character of input is too much.
    """
    best, kept, over = None, 0, len(record.input)
    while over - kept > 1:
        middle = (kept + over) // 2
        example = encode(replace(record, input=record.input[:middle]), template, tokenizer)
        if len(example.tokens) <= length:
            best, kept = example, middle
        else:
            over = middle
    return best


def text_encoder(tokenizer: PreTrainedTokenizerFast) -> TextEncoder:
    """The text-only form of a tokenizer: truncation, padding, dropout and control tokens off."""
    return _text_encoder(tokenizer, len(tokenizer))


@lru_cache(maxsize=4)
def _text_encoder(tokenizer: PreTrainedTokenizerFast, size: int) -> TextEncoder:
    from tokenizers import Tokenizer

    control = control_tokens(tokenizer)
    tree = definition(tokenizer) | {"post_processor": None}
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] not in control]
    if "dropout" in tree["model"]:
        tree["model"]["dropout"] = None
    start = Tokenizer.from_str(json.dumps(tree))
    # the ids of added tokens are counted on from the model's vocabulary, so those left shift where others are taken out
    places = {token["content"]: token["id"] for token in tree["added_tokens"]}
    moved = {place: places[text] for text in places if (place := start.token_to_id(text)) not in (None, places[text])}
    for part in ("normalizer", "pre_tokenizer"):
        tree[part] = _without_prefix(tree[part])
    unknown = tokenizer.unk_token
    ids = set(control.values())
    if unknown is not None and unknown not in (tokenizer.bos_token, tokenizer.eos_token):
        ids.discard(tokenizer.convert_tokens_to_ids(unknown))  # what an unknown character honestly becomes
    literals = ("<0x", unknown) if unknown else ("<0x",)
    return TextEncoder(start, Tokenizer.from_str(json.dumps(tree)), frozenset(ids), literals, moved)


def _without_prefix(part: dict | None) -> dict | None:
    """A normalizer or pre-tokenizer that puts nothing before the first word of a text."""
    if part is None or part["type"] == "Prepend":
        return None
    part = dict(part)
    for inner in ("normalizers", "pretokenizers"):
        if inner in part:
            part[inner] = [kept for kept in map(_without_prefix, part[inner]) if kept is not None]
    if part["type"] == "Metaspace":
        part["prepend_scheme"] = "never"
    if part["type"] == "ByteLevel":
        part["add_prefix_space"] = False
    return part


def check_unicode(pieces: Sequence[Piece]) -> None:
    """Raises ValueError for a text that is no valid Unicode."""
    for piece in pieces:
        try:
            piece.text.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"half of a surrogate pair, {piece.text[error.start]!a}, is no Unicode text") from error


def encode_pieces(
    prompts: Sequence[Sequence[Piece]], bos: str | None, tokenizer: PreTrainedTokenizerFast
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens int32 [T] and weights uint8 [T] of each rendered prompt; `bos` is its template's."""
    encoder = text_encoder(tokenizer)
    starts: list[str] = []
    insides: list[str] = []
    for pieces in prompts:
        for before, piece in zip([None, *pieces], pieces, strict=False):
            if not piece.control:
                (starts if _begins(before, bos) else insides).append(piece.text)
    start_ids = iter(_texts(starts, encoder, encoder.start))
    inside_ids = iter(_texts(insides, encoder, encoder.inside))
    encoded = []
    for pieces in prompts:
        tokens: list[int] = []
        weights: list[int] = []
        for before, piece in zip([None, *pieces], pieces, strict=False):
            if piece.control:
                ids = [token_id(piece.text, tokenizer)]
            else:
                ids = next(start_ids if _begins(before, bos) else inside_ids)
            tokens += ids
            weights += [int(piece.target)] * len(ids)
        encoded.append((np.array(tokens, np.int32), np.array(weights, np.uint8)))
    return encoded


def _begins(before: Piece | None, bos: str | None) -> bool:
    return before is None or (before.control and before.text == bos)


def _texts(texts: list[str], encoder: TextEncoder, backend: tokenizers.Tokenizer) -> list[list[int]]:
    encodings = backend.encode_batch_fast(texts, add_special_tokens=False)
    moved = encoder.moved
    encoded = [[moved.get(i, i) for i in encoding.ids] if moved else encoding.ids for encoding in encodings]
    return [_clean(text, ids, encoder, backend) for text, ids in zip(texts, encoded, strict=True)]


def _clean(text: str, ids: list[int], encoder: TextEncoder, backend: tokenizers.Tokenizer) -> list[int]:
    """`ids`, or those of the halves of `text` if a model that lists control tokens among its words found one in it."""
    if len(text) < 2 or (encoder.control.isdisjoint(ids) and not any(name in text for name in encoder.literals)):
        return ids
    head, tail = text[: len(text) // 2], text[len(text) // 2 :]
    return [
        *_texts([head], encoder, backend)[0],
        *_texts([tail], encoder, encoder.inside)[0],
    ]
