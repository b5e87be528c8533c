"""The benchmark of novelty at a size for every day: the filter's decisions and scores are rouge_score's."""

import pytest

from bioinstruct_jax.similarity.join import Match, Near
from bioinstruct_jax.similarity.tokens import words
from tests.benchmarks import instructions, novelty


def test_the_filter_decides_as_rouge_score_does(capsys):
    # Mutation: `<` for `<=` at the threshold: Self-Instruct drops what is above it.
    rows = list(instructions.instructions(300))
    near, ours = novelty.filtered(rows, nearest=False), novelty.filtered(rows, nearest=True)
    assert near.accepted == ours.accepted
    assert 100 < len(ours.accepted) < 300
    assert ours.pairs == sum(sum(one < number for one in ours.accepted) for number in range(300))
    for number, (found, nearest) in enumerate(zip(near.nearest, ours.nearest, strict=True)):
        assert found == (nearest if nearest and nearest.score >= 0.7 else None), number
    other = novelty.theirs(rows, ours, 60)
    assert other.difference < 1e-12
    assert not other.decisions
    assert other.pools[-1] == len(ours.accepted) - (299 in ours.accepted)
    edge = ["a b c d e f g h i j", "a b c d e f g x y z", "a b c d e f g h y z"]
    assert novelty.filtered(edge, nearest=True).accepted == [0, 1]


@pytest.mark.parametrize("of", ["instructions", "drawn"])
def test_it_prints_what_was_measured(of, capsys):
    assert novelty.main(["--rows=200", "--sample=4", f"--of={of}"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()][1:] == [
        "filter",
        "filter with nearest",
        "peak memory",
        "rouge_score",
        "ratio",
        "largest difference",
    ]


def test_a_filter_that_is_wrong_is_told(monkeypatch, capsys):
    # Mutation: the differences printed and no more.
    monkeypatch.setattr(Near, "nearest", lambda self, text: Match("0", 0.69))
    assert novelty.main(["--rows=100", "--sample=4"]) == 1
    assert "do not agree" in capsys.readouterr().err


def test_the_rows_are_the_same_for_a_seed_and_as_long_as_bioinstructs():
    rows = list(instructions.instructions(2000))
    assert rows[:50] == list(instructions.instructions(50)) != list(instructions.instructions(50, seed=1))
    assert 10 < sum(len(words(row)) for row in rows) / len(rows) < 11.5
    assert not [row for row in rows if "{" in row]
