import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.data.prompts import template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.rows import build, fingerprint
from bioinstruct_jax.data.tokenizer import train
from bioinstruct_jax.data.tokens import encode

TOKENIZER = train(["The patient was given warfarin. List every drug in the note. Is there fever? Not stated."] * 3, 400)
FORM = template("medtuned", TOKENIZER)
NOTES = ["Started on warfarin 2.5 mg.", "", "No fever, no cough.", "INR 3.1 two days later; dose held. " * 3]
SETTINGS = {"length": 256, "packing": True, "over_length": "drop"}


def record(number: int, note: str = "", answer: str = "Not stated.") -> Record:
    return Record(f"r{number}", "Is there fever?", note, answer)


some = st.lists(st.tuples(st.sampled_from(NOTES), st.integers(1, 30)), min_size=1, max_size=25).map(
    lambda pairs: [record(number, note, "no " * times) for number, (note, times) in enumerate(pairs)]
)


@settings(max_examples=40)
@given(some, st.booleans())
def test_every_token_of_every_example_is_there_once(records, packing):
    # LLaMA-Factory#7754. Mutation: positions = arange of the row; segment = index + 1; ids in the records' order
    built = build(records, FORM, TOKENIZER, length=256, packing=packing, over_length="raise")
    rows, found = built.rows, []
    for tokens, segments, positions, weights, ids in zip(
        rows.tokens, rows.segments, rows.positions, rows.weights, built.members, strict=True
    ):
        count = segments.max()
        used = np.sum(segments > 0)
        assert (np.diff(segments[:used]) >= 0).all()
        assert not tokens[used:].any()
        assert not positions[used:].any()
        assert not weights[used:].any()
        assert packing or count == 1
        for segment in range(1, count + 1):
            here = segments == segment
            np.testing.assert_array_equal(positions[here], np.arange(here.sum()))
            assert weights[here][0] == 0  # the first token of a segment is predicted from nothing
            found.append((ids[segment - 1], tokens[here].tolist(), weights[here].tolist()))
        assert len(ids) == count
    wanted = [encode(one, FORM, TOKENIZER) for one in records]
    assert sorted(found) == sorted((one.id, one.tokens.tolist(), one.weights.tolist()) for one in wanted)


@settings(max_examples=30)
@given(some)
def test_the_report_counts_what_the_rows_hold(records):
    built = build(records, FORM, TOKENIZER, **SETTINGS)
    packing = built.report["packing"]
    assert packing["slots"] == built.rows.tokens.size
    assert packing["rows"] == len(built.rows.tokens)
    assert packing["tokens"] == np.sum(built.rows.segments > 0)
    assert packing["target_tokens"] == np.sum(built.rows.weights == 1)
    assert packing["efficiency"] == round(packing["tokens"] / packing["slots"], 4)


def test_types_and_shapes():
    rows = build([record(0)], FORM, TOKENIZER, **SETTINGS).rows
    kinds = {name: (array.dtype.name, array.shape) for name, array in dataclasses.asdict(rows).items()}
    assert kinds == {
        "tokens": ("int32", (1, 256)),
        "segments": ("int32", (1, 256)),
        "positions": ("int32", (1, 256)),
        "weights": ("uint8", (1, 256)),
    }


LONG = record(1, NOTES[0] * 40)
LONG_ANSWER = record(2, NOTES[0], "no " * 400)
SYSTEM = dataclasses.replace(record(3), system="Be brief.")


def test_over_length_is_dropped_and_named():
    # trl#6320. Mutation: a dropped id not reported
    report = build([record(0), LONG, LONG_ANSWER, SYSTEM], FORM, TOKENIZER, **SETTINGS).report
    assert report["records"] == 4
    assert report["examples"] == 1
    assert report["dropped"] == {
        "template medtuned has no place for a system text; choose a chat template": {"count": 1, "ids": ["r3"]},
        "too long (more than 256 tokens)": {"count": 2, "ids": ["r1", "r2"]},
    }


