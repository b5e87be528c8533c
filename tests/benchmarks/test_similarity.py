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


def test_lines_that_all_inputs_share_are_left_out(tmp_path):
    # Mutations: answers left out of free text; a task whose files are missing ends the run.
    folder = tmp_path / "medquad"
    folder.mkdir()
    rest = {"qtype": "", "focus": "", "source": "", "url": ""}
    lines = [
        {"id": "1", "question": "What is gout?", "answer": "See below.\nA disease.", **rest},
        {"id": "2", "question": "What is flu?", "answer": "See below.\nAn infection.", **rest},
    ]
    (folder / "medquad.jsonl").write_text("\n".join(map(json.dumps, lines)))
    training, held_out = similarity.rows(UPath(tmp_path), rendered=False)
    assert [row.text for row in training] == ["What is gout?\nA disease.", "What is flu?\nAn infection."]
    assert held_out == []
    assert "See below." in similarity.rows(UPath(tmp_path), rendered=True)[0][0].text


def test_without_corpora_it_says_what_to_set(monkeypatch, capsys):
    monkeypatch.delenv("BIOINSTRUCT_DATA", raising=False)
    assert similarity.main([]) == 2
    assert "BIOINSTRUCT_DATA is not set" in capsys.readouterr().err
