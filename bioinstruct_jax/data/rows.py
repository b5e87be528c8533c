"""Examples to rows of equal length."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from bioinstruct_jax.data.packing import pack
from bioinstruct_jax.data.prompts import Template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokenizer import fingerprint as tokenizer_fingerprint
from bioinstruct_jax.data.tokens import Example, Refused, encode_all, shorten_input

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FORMAT = 2  # raise it when the same records would become other rows
NAMED = 100_000  # ids a report lists for each reason
DTYPES = {"tokens": np.int32, "segments": np.int32, "positions": np.int32, "weights": np.uint8}


@dataclass(frozen=True, eq=False)
class Rows:
    """N rows of S tokens, each array [N, S].

    `segments` (int32) is 0 for padding, else 1, 2, ... within a row; `positions` (int32) restart at 0 with each
    segment; `weights` (uint8) is 1 where the token is a target. Padding is known by its segment, never by a token id.
    """

    tokens: np.ndarray
    segments: np.ndarray
    positions: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, eq=False)
class Built:
    """Rows and what became of the records.

    Attributes:
        rows: of tokens.
        report: counts, dropped and truncated ids by reason, packing efficiency.
        members: ids of the records in each row, in their order.
    """

    rows: Rows
    report: dict
    members: list[list[str]]


@dataclass(frozen=True, eq=False)
class Fitted:
    """The examples that a record gives, each short enough for a row, and how; `reason`: why it was dropped."""

    examples: list[Example]
    how: Literal["whole", "truncated", "split", "dropped"]
    reason: str = ""


def build(
    records: Sequence[Record],
    template: Template,
    tokenizer: PreTrainedTokenizerFast,
    *,
    length: int,
    packing: bool,
    over_length: Literal["drop", "truncate_input", "raise", "split"],
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Built:
    """Encodes and packs records; no answer is cut, and only text without an instruction is split.

    Args:
      length: tokens in a row, S.
      packing: several examples in a row; else one.
      over_length: what to do with an example of more than `length` tokens; with ``split`` text without an instruction
        goes on in further examples, and others are dropped.

    Raises:
      ValueError: an example is longer than `length` and `over_length` is ``raise``.
    """
    examples: list[Example] = []
    dropped: dict[str, list[str]] = {}
    truncated: list[str] = []
    parted: list[str] = []
    for record, encoded in zip(records, encode_all(records, template, tokenizer, on_progress), strict=True):
        fitted = fit(record, encoded, template, tokenizer, length=length, over_length=over_length)
        examples += fitted.examples
        match fitted.how:
            case "dropped":
                dropped.setdefault(fitted.reason, []).append(record.id)
            case "truncated":
                truncated.append(record.id)
            case "split":
                parted.append(record.id)
    lengths = [len(example.tokens) for example in examples]
    plan = pack(lengths, length) if packing else [[index] for index in range(len(examples))]
    rows = _fill(examples, plan, length)
    slots, tokens = rows.tokens.size, sum(lengths)
    report = {
        "records": len(records),
        "examples": len(examples),
        "dropped": {reason: _named(ids) for reason, ids in sorted(dropped.items())},
        "truncated": _named(truncated),
        "split": _named(parted),
        "packing": {
            "rows": len(rows.tokens),
            "length": length,
            "slots": slots,
            "tokens": tokens,
            "target_tokens": int(rows.weights.sum()),
            "efficiency": round(tokens / slots, 4) if slots else 0.0,
        },
    }
    return Built(rows, report, [[examples[index].id for index in row] for row in plan])


def fit(
    record: Record,
    encoded: Example | Refused,
    template: Template,
    tokenizer: PreTrainedTokenizerFast,
    *,
    length: int,
    over_length: Literal["drop", "truncate_input", "raise", "split"],
) -> Fitted:
    """What becomes of a record, given what `encode_all` made of it; `length` and `over_length` as in `build`.

    Raises:
      ValueError: it is longer than `length` and `over_length` is ``raise``.
    """
    if isinstance(encoded, Refused):
        return Fitted([], "dropped", encoded.reason)
    if len(encoded.tokens) <= length:
        return Fitted([encoded], "whole")
    if over_length == "raise":
        raise ValueError(
            f"record {record.id} has {len(encoded.tokens)} tokens, {len(encoded.tokens) - length} more than "
            f"data.length {length}; raise data.length or set data.over_length to drop or truncate_input"
        )
    if over_length == "truncate_input" and (shorter := shorten_input(record, template, tokenizer, length)):
        return Fitted([shorter], "truncated")
    if over_length == "split" and not record.instruction:
        return Fitted(_split(encoded, length), "split")
    why = "too long even without its input" if over_length == "truncate_input" else "too long"
    return Fitted([], "dropped", f"{why} (more than {length} tokens)")


def _split(example: Example, length: int) -> list[Example]:
    """Parts of at most `length` tokens; each begins with the last token of the one before, so no target is lost."""
    parts = []
    for number, begin in enumerate(range(0, len(example.tokens) - 1, length - 1), start=1):
        place = slice(begin, begin + length)
        weights = example.weights[place].copy()
        weights[0] = 0  # a target of the part before, or what opens the text
        parts.append(Example(f"{example.id}#{number}", example.tokens[place], weights))
    return parts


def _named(ids: list[str]) -> dict:
    return {"count": len(ids), "ids": ids[:NAMED]}


def _fill(examples: Sequence[Example], plan: Sequence[Sequence[int]], length: int) -> Rows:
    arrays = {name: np.zeros((len(plan), length), dtype) for name, dtype in DTYPES.items()}
    for row, members in enumerate(plan):
        begin = 0
        for segment, index in enumerate(members, start=1):
            example = examples[index]
            place = slice(begin, begin + len(example.tokens))
            arrays["tokens"][row, place] = example.tokens
            arrays["segments"][row, place] = segment
            arrays["positions"][row, place] = np.arange(len(example.tokens))
            arrays["weights"][row, place] = example.weights
            begin = place.stop
    return Rows(**arrays)


def fingerprint(
    records: Sequence[Record],
    template: Template,
    tokenizer: PreTrainedTokenizerFast,
    *,
    length: int,
    packing: bool,
    over_length: str,
) -> str:
    """sha256 (hex) of everything that rows follow from: texts and their order, tokenizer, template and settings."""
    settings = [FORMAT, tokenizer_fingerprint(tokenizer), template.hash, length, packing, over_length]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for record in records:
        texts = [record.id, record.system, record.history, record.instruction, record.input, record.output]
        digest.update(json.dumps(texts).encode() + b"\n")
    return digest.hexdigest()
