"""The bootstrap over seeds, then documents: against that of documents alone, and how often it holds the truth."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.evaluation import bootstrap, classification, paired
from bioinstruct_jax.evaluation.results.groups import own_seed
from bioinstruct_jax.studies import hierarchical


def _drawn(counts, score=bootstrap.ratio, *, resamples=2000, seed=0, task="medqa") -> np.ndarray:
    return hierarchical.documents(counts, score, resamples=resamples, seed=seed, task=task)


def _right(shape, share, seed=0) -> np.ndarray:
    right = (np.random.default_rng(seed).random(shape) < share).astype(float)
    return np.stack([right, np.ones(shape)], axis=-1)


def _simulated(random, seeds, of_seeds, of_documents, documents=40) -> np.ndarray:
    """Counts [S, D, 2] whose true mean is 0."""
    scores = of_seeds * random.normal(size=(seeds, 1)) + of_documents * random.normal(size=documents)
    return np.stack([scores, np.ones_like(scores)], axis=-1)


def _held(seeds, of_seeds, of_documents, *, trials, resamples, over=hierarchical.over_seeds) -> tuple[float, float]:
    """How often an interval of 95 % holds the truth, and how often p is below 0.05 where there is no difference."""
    random = np.random.default_rng(1)
    held = found = 0
    for trial in range(trials):
        drawn = _drawn(_simulated(random, seeds, of_seeds, of_documents), resamples=resamples, seed=trial)
        low, high = hierarchical.interval(means := over(drawn, seed=trial))
        held += low <= 0 <= high
        found += paired.two_sided(means) < 0.05
    return held / trials, found / trials


# -------------------------------------------------------------------- one seed


@pytest.mark.parametrize("score", [bootstrap.ratio, classification.micro_f1])
def test_one_seed_is_the_bootstrap_over_documents(score):
    # Mutations: places drawn without replacement; a document fewer; the one seed moved by its weight.
    random = np.random.default_rng(3)
    gold = random.integers(0, 4, (150, 3)).astype(float)
    counts = np.concatenate([np.minimum(gold, random.integers(0, 4, (150, 3))), gold, gold, gold[:, :2]], axis=1)
    if score is bootstrap.ratio:
        counts = bootstrap.of_items(random.random(150) ** 3)  # skewed
    alone = bootstrap.bootstrap(counts, score, resamples=20_000, method="percentile")
    drawn = _drawn(counts[None], score, resamples=20_000)
    low, high = hierarchical.interval(hierarchical.over_seeds(drawn, seed=0))
    assert (low, high) == pytest.approx((alone.low, alone.high), abs=(alone.high - alone.low) / 30)


def test_one_seed_against_a_base_is_the_paired_bootstrap():
    # Mutation: documents drawn anew for each cell, which forgets the pairs.
    base, arm = _right((300,), 0.5, 1), _right((300,), 0.5, 2)
    arm[:200] = base[:200]
    arm[:4, 0] = 1
    alone = paired.difference(base, arm, bootstrap.ratio, resamples=80_000)
    drawn = _drawn(np.stack([base, arm]), resamples=80_000)
    difference = hierarchical.over_seeds(drawn[1:], seed=0) - hierarchical.over_seeds(drawn[:1], seed=0)
    assert difference.std() == pytest.approx(alone.estimate.error, rel=0.03)
    assert paired.two_sided(difference) == pytest.approx(alone.p, rel=0.1)


# -------------------------------------------------------------------- draws


@given(st.integers(2, 6), st.integers(2, 40), st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_another_cell_and_another_block_change_no_draw(cells, documents, seed):
    # Mutations: own_seed of the number of cells; a generator for each block.
    counts = _right((cells, documents), 0.5, seed)
    drawn = _drawn(counts, resamples=60, seed=seed)
    assert np.array_equal(_drawn(counts[:-1], resamples=60, seed=seed), drawn[:-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hierarchical, "BLOCK", 4 * documents)
        assert np.array_equal(_drawn(counts, resamples=60, seed=seed), drawn)
    assert own_seed(seed, "medqa") != own_seed(seed, "gad")
    if drawn.std(axis=1).max() > 0.05:  # a cell whose documents are alike is the same however they are drawn
        assert not np.array_equal(_drawn(counts, resamples=60, seed=seed, task="gad"), drawn)


def test_documents_that_are_alike_leave_the_seeds_alone():
    # By hand: every draw of documents has the scores 0, 1/2 and 1 of the three seeds.
    scores = np.array([0.0, 0.5, 1.0])
    counts = np.stack([np.repeat(scores[:, None], 7, 1), np.ones((3, 7))], axis=-1)
    weights = hierarchical.seed_weights(3, 500, 0)
    assert hierarchical.over_seeds(_drawn(counts, resamples=500), seed=0) == pytest.approx(weights @ scores)
    assert weights.sum(axis=1) == pytest.approx(np.ones(500))


def test_a_difference_that_every_seed_has_is_sure():
    # Mutation: seeds of the two arms drawn apart from one another.
    first = _right((3, 60), 0.4)
    second = first.copy()
    second[..., 0] += 0.25
    drawn = _drawn(np.concatenate([first, second]))
    difference = hierarchical.over_seeds(drawn[3:], seed=0) - hierarchical.over_seeds(drawn[:3], seed=0)
    assert difference == pytest.approx(np.full(2000, 0.25))
    assert paired.two_sided(difference) == pytest.approx(2 / 2001)


@pytest.mark.parametrize("seeds", [2, 3, 5, 9])
def test_weights_of_seeds(seeds):
    # Mutations: the root of S / (S - 1), or that of chi-squared, left out. Quantiles of Student's t, from its tables.
    weights = hierarchical.seed_weights(seeds, 100_000, 0)
    assert np.median(weights, axis=0) == pytest.approx(np.full(seeds, 1 / seeds), abs=0.35 / seeds)
    spread = np.random.default_rng(seeds).normal(size=(4, seeds))
    table = {2: 12.706, 3: 4.303, 5: 2.776, 9: 2.306}[seeds]
    halves = []
    for scores in spread:
        low, high = hierarchical.interval(weights @ scores)
        halves.append((high - low) / 2 / (scores.std(ddof=1) / np.sqrt(seeds)))
    assert np.mean(halves) == pytest.approx(table, rel=0.13)


def test_no_document_is_refused():
    with pytest.raises(ValueError, match="medqa: no document to draw"):
        _drawn(np.zeros((2, 0, 2)))


# -------------------------------------------------------------------- coverage


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_hold_the_truth_though_seeds_are_few(seeds):
    # Mutation: either correction left out (0.76 and 0.82 with three seeds).
    for of_seeds, of_documents in ((1.0, 0.1), (1.0, 5.0), (0.1, 3.0)):
        held, found = _held(seeds, of_seeds, of_documents, trials=400, resamples=300)
        assert held > 0.91
        assert found < 0.08


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "bare", "moved", "whole"), [(3, 0.761, 0.817, 0.949), (5, 0.851, 0.881, 0.948)], ids=["3", "5"]
)
def test_what_the_corrections_do_where_seeds_are_all_that_varies(seeds, bare, moved, whole):
    def plain(drawn, *, seed):
        weights = np.random.default_rng(seed).multinomial(seeds, [1 / seeds] * seeds, drawn.shape[1]) / seeds
        return np.einsum("sr,rs->r", drawn, weights)

    def wider(drawn, *, seed):
        mean = drawn.mean(axis=0)
        return mean + np.sqrt(seeds / (seeds - 1)) * (plain(drawn, seed=seed) - mean)

    for over, expected in ((plain, bare), (wider, moved), (hierarchical.over_seeds, whole)):
        held, _ = _held(seeds, 1.0, 0.01, trials=2500, resamples=800, over=over)
        assert held == pytest.approx(expected, abs=0.025)
