"""The papers' scorer beside the right one: what it loses, and the figure that gives it away."""

import os
from pathlib import Path

import pytest

from bioinstruct_jax.evaluation import classification as scores
from bioinstruct_jax.evaluation.entities import counts
from bioinstruct_jax.evaluation.tags import conlleval
from bioinstruct_jax.evaluation.token_dict import mentions, read
from bioinstruct_jax.tasks.spans import Mention


def lines(*pairs):
    return "\n".join(f"{token} : {label}" for token, label in pairs)


def test_repeated_words_collapse_and_colons_cut():
    # Mutations: first label kept, repeated words moved behind, cut at the last colon.
    gold = lines(("breast", "B"), ("cancer", "I"), ("or", "O"), ("cancer", "B"), ("12:5", "I"), ("6:1", "O"))
    assert read(gold) == {"breast": "B", "cancer": "B", "or": "O", "12": "5", "6": "1"}
    assert mentions(gold, gold)[0] == (Mention(0, 1, ""), Mention(1, 2, ""))
    assert read("no line\n\nx : O : B") == {"x": "O"}


def test_predictions_are_held_against_the_words_of_gold():
    gold = lines(("fever", "B"), ("and", "O"), ("rash", "B"))
    truth, guess = mentions(gold, lines(("rash", "B"), ("cough", "B"), ("fever", "nothing")))
    assert truth == (Mention(0, 1, ""), Mention(2, 3, ""))
    assert guess == (Mention(2, 3, ""),)
    sums = counts([truth], [guess], [""]).sum(0)
    assert (scores.precision(sums), scores.recall(sums)) == (1.0, 0.5)


def test_the_787_mentions_of_ncbi_become_817():
    folder = os.environ.get("BIOINSTRUCT_DATA")
    file = Path(folder or ".", "ncbi-disease", "devel.tsv")
    if not folder or not file.exists():
        pytest.skip("BIOINSTRUCT_DATA has no ncbi-disease/devel.tsv")
    right = known = 0
    for sentence in file.read_text(encoding="utf-8").strip().split("\n\n"):
        rows = [line.split("\t") for line in sentence.split("\n")]
        right += len(conlleval([tag for _, tag in rows]))
        gold = lines(*((token, tag[0]) for token, tag in rows))
        known += len(mentions(gold, gold)[0])
    assert (right, known) == (787, 817)
