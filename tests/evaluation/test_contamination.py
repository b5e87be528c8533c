"""Evaluation items planted among the rows that a model was tuned on, and sources that are no longer what they were."""

import json
import random
import shutil
from pathlib import Path

import pytest
from upath import UPath

from bioinstruct_jax import settings
from bioinstruct_jax.config import Train
from bioinstruct_jax.data.mixture import mix
from bioinstruct_jax.evaluation import contamination
from bioinstruct_jax.evaluation.contamination import Tuned, named, tuning_sources
from bioinstruct_jax.evaluation.runner.job import Contamination, Evaluate, Model
from bioinstruct_jax.evaluation.runner.questions import questions
from bioinstruct_jax.similarity.tokens import words
from bioinstruct_jax.tasks.held_out import LEAST
from bioinstruct_jax.tasks.table import TASKS
from tests import tiny_run
from tests.preparation import corpora

PREMISE = "The patient was given two units of packed cells after her haemoglobin fell to 68 during the night."
OTHER = {"instruction": "Name the signs of measles.", "output": "Fever, cough, red eyes, and then a rash."}


@pytest.fixture
def folder(tmp_path) -> Path:
    """ncbi_disease, and mednli, which is restricted."""
    place = corpora.write(tmp_path / "corpora")
    row = {"pairID": "a1b2", "sentence1": PREMISE, "sentence2": "She was transfused.", "gold_label": "entailment"}
    corpora.put(place, "mednli/mli_test_v1.jsonl", json.dumps(row) + "\n")
    return place


def asked(folder: Path, task: str, split: str = "test") -> list:
    job = Evaluate(out="nowhere", models=(Model(model="none"),))
    return list(questions(job, TASKS[task], split, UPath(folder)))


def index(folder: Path, *tasks: str, **thresholds: float):
    made = contamination.items(Contamination(**thresholds))
    for task, split in (one.split("/") for one in tasks):
        contamination.add(made, TASKS[task], asked(folder, task, split))
    return made


def rows(file: Path, *given: dict) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in given), encoding="utf-8")
    return file


def run(place: Path, given: list[dict], **changes: object) -> Path:
    """A run folder with what `train` writes down of its sources."""
    place.mkdir(parents=True)
    file = tiny_run.write(place, given, **changes)
    job = settings.loads(file.read_text(), job=Train, where=str(file))
    folder = Path(job.runs_dir) / job.name
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.yaml").write_text(settings.dump(job), encoding="utf-8")
    told = {"sources": mix(job.data.sources, seed=job.seed, on_bad_row="report").sources}
    (folder / "data.json").write_text(json.dumps(told), encoding="utf-8")
    return folder


def text(tagged: str) -> str:
    return " ".join(word.split(":")[0] for word in tagged.split())


def test_items_are_met_by_rows_of_files(folder, tmp_path):
    # Mutations: earlier turns of a conversation left out; the last hit kept in place of the closest; `short` not told.
    held_out, nearly = text(corpora.HELD_OUT), text(corpora.NEARLY)
    chat = [
        {"role": "user", "content": f"Find the diseases: {held_out}"},
        {"role": "assistant", "content": "Otitis media, and hearing loss."},
        {"role": "user", "content": "Thanks."},
        {"role": "assistant", "content": "You are welcome."},
    ]
    looked_up = index(folder, "ncbi_disease/dev", "ncbi_disease/test")
    item = "ncbi_disease/dev/devel:1"
    first = rows(tmp_path / "a.jsonl", OTHER, {"instruction": "Find the diseases.", "input": held_out, "output": "x"})
    second = rows(tmp_path / "b.jsonl", {"instruction": "Find the diseases.", "input": nearly, "output": "x"})
    third = rows(tmp_path / "c.jsonl", {"messages": chat})
    for files, how in (
        ([first], "13-gram 1.00, ROUGE-L 1.00 (a.jsonl:2)"),
        ([second], "ROUGE-L 0.92 (b.jsonl:1)"),
        ([first, second], "13-gram 1.00, ROUGE-L 1.00 (a.jsonl:2)"),
        ([second, first], "13-gram 1.00, ROUGE-L 1.00 (a.jsonl:2)"),
        ([third], "13-gram 1.00, ROUGE-L 0.89 (c.jsonl:1)"),
    ):
        found = Tuned.read(named(map(str, files)), looked_up)
        assert found.flag("ncbi_disease") == {item: how}, files
        assert found.complete
    assert found.flags("ncbi_disease", [item, "ncbi_disease/test/test:1"]).tolist() == [True, False]
    assert found.flag("medqa") == {}
    assert Tuned.read(named([str(rows(tmp_path / "d.jsonl", OTHER))]), looked_up).hits == {}
    assert found.told()["tasks"] == {
        "ncbi_disease": {"items": 2, "too_short": 1, "flagged": 1, "by_test": {"13-gram": 1, "ROUGE-L": 1}}
    }


