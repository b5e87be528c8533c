import dataclasses
import io
import json

import pytest
from pydantic import TypeAdapter
from rich.console import Console

from bioinstruct_jax.config import Train
from bioinstruct_jax.data import preview as module
from bioinstruct_jax.data.dataset import Dataset
from bioinstruct_jax.data.preview import preview, visible
from bioinstruct_jax.data.prompts import template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.rows import build
from bioinstruct_jax.data.tokenizer import train

RECORD = Record("r1", "Is there </s> fever?", "T 38.9\u00a0°C\tat noon\n", "Yes: 38.9 °C 🌡")


def dataset(records, tokenizer, name="medtuned"):
    form = template(name, tokenizer)
    built = build(records, form, tokenizer, length=512, packing=True, over_length="raise")
    return Dataset(built.rows, built.members, None, tokenizer, form, {"train": built.report}, [])


@pytest.mark.parametrize("kind", ["bytes", "llama2", "llama3", "unigram_first"])
def test_weights_and_invisible_characters_show_without_colour(kind, request):
    # Mutation: text shown token by token (a part of a character as \ufffd)
    tokenizer = train([], 258) if kind == "bytes" else request.getfixturevalue(kind)
    record = dataclasses.replace(RECORD, input="T 38.9 °C\tat noon\n") if "unigram" in kind else RECORD
    lines = preview(dataset([record], tokenizer), 1, seed=0).plain
    space = " " if "unigram" in kind else "<U+00A0>"
    shown = (
        f"⟪{tokenizer.bos_token}⟫###·Instruction:·Is·there·</s>·fever?↵\n·###·Input:·T·38.9{space}°C→at·noon↵\n↵\n"
        f"·###·Output:«·Yes:·38.9·°C·🌡·↵\n⟪{tokenizer.eos_token}⟫»"
    )
    assert shown.replace(" °", "·°") in lines


def test_colour_follows_the_weights():
    # Mutation: TARGET and CONTEXT exchanged
    text = preview(dataset([RECORD], train([], 258)), 1, seed=0)
    styles = {(text.plain[span.start : span.end], str(span.style)) for span in text.spans}
    assert ("I", "dim") in styles
    assert ("Y", "bold green") in styles
    assert ("⟪</s>⟫", "bold green reverse") in styles
    assert ("⟪<s>⟫", "dim reverse") in styles


def test_segments_stand_apart():
    text = preview(dataset([RECORD, dataclasses.replace(RECORD, output="No.")], train([], 258)), 5, seed=0).plain
    assert text.count("-- segment") == 2
    assert "row 1: 2 segments" in text
    assert "row 2" not in text


def test_a_segment_that_cannot_be_decoded_is_shown_all_the_same():
    data = dataset([RECORD], train([], 258))
    token = data.tokenizer.encode("°")[0]
    data.train.tokens[data.train.segments > 0] = token  # a lone first byte
    # Mutation: `weights[end] != weights[begin]` left out of _characters
    without, with_loss = preview(data, 1, seed=0).plain.split("«")[-2:]
    targets = int(data.train.weights.sum())
    assert with_loss.count("\ufffd") == targets
    assert without.count("\ufffd") == int((data.train.segments > 0).sum()) - targets


def test_visible_leaves_what_can_be_seen():
    assert visible("µg/mL\u200b β-blocker") == "µg/mL<U+200B>·β-blocker"


def test_print_preview_reads_a_job(tmp_path, capsys):
    source = tmp_path / "rows.jsonl"
    outputs = ["[bold]Not stated."] * 3 + ["".join(map(chr, range(0x400, 0x5FF)))]
    rows = [{"instruction": f"Fever on day {day}?", "output": output} for day, output in enumerate(outputs)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    job = TypeAdapter(Train).validate_python(
        {
            "name": "x",
            "model": {"weights": "random", "shape": SHAPE},
            "tokenizer": {"train_vocab_size": 300},
            "data": {
                "sources": [{"path": str(source)}],
                "length": 280,
                "packing": False,
                "cache_dir": str(tmp_path / "c"),
            },
            "training": {"steps": 1},
        }
    )
    module.print_preview(job, 1)
    printed = capsys.readouterr().out
    assert "«[bold]Not·stated." in printed
    assert "3 rows of 280" in printed
    assert "dropped 1: too long" in printed
    assert "\x1b" not in printed


SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def test_a_terminal_gets_colour():
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    console.print(preview(dataset([RECORD], train([], 258)), 1, seed=0))
    assert "\x1b[1;32m" in console.file.getvalue()
