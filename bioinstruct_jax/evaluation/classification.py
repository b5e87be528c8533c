"""Scores where the answer is a label, or several, of a closed set; an item without an answer is wrong, not left out.

`counts` says of each item all that these scores need, C labels in 3 C + 2 columns: for each label whether it was hit,
whether it was answered and whether it is right; then whether there was an answer, and 1. Each score is a function of
sums of such rows [..., 3 C + 2], so that `bootstrap` and the paired tests take it as it is. Zero over zero is 0
everywhere (scikit-learn: ``zero_division=0``).
"""

from collections.abc import Collection, Sequence

import numpy as np

from bioinstruct_jax.evaluation.bootstrap import ratio

NO_ANSWER = "no answer"


def counts(
    gold: Sequence[Collection[str]], answers: Sequence[Collection[str] | None], labels: Sequence[str]
) -> np.ndarray:
    """What happened at each item, [N, 3 C + 2].

    Args:
        gold: the right labels of each item.
        answers: those that were read from the model's text: none of them is an answer too; None: there was no answer.
        labels: that there are, C of them. Scores that are means over labels are means over these, so they should be
            those that the gold of the whole split has.

    Raises:
        ValueError: not as many answers as gold, or a label that is none of `labels`.
    """
    if len(gold) != len(answers):
        raise ValueError(f"{len(gold)} items, but {len(answers)} answers: needs one for each, None where there is none")
    places = {label: place for place, label in enumerate(labels)}
    flags = np.zeros((2, len(gold), len(places)))
    for item, (right, answer) in enumerate(zip(gold, answers, strict=True)):
        for side, named in ((0, right), (1, answer or ())):
            for label in named:
                if label not in places:
                    raise ValueError(f"item {item}: label {label!r} is none of {', '.join(labels)}")
                flags[side, item, places[label]] = 1
    answered = np.array([answer is not None for answer in answers], float).reshape(-1, 1)
    return np.concatenate([flags[0] * flags[1], flags[1], flags[0], answered, np.ones((len(gold), 1))], axis=1)


def one_each(labels: Sequence[str | None]) -> list[tuple[str, ...] | None]:
    """Single labels as `counts` takes them."""
    return [None if label is None else (label,) for label in labels]


def united(labels: Sequence[Collection[str] | None], documents: Sequence[str]) -> list[tuple[str, ...] | None]:
    """Labels of sentences united over their documents, in the order in which these are first named.

    A document has no answer only where none of its sentences has.
    """
    if len(labels) != len(documents):
        raise ValueError(f"{len(labels)} items, but {len(documents)} names of documents: needs one for each")
    found: dict[str, set[str] | None] = {}
    for named, document in zip(labels, documents, strict=True):
        before = found.setdefault(document, None)
        if named is not None:
            found[document] = (before or set()) | set(named)
    return [None if named is None else tuple(sorted(named)) for named in found.values()]


def accuracy(sums: np.ndarray) -> np.ndarray:
    """Right answers over all items, of which each has one label."""
    return ratio(np.stack([_parts(sums)[0].sum(-1), sums[..., -1]], -1))


def extraction_rate(sums: np.ndarray) -> np.ndarray:
    """Items with an answer over all items."""
    return ratio(sums[..., -2:])


def precision(sums: np.ndarray, without: int | None = None) -> np.ndarray:
    """Micro-precision; `without`: the place among the labels of the negative class, which is then not scored."""
    hits, answered, _ = _summed(sums, without)
    return ratio(np.stack([hits, answered], -1))


def recall(sums: np.ndarray, without: int | None = None) -> np.ndarray:
    """Micro-recall, as `precision`."""
    hits, _, gold = _summed(sums, without)
    return ratio(np.stack([hits, gold], -1))


def micro_f1(sums: np.ndarray, without: int | None = None) -> np.ndarray:
    """Micro-F1, as `precision`; with one label an item, an answer to each and the negative class it is the accuracy."""
    hits, answered, gold = _summed(sums, without)
    return ratio(np.stack([2 * hits, answered + gold], -1))


def f1_of_labels(sums: np.ndarray) -> np.ndarray:
    """F1 of each label, [..., C]."""
    hits, answered, gold = _parts(sums)
    return ratio(np.stack([2 * hits, answered + gold], -1))


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """The mean of the labels' F1, over all of them: a label that nobody gives and nothing has counts 0."""
    return f1_of_labels(sums).mean(-1)


def matthews(sums: np.ndarray) -> np.ndarray:
    """Matthews' correlation of gold and answers, of items with one label (Gorodkin, Comput Biol Chem 28:367, 2004).

    No answer is a class of its own, which is never right. 0 where gold or answers are all the same.
    """
    hits, answered, gold = _parts(sums)
    items = sums[..., -1]
    answered = np.concatenate([answered, (items - sums[..., -2])[..., None]], axis=-1)
    gold = np.concatenate([gold, np.zeros_like(items)[..., None]], axis=-1)
    together = hits.sum(-1) * items - (answered * gold).sum(-1)
    spread = np.sqrt(items**2 - (answered**2).sum(-1)) * np.sqrt(items**2 - (gold**2).sum(-1))
    return ratio(np.stack([together, spread], -1))


def confusion(gold: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]) -> np.ndarray:
    """Items by gold label and answer, int [C, C + 1]; the last column is `NO_ANSWER`. Raises as `counts`."""
    single = counts(one_each(gold), one_each(answers), labels)  # type: ignore[arg-type]
    _, answered, right = _parts(single)
    return (right.T @ np.concatenate([answered, 1 - single[:, -2:-1]], axis=1)).astype(int)


def _parts(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, answers and gold by label, each [..., C]."""
    labels = (sums.shape[-1] - 2) // 3
    return sums[..., :labels], sums[..., labels : 2 * labels], sums[..., 2 * labels : 3 * labels]


def _summed(sums: np.ndarray, without: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    hits, answered, gold = _parts(sums)
    kept = [place for place in range(hits.shape[-1]) if place != without]
    return hits[..., kept].sum(-1), answered[..., kept].sum(-1), gold[..., kept].sum(-1)
