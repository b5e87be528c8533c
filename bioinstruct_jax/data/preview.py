"""Rows as the model will see them: every token, coloured by its loss weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from bioinstruct_jax.config import Train
from bioinstruct_jax.data import dataset, guard
from bioinstruct_jax.data.batch import batch, row_numbers
from bioinstruct_jax.data.dataset import Dataset
from bioinstruct_jax.data.tokenizer import control_tokens

if TYPE_CHECKING:
    from rich.text import Text
    from transformers import PreTrainedTokenizerFast

LEGEND = "«with loss»  without loss  ⟪control token⟫  · blank  ↵ line end  → tab  <U+200B> invisible"
TARGET, CONTEXT, CONTROL = "bold green", "dim", "reverse"
LONGEST = 8  # tokens that may share one character


def print_preview(config: Train, count: int) -> None:
    """Prints the first `count` rows of a job's first epoch, and what became of its records.

    Raises:
      ValueError, OSError: as ``dataset.load``.
    """
    from rich.console import Console

    data = dataset.load(config)
    console = Console()
    console.print(preview(data, count, seed=config.seed), soft_wrap=True)
    packing = data.report["train"]["packing"]
    console.print(
        f"{packing['rows']} rows of {packing['length']}: {packing['tokens']} of {packing['slots']} slots used "
        f"({packing['efficiency']:.1%}), {packing['target_tokens']} target tokens",
        soft_wrap=True,
        highlight=False,
    )
    for reason, number in data.report["bad_rows"]["reasons"].items():
        console.print(f"bad rows, left out: {number}: {reason}", soft_wrap=True, highlight=False, markup=False)
    for reason, named in data.report["train"]["dropped"].items():
        console.print(f"dropped {named['count']}: {reason}", soft_wrap=True, highlight=False, markup=False)


def preview(data: Dataset, count: int, *, seed: int) -> Text:
    """The first `count` rows of the first epoch, segment by segment, with marks that tell the weights without colour.

    Blanks and other characters that cannot be seen are written as signs; ``LEGEND`` explains them. In place of a
    restricted record's segment stands what `guard.shown` gives.
    """
    from rich.text import Text

    count = min(count, len(data.train.tokens))
    shown = Text(LEGEND + "\n")
    if count == 0:
        return shown
    rows = batch(data.train, 0, seed=seed, size=count)
    numbers = row_numbers(len(data.train.tokens), 0, seed=seed, size=count)
    control = frozenset(control_tokens(data.tokenizer).values())
    for row in range(count):
        segments = rows["segments"][row]
        shown.append(f"\nrow {row + 1}: {segments.max()} segments, {np.sum(segments == 0)} slots of padding\n", "bold")
        for segment in range(1, segments.max() + 1):
            tokens = rows["tokens"][row][segments == segment].tolist()
            weights = rows["weights"][row][segments == segment].tolist()
            shown.append(f"-- segment {segment}: {len(tokens)} tokens, {sum(weights)} with loss\n", "bold")
            if data.members[numbers[row]][segment - 1] in data.restricted:
                shown.append(guard.shown(_decode(tokens, data.tokenizer), True), CONTEXT)
            else:
                shown.append(_segment(tokens, weights, data.tokenizer, control))
            shown.append("\n")
    return shown


def _segment(
    tokens: list[int], weights: list[int], tokenizer: PreTrainedTokenizerFast, control: frozenset[int]
) -> Text:
    from rich.text import Text

    shown = Text()
    was_target, before = False, 0
    for begin, end in _characters(tokens, weights, tokenizer, control):
        target = bool(weights[begin])
        if target != was_target:
            shown.append("«" if target else "»", TARGET)
        was_target = target
        style = TARGET if target else CONTEXT
        if tokens[begin] in control:
            shown.append(f"⟪{tokenizer.convert_ids_to_tokens(tokens[begin])}⟫", f"{style} {CONTROL}")
        else:
            context = [] if tokens[before] in control else tokens[before:begin]
            shown.append(visible(_added(context, tokens[begin:end], tokenizer)), style)
        before = begin
    if was_target:
        shown.append("»", TARGET)
    return shown


def _characters(
    tokens: list[int], weights: list[int], tokenizer: PreTrainedTokenizerFast, control: frozenset[int]
) -> list[tuple[int, int]]:
    """Spans of tokens that make whole characters: a byte-level token may hold a part of one."""
    spans, begin = [], 0
    for end in range(1, len(tokens) + 1):
        last = end == len(tokens) or tokens[end] in control or weights[end] != weights[begin]
        if last or end - begin == LONGEST or not _decode(tokens[begin:end], tokenizer).endswith("\ufffd"):
            spans.append((begin, end))
            begin = end
    return spans


def _added(context: list[int], tokens: list[int], tokenizer: PreTrainedTokenizerFast) -> str:
    """What tokens add to the text before them: decoded alone, some decoders would strip their first blank."""
    both, alone = _decode(context + tokens, tokenizer), _decode(context, tokenizer)
    return both[len(alone) :] if both.startswith(alone) else _decode(tokens, tokenizer)


def _decode(tokens: list[int], tokenizer: PreTrainedTokenizerFast) -> str:
    return str(tokenizer.decode(tokens, clean_up_tokenization_spaces=False))


def visible(text: str) -> str:
    """`text` with a sign for every character that cannot be seen; a line end also ends the line."""
    signs = {" ": "·", "\n": "↵\n", "\t": "→"}
    return "".join(signs.get(c) or (c if c.isprintable() else f"<U+{ord(c):04X}>") for c in text)
