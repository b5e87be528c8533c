import re

import pytest
from upath import UPath

from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.preparation import listing, sources
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.tasks.table import TASKS
from tests.preparation import corpora


@pytest.fixture
def job(tmp_path):
    corpora.write(tmp_path / "corpora")

    def make(*tasks, **given):
        rows = [{"task": task} if isinstance(task, str) else task for task in tasks]
        settings = {"out": str(tmp_path / "out"), "corpora": str(tmp_path / "corpora"), "sources": rows}
        return Prepare(**(settings | given))

    return make


def names(parts):
    return [part.name for part in parts]


def test_parts_stand_in_the_order_of_the_recipe_and_of_the_splits(job, tmp_path):
    found = sources.find(job({"task": "ncbi_disease", "splits": ["test", "train"]}, "medquad"), tmp_path)
    assert names(found.parts) == ["ncbi_disease/train", "ncbi_disease/test", "medquad/train"]
    assert len({part.file for part in found.parts + found.others}) == len(found.parts + found.others)


def test_every_evaluation_split_that_is_there_is_compared_with(job, tmp_path):
    # Mutations: `against` read by nothing; training splits among them; the dev split of a task of which only training
    # rows are made left out; a split compared twice.
    only = {"task": "ncbi_disease", "splits": ["train"]}
    assert names(sources.find(job(only), tmp_path).others) == [
        "ncbi_disease/dev",
        "ncbi_disease/test",
        "bc5cdr_disease/dev",
        "bc5cdr_disease/test",
    ]
    own = sources.find(job(only, overlap={"against": "sources"}), tmp_path)
    assert names(own.others) == ["ncbi_disease/dev", "ncbi_disease/test"]
    assert names(sources.find(job("ncbi_disease", overlap={"against": "sources"}), tmp_path).others) == []
    assert names(sources.find(job(only, overlap={"leaks": "ignore"}), tmp_path).others) == []


def test_restricted_rows_go_to_no_bucket(job, tmp_path):
    # Mutation: the place not looked at.
    for name in ("train", "dev", "test"):
        corpora.put(tmp_path / "corpora", f"mednli/mli_{name}_v1.jsonl", "{}")
    assert sources.find(job("mednli"), tmp_path).parts
    with pytest.raises(RestrictedError, match=r"out memory://rows: rows of mednli are restricted and stay"):
        sources.find(job("mednli", "medquad", out="memory://rows"), tmp_path)
    assert sources.find(job("medquad", out="memory://rows"), tmp_path).parts


def test_a_fingerprint_is_that_of_the_files_read(job, tmp_path):
    # Mutations: the files of the sources alone; their names alone.
    before = sources.fingerprint(job("medquad"))
    assert list(before) == [
        "bc5cdr-disease/devel.tsv",
        "bc5cdr-disease/test.tsv",
        "medquad/medquad.jsonl",
        "ncbi-disease/devel.tsv",
        "ncbi-disease/test.tsv",
    ]
    corpora.put(tmp_path / "corpora", "ncbi-disease/test.tsv", corpora.columns(["Gout:B recurred:O"]))
    after = sources.fingerprint(job("medquad"))
    assert [name for name in before if before[name] != after[name]] == ["ncbi-disease/test.tsv"]


def test_a_list_says_what_is_there(tmp_path):
    # Mutation: a task of which one split is there is not there.
    corpora.put(tmp_path, "gad/test.tsv", "")
    there = listing.availability(TASKS["gad"], UPath(tmp_path))
    assert (there.word, there.missing) == ("test", ("gad/train.tsv",))
    corpora.put(tmp_path, "gad/train.tsv", "")
    assert listing.availability(TASKS["gad"], UPath(tmp_path)).word == "yes"
    assert listing.availability(TASKS["hoc"], UPath(tmp_path)).word == "no"


def test_a_list_says_which_file_belongs_where_and_where_to_get_it(tmp_path):
    # Mutations: a file that is there called missing; its folder left out; the licence, or where to get it, left out.
    corpora.put(tmp_path, "gad/test.tsv", "")
    said = listing.text(UPath(tmp_path))
    assert (
        f"""
gad                          relations        attribution     test
 train, {TASKS["gad"].split("train").count:,} rows
  missing  gad/train.tsv
 test, {TASKS["gad"].split("test").count:,} rows
  there    gad/test.tsv
 licence  CC BY 4.0
 from     the release of BioBERT's relation data (dmis-lab/biobert), GAD
 reader   tried on the real file
"""
        in said
    )
    found = " ".join(said.split())
    for task in TASKS.values():
        assert f"licence {task.licence.name} from {task.licence.obtain} reader " in found
    assert [line for line in said.splitlines() if len(line) > 80 and not re.match("  (there|missing) ", line)] == []
