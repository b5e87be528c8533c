"""The scorer of Llama2-MedTuned as far as it is known, to stand beside the right one; never to be reported alone.

Its lines ``token : LABEL`` go into a dict with the token for key. So a repeated word keeps the place of its first
occurrence and the label of its last, and a line is cut at its first colon, wherever that stands. Gold is treated alike
and changes: the 787 mentions of NCBI-disease's development split become 817.
"""

from collections.abc import Sequence

from bioinstruct_jax.evaluation.tags import conlleval
from bioinstruct_jax.tasks.spans import Mention


def read(text: str) -> dict[str, str]:
    """The label of each distinct token of a text of ``token : LABEL`` lines; lines without a colon are passed over."""
    labels = {}
    for line in text.split("\n"):
        parts = line.split(":")
        if len(parts) > 1:
            labels[parts[0].strip()] = parts[1].strip()
    return labels


def mentions(gold: str, predicted: str) -> tuple[tuple[Mention, ...], tuple[Mention, ...]]:
    """Gold and predicted mentions of a sentence, among the distinct tokens of gold, for `entities.counts`.

    A token that the prediction does not have is O, one that gold does not have is lost; so is a label that is no tag.
    """
    truth, guess = read(gold), read(predicted)
    return _mentions(list(truth.values())), _mentions([guess.get(token, "O") for token in truth])


def _mentions(labels: Sequence[str]) -> tuple[Mention, ...]:
    known = [label if label in ("B", "I") or label[:2] in ("B-", "I-") else "O" for label in labels]
    return conlleval(known)
