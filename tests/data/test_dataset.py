import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from bioinstruct_jax.config import Train
from bioinstruct_jax.data import tokenizer
from bioinstruct_jax.data.dataset import load
from bioinstruct_jax.data.rows import DTYPES
from bioinstruct_jax.data.tokens import encode_prompt

SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
SIGNS = ["fever", "cough", "rash", "pallor", "oedema", "jaundice", "wheeze", "stridor", "ascites", "clubbing"]
ROWS = [{"instruction": f"Is there {sign} in the note?", "output": f"Yes, {sign} is noted."} for sign in SIGNS]


def job(folder: Path, rows=ROWS, **changed) -> Train:
    """A small job; `changed` replaces settings of data and, by their own names, whole sections."""
    source = folder / "rows.jsonl"
    source.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    sections = {name: changed.pop(name) for name in ("tokenizer", "model", "seed") if name in changed}
    data = {"sources": [{"path": str(source)}], "length": 256, "cache_dir": str(folder / "cache")} | changed
    tree = {
        "name": "x",
        "model": {"weights": "random", "shape": SHAPE},
        "tokenizer": {"train_vocab_size": 300},
        "data": data,
        "training": {"steps": 1},
    }
    return TypeAdapter(Train).validate_python(tree | sections)


def test_the_report_tells_what_became_of_every_row(tmp_path):
    # Mutation: held-out report left out
    rows = [*ROWS, "{broken", {"instruction": "Is there pain?", "output": "x" * 600}, ROWS[0] | {"system": "Be brief."}]
    data = load(job(tmp_path, rows, held_out=0.2))
    report = data.report
    assert report["bad_rows"]["count"] == len(data.bad_rows) == 1
    assert report["sources"][0]["read"] == 13
    train, held_out = report["train"], report["held_out"]
    assert train["records"] + held_out["records"] == report["records"] == 12
    both = [train, held_out]
    assert sum(part["examples"] for part in both) == 10
    dropped = [reason for part in both for reason in part["dropped"]]
    assert sorted(reason[:9] for reason in dropped) == ["template ", "too long "]
    assert report["template"] == {"name": "alpaca", "hash": data.template.hash}
    assert report["tokenizer"]["fingerprint"] == tokenizer.fingerprint(data.tokenizer)
    assert train["packing"]["rows"] == len(data.train.tokens)
    assert held_out["packing"]["rows"] == len(data.held_out.tokens)
    json.dumps(report)


def test_the_same_job_gives_the_same_bytes_with_and_without_cache(tmp_path):
    config = job(tmp_path, held_out=0.3)
    first, second = load(config), load(config)
    for path in (tmp_path / "cache").rglob("*"):
        if path.is_file():
            path.unlink()
    third = load(config)
    for other in (second, third):
        assert other.report == first.report
        for name in DTYPES:
            np.testing.assert_array_equal(getattr(other.train, name), getattr(first.train, name))
            np.testing.assert_array_equal(getattr(other.held_out, name), getattr(first.held_out, name))


def test_without_a_held_out_share_there_is_none(tmp_path):
    data = load(job(tmp_path))
    assert data.held_out is None
    assert data.report["held_out"] is None


def test_the_tokenizer_is_trained_on_the_training_rows_alone(tmp_path, monkeypatch):
    # Mutation: texts(mixture.records, ...)
    seen = []
    train = tokenizer.train
    monkeypatch.setattr(tokenizer, "train", lambda texts, size: (seen.extend(texts), train(texts, size))[1])
    data = load(job(tmp_path, held_out=0.3))
    assert data.report["held_out"]["examples"] == 3
    answers = [text for text in seen if text.startswith("Yes, ")]
    assert len(answers) == 7


def test_progress_reaches_the_end(tmp_path):
    seen = []
    load(job(tmp_path), lambda *told: seen.append(told))
    assert seen[0] == ("training tokenizer", 0, 10)
    assert seen[-1] == ("tokenizing", 10, 10)
    load(job(tmp_path), lambda *told: seen.append(told))  # from the cache
    assert seen[-1] == ("tokenizing", 10, 10)


