"""What the benchmarks of an accelerator are fed: models' shapes, and full or packed rows of random tokens."""

import argparse

import numpy as np

from bioinstruct_jax import settings
from bioinstruct_jax.config import Shape, Source, Train
from bioinstruct_jax.data import packing, prompts, readers, tokenizer, tokens
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.resources import resource

MODELS, INPUTS = ("llama2_7b", "llama3_1_8b"), ("full", "packed")
_TINY = Shape(
    vocab_size=2048,
    hidden_size=128,
    intermediate_size=256,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=4096,
)


def positive(text: str) -> int:
    """A whole number above 0, of a command line."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not above 0")
    return number


def job(model: str) -> tuple[Train, Shape]:
    """A shipped configuration and the shape of its model; `tiny` has a shape of its own, with grouped queries."""
    text = resource("configs", f"{model}.yaml").read_text(encoding="utf-8")
    found = settings.loads(text, job=Train, where=model)
    shape = _TINY if model == "tiny" else found.model.shape
    assert shape is not None
    return found, shape


def lengths(kind: str, *, rows: int, length: int) -> np.ndarray:
    """Tokens of each example, of some steps of `rows` rows of `length` tokens.

    Args:
        kind: `full`, whole rows; `packed`, drawn from the seed tasks as the shipped tokenizer cuts them.
    """
    if kind == "full":
        return np.full(rows * 4, length)
    fast = tokenizer.load("tiny")
    template = prompts.template("alpaca", fast)
    records = [record for record in readers.read(Source(path="seeds")) if isinstance(record, Record)]
    sizes = [len(tokens.encode(record, template, fast).tokens) for record in records]
    return np.random.default_rng(0).choice(np.minimum(sizes, length), max(1, rows * length // 16))


def batches(
    sizes: np.ndarray, *, rows: int, length: int, vocabulary: int, padded: bool = False
) -> list[dict[str, np.ndarray]]:
    """Steps' rows: tokens, segments, positions and weights, each int32 [rows, tokens], of as many slots a step.

    Args:
        sizes: tokens of each example, as `lengths` gives them.
        padded: one example a row, padded to the longest of its step, instead of `rows` packed rows.
    """
    if padded:
        ordered = sizes.tolist()  # in no order, as a shuffled data set is
        groups: list[list[list[int]]] = [[]]
        for index, size in enumerate(ordered):
            held = [ordered[row[0]] for row in groups[-1]]
            if held and max(*held, size) * (len(held) + 1) > rows * length:
                groups.append([])
            groups[-1].append([index])
        groups = groups[:-1] or groups  # the last one may not be full
    else:
        plan = packing.pack(sizes.tolist(), length)
        plan = [plan[i] for i in np.random.default_rng(1).permutation(len(plan))]  # else full rows come first
        groups = [plan[at : at + rows] for at in range(0, len(plan) - rows + 1, rows)]
    random = np.random.default_rng(2)
    widths = [max(sizes[row[0]] for row in group) if padded else length for group in groups]
    return [_filled(group, sizes, int(width), vocabulary, random) for group, width in zip(groups, widths, strict=True)]


def _filled(
    rows: list[list[int]], sizes: np.ndarray, width: int, vocabulary: int, random: np.random.Generator
) -> dict[str, np.ndarray]:
    made = {name: np.zeros((len(rows), width), np.int32) for name in ("tokens", "segments", "positions", "weights")}
    for number, row in enumerate(rows):
        at = 0
        for segment, index in enumerate(row, start=1):
            here = slice(at, at := at + int(sizes[index]))
            size = here.stop - here.start
            made["tokens"][number, here] = random.integers(3, vocabulary, size)
            made["segments"][number, here] = segment
            made["positions"][number, here] = np.arange(size)
            made["weights"][number, here] = np.arange(size) >= size // 2  # the second half is the answer
    return made
