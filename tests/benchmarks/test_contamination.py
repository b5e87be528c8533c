"""The benchmark of contamination, on texts written by hand."""

from tests.benchmarks import contamination
from tests.preparation import corpora


def test_rows_that_meet_an_item_are_counted_by_task_and_test(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BIOINSTRUCT_DATA", str(corpora.write(tmp_path)))
    assert contamination.main(["--rows=300"]) == 0
    said = capsys.readouterr().out
    assert "300 rows" in said
    # One training sentence of ncbi_disease differs from an evaluation one in a word.
    counts = next(line for line in said.splitlines() if line.startswith("ncbi_disease")).split()
    assert counts[3:7] == ["13-gram", "0", "8-gram", "0"]
    assert int(counts[8]) > 0


def test_items_that_rows_of_a_file_meet_are_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BIOINSTRUCT_DATA", str(corpora.write(tmp_path)))
    assert contamination.main(["--tuned", "--rows=300"]) == 0
    said = capsys.readouterr().out
    assert "300 rows" in said
    assert next(line for line in said.splitlines() if line.startswith("ncbi_disease")).endswith("{'ROUGE-L': 1}")


def test_without_corpora_it_says_what_to_set(monkeypatch, capsys):
    monkeypatch.delenv("BIOINSTRUCT_DATA", raising=False)
    assert contamination.main([]) == 2
    assert "BIOINSTRUCT_DATA is not set" in capsys.readouterr().err