def test_a_tokenizer_may_be_loaded_or_come_with_the_model(tmp_path):
    folder = tmp_path / "base"
    tokenizer.train(["fever"], 280).save_pretrained(folder)
    (tmp_path / "a").mkdir()
    one = load(job(tmp_path / "a", tokenizer={"path": str(folder)}))
    two = load(job(tmp_path / "a", tokenizer={}, model={"weights": str(folder)}))
    assert one.report["tokenizer"]["fingerprint"] == two.report["tokenizer"]["fingerprint"]
    np.testing.assert_array_equal(one.train.tokens, two.train.tokens)


@pytest.mark.parametrize(
    ("rows", "changed", "message"),
    [
        (ROWS, {"length": 16}, r"nothing left to train on: of 10 records none fits \(10 x too long"),
        ([row | {"system": "x"} for row in ROWS], {}, "10 x template alpaca has no place for a system text"),
        (["{"], {}, "every row is bad"),
        (ROWS, {"held_out": 0.01}, "too few records to hold"),
        (ROWS, {"over_length": "raise", "length": 16}, "record .* has .* tokens"),
        (ROWS, {"template": "llama3"}, "template llama3 needs"),
        (ROWS, {"template": "tokenizer"}, "has no chat template"),
        (ROWS, {"tokenizer": {"path": "/no/such/folder"}}, "there is no such folder"),
    ],
)
def test_what_leaves_nothing_is_an_error_that_says_why(rows, changed, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        load(job(tmp_path, rows, **changed))


def test_an_inference_prompt_begins_a_training_row(tmp_path):
    # LlamaFactory#2509, by way of the whole road
    from bioinstruct_jax.data.records import Record

    data = load(job(tmp_path, ROWS[:1], packing=False))
    prompt = encode_prompt(Record("x", ROWS[0]["instruction"], "", ""), data.template, data.tokenizer)
    np.testing.assert_array_equal(data.train.tokens[0, : len(prompt)], prompt)
    assert data.train.weights[0].argmax() == len(prompt)


def test_the_room_runs_without_jax_torch_or_tensorflow(tmp_path):
    # Mutation: import jax in rows.py
    job(tmp_path)
    script = f"""
import sys
for name in ("jax", "torch", "tensorflow"):
    sys.modules[name] = None
sys.path.insert(0, {str(Path(__file__).parent)!r})
from pathlib import Path
import test_dataset
data = test_dataset.load(test_dataset.job(Path({str(tmp_path)!r})))
assert len(data.train.tokens)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_importing_the_room_loads_no_tokenizer_library():
    script = (
        "import sys, bioinstruct_jax.data.dataset, bioinstruct_jax.data.batch, bioinstruct_jax.data.preview;"
        "print([name for name in ('jax', 'torch', 'tensorflow', 'transformers', 'tokenizers', 'datasets', 'rich.text')"
        "if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif("BIOINSTRUCT_DATA" not in os.environ, reason="BIOINSTRUCT_DATA is not set")
def test_medquad_packs_to_98_percent(tmp_path, caplog):
    # Mutation: the emptiest row instead of the fullest, not sorted
    source = Path(os.environ["BIOINSTRUCT_DATA"], "medquad", "medquad.jsonl")
    columns = {"instruction": "question", "output": "answer"}
    config = job(
        tmp_path,
        sources=[{"path": str(source), "columns": columns}],
        length=2048,
        held_out=0.05,
        tokenizer={"train_vocab_size": 2048},
    )
    started = time.perf_counter()
    data = load(config)
    logging.getLogger(__name__).info("MedQuAD: %.1f s, %s", time.perf_counter() - started, data.report["train"])
    assert data.report["records"] == 16407
    assert data.report["train"]["packing"]["efficiency"] >= 0.98
    assert not caplog.records or all(record.levelno < logging.WARNING for record in caplog.records)
    again = load(config)
    assert again.report == data.report
