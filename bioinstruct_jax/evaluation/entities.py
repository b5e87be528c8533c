"""Scores of mentions: which were found, by exact place and type or by overlap.

Counts of a sentence have the columns of `classification`, with the types for labels: hits, predicted and gold mentions
of each type; whether the output could be read, and 1. So `classification.micro_f1`, `precision`, `recall`,
`f1_of_labels`, `macro_f1` and `extraction_rate` are the scores, and `bootstrap.by_document` clusters them. A sentence
without gold and predicted mentions adds nothing to a micro score.

Mentions lie among tokens or characters, as long as gold and predicted ones do alike. Each counts once, as in a set.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from bioinstruct_jax.tasks.spans import Mention

Match = Literal["exact", "relaxed"]


def counts(
    gold: Sequence[Sequence[Mention]],
    predicted: Sequence[Sequence[Mention] | None],
    types: Sequence[str],
    *,
    match: Match = "exact",
    foreign: Sequence[Mapping[str, int]] | None = None,
) -> np.ndarray:
    """What happened in each sentence, [N, 3 T + 2].

    Args:
        gold: the mentions of each sentence.
        predicted: those read from the model's text; None: nothing could be read, which scores as no mention.
        types: that there are, T of them.
        match: ``exact``: the same start, end and type; ``relaxed``: the same type and at least one token in common, one
            to one, in the way that gives the most pairs.
        foreign: of each sentence, how many mentions of each type were predicted with words that are not in the text:
            false positives.

    Raises:
        ValueError: not as many of one as of the others, or a type that is none of `types`.
    """
    given = [len(gold), len(predicted), len(gold) if foreign is None else len(foreign)]
    if len(set(given)) > 1:
        raise ValueError(
            f"{given[0]} sentences of gold, {given[1]} predicted and {given[2]} with foreign words: needs one of each"
        )
    width = len(types)
    hit, said, right = ({kind: place + shift * width for place, kind in enumerate(types)} for shift in range(3))
    rows = np.zeros((len(gold), 3 * width + 2))
    rows[:, -1] = 1
    row = rows[0] if len(rows) else None
    try:
        for sentence, (truth, found) in enumerate(zip(gold, predicted, strict=True)):
            row = rows[sentence]
            row[-2] = found is not None
            true, guessed = set(truth), set(found or ())
            for mention in true:
                row[right[mention.type]] += 1
            for mention in guessed:
                row[said[mention.type]] += 1
            if foreign is not None:
                for kind, count in foreign[sentence].items():
                    row[said[kind]] += count
            if true and guessed:
                pairs = Counter(m.type for m in true & guessed) if match == "exact" else overlapping(true, guessed)
                for kind, count in pairs.items():
                    row[hit[kind]] += count
    except KeyError as error:
        raise ValueError(f"sentence {sentence}: type {error.args[0]!r} is none of {', '.join(types)}") from None
    return rows


def overlapping(gold: set[Mention], predicted: set[Mention]) -> Counter[str]:
    """For each type the most pairs of a gold and a predicted mention that share a token, each mention in one pair.

    By augmenting paths (Kuhn, Naval Res Logist Q 2:83, 1955), so that no order of the mentions matters.
    """
    found = Counter(mention.type for mention in gold & predicted)
    for kind in {mention.type for mention in gold} & {mention.type for mention in predicted}:
        truths = sorted(mention for mention in gold if mention.type == kind)
        guesses = sorted(mention for mention in predicted if mention.type == kind)
        if found[kind] == min(len(truths), len(guesses)):
            continue
        near = [
            [place for place, guess in enumerate(guesses) if guess.start < truth.end and truth.start < guess.end]
            for truth in truths
        ]
        taken: dict[int, int] = {}  # guess -> truth
        found[kind] = sum(_paired(truth, near, taken, set()) for truth in range(len(truths)))
    return found


def _paired(truth: int, near: list[list[int]], taken: dict[int, int], tried: set[int]) -> bool:
    """Whether this truth finds a guess, others moving to another one where that helps."""
    for guess in near[truth]:
        if guess not in tried:
            tried.add(guess)
            if guess not in taken or _paired(taken[guess], near, taken, tried):
                taken[guess] = truth
                return True
    return False
