"""Requests as token ids, and the padded arrays in which many of them go to the devices together."""

from dataclasses import dataclass

import numpy as np

from bioinstruct_jax.inference.forward import Rows
from bioinstruct_jax.inference.sampling import Needs, Settings
from bioinstruct_jax.inference.slots import Orders, Prompts

SMALLEST = 16


def bucket(length: int) -> int:
    """The least of 16, 24, 32, 48, 64, 96, ... that holds `length`: a job compiles for few lengths and pads little."""
    size = SMALLEST
    while size < length:
        if size + size // 2 >= length:
            return size + size // 2
        size *= 2
    return size


def power(base: int, least: int) -> int:
    """The smallest of base, base**2, ... (or 1, if `least` is) that is no less than `least`."""
    size = 1
    while size < least:
        size *= base
    return size


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt, int32 [P], and how to go on from it; `ends` are the tokens that end a completion."""

    tokens: np.ndarray
    max_tokens: int
    ends: frozenset[int]
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    seed: int = 0
    written: int = 0  # tokens at its end that are no prompt but were completed before


@dataclass(frozen=True, eq=False)
class Branches:
    """A context, int32 [P] with P > 0, and continuations of it, int32 [N] each with N > 0."""

    context: np.ndarray
    continuations: tuple[np.ndarray, ...]


def targets(request: Branches) -> int:
    """Tokens to be predicted."""
    return sum(len(continuation) for continuation in request.continuations)


def row_length(request: Branches) -> int:
    """Columns of its row: nothing is predicted from a continuation's last token, so it is left out."""
    return len(request.context) + targets(request) - len(request.continuations)


def rows(requests: list[Branches], count: int, width: int, targets: int) -> Rows:
    """`count` rows of `width` columns with places for `targets`, each request in one; unused rows are padding."""
    tokens, positions, at, wanted = (np.zeros((count, size), np.int32) for size in (width, width, targets, targets))
    branches = np.full((count, width), -1, np.int32)
    for row, request in enumerate(requests):
        length = len(request.context)
        tokens[row, :length], positions[row, :length] = request.context, np.arange(length)
        branches[row, :length] = 0
        column, target = length, 0
        for branch, continuation in enumerate(request.continuations, start=1):
            read = len(continuation) - 1
            span = slice(column, column + read)
            tokens[row, span], branches[row, span] = continuation[:-1], branch
            positions[row, span] = np.arange(length, length + read)
            at[row, target], at[row, target + 1 : target + 1 + read] = length - 1, np.arange(column, column + read)
            wanted[row, target : target + 1 + read] = continuation
            column, target = column + read, target + 1 + read
    return Rows(tokens, positions, branches, at, wanted)


def orders(prompts: list[Prompt], rows: int, ends: int, vocabulary: int, needs: Needs) -> Orders:
    """What prompts ask for, as arrays of `rows`; a row without a prompt writes one token, which nobody reads."""
    limit, (top_k, written) = np.ones(rows, np.int32), np.zeros((2, rows), np.int32)
    temperature, (top_p, penalty) = np.zeros(rows, np.float32), np.ones((2, rows), np.float32)
    seed, ended = np.zeros(rows, np.uint32), np.full((rows, ends), -1, np.int32)
    seen = np.zeros((rows, vocabulary), bool) if needs.penalty else None
    for row, prompt in enumerate(prompts):
        written[row] = prompt.written
        limit[row], top_k[row], top_p[row] = prompt.max_tokens, prompt.top_k, prompt.top_p
        temperature[row], penalty[row], seed[row] = prompt.temperature, prompt.repetition_penalty, prompt.seed
        ended[row, : len(prompt.ends)] = sorted(prompt.ends)
        if seen is not None:
            seen[row, prompt.tokens] = True
    return Orders(limit, written, ended, Settings(temperature, top_k, top_p, penalty, seed), seen)


def padded(prompts: list[Prompt], rows: int, ends: int, vocabulary: int, needs: Needs) -> Prompts:
    """Prompts padded in front to a bucket's length, one a row."""
    width = bucket(max(len(prompt.tokens) for prompt in prompts))
    tokens, lengths = np.zeros((rows, width), np.int32), np.zeros(rows, np.int32)
    for row, prompt in enumerate(prompts):
        lengths[row] = len(prompt.tokens)
        tokens[row, width - len(prompt.tokens) :] = prompt.tokens
    return Prompts(tokens, lengths, orders(prompts, rows, ends, vocabulary, needs))