def test_over_length_is_truncated_in_the_input_and_named():
    # axolotl#3401, alpaca-lora's cutoff of 256. Mutation: Example(id, tokens[:length], weights[:length])
    built = build([LONG, LONG_ANSWER], FORM, TOKENIZER, length=256, packing=True, over_length="truncate_input")
    assert built.report["truncated"] == {"count": 1, "ids": ["r1"]}
    assert built.report["dropped"] == {
        "too long even without its input (more than 256 tokens)": {"count": 1, "ids": ["r2"]}
    }
    answer = encode(LONG, FORM, TOKENIZER)
    answer_tokens = answer.tokens[answer.weights == 1].tolist()
    assert built.rows.tokens[0][built.rows.weights[0] == 1].tolist() == answer_tokens
    assert 254 <= np.sum(built.rows.segments) <= 256


def test_over_length_raises_with_id_tokens_and_limit():
    count = len(encode(LONG, FORM, TOKENIZER).tokens)
    with pytest.raises(ValueError, match=f"record r1 has {count} tokens, {count - 256} more than data.length 256"):
        build([record(0), LONG], FORM, TOKENIZER, length=256, packing=True, over_length="raise")


def test_an_example_of_exactly_the_length_fits():
    # Mutation: < length
    length = len(encode(record(0), FORM, TOKENIZER).tokens)
    built = build([record(0)], FORM, TOKENIZER, length=length, packing=True, over_length="raise")
    assert built.report["packing"]["efficiency"] == 1.0
    with pytest.raises(ValueError, match="1 more than"):
        build([record(0)], FORM, TOKENIZER, length=length - 1, packing=True, over_length="raise")


def test_every_id_left_out_is_named():
    many = [dataclasses.replace(SYSTEM, id=f"s{number}") for number in range(130)]
    ((_, named),) = build(many, FORM, TOKENIZER, **SETTINGS).report["dropped"].items()
    assert named == {"count": 130, "ids": [f"s{number}" for number in range(130)]}


def test_nothing_gives_no_rows():
    assert build([], FORM, TOKENIZER, **SETTINGS).rows.tokens.shape == (0, 256)


def test_the_fingerprint_moves_with_everything_that_rows_follow_from():
    # Mutation: each of the parts left out of `fingerprint` in turn
    base = [record(0), record(1, "No cough.")]
    other_tokenizer = train(["fever"], 270)

    def of(records=base, form=FORM, tokenizer=TOKENIZER, **changed):
        return fingerprint(records, form, tokenizer, **SETTINGS | changed)

    changed = [
        of(base[::-1]),
        of(base[:1]),
        of([*base, base[0]]),
        *(
            of([dataclasses.replace(base[0], **{name: value}), base[1]])
            for name, value in [
                ("id", "x"),
                ("instruction", "x"),
                ("input", "x"),
                ("output", "x"),
                ("system", "x"),
                ("history", (("a", "b"),)),
            ]
        ),
        of([dataclasses.replace(base[0], instruction="Is there fev", input="er?"), base[1]]),
        of(form=template("alpaca", TOKENIZER)),
        of(tokenizer=other_tokenizer),
        of(length=128),
        of(packing=False),
        of(over_length="raise"),
    ]
    assert len({of(), *changed}) == len(changed) + 1
    assert of() == of([dataclasses.replace(base[0], category="x", source="y"), base[1]])


@given(st.integers(9, 60), st.integers(1, 400))
@settings(max_examples=30)
def test_text_that_is_split_loses_no_target(length, words):
    # Mutation: `range(0, ..., length)` in _split: the target at each cut is lost.
    one = Record(id="long", instruction="", input="", output=" ".join(f"w{n}" for n in range(words)))
    form = template("text", TOKENIZER)
    whole = encode(one, form, TOKENIZER)
    built = build([one], form, TOKENIZER, length=length, packing=False, over_length="split")
    learned = [
        int(token)
        for tokens, weights in zip(built.rows.tokens, built.rows.weights, strict=True)
        for token in tokens[weights > 0]
    ]
    assert learned == whole.tokens[whole.weights > 0].tolist()
    assert built.report["split"]["count"] == int(len(whole.tokens) > length)
    kept = build([LONG], FORM, TOKENIZER, length=256, packing=True, over_length="split")
    assert kept.report["dropped"]
