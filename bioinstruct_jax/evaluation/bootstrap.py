"""How sure a score is: its standard error and its interval, for any score of summed counts, by document.

A score here is a function of the sums of what was counted in each document: right answers and items for an accuracy;
hits, predicted and gold mentions for a micro-F1; n-grams for a corpus BLEU. Documents are drawn again with replacement,
their counts summed and the score taken of the sums, thousands of times in a few matrix products.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np

Score = Callable[[np.ndarray], np.ndarray]  # sums [..., K] -> scores [...], finite for any sums that can occur

RESAMPLES = 10_000
BLOCK = 1 << 22  # weights held at once: 32 MiB
NORMAL = NormalDist()


@dataclass(frozen=True)
class Estimate:
    """A score and how sure it is; None where that cannot be said, and `note` says why.

    Attributes:
        value: of all documents together; None without any.
        error: standard error by the jackknife over documents. Of a share of right answers, one item a document, that is
            sqrt(p (1 - p) / (n - 1)), of a mean the sample's deviation / sqrt(n).
        low, high: ends of the interval.
        level: its coverage: 0.95.
        method: how it was made; ``percentile`` also where BCa was asked for and `note` says that it is undefined.
        documents: drawn from.
        note: empty where all is as it was asked for.
    """

    value: float | None
    error: float | None
    low: float | None
    high: float | None
    level: float
    method: Literal["BCa", "percentile"]
    documents: int
    note: str = ""


def ratio(sums: np.ndarray) -> np.ndarray:
    """The score of two counts [..., 2]: the first over the second, an accuracy or a mean; 0 where the second is 0."""
    return np.divide(sums[..., 0], sums[..., 1], out=np.zeros(sums.shape[:-1]), where=sums[..., 1] != 0)


def of_items(scores: Sequence[float] | np.ndarray) -> np.ndarray:
    """Scores of items [N] as counts [N, 2] whose `ratio` is their mean."""
    return np.stack([np.asarray(scores, float), np.ones(len(scores))], axis=1)


def by_document(counts: np.ndarray, documents: Sequence[str]) -> np.ndarray:
    """Counts of items [N, K] summed over their documents [D, K], in the order in which these are first named."""
    if len(counts) != len(documents):
        raise ValueError(f"{len(counts)} rows of counts, but {len(documents)} names of documents: needs one for each")
    places: dict[str, int] = {}
    of_item = np.fromiter((places.setdefault(name, len(places)) for name in documents), int, len(documents))
    sums = np.zeros((len(places), *np.shape(counts)[1:]))
    np.add.at(sums, of_item, counts)
    return sums


def bootstrap(
    counts: np.ndarray,
    score: Score,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
    method: Literal["BCa", "percentile"] = "BCa",
) -> Estimate:
    """A score with its standard error and bootstrap interval.

    BCa is the default (Efron, J Am Stat Assoc 82:171, 1987): scores near 0 or 1 and F1 of few documents are skewed, and
    the percentile interval is then off to one side; where nothing is skewed the two agree. The result depends neither
    on the order of the documents nor on how many are held in memory at once.

    Args:
        counts: [D, K], one row for each document.
        score: of sums of rows.
        resamples: 10,000 hold the ends within about 1/50 of the interval's width.

    Raises:
        ValueError: counts of another shape or not finite, settings out of range, a score that is not a finite number.
    """
    return with_draws(counts, score, resamples=resamples, seed=seed, level=level, method=method)[0]


def with_draws(
    counts: np.ndarray,
    score: Score,
    *,
    resamples: int,
    seed: int,
    level: float,
    method: Literal["BCa", "percentile"] = "BCa",
) -> tuple[Estimate, np.ndarray]:
    """As `bootstrap`, and the scores of the resamples; of none where there is no spread."""
    return each(counts, [score], resamples=resamples, seed=seed, level=level, method=method)[0]


def each(
    counts: np.ndarray,
    scores: Sequence[Score],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = 0.95,
    method: Literal["BCa", "percentile"] = "BCa",
) -> list[tuple[Estimate, np.ndarray]]:
    """Several scores of the same counts, each as `with_draws` has it, from resamples that are drawn once."""
    counts = np.asarray(counts, float)
    if counts.ndim != 2 or not np.isfinite(counts).all():
        raise ValueError(f"counts of shape {list(counts.shape)}: needs finite numbers, [documents, counts]")
    if resamples < 1 or not 0 < level < 1:
        raise ValueError(f"resamples {resamples} and level {level}: needs 1 or more, and between 0 and 1")
    documents = len(counts)
    if not documents:
        none = Estimate(None, None, None, None, level, method, 0, "no item")
        return [(none, np.zeros(0)) for _ in scores]
    rows, times = np.unique(counts, axis=0, return_counts=True)
    total = times @ rows
    values = [float(taken(score, total[None])[0]) for score in scores]
    if documents == 1:
        why = "one document: its spread is unknown"
        return [(Estimate(value, None, None, None, level, method, 1, why), np.zeros(0)) for value in values]
    if len(rows) == 1:
        why = "all documents count the same"
        return [(Estimate(value, 0.0, value, value, level, method, documents, why), np.zeros(0)) for value in values]
    drawn = resampled(rows, times, scores, resamples, seed)
    found = []
    for score, value, draws in zip(scores, values, drawn, strict=True):
        left_out = taken(score, total - rows)  # [U], each of `times` documents
        found.append((_estimate(value, left_out, times, draws, level, method), draws))
    return found


def _estimate(
    value: float,
    left_out: np.ndarray,
    times: np.ndarray,
    drawn: np.ndarray,
    level: float,
    method: Literal["BCa", "percentile"],
) -> Estimate:
    documents = int(times.sum())
    apart = (times @ left_out) / documents - left_out
    squares = float(times @ apart**2)
    error = float(np.sqrt((documents - 1) / documents * squares))
    outer = np.array([(1 - level) / 2, (1 + level) / 2])
    note = ""
    if method == "BCa":
        below = float((drawn < value).mean() + (drawn <= value).mean()) / 2
        if 0 < below < 1:
            bias = NORMAL.inv_cdf(below)
            skew = float(times @ (apart / np.sqrt(squares)) ** 3) / 6 if squares else 0.0
            shifted = [bias + NORMAL.inv_cdf(share) for share in outer]
            if max(skew * place for place in shifted) < 1:
                outer = np.array([NORMAL.cdf(bias + place / (1 - skew * place)) for place in shifted])
            else:
                method, note = "percentile", "BCa is undefined: one document outweighs the others"
        else:
            method, note = "percentile", "BCa is undefined: every resample lies on one side of the score"
    low, high = np.quantile(drawn, outer)
    return Estimate(value, error, float(low), float(high), level, method, documents, note)


def resampled(rows: np.ndarray, times: np.ndarray, scores: Sequence[Score], resamples: int, seed: int) -> np.ndarray:
    """Scores [len(scores), resamples] of as many documents as there are, drawn with replacement.

    Args:
        rows: [U, K], the distinct ones.
        times: [U], how many documents have each.
    """
    random = np.random.default_rng(seed)
    kinds, documents = len(rows), int(times.sum())
    few = kinds * 16 <= documents  # then it is quicker to draw how often each kind comes than each document
    of_document = np.repeat(np.arange(kinds), times)
    block = max(1, BLOCK // (kinds if few else documents))
    parts = []
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        if few:
            weights = random.multinomial(documents, times / documents, size)
        else:
            weights = tallied(of_document[random.integers(documents, size=(size, documents), dtype=np.int32)], kinds)
        sums = weights.astype(float) @ rows
        parts.append([taken(score, sums) for score in scores])
    return np.concatenate(parts, axis=1)


def tallied(drawn: np.ndarray, kinds: int) -> np.ndarray:
    """How often each of so many kinds stands in each row of draws, int [N, M]: [N, kinds]."""
    places = drawn + np.arange(len(drawn))[:, None] * kinds
    return np.bincount(places.ravel(), minlength=len(drawn) * kinds).reshape(len(drawn), kinds)


def taken(score: Score, sums: np.ndarray) -> np.ndarray:
    """The scores of sums [..., K]: [...]; raises ValueError where one is no finite number."""
    scores = np.asarray(score(sums), float)
    if scores.shape != sums.shape[:-1] or not np.isfinite(scores).all():
        raise ValueError(
            f"a score of sums {list(sums.shape)} has shape {list(scores.shape)} and {(~np.isfinite(scores)).sum()} "
            f"values that are no number: needs one finite number for each row"
        )
    return scores
