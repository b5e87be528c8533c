import random

import pytest

from bioinstruct_jax.evaluation.results.items import Items, Samples, sample
from tests.evaluation.results.evaluated import made

MADE = made(12, models=("base", "tuned", "third"))


def test_the_order_of_the_files_does_not_matter():
    # Mutation: a pair is made only where the baseline came first.
    due = sorted(Items(MADE.samples, MADE.results, "base"), key=str)
    assert len(due) == 2 * 5 * 12
    for seed in range(3):
        mixed = random.Random(seed).sample(MADE.samples, len(MADE.samples))
        assert sorted(Items(mixed, MADE.results, "base"), key=str) == due


def test_few_rows_wait_where_files_are_read_task_by_task():
    # Mutation: pairs are kept until the end.
    ordered = sorted(MADE.samples, key=lambda row: (row["task"], row["protocol"], row["id"]))
    taken = 0

    def counted():
        nonlocal taken
        for row in ordered:
            taken += 1
            yield row

    class Once:
        def __iter__(self):
            return counted()

    for place, _ in enumerate(Items(Once(), MADE.results, "base")):
        assert taken <= 3 * (place // 2 + 1)


def test_an_item_of_one_model_alone_is_told():
    # Mutation: what still waits at the end is dropped.
    lost = [row for row in MADE.samples if not (row["model"] == "base" and row["id"].endswith("/3"))]
    found = list(Items(lost, MADE.results, "base"))
    assert len(found) == 2 * 5 * 12
    alone = [row for row in found if row[0].endswith("/3")]
    assert {row[4].partition(":")[0] for row in alone} == {"only tuned"}
    lost = [row for row in MADE.samples if not (row["model"] != "base" and row["id"] == "medqa/test/3")]
    found = [row for row in Items(lost, MADE.results, "base") if row[0] == "medqa/test/3"]
    assert {row[4].partition(":")[0] for row in found} == {"only base"}


@pytest.mark.parametrize("written", [True, False])
def test_a_row_of_a_samples_file_is_read(written):
    # Mutation: the log-likelihoods without their choices.
    arguments = {f"gen_args_{place}": {"arg_0": "Q", "arg_1": f" {letter}"} for place, letter in enumerate("AB")}
    row = {
        "filter": "generated" if written else "none",
        "arguments": {"gen_args_0": {"arg_0": "Q", "arg_1": {"until": []}}} if written else arguments,
        "resps": [["A."]] if written else [[["-1.5", "True"]], [["-2.0", "False"]]],
        **dict.fromkeys(("answer", "gold"), "A"),
        "id": "medqa/test/1",
        "why": "exact",
        "problems": {},
        "value": 1.0,
        "flagged": None,
        "problem": None,
    }
    files = Samples([("base", "medqa", lambda: [row])])
    assert list(files) == list(files) == [sample("base", "medqa", row)]
    (read,) = files
    assert read["output"] == ("A." if written else "A: -1.5 (greedy)\nB: -2.0")
    assert (read["protocol"], read["prompt"]) == ("generated" if written else "harness", "Q")
    assert "429" in sample("base", "medqa", row | {"problem": "429"})["output"]
