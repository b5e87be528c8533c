import hashlib

import pytest
from upath import UPath

from bioinstruct_jax.preparation import spool
from bioinstruct_jax.preparation.rows import rendered
from bioinstruct_jax.tasks.table import TASKS
from tests.preparation import corpora

NAMES = [("ncbi_disease", "train"), ("ncbi_disease", "dev"), ("bc5cdr_disease", "train"), ("medquad", "train")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return corpora.write(tmp_path_factory.mktemp("corpora"))


def parts(folder, work, names=NAMES):
    work.mkdir()
    return [spool.Part(task, split, None, 7, str(folder), work / f"{n}.jsonl") for n, (task, split) in enumerate(names)]


def test_what_is_read_back_is_what_was_rendered(folder, tmp_path):
    # Mutation: labels read back as a list.
    for part in parts(folder, tmp_path / "work"):
        assert spool.write(part) == len(part.numbers)
        assert list(part.rows()) == list(rendered(TASKS[part.task], UPath(folder), part.split, seed=7, format=None))


def test_any_number_of_processes_writes_the_same_bytes(folder, tmp_path):
    # Mutation: rows in the order in which processes finish.
    digests = []
    for workers in (1, 2, 5):
        made = parts(folder, tmp_path / str(workers))
        told = []
        counts, errors = spool.write_all(made, workers, lambda done, total, told=told: told.append((done, total)))
        assert (counts, errors) == ([7, 1, 2, 3], [])
        assert told[0] == (0, 4)
        assert told[-1] == (4, 4)
        files = sorted((tmp_path / str(workers)).iterdir())
        digests.append([(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files])
    assert digests[0] == digests[1] == digests[2]


@pytest.mark.parametrize("workers", [1, 3])
def test_every_corpus_that_cannot_be_read_is_told_with_its_line(folder, tmp_path, workers):
    # Mutation: the first error ends it, so that a user mends one file at a time.
    corpora.put(tmp_path, "ncbi-disease/train.tsv", "asthma\tI\n\n")
    corpora.put(tmp_path, "ncbi-disease/devel.tsv", corpora.columns([corpora.HELD_OUT]))
    corpora.put(tmp_path, "bc5cdr-disease/train.tsv", "asthma\n")
    corpora.put(tmp_path, "medquad/medquad.jsonl", "no json\n")
    counts, errors = spool.write_all(parts(tmp_path, tmp_path / "work"), workers, lambda done, total: None)
    assert counts == [0, 1, 0, 0]
    assert [error.split(":")[0].rsplit("/", 2)[-2:] for error in errors] == [
        ["ncbi-disease", "train.tsv, line 1"],
        ["bc5cdr-disease", "train.tsv, line 1"],
        ["medquad", "medquad.jsonl, line 1"],
    ]


def test_what_a_row_asks_and_answers_has_one_digest(folder, tmp_path):
    part = parts(folder, tmp_path / "work")[0]
    spool.write(part)
    said = part.numbers[:, :2].tolist()
    assert said[5] == said[0]  # the sentence that stands there twice
    assert len({tuple(one) for one in said}) == 6
    assert len(set(part.numbers[:, 2].tolist())) == 7


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"medquad/train: medquad/medquad\.jsonl: not one item in it"),
        ('{"id": "1", "question": "W\\u0000", "answer": "A", "focus": ""}', r"line 1: 'question' has a NUL character"),
        ('{"id": "1", "question": "W", "answer": "\\ud83d", "focus": ""}', r"line 1: 'answer' has a NUL .* surrogate"),
    ],
)
def test_what_is_no_text_or_nothing_is_an_error(tmp_path, text, message):
    # Mutations: an empty corpus is one of no rows; a lone surrogate met when it is encoded.
    corpora.put(tmp_path, "medquad/medquad.jsonl", text)
    with pytest.raises(ValueError, match=message):
        spool.write(parts(tmp_path, tmp_path / "work", [("medquad", "train")])[0])


def test_two_items_of_one_id_are_an_error(tmp_path):
    header = "labels\tsentence\tindex\n"
    flags = ",".join(f"{place}_0" for place in range(10))
    corpora.put(tmp_path, "HoC/train.tsv", header + f"{flags}\tOne.\t7_1\n{flags}\tTwo.\t7_2\n{flags}\tThree.\t7_1\n")
    with pytest.raises(ValueError, match=r"hoc/train, item 3: its id is that of an item before it"):
        spool.write(parts(tmp_path, tmp_path / "work", [("hoc", "train")])[0])
