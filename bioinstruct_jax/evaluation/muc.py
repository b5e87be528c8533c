"""What became of each mention, in the categories of MUC-5 (Chinchor and Sundheim, 1993), as nervaluate counts them.

Four schemes tell them apart: ``strict``: place and type are right; ``exact``: the place is, whatever the type;
``partial``: any overlap, whatever the type; ``type``: any overlap with the type right.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from bioinstruct_jax.evaluation.bootstrap import ratio
from bioinstruct_jax.tasks.spans import Mention

SCHEMES = ("strict", "exact", "partial", "type")
CORRECT, INCORRECT, PARTIAL, MISSED, SPURIOUS = range(5)


def counts(
    gold: Sequence[Sequence[Mention]],
    predicted: Sequence[Sequence[Mention] | None],
    foreign: Sequence[Mapping[str, int]] | None = None,
) -> np.ndarray:
    """Mentions of each sentence by scheme and category, [N, 4, 5]; None for predicted ones counts as none.

    Predicted mentions are taken from left to right, and each takes a gold one that none took before it: one that is
    correct, in ``type`` the closest of these; else the first that it overlaps, by at least 1 % of
    the gold one's length.

    `foreign`, as in `entities.counts`, are spurious.

    Raises ValueError for another number of predicted sentences.
    """
    if len(gold) != len(predicted) or (foreign is not None and len(foreign) != len(gold)):
        raise ValueError(f"{len(gold)} sentences of gold, but {len(predicted)} predicted: needs one of each")
    found = np.zeros((len(gold), 4, 5))
    for sentence, (truth, guessed) in enumerate(zip(gold, predicted, strict=True)):
        truths, guesses = sorted(set(truth)), sorted(set(guessed or ()))
        if truths == guesses:
            found[sentence, :, CORRECT] = len(truths)
        elif not truths or not guesses:
            found[sentence, :, MISSED], found[sentence, :, SPURIOUS] = len(truths), len(guesses)
        else:
            for place, scheme in enumerate(SCHEMES):
                _judge(scheme, truths, guesses, found[sentence, place])
        if foreign is not None:
            found[sentence, :, SPURIOUS] += sum(foreign[sentence].values())
    return found


def _judge(scheme: str, truths: list[Mention], guesses: list[Mention], into: np.ndarray) -> None:
    free = dict(enumerate(truths))
    for guess in guesses:
        right = [place for place, truth in free.items() if _correct(scheme, truth, guess)]
        if right:
            category, taken = CORRECT, right[0]
            if scheme == "type":
                taken = min(right, key=lambda place: _apart(free[place], guess))
        elif near := [place for place, truth in free.items() if _overlap(truth, guess)]:
            category, taken = PARTIAL if scheme == "partial" else INCORRECT, near[0]
        else:
            into[SPURIOUS] += 1
            continue
        into[category] += 1
        del free[taken]
    into[MISSED] += len(free)


def _correct(scheme: str, truth: Mention, guess: Mention) -> bool:
    if scheme == "type":
        return truth.type == guess.type and _overlap(truth, guess)
    same = truth.start == guess.start and truth.end == guess.end
    return same and (scheme != "strict" or truth.type == guess.type)


def _overlap(truth: Mention, guess: Mention) -> bool:
    shared = min(truth.end, guess.end) - max(truth.start, guess.start)
    return shared > 0 and 100 * shared >= truth.end - truth.start


def _apart(truth: Mention, guess: Mention) -> int:
    return abs(truth.start - guess.start) + abs(truth.end - guess.end)


def precision(sums: np.ndarray) -> np.ndarray:
    """Of sums of one scheme [..., 5]: correct and half of the partial ones over all predicted ones; 0 / 0 is 0."""
    return ratio(np.stack([_credit(sums), sums[..., [CORRECT, INCORRECT, PARTIAL, SPURIOUS]].sum(-1)], -1))


def recall(sums: np.ndarray) -> np.ndarray:
    """The same over all that there are."""
    return ratio(np.stack([_credit(sums), sums[..., [CORRECT, INCORRECT, PARTIAL, MISSED]].sum(-1)], -1))


def f1(sums: np.ndarray) -> np.ndarray:
    """The harmonic mean of both."""
    both = 2 * sums[..., [CORRECT, INCORRECT, PARTIAL]].sum(-1) + sums[..., [MISSED, SPURIOUS]].sum(-1)
    return ratio(np.stack([2 * _credit(sums), both], -1))


def _credit(sums: np.ndarray) -> np.ndarray:
    return sums[..., CORRECT] + sums[..., PARTIAL] / 2
