import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.preparation import overlaps, spool
from bioinstruct_jax.preparation.job import Overlap
from tests.preparation import corpora

NAMES = [("ncbi_disease", "train"), ("ncbi_disease", "dev"), ("bc5cdr_disease", "train"), ("medquad", "train")]


@pytest.fixture
def compared(tmp_path):
    """Which rows are kept, and what is told, by task."""
    folder = corpora.write(tmp_path / "corpora")

    def compare(names=NAMES, others=(), **settings):
        work = tmp_path / "work"
        work.mkdir(exist_ok=True)
        parts = [
            spool.Part(task, split, None, 0, str(folder), work / f"{number}.jsonl")
            for number, (task, split) in enumerate([*names, *others])
        ]
        for part in parts:
            spool.write(part)
        mine = parts[: len(names)]
        found = overlaps.find(mine, parts[len(names) :], Overlap(**settings), lambda done: None)
        return {part.task: (keep.tolist(), told) for part, keep, told in found}

    return compare


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=30))
def test_equal_digests_have_the_first_row_in_common(digests):
    # Mutations: one of the two numbers compared; the last row rather than the first.
    found = overlaps._first_equal(np.array(digests, np.uint64).reshape(-1, 2))
    assert found.tolist() == [digests.index(digest) for digest in digests]


def said(told):
    return [(one.id.rsplit("/", 1)[1], one.reason, one.other) for one in told]


def test_what_is_there_twice_and_what_evaluation_would_meet_again(compared):
    # Mutations: the last of two equal rows kept; evaluation rows compared with each other; a row compared with itself.
    found = compared()
    assert list(found) == ["ncbi_disease", "bc5cdr_disease", "medquad"]
    keep, told = found["ncbi_disease"]
    assert keep == [True] * 5 + [False, False]
    assert said(told) == [
        ("train:6", "duplicate", "ncbi_disease/train/train:1"),
        ("train:7", "near an evaluation row", "ncbi_disease/dev/devel:1"),
    ]
    assert told[1].score == pytest.approx(11 / 12, abs=1e-4)  # 11 of 12 words on both sides
    keep, told = found["bc5cdr_disease"]
    assert keep == [False, True]
    assert said(told) == [("train:1", "duplicate", "ncbi_disease/train/train:2")]
    assert found["medquad"][0] == [True] * 3


def test_only_sources_of_one_family_and_subject_repeat_each_other(compared, tmp_path):
    # Mutation: all sources compared, so that the chemicals of a corpus are duplicates of its diseases.
    corpora.put(
        tmp_path / "corpora",
        "bc5cdr-chem/train.tsv",
        corpora.columns([corpora.SENTENCES[1].replace(":B", ":O").replace(":I", ":O")]),
    )
    assert compared([("ncbi_disease", "train"), ("bc5cdr_chem", "train")])["bc5cdr_chem"][0] == [True]


def test_the_first_source_of_the_recipe_keeps_its_rows(compared):
    found = compared([("bc5cdr_disease", "train"), ("ncbi_disease", "train")])
    assert found["bc5cdr_disease"][0] == [True, True]
    assert found["ncbi_disease"][0] == [True, False, True, True, True, False, True]


def test_evaluation_rows_of_other_tasks_count_too(compared):
    assert compared([("ncbi_disease", "train")])["ncbi_disease"][0][-1]
    assert not compared([("ncbi_disease", "train")], [("ncbi_disease", "dev")])["ncbi_disease"][0][-1]


def test_reported_and_ignored(compared):
    # Mutation: `report` removes.
    reported = compared(duplicates="report", leaks="report")
    assert all(all(keep) for keep, _ in reported.values())
    assert [len(told) for _, told in reported.values()] == [2, 1, 0]
    ignored = compared(duplicates="ignore", leaks="ignore")
    assert all(all(keep) for keep, _ in ignored.values())
    assert not any(told for _, told in ignored.values())


def test_the_threshold_is_read(compared):
    assert compared(rouge_l=0.95)["ncbi_disease"][0][-1]


def test_an_answer_that_holds_an_evaluation_text_is_a_leak(compared, tmp_path):
    # Mutation: free answers not looked at.
    text = " ".join(word.split(":")[0] for word in corpora.HELD_OUT.split())
    row = '{"id": "9", "focus": "", "question": "What of otitis?", "answer": "As a report has it: %s So it is."}\n'
    corpora.put(tmp_path / "corpora", "medquad/medquad.jsonl", row % text)
    keep, told = compared()["medquad"]
    assert keep == [False]
    assert said(told) == [("9:1", "shared n-grams", "ncbi_disease/dev/devel:1")]


@pytest.mark.parametrize(
    ("settings", "kept"), [({}, True), ({"ngram_share": 0.0}, False), ({"ngram_share": 0.0, "ngram": 20}, True)]
)
def test_a_phrase_that_evaluation_uses_too_is_a_leak_only_if_asked_for(compared, tmp_path, settings, kept):
    # Mutation: `ngram_share` read by nothing.
    phrase = "we looked at your heart and lungs today and all of it was fine"
    text = " ".join(f"{word}:O" for word in f"{phrase} {' '.join(f'word{n}' for n in range(60))}".split())
    corpora.put(tmp_path / "corpora", "ncbi-disease/devel.tsv", corpora.columns([text]))
    row = '{"id": "9", "focus": "", "question": "What was found?", "answer": "As said, %s."}\n'
    corpora.put(tmp_path / "corpora", "medquad/medquad.jsonl", row % phrase)
    assert compared(**settings)["medquad"][0] == [kept]


def test_a_note_of_an_evaluation_row_is_met_in_a_training_answer(compared, tmp_path):
    # Mutation: the free answers of evaluation rows not looked for.
    note = "Patient seen for a rash of both forearms since Monday, no fever, advised to stop the new soap and return."
    head = "ID,section_header,section_text,dialogue\n"
    corpora.put(
        tmp_path / "corpora",
        "mts-dialog/MTS-Dialog-ValidationSet.csv",
        f'{head}0,ASSESSMENT,"{note}","Doctor: Hello."\n',
    )
    row = '{"id": "9", "focus": "", "question": "What became of it?", "answer": "%s"}\n'
    corpora.put(tmp_path / "corpora", "medquad/medquad.jsonl", row % note)
    keep, told = compared([("medquad", "train")], [("mts_dialog", "dev")])["medquad"]
    assert keep == [False]
    assert told[0].other == "mts_dialog/dev/0"


def test_a_row_is_told_of_once_by_what_it_is_left_out_for(compared, tmp_path):
    # Mutation: a leak that is a duplicate as well counted as two.
    corpora.put(tmp_path / "corpora", "ncbi-disease/train.tsv", corpora.columns([corpora.NEARLY, corpora.NEARLY]))
    for settings, reasons in (
        ({}, ["near an evaluation row"] * 2),
        ({"leaks": "report"}, ["near an evaluation row", "duplicate"]),
        ({"leaks": "ignore"}, ["duplicate"]),
        ({"duplicates": "report"}, ["near an evaluation row"] * 2),
    ):
        assert [one.reason for one in compared(**settings)["ncbi_disease"][1]] == reasons