def test_the_thresholds_are_read(folder, tmp_path):
    # Mutation: those of generation.
    file = rows(tmp_path / "a.jsonl", {"instruction": "Find.", "input": text(corpora.NEARLY), "output": "x"})
    looked_up = index(folder, "ncbi_disease/dev", rouge_l=0.95)
    assert Tuned.read(named([str(file)]), looked_up).hits == {}


def test_no_word_of_restricted_text_is_told(folder, tmp_path):
    # Mutations: the id of the item, or of the row, as its file has it.
    row = {"id": "MRN 4711", "instruction": "Judge.", "input": PREMISE, "output": "x", "licence": "restricted"}
    found = Tuned.read(named([str(rows(tmp_path / "a.jsonl", row))]), index(folder, "mednli/test"))
    assert found.flag("mednli") == {"mednli/test/item 1": "13-gram 0.86, ROUGE-L 0.92"}
    told = json.dumps([found.told(), found.flag("mednli"), repr(found)])
    for word in ("4711", "a1b2", "haemoglobin", "transfused"):
        assert word not in told


def test_a_run_names_its_sources(folder, tmp_path):
    # Mutations: categories not read; the adapter's folder not led back to its run; digests never compared.
    planted = {"instruction": "Find.", "input": text(corpora.HELD_OUT), "output": "x", "category": "IE"}
    given = [*tiny_run.ROWS, planted]
    place = run(tmp_path / "one", given)
    looked_up = index(folder, "ncbi_disease/dev")
    for name in (place, place / "adapter"):
        (source,) = tuning_sources(UPath(name))
        assert (source.path, source.run) == (str(tmp_path / "one" / "rows.jsonl"), str(place))
        found = Tuned.read([source], looked_up)
        assert found.complete
        assert (found.sources[0].status, found.sources[0].rows, found.sources[0].note) == ("read", 13, "")
        assert list(found.flag("ncbi_disease")) == ["ncbi_disease/dev/devel:1"]
    assert named([str(place)]) == tuning_sources(UPath(place))
    source = {"path": str(tmp_path / "one" / "rows.jsonl"), "categories": ["ie"]}
    only = run(tmp_path / "two", given, data={"sources": [source]})
    assert Tuned.read(tuning_sources(UPath(only)), looked_up).sources[0].rows == 1


def test_a_source_that_is_gone_or_another_is_unknown(folder, tmp_path):
    # Mutations: such a source skipped in silence, or read all the same.
    looked_up, told = index(folder, "ncbi_disease/dev"), []
    place = run(tmp_path / "one", tiny_run.ROWS)
    file = tmp_path / "one" / "rows.jsonl"
    rows(file, OTHER)
    found = Tuned.read(tuning_sources(UPath(place)), looked_up, lambda *done: told.append(done))
    assert (found.complete, found.sources[0].status, found.sources[0].rows, told) == (False, "unknown", 0, [])
    assert "the run read another file here: its sha256 was" in found.sources[0].note
    file.unlink()
    found = Tuned.read(tuning_sources(UPath(place)), looked_up)
    assert found.sources[0].status == "unknown"
    assert "no such file" in found.sources[0].note
    assert found.flags("ncbi_disease", ["ncbi_disease/dev/devel:1"]) is None
    rows(file, *tiny_run.ROWS)
    (place / "data.json").unlink()
    found = Tuned.read(tuning_sources(UPath(place)), looked_up, lambda *done: told.append(done))
    assert (found.sources[0].status, found.sources[0].rows) == ("read", 12)
    assert "cannot be checked" in found.sources[0].note
    assert told == [(str(file), done) for done in range(1, 13)]


