import json

import pytest

from bioinstruct_jax.demonstration import rows

NOTE = "Woman of 61 with gout, epilepsy and asthma who takes allopurinol daily and reports fever since {day}."


def generated(folder, *days):
    made = [
        {
            "id": f"000000.{place:03}",
            "instruction": f"Which day is meant in text {day}?",
            "input": NOTE.format(day=day),
            "output": day,
            "category": "extraction",
        }
        for place, day in enumerate(days)
    ]
    apart = [
        {"id": f"1.{place}", "instruction": "What is it?", "input": f"Term {place}", "output": "x", "category": "other"}
        for place in range(20)
    ]
    file = folder / "instructions.jsonl"
    file.write_text("".join(json.dumps(row | {"teacher": "t"}) + "\n" for row in made + apart), encoding="utf-8")
    return file


def read(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_rows_are_parted_alike_and_share_no_text(tmp_path):
    # Mutations: Python's own hash; rows that meet a held-out one kept; such rows held out too.
    file = generated(tmp_path, "Monday", "Friday", "Sunday")
    train, test = tmp_path / "rows" / "train.jsonl", tmp_path / "own-instructions" / "test.jsonl"
    parted = rows.part(file, train, tmp_path, 10)
    before = train.read_bytes(), test.read_bytes()
    assert rows.part(file, train, tmp_path, 10) == parted
    assert (train.read_bytes(), test.read_bytes()) == before
    held_out, kept = read(test), read(train)
    assert (len(held_out), len(kept)) == (parted.held_out, parted.tuned_on)
    assert parted.held_out == 10
    assert parted.met == 23 - len(held_out) - len(kept)
    notes = [sum("gout" in row["input"] for row in some) for some in (held_out, kept)]
    assert 0 in notes  # on one side alone
    assert sum(notes) + parted.met == 3
    assert not {row["id"] for row in held_out} & {row["id"] for row in kept}
    assert "teacher" not in kept[0]


def test_nothing_left_to_tune_on_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"of 23 instructions 23 are held out .*Give a higher --instructions"):
        rows.part(generated(tmp_path, "Monday", "Friday", "Sunday"), tmp_path / "t.jsonl", tmp_path, 23)
