"""The verb `prepare`, on small corpora written by hand and on the real ones where they are at hand."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bioinstruct_jax import prepare, settings
from bioinstruct_jax.config import Source
from bioinstruct_jax.data.output import check
from bioinstruct_jax.data.readers import read
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.resources import resource
from tests import small
from tests.preparation import corpora

RECIPES = ("everything", "medtuned", "medtuned_open")
SOURCES = [{"task": "ncbi_disease"}, {"task": "bc5cdr_disease"}, {"task": "medquad"}]
SECRET = "Mrs Quillfeather of bed 11 was given 40 mg of furosemide for pulmonary oedema at dusk"


@pytest.fixture
def folder(tmp_path) -> Path:
    return corpora.write(tmp_path / "corpora")


@pytest.fixture
def recipe(tmp_path, folder):
    """Writes a recipe and returns the words of a command line."""

    def write(**given) -> list[str]:
        job = {"out": str(tmp_path / "out"), "corpora": str(folder), "workers": 1, "sources": SOURCES} | given
        (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(job))
        return [str(tmp_path / "recipe.yaml")]

    return write


def rows(out: Path, split: str) -> list[dict]:
    return [json.loads(line) for line in (out / "rows" / f"{split}-00000.jsonl").read_text().splitlines()]


def digests(out: Path) -> dict[str, str]:
    files = [file for file in out.rglob("*") if file.is_file() and file.name != "config.yaml"]
    return {str(file.relative_to(out)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_corpora_become_rows_that_training_reads(recipe, tmp_path, capsys):
    # Mutations: rows of dev among those of train; an overlap written; the index before the reports.
    assert prepare.main(recipe()) == 0
    out = tmp_path / "out"
    assert [row["id"].rsplit("/", 1)[1] for row in rows(out, "train")] == [
        *(f"train:{number}" for number in range(1, 6)),
        "train:2",
        "0:1",
        "1:2",
        "2:3",
    ]
    assert [row["source"] for row in rows(out, "dev")] == ["ncbi_disease", "bc5cdr_disease"]
    assert [row["split"] for row in rows(out, "test")] == ["test", "test"]
    check.check(out / "rows")
    records = list(read(Source(path=str(out / "rows/train-00000.jsonl"))))
    assert [record.output for record in records[-3:]] == [said for _, said in corpora.QUESTIONS]
    told = json.loads((out / "report.json").read_text())
    assert told["totals"] == {"train": 9, "all": 13}
    assert told["sources"][0]["read"] == {"train": 7, "dev": 1, "test": 1}
    assert told["overlap"]["found"]["ncbi_disease"] == {"duplicate": 1, "near an evaluation row": 1}
    assert len((out / "overlaps.jsonl").read_text().splitlines()) == 3
    assert settings.loads((out / "config.yaml").read_text(), job=Prepare, where="out").seed == 0
    printed = capsys.readouterr().out
    assert "ncbi_disease" in printed
    assert "13 rows, 9 of them for training." in printed


def test_any_number_of_processes_makes_the_same_bytes(recipe, tmp_path):
    # Mutation: a set of tasks, or rows in the order in which processes end.
    found = []
    for workers in (1, 3):
        out = tmp_path / f"out{workers}"
        assert prepare.main([*recipe(out=str(out)), f"--workers={workers}"]) == 0
        found.append(digests(out))
    assert found[0] == found[1]
    assert len(found[0]) == 7


def test_the_same_command_again_changes_nothing_and_another_is_refused(recipe, tmp_path, capsys):
    # Mutations: made again; the settings that differ not named; the number of workers among them.
    words = recipe()
    assert prepare.main(words) == 0
    before = digests(tmp_path / "out")
    assert prepare.main([*words, "--workers=2"]) == 0
    assert "is finished" in capsys.readouterr().out
    assert prepare.main([*words, "--seed=1", "--overlap.leaks=report"]) == 2
    said = capsys.readouterr().err
    assert "seed: 0 -> 1" in said
    assert "overlap.leaks: 'remove' -> 'report'" in said or "overlap.leaks: remove -> report" in said
    assert digests(tmp_path / "out") == before


def test_rows_of_corpora_that_changed_or_that_were_damaged_are_not_finished(recipe, tmp_path, folder, capsys):
    # Mutations: finished as soon as there is an index; corpora that came since not noticed; shards not looked at.
    words = recipe(sources=[*SOURCES, {"task": "gad"}], missing="report")
    assert prepare.main(words) == 0
    corpora.put(folder, "gad/train.tsv", "index\tsentence\tlabel\n0\t@GENE$ and @DISEASE$ go together.\t1\n")
    assert prepare.main(words) == 2
    assert "was made of other corpora: gad/train.tsv came, went or changed" in capsys.readouterr().err
    (folder / "gad/train.tsv").unlink()
    assert prepare.main(words) == 0
    shard = tmp_path / "out/rows/train-00000.jsonl"
    shard.write_bytes(shard.read_bytes()[:-2])
    assert prepare.main(words) == 2
    assert "train-00000.jsonl" in capsys.readouterr().err


def test_a_report_tells_the_papers_counts_beside(recipe, tmp_path):
    # Mutations: an empty page; the paper's evaluation beside rows of another split; `ours` not told.
    sources = [
        {"task": "ncbi_disease", "published": {"train": 5424, "evaluation": 923, "split": "dev"}},
        {"task": "bc5cdr_disease", "published": {"evaluation": 4581, "split": "test"}},
        {"task": "medquad", "ours": True},
    ]
    absent = [{"name": "dialogues", "why": "rights unclear", "published": {"train": 50000}}]
    paper = {"name": "A paper", "train": 200252, "evaluation": 70066, "absent": absent}
    assert prepare.main(recipe(sources=sources, paper=paper)) == 0
    told = json.loads((tmp_path / "out/report.json").read_text())
    assert told["totals"]["paper_compatible_evaluation"] == 2
    assert [source["ours"] for source in told["sources"]] == [False, False, True]
    page = (tmp_path / "out/report.html").read_text()
    for text in ("dev (paper_compatible)", "200,252", "rights unclear", "medquad (ours)", "near an evaluation row"):
        assert text in page
    assert "Disease" in page.partition("By sources")[2]


def test_what_was_cut_off_is_made_again(recipe, tmp_path):
    # Mutation: finished as soon as there is a configuration.
    words = recipe()
    assert prepare.main(words) == 0
    before = digests(tmp_path / "out")
    (tmp_path / "out/rows/index.json").unlink()
    (tmp_path / "out/rows/unfinished.json").write_text("{}")
    (tmp_path / "out/rows/train-00000.jsonl").write_text("torn")
    (tmp_path / "out/report.json").write_text("torn")
    assert prepare.main(words) == 0
    assert digests(tmp_path / "out") == before


def test_a_folder_with_something_else_is_left_alone(recipe, tmp_path, capsys):
    corpora.put(tmp_path, "out/thesis.tex", "years of work")
    assert prepare.main(recipe()) == 2
    assert "is no preparation and not empty" in capsys.readouterr().err
    assert digests(tmp_path / "out").keys() == {"thesis.tex"}


def test_a_run_folder_of_train_is_left_alone(recipe, tmp_path, capsys):
    # Mutation: any config.yaml taken for one of prepare: every key of train is told as unknown, and nothing else.
    run = tmp_path / "out" / "config.yaml"
    run.parent.mkdir()
    run.write_text(settings.dump(small.job()))
    before = run.read_bytes()
    assert prepare.main(recipe()) == 2
    said = capsys.readouterr().err
    assert "is no preparation and not empty" in said
    assert "unknown key" not in said
    assert run.read_bytes() == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sources": [{"task": "gad"}]}, r"gad/train: gad/train\.tsv missing \(attribution, CC BY 4\.0: \S"),
        ({"sources": [{"task": "mednli"}, {"task": "gad"}], "missing": "report"}, r"mednli.*restricted.*physionet"),
        ({"sources": [{"task": "gadd"}]}, "did you mean gad"),
        ({"sources": [{"task": "medquad", "splits": ["test"]}]}, "medquad has train"),
        ({"sources": [{"task": "medquad", "format": "iob"}]}, "open_answer are answered as text"),
        ({"sources": [{"task": "medquad"}, {"task": "medquad"}]}, "medquad given twice"),
        ({"corpora": "nowhere"}, r"corpora nowhere: no such folder.*--corpora=FOLDER"),
        ({"balance": {"temperature": 0.5}}, r"balance\.temperature"),
    ],
)
def test_what_cannot_be_made_is_told_and_nothing_is_written(recipe, tmp_path, capsys, given, message):
    assert prepare.main(recipe(**given)) == 2
    said = capsys.readouterr().err
    assert re.search(message, said, re.DOTALL), said
    assert not (tmp_path / "out").exists()


def test_what_is_wrong_with_a_place_is_told_before_any_work(recipe, tmp_path, folder, capsys):
    # Mutations: an errno and nothing else; the folder looked at when all has been read.
    (tmp_path / "file").write_text("")
    assert prepare.main([*recipe(), f"--out={tmp_path / 'file/out'}"]) == 2
    assert "is a file, so no folder can be made in it" in capsys.readouterr().err
    assert prepare.main([*recipe(corpora="nowhere"), "--out=/proc/rows"]) == 2
    assert re.search(r"out /proc/rows: no.*; give another --out=FOLDER", capsys.readouterr().err)
    assert prepare.main([*recipe(), "--agreement"]) == 2
    assert "no sheet_1.csv, sheet_2.csv, key.csv; --audit=200 draws rows" in capsys.readouterr().err
    (folder / "medquad/medquad.jsonl").unlink()
    (folder / "medquad/medquad.jsonl").mkdir()
    assert prepare.main(recipe()) == 2
    assert re.search(r"medquad/train: \S+medquad\.jsonl cannot be read: Is a directory", capsys.readouterr().err)


def test_a_corpus_of_another_length_than_is_known_is_told(recipe, capsys):
    assert prepare.main(recipe()) == 0
    assert "note: ncbi_disease/train has 7 rows, and 5,432 are known; is it whole?" in capsys.readouterr().err


def test_a_corpus_that_is_damaged_is_named_with_file_and_line(recipe, tmp_path, folder, capsys):
    # Mutation: the other corpora's rows written all the same, as if nothing were missing.
    corpora.put(folder, "bc5cdr-disease/devel.tsv", "Warfarin\tO\ncan\n\n")
    assert prepare.main(recipe()) == 2
    assert re.search(r"bc5cdr-disease/devel\.tsv, line 2: ", capsys.readouterr().err)
    assert not (tmp_path / "out").exists()


def test_sources_that_are_missing_are_listed_where_the_recipe_allows_it(recipe, tmp_path, capsys):
    words = recipe(
        sources=[*SOURCES, {"task": "mednli", "published": {"train": 11232, "evaluation": 1395, "split": "dev"}}]
    )
    assert prepare.main(words) == 2
    assert "--missing=report" in capsys.readouterr().err
    assert prepare.main([*words, "--missing=report"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"mednli +11,232 +1,395 +dev \(paper_compatible\)", printed)
    assert "Not there, whole or in part: mednli (see the report)." in printed
    told = json.loads((tmp_path / "out/report.json").read_text())
    assert {one["split"] for one in told["missing"]} == {"train", "dev", "test"}


@pytest.mark.parametrize("form", ["alpaca", "alpaca-json", "chat", "parquet", "hub", "tfds"])
def test_every_form(recipe, tmp_path, form):
    # Mutation: `form` read by nothing.
    assert prepare.main([*recipe(), f"--form={form}"]) == 0
    check.check(tmp_path / "out/rows")
    names = {file.name for file in (tmp_path / "out/rows").rglob("*") if file.is_file()}
    kinds = {"alpaca": "train-00000.jsonl", "alpaca-json": "train-00000.json", "chat": "train-00000.jsonl"}
    kinds |= {"parquet": "train-00000.parquet", "hub": "train-00000.parquet", "tfds": "dataset_info.json"}
    assert kinds[form] in names
    if form in ("hub", "tfds"):
        card = (tmp_path / "out/rows/README.md").read_text()
        assert "CC BY 4.0" in card
        assert "near an evaluation row" in card
        assert "0. Find every mention of {subject} in the following text." in card


KEYS = [  # a value, and what it changes: the ids of training rows, the texts, or the names of files
    ("seed", "--seed=5", "instruction"),
    ("shard_rows", "--shard_rows=2", "files"),
    ("sources.N.cap", "--sources.2.cap=1", "id"),
    ("sources.N.weight", "--sources.2.weight=2", "id"),
    ("sources.N.format", "--sources.0.format=json", "output"),
    ("sources.N.splits", "--sources.0.splits=[dev]", "id"),
    ("balance.total", "--balance.total=4", "id"),
    ("balance.temperature", "--balance.temperature=100", "id"),
    ("overlap.duplicates", "--overlap.duplicates=ignore", "id"),
    ("overlap.leaks", "--overlap.leaks=ignore", "id"),
    ("overlap.rouge_l", "--overlap.rouge_l=0.95", "id"),
]


@pytest.mark.parametrize(("key", "option", "changes"), KEYS, ids=[key for key, _, _ in KEYS])
def test_a_key_changes_what_it_says(recipe, tmp_path, key, option, changes):
    words = recipe()
    assert prepare.main(words) == 0
    assert prepare.main([*words, f"--out={tmp_path / 'other'}", option]) == 0
    if changes == "files":
        assert len(digests(tmp_path / "other")) > len(digests(tmp_path / "out"))
        return
    assert [row[changes] for row in rows(tmp_path / "out", "train")] != [
        row[changes] for row in rows(tmp_path / "other", "train")
    ]


def test_copies_have_ids_of_their_own(recipe, tmp_path):
    assert prepare.main([*recipe(), "--sources.2.weight=2"]) == 0
    ids = [row["id"] for row in rows(tmp_path / "out", "train")]
    assert len(set(ids)) == len(ids) == 12
    assert "medquad/train/0:1#2" in ids


def test_a_preview_shows_rows_and_writes_nothing(recipe, tmp_path, capsys):
    assert prepare.main([*recipe(), "--preview=1"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("=== ") == 7
    assert corpora.QUESTIONS[0][1] in printed
    assert not (tmp_path / "out").exists()


def test_an_audit_is_drawn_filled_and_read(recipe, tmp_path, capsys):
    # Mutation: evaluation rows on the sheets.
    words = recipe()
    assert prepare.main([*words, "--audit=4"]) == 0
    for name in ("sheet_1.csv", "sheet_2.csv"):
        sheet = tmp_path / "out/audit" / name
        text = sheet.read_text(encoding="utf-8-sig")
        assert "otitis" not in text
        sheet.write_text(re.sub(r",,,(\r?\n)", r",yes,no,\1", text), encoding="utf-8-sig")
    assert prepare.main([*words, "--agreement"]) == 0
    assert re.search(r"correct.*100", capsys.readouterr().out)
    assert prepare.main(words) == 0  # the rows themselves, beside the sheets


def test_restricted_rows_stay_where_they_are(recipe, tmp_path, folder, capsys):
    # Mutations: a preview of restricted text; restricted rows on a sheet, in a report or in a hub folder.
    pair = {"pairID": "a", "sentence1": SECRET, "sentence2": f"{SECRET}, she said", "gold_label": "entailment"}
    for name in ("train", "dev", "test"):
        corpora.put(folder, f"mednli/mli_{name}_v1.jsonl", json.dumps(pair | {"pairID": name}) + "\n")
    words = recipe(sources=[*SOURCES, {"task": "mednli"}])
    for form in ("hub", "tfds"):
        assert prepare.main([*words, f"--form={form}", f"--out={tmp_path / form}"]) == 2
    assert prepare.main([*words, "--preview=2"]) == 0
    assert prepare.main([*words, "--audit=9"]) == 0
    assert prepare.main([*words, "--overlap.leaks=report"]) == 2  # the sheets are in the folder already
    assert prepare.main([*words, "--overlap.leaks=report", f"--out={tmp_path / 'rows'}"]) == 0
    printed = "".join(capsys.readouterr())
    written = [file for file in tmp_path.rglob("*") if file.is_file() and folder not in file.parents]
    allowed = [file for file in written if file.parent == tmp_path / "rows/rows"]
    assert any(SECRET in file.read_text() for file in allowed)
    texts = [printed, *(file.read_bytes().decode("utf-8", "replace") for file in written if file not in allowed)]
    words_of_it = SECRET.split()
    for start in range(len(words_of_it) - 3):
        window = " ".join(words_of_it[start : start + 4])
        assert not any(window in text for text in texts), window


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_recipes_are_valid(name):
    made = settings.loads(resource("configs", f"corpora/{name}.yaml").read_text(), job=Prepare, where=name)
    assert made.missing == "report"
    if name == "medtuned_open":
        from bioinstruct_jax.tasks.table import TASKS

        assert not any(TASKS[source.task].licence.kind == "restricted" for source in made.sources)
        assert sum(source.ours for source in made.sources) == 7


@pytest.mark.parametrize("name", ["medtuned", "medtuned_open"])
def test_the_papers_counts_add_up(name):
    # Mutation: a digit of a count. The training rows of i2b2 are not public, so only what was scored adds up.
    made = settings.loads(resource("configs", f"corpora/{name}.yaml").read_text(), job=Prepare, where=name)
    published = [source.published for source in made.sources if source.published] + [
        one.published for one in made.paper.absent
    ]
    assert sum(one.evaluation or 0 for one in published) == made.paper.evaluation == 70066
    assert sum(one.train or 0 for one in published) == 173_811
    assert made.paper.train == 200252


def test_the_list_of_a_folder_that_is_none_says_so_and_where_all_is_to_be_had(tmp_path, capsys):
    # Mutations: an error in place of the list; nothing said, so that every corpus seems to be missing from the folder.
    assert prepare.main(["--list", f"--corpora={tmp_path / 'nowhere'}"]) == 0
    said = capsys.readouterr()
    assert re.search(r"note: corpora \S+nowhere: no such folder\. .* with --corpora=FOLDER", said.err)
    assert "  missing  mednli/mli_test_v1.jsonl\n" in said.out


def test_the_list_names_every_task(tmp_path, folder):
    done = subprocess.run(
        [sys.executable, "-m", "bioinstruct_jax.prepare", "--list", f"--corpora={folder}"],
        capture_output=True,
        text=True,
        check=True,
    )
    from bioinstruct_jax.tasks.table import TASKS

    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[2:] if line and line[0] != " "] == list(TASKS)
    assert re.search(r"^ncbi_disease +entities +open +yes$", done.stdout, re.M)
    assert re.search(r"^gad .* no$", done.stdout, re.M)


@pytest.mark.slow
def test_all_corpora_at_hand(data_folder, tmp_path):
    # The figures of configs/corpora/everything.yaml.
    words = ["everything", f"--corpora={data_folder}", f"--out={tmp_path / 'out'}"]
    assert prepare.main(words) == 0
    told = json.loads((tmp_path / "out/report.json").read_text())
    read_rows = [sum(source["read"].values()) for source in told["sources"]]
    assert sum(read_rows) == 76_701
    assert sum(source["read"].get("train", 0) for source in told["sources"]) == 42_692
    assert told["totals"]["all"] - told["totals"]["train"] == 76_701 - 42_692
    assert all(
        min(share["wordings"]) > 0
        for family in told["composition"]["families"].values()
        for share in family.values()
        if share["rows"] > 300
    )