def test_a_model_that_says_nothing_of_its_rows_is_unknown(tmp_path):
    # Mutation: an empty list taken for clean.
    (source,) = tuning_sources(UPath(tmp_path))
    found = Tuned.read([source], contamination.items(Contamination()))
    assert not found.complete
    assert "tuned_on" in found.sources[0].note
    assert not Tuned.read([], contamination.items(Contamination())).complete
    place = run(tmp_path / "one", tiny_run.ROWS)
    (place / "config.yaml").write_text("nonsense: 1\n", encoding="utf-8")
    assert "nonsense" in tuning_sources(UPath(place))[0].problem


def test_runs_that_a_run_went_on_from_are_read_too(folder, tmp_path):
    # Mutations: the last run alone; a circle never left.
    before = run(tmp_path / "one", [{"instruction": "Find.", "input": text(corpora.HELD_OUT), "output": "x"}])
    after = run(tmp_path / "two", tiny_run.ROWS, model={"weights": str(tmp_path)}, lora={"start": str(before)})
    sources = tuning_sources(UPath(after / "adapter"))
    assert [one.run for one in sources] == [str(after), str(before)]
    found = Tuned.read(sources, index(folder, "ncbi_disease/dev"))
    assert list(found.flag("ncbi_disease")) == ["ncbi_disease/dev/devel:1"]
    shutil.copy(after / "config.yaml", before / "config.yaml")
    assert [one.run for one in tuning_sources(UPath(after))] == [str(after), str(before)]
    shutil.rmtree(before)
    assert "went on from this adapter" in tuning_sources(UPath(after))[-1].problem


def test_real_items_that_are_planted_are_found_and_no_others(data_folder, tmp_path):
    # Mutations: the item's question not added; the whole row alone compared. A question of a few words is not looked
    # for by itself.
    held_out = asked(data_folder, "pubmedqa")
    own = [
        (one.record.instruction, one.record.input, one.record.output) for one in asked(data_folder, "pubmedqa", "train")
    ]
    draw = random.Random(0)
    planted = draw.sample([one for one in held_out if len(words(one.item.question)) >= LEAST], 30)
    kinds = {
        "verbatim": [(one.record.instruction, one.record.input, one.record.output) for one in planted[:10]],
        "in other words": [("Summarise.", _other_words(one.item.context, draw), "x") for one in planted[10:20]],
        "question alone": [(one.item.question, "", "I cannot tell.") for one in planted[20:]],
    }
    looked_up = index(data_folder, "pubmedqa/test")

    def found(given: list[tuple[str, str, str]]) -> dict[str, str]:
        fields = [dict(zip(("instruction", "input", "output"), row, strict=True)) for row in given]
        return Tuned.read(named([str(rows(tmp_path / "rows.jsonl", *fields))]), looked_up).flag("pubmedqa")

    before = found(own)
    after = found(own + [row for of_kind in kinds.values() for row in of_kind])
    ids = [one.id for one in planted]
    assert set(after) - set(before) == set(ids) - set(before)
    assert set(ids[:20]) <= set(after)
    assert all("13-gram 1.00" in after[id] for id in ids[:10])
    assert all("13-gram" not in after[id] and "ROUGE-L" in after[id] for id in ids[10:20])
    assert set(ids[20:]) <= set(after)


def _other_words(text: str, draw: random.Random) -> str:
    """Every ninth word is another, so that never 13 in a row stay."""
    shift = draw.randrange(9)
    return " ".join("thereby" if place % 9 == shift else word for place, word in enumerate(text.split()))


@pytest.mark.slow
def test_what_train_writes_is_read(finished):
    looked_up = contamination.items(Contamination())
    for name in (finished, finished / "adapter"):
        (one,) = Tuned.read(tuning_sources(UPath(name)), looked_up).sources
        assert (one.status, one.rows, one.note) == ("read", len(tiny_run.ROWS), "")
