"""How much of a reference text an output shares: ROUGE, BLEU and chrF. A blank output scores zero and stays in.

ROUGE is a score of each text, and their mean that of a corpus (`bootstrap.of_items`). BLEU and chrF are scores of sums
of n-grams: `bleu_counts` and `chrf_counts` say what each text adds, `bleu` and `chrf` are the scores of the sums.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from bioinstruct_jax.evaluation.bootstrap import ratio
from bioinstruct_jax.similarity import rouge as longest
from bioinstruct_jax.similarity.tokens import Vocabulary, words

BLEU_ORDER, CHRF_ORDER = 4, 6
BETA2 = 4.0  # chrF2 weighs recall as beta = 2


def rouge(references: Sequence[str], outputs: Sequence[str], *, stem: bool = False) -> np.ndarray:
    """F1 of ROUGE-1, ROUGE-2 and ROUGE-L (Lin, 2004), 0 to 1, [N, 3]: those of the rouge-score package.

    Args:
        stem: words of four letters and more by Porter's stemmer first.

    Raises:
        ValueError: not as many outputs as references.
    """
    _same_number(references, outputs)
    tokens = _stemmer() if stem else words
    found = np.zeros((len(outputs), 3))
    for item, (reference, output) in enumerate(zip(references, outputs, strict=True)):
        vocabulary = Vocabulary()
        truth, said = (vocabulary.add(tokens(text)) for text in (reference, output))
        if not len(truth) or not len(said):
            continue
        pairs = [[row[place : place + 2].tobytes() for place in range(len(row) - 1)] for row in (truth, said)]
        for column, (first, second) in enumerate(((truth.tolist(), said.tolist()), pairs)):
            shared = (Counter(first) & Counter(second)).total()
            found[item, column] = longest.f1(shared, len(first), len(second))
        found[item, 2] = longest.of_ids(truth, said)
    return found


def _stemmer() -> Callable[[str], list[str]]:
    """rouge-score's tokens of a text with stemming; each word is stemmed once."""
    from rouge_score.tokenizers import DefaultTokenizer

    stemmed = cache(DefaultTokenizer(use_stemmer=True).tokenize)  # of a word: one token or none
    return lambda text: [token for word in words(text) for token in stemmed(word)]


def bleu_counts(references: Sequence[str], outputs: Sequence[str]) -> np.ndarray:
    """What each text adds to a corpus BLEU, [N, 10]: tokens of output and reference; then, of the output's n-grams of 1
    to 4 tokens, those that the reference has, and all. By sacrebleu's tokens (13a). Raises as `rouge`."""
    from sacrebleu.metrics import BLEU

    _same_number(references, outputs)
    metric = BLEU(effective_order=True)  # matters to a sentence's score alone, which is not taken
    rows = np.zeros((len(outputs), 2 + 2 * BLEU_ORDER))
    for item, (reference, output) in enumerate(zip(references, outputs, strict=True)):
        found = metric.sentence_score(output, [reference])
        rows[item] = [found.sys_len, found.ref_len, *found.counts, *found.totals]
    return rows


def bleu(sums: np.ndarray) -> np.ndarray:
    """Corpus BLEU, 0 to 100, of sums [..., 10] (Papineni et al., 2002).

    An order without a match is smoothed as sacrebleu does by default (``exp``: half, a quarter, ... of a match); one
    without n-grams makes the score 0, and so do outputs without any match.
    """
    said, truth = sums[..., 0], sums[..., 1]
    matched, total = sums[..., 2 : 2 + BLEU_ORDER], sums[..., 2 + BLEU_ORDER :]
    unmatched = matched == 0
    smoothed = np.where(unmatched, 0.5 ** np.cumsum(unmatched, axis=-1), matched)
    share = ratio(np.stack([smoothed, total], -1))
    possible = np.asarray((total > 0).all(-1) & (matched > 0).any(-1))
    mean = np.exp(np.log(np.where(possible[..., None], share, 1.0)).mean(-1))
    longer = ratio(np.stack([truth, said], -1))
    return 100 * np.where(possible, mean * np.exp(np.minimum(1 - longer, 0.0)), 0.0)


def chrf_counts(references: Sequence[str], outputs: Sequence[str]) -> np.ndarray:
    """What each text adds to a corpus chrF, [N, 18]: for 1 to 6 characters in a row, blanks left out, those of the
    output (0 where the reference has none so long), those of the reference, and those in both. Raises as `rouge`."""
    _same_number(references, outputs)
    rows = np.zeros((len(outputs), CHRF_ORDER, 3))
    for item, texts in enumerate(zip(references, outputs, strict=True)):
        reference, output = ("".join(text.split()) for text in texts)
        for order in range(1, CHRF_ORDER + 1):
            truth, said = (
                Counter(text[place : place + order] for place in range(len(text) - order + 1))
                for text in (reference, output)
            )
            if truth:
                rows[item, order - 1] = said.total(), truth.total(), (truth & said).total()
    return rows.reshape(len(outputs), 3 * CHRF_ORDER)


def chrf(sums: np.ndarray) -> np.ndarray:
    """Corpus chrF2, 0 to 100, of sums [..., 18] (Popovic, 2015): precision and recall are means over the orders of
    which both sides have n-grams, as in sacrebleu."""
    by_order = sums.reshape(*sums.shape[:-1], CHRF_ORDER, 3)
    said, truth, both = by_order[..., 0], by_order[..., 1], by_order[..., 2]
    counted = (said > 0) & (truth > 0)
    orders = counted.sum(-1)
    precision, recall = (
        ratio(np.stack([np.where(counted, ratio(np.stack([both, side], -1)), 0.0).sum(-1), orders], -1))
        for side in (said, truth)
    )
    return 100 * ratio(np.stack([(1 + BETA2) * precision * recall, BETA2 * precision + recall], -1))


def signatures() -> dict[str, str]:
    """sacrebleu's own words for how ``bleu`` and ``chrf`` are made here, to stand beside the scores."""
    from sacrebleu.metrics import BLEU, CHRF

    found = {}
    for name, metric in (("bleu", BLEU()), ("chrf", CHRF())):
        metric.corpus_score(["text"], [["text"]])  # by which it learns that there is one reference
        found[name] = str(metric.get_signature())
    return found


def _same_number(references: Sequence[str], outputs: Sequence[str]) -> None:
    if len(references) != len(outputs):
        raise ValueError(
            f"{len(references)} references, but {len(outputs)} outputs: needs one of each an item, blank or not"
        )
