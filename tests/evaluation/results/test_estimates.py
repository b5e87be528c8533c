"""Estimates of all metrics of a task, against each alone."""

import numpy as np
import pytest

from bioinstruct_jax.evaluation import bootstrap, classification
from bioinstruct_jax.evaluation.results.estimates import clean, estimates
from bioinstruct_jax.evaluation.scoring.scored import Metric
from tests.evaluation.results.made import ACC, F1

TWICE = Metric("acc_items", "accuracy, item by item", "right", bootstrap.ratio, gather=lambda rows, documents: rows)
METRICS = (
    F1,
    ACC,
    Metric("precision", "precision", "mentions", classification.precision),
    TWICE,
    Metric("macro_f1", "macro-F1", "mentions", classification.macro_f1),
)


def counts(seed: int, items: int = 60) -> tuple[dict[str, np.ndarray], list[str]]:
    random = np.random.default_rng(seed)
    gold = random.poisson(1.5, (items, 2))
    hits = random.binomial(gold, 0.7)
    rows = np.concatenate([hits, hits + random.poisson(0.3, (items, 2)), gold, np.ones((items, 2))], axis=1)
    right = bootstrap.of_items(random.integers(0, 2, items))
    return {"mentions": rows, "right": right}, [f"d{place}" for place in random.integers(0, 20, items)]


@pytest.mark.parametrize("seed", range(3))
def test_each_is_what_it_is_alone(seed):
    # Mutations: metrics of one name of rows gathered in two ways drawn together; another seed for the second metric.
    rows, documents = counts(seed)
    found = estimates(METRICS, rows, documents, resamples=300, seed=seed)
    assert list(found) == [metric.name for metric in METRICS]
    for metric in METRICS:
        gathered = metric.gather(rows[metric.counts], documents)
        assert found[metric.name] == bootstrap.bootstrap(gathered, metric.score, resamples=300, seed=seed), metric.name
    assert found["acc"].documents < found["acc_items"].documents == 60


def test_clean_ones_are_those_of_documents_without_a_flagged_item():
    # Mutations: the flagged kept and the others left out; items left out of a document whose labels are united.
    rows, documents = counts(3)
    flagged = np.arange(60) % 13 == 0
    met = {documents[place] for place in range(0, 60, 13)}
    kept = [place for place in range(60) if documents[place] not in met]
    assert 0 < len(kept) < 60 - flagged.sum(), "some documents hold both"
    rest = {name: own[kept] for name, own in rows.items()}
    expected = estimates(METRICS, rest, [documents[place] for place in kept], resamples=200)
    assert clean(METRICS, rows, documents, flagged, resamples=200) == expected
    assert clean(METRICS, rows, documents, np.zeros(60, bool)) == {}
    assert {one.value for one in clean(METRICS, rows, documents, np.ones(60, bool)).values()} == {None}
    with pytest.raises(ValueError, match=r"flags of shape \[59\] for 60 items"):
        clean(METRICS, rows, documents, flagged[1:])


def test_rows_are_drawn_once_for_all_their_scores(monkeypatch):
    # Mutation: `bootstrap.bootstrap` for each metric.
    drawn = []
    original = bootstrap.resampled
    monkeypatch.setattr(bootstrap, "resampled", lambda *args: drawn.append(len(args[2])) or original(*args))
    rows, documents = counts(4)
    estimates(METRICS, rows, documents, resamples=100)
    assert sorted(drawn) == [1, 1, 3]


def test_two_metrics_of_one_name_are_refused():
    rows, documents = counts(5)
    with pytest.raises(ValueError, match="two have one name"):
        estimates((ACC, ACC), rows, documents)
