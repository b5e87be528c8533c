"""Whether a model that is 70 % sure is right 70 times in 100: reliability bins and expected calibration error.

Items are put in bins by their confidence, the probability of the choice that was taken. What an item adds to its bin is
a row of counts, so `bootstrap` gives the error of calibration an interval like any other score.
"""

from dataclasses import dataclass

import numpy as np

BINS = 15  # as Guo et al. have them


@dataclass(frozen=True)
class Bin:
    """Items whose confidence lies above `low` and not above `high`; the first bin has 0 too.

    Attributes:
        confidence: mean of theirs; None without items.
        accuracy: share of right ones; None without items.
    """

    low: float
    high: float
    items: int
    confidence: float | None
    accuracy: float | None


def counts(confidence: np.ndarray, right: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Of each item [N, 3 * bins]: 1, its confidence and whether it is right, in the columns of its bin.

    Args:
        confidence: [N], 0 to 1; leave out items that have none.
        right: [N], 0 or 1.
        bins: of equal width.

    Raises:
        ValueError: a confidence out of range or not a number, another length, or no bin.
    """
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    if confidence.ndim != 1 or confidence.shape != right.shape or bins < 1:
        raise ValueError(
            f"confidence {list(confidence.shape)}, right {list(right.shape)}, {bins} bins: needs [N], [N] and 1 or more"
        )
    if not ((confidence >= 0) & (confidence <= 1 + 1e-9)).all():
        raise ValueError("a confidence is not between 0 and 1; leave out items that did not fit the model's context")
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    table = np.zeros((len(confidence), 3, bins))
    table[np.arange(len(confidence)), :, place] = np.stack([np.ones_like(confidence), confidence, right], axis=1)
    return table.reshape(len(confidence), 3 * bins)


def error(sums: np.ndarray) -> np.ndarray:
    """Expected calibration error of sums of `counts` [..., 3 * bins], 0 to 1; 0 without items.

    The mean over items of |accuracy - confidence| of their bin (Naeini et al., AAAI 2015; Guo et al., ICML 2017). Few
    items in many bins make it too large: a model of perfect calibration has an error above 0 as well.
    """
    items, confidence, right = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, 0)
    total = items.sum(axis=-1)
    return np.divide(np.abs(right - confidence).sum(axis=-1), total, out=np.zeros_like(total), where=total > 0)


def reliability(sums: np.ndarray) -> list[Bin]:
    """The bins of a sum of `counts` [3 * bins]."""
    items, confidence, right = sums.reshape(3, -1)
    columns = zip(items.tolist(), confidence.tolist(), right.tolist(), strict=True)
    made = []
    for place, (count, sure, correct) in enumerate(columns):
        means = (sure / count, correct / count) if count else (None, None)
        made.append(Bin(place / len(items), (place + 1) / len(items), int(count), *means))
    return made
