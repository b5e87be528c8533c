"""From log-likelihoods of choices to scores of items: which choice is taken, whether it is right, how probable it is.

N items, C choices. All scores are per item, as `bootstrap.of_items` takes them; their means are the task's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bioinstruct_jax.evaluation.choice_prompts import ChoicePrompt
from bioinstruct_jax.evaluation.language_model import Score, TooLong

NAMED = 10  # items in a message


@dataclass(frozen=True)
class Unfit:
    """An item that is longer than the model's context: its longest choice makes `tokens`, the context has `limit`."""

    item: str
    tokens: int
    limit: int


class UnfitError(ValueError):
    """Items are longer than the model's context, and were not to be scored as wrong. Lists them in `unfit`."""

    def __init__(self, unfit: Sequence[Unfit], items: int):
        self.unfit = tuple(unfit)
        longest = max(unfit, key=lambda one: one.tokens)
        more = f" and {len(unfit) - NAMED} more" if len(unfit) > NAMED else ""
        super().__init__(
            f"{len(unfit)} of {items} items do not fit the model's context of {longest.limit} tokens (the longest, "
            f"{longest.item}, has {longest.tokens}): {', '.join(one.item for one in unfit[:NAMED])}{more}; show fewer "
            "shots, take a model with a longer context, or let them count as wrong"
        )


@dataclass(frozen=True)
class Choices:
    """What a model made of N items of one task.

    Attributes:
        loglikelihoods: [N, C] in nats; a row of NaN where the item did not fit.
        taken: [N], the likeliest choice, the first of equals; -1 where the item did not fit.
        taken_norm: [N], the likeliest by character.
        acc: [N], 1 where `taken` is right: the harness's acc.
        acc_norm: [N], 1 where `taken_norm` is right: its acc_norm.
        probabilities: [N, C], of the choices among themselves; NaN where the item did not fit.
        brier: [N], sum over the choices of (probability - whether it is right)^2, 0 to 2 (Brier, Monthly Weather Review
            78:1, 1950): the harness's brier_score; NaN where the item did not fit.
        fits: [N], whether the item fitted.
        unfit: those that did not; they count as wrong in acc and acc_norm and stay out of what rests on probabilities.
    """

    loglikelihoods: np.ndarray
    taken: np.ndarray
    taken_norm: np.ndarray
    acc: np.ndarray
    acc_norm: np.ndarray
    probabilities: np.ndarray
    brier: np.ndarray
    fits: np.ndarray
    unfit: tuple[Unfit, ...]


def read(
    prompts: Sequence[ChoicePrompt], results: Sequence[Score | TooLong], *, unfit: Literal["refuse", "wrong"] = "refuse"
) -> Choices:
    """Scores of items.

    Args:
        prompts: [N], all of one task.
        results: [N * C], of their `requests`, one prompt after the other.
        unfit: what becomes of items that do not fit the model's context; no item is ever cut.

    Raises:
        UnfitError: some do not, and ``refuse`` is asked for.
        ValueError: prompts of several tasks, results of other requests, or a log-likelihood that is none.
    """
    choices = prompts[0].choices if prompts else ()
    if any(one.choices != choices for one in prompts):
        raise ValueError("the prompts have different choices: score each task by itself")
    if len(results) != len(prompts) * len(choices):
        raise ValueError(
            f"{len(results)} results for {len(prompts)} prompts of {len(choices)} choices: needs one for each choice"
        )
    rows, left_out = [], []
    for place, one in enumerate(prompts):
        answers = results[place * len(choices) : (place + 1) * len(choices)]
        if long := [answer for answer in answers if isinstance(answer, TooLong)]:
            left_out.append(Unfit(one.item, max(answer.tokens for answer in long), long[0].limit))
            rows.append([np.nan] * len(choices))
            continue
        values = [answer.loglikelihood for answer in answers if isinstance(answer, Score)]
        for value, choice in zip(values, choices, strict=True):
            if not value < np.inf:
                raise ValueError(
                    f"item {one.item!r}, choice {choice!r}: the log-likelihood is {value}; look at the model's "
                    "weights and dtype"
                )
        rows.append(values)
    if left_out and unfit == "refuse":
        raise UnfitError(left_out, len(prompts))
    table = np.array(rows, float).reshape(len(prompts), len(choices))
    gold = np.array([one.gold for one in prompts], int)
    fits = ~np.isnan(table).any(axis=1)
    taken, taken_norm = taken_choices(table), taken_choices(table / characters(choices))
    shares = probabilities(table)
    right = np.arange(len(choices)) == gold[:, None]
    return Choices(
        loglikelihoods=table,
        taken=taken,
        taken_norm=taken_norm,
        acc=(taken == gold).astype(float),
        acc_norm=(taken_norm == gold).astype(float),
        probabilities=shares,
        brier=((shares - right) ** 2).sum(axis=1),
        fits=fits,
        unfit=tuple(left_out),
    )


def characters(choices: Sequence[str]) -> np.ndarray:
    """Lengths [C] by which the harness divides for acc_norm: Unicode characters of the choice, its blank left out.

    Its acc_bytes divides by UTF-8 bytes instead; the choices here are ASCII, and there the two are one.
    """
    return np.array([len(choice) for choice in choices], float)


def taken_choices(loglikelihoods: np.ndarray) -> np.ndarray:
    """The place [N] of the largest in each row [N, C], the first of equals; -1 for a row with NaN."""
    if not loglikelihoods.size:
        return np.full(len(loglikelihoods), -1)
    return np.where(np.isnan(loglikelihoods).any(axis=1), -1, loglikelihoods.argmax(axis=1))


def probabilities(loglikelihoods: np.ndarray) -> np.ndarray:
    """Of the choices among themselves [N, C], softmax of rows; equal ones where all are impossible (-inf)."""
    top = loglikelihoods.max(axis=1, keepdims=True, initial=-np.inf)
    apart = np.where(np.isneginf(top), 0.0, loglikelihoods - np.where(np.isneginf(top), 0.0, top))
    shares = np.exp(apart)
    return shares / shares.sum(axis=1, keepdims=True)
