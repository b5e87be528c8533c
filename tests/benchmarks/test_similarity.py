"""The benchmark of similarity, on texts written by hand."""

import json
from collections import Counter

from upath import UPath

from tests.benchmarks import similarity
from tests.benchmarks.similarity import Row


def test_rows_are_counted_by_task_and_test():
    long = "we report a novel mutation of the gene in two unrelated families with early onset disease of unknown cause"
    held_out = [Row("a", "a/test/1", long), Row("b", "b/test/1", "what causes gout")]
    training = [
        Row(
            "a",
            "a/train/1",
            f"Before it, and again and again in other words that differ, {long} and so on and so forth.",
        ),
        Row("a", "a/train/2", "nothing of the kind"),
        Row("b", "b/train/1", "What  causes gout"),
        Row("b", "b/train/2", "what causes a gout"),
    ]
    report = similarity.measure(training, held_out)
    assert report.rows == {"a": 2, "b": 2}
    assert +report.named == Counter(
        {
            ("a", "n-gram"): 1,
            ("b", "same"): 1,
            ("b", "ROUGE-L"): 2,
            ("b", "near-duplicate"): 1,
        }
    )
    last = [line for line in str(report).splitlines() if line.startswith("all ")]
    assert last[0].split() == ["all", "4", "1", "1", "2", "1"]
    assert set(report.slowest) < set(report.seconds)


def test_an_answer_is_compared_where_it_is_free_text(tmp_path):
    # Mutation: answers left out.
    folder = tmp_path / "medquad"
    folder.mkdir()
    row = {"id": "1", "question": "What is gout?", "answer": "A disease.", "focus": ""}
    (folder / "medquad.jsonl").write_text(json.dumps(row))
    training, held_out = similarity.rows(UPath(tmp_path))
    assert [row.text for row in training] == ["What is gout?\nA disease."]
    assert held_out == []


def test_without_corpora_it_says_what_to_set(monkeypatch, capsys):
    monkeypatch.delenv("BIOINSTRUCT_DATA", raising=False)
    assert similarity.main() == 2
    assert "BIOINSTRUCT_DATA is not set" in capsys.readouterr().err
