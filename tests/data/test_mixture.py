import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest

from bioinstruct_jax.config import Source
from bioinstruct_jax.data.mixture import copies, mix
from bioinstruct_jax.data.records import Record


@pytest.fixture
def write(tmp_path):
    def file(name, rows):
        text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
        return str(tmp_path / name)

    return file


def rows(count, **more):
    return [{"id": f"r{place}", "instruction": f"q{place}", "output": "a", **more} for place in range(count)]


def test_ids_are_unique_and_counts_add_up(write):
    # Mutation: `taken` per source; no while in _free: "r0#2" is taken already.
    path = write("a.jsonl", [*rows(2), "{broken", *rows(1), {"id": "r0#2", "instruction": "q", "output": "a"}])
    mixture = mix([Source(path=path), Source(path=path, weight=2.0)], seed=0, on_bad_row="report")
    first = ["r0", "r1", "r0#2", "r0#2#2"]
    assert [row.id for row in mixture.records[:4]] == first
    assert max(Counter(row.id for row in mixture.records).values()) == 2
    assert len({row.id for row in mixture.records}) == 8
    assert [(bad.source, bad.line) for bad in mixture.bad_rows] == [(path, 3), (path, 3)]
    told = {"path": path, "format": "alpaca", "read": 5, "bad": 1, "filtered": 0, "kept": 4, "restricted": 0}
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert mixture.sources == [told | {"copies": 4, "sha256": digest}, told | {"copies": 8, "sha256": digest}]


def test_the_first_bad_row_raises_if_asked(write):
    path = write("a.jsonl", [*rows(2), '{"instruction": "a"}'])
    with pytest.raises(ValueError, match=r"a\.jsonl, line 3: missing field 'output' \(found: 'instruction'\)"):
        mix([Source(path=path)], seed=0, on_bad_row="raise")


@pytest.mark.parametrize("weight", [0.3, 1.0, 2.25])
def test_a_weight_is_drawn_for_each_row_by_itself(write, weight):
    # Mutation: random.Random(seed) drawn row by row: the order and the other source change the draw.
    some, other = rows(2000), rows(50)
    plain = mix([Source(path=write("a.jsonl", some), weight=weight)], seed=1, on_bad_row="raise")
    turned = [
        Source(path=write("b.jsonl", [{**row, "id": f"o{row['id']}"} for row in other])),
        Source(path=write("a.jsonl", some[::-1]), weight=weight),
    ]
    mixed = mix(turned, seed=1, on_bad_row="raise")
    count = Counter(row.id for row in plain.records)
    assert count == Counter(row.id for row in mixed.records if row.id.startswith("r"))
    assert set(count.values()) | {int(weight)} <= {int(weight), int(weight) + 1}
    assert abs(len(plain.records) / 2000 - weight) < 0.04
    assert [row.id for row in mixed.records[:50]] == [f"or{place}" for place in range(50)]
    again = mix([Source(path=write("a.jsonl", some), weight=weight)], seed=2, on_bad_row="raise")
    assert (again.records == plain.records) == (weight == 1.0)


def test_rows_that_share_an_id_are_drawn_one_by_one():
    # Mutation: hash seed and id only: all of them are in or all out.
    drawn = [copies(Record("same", f"q{place}", "", "a"), 0.5, 0) for place in range(400)]
    assert 150 < sum(drawn) < 250


def test_categories_filter_whatever_their_case(write):
    path = write("a.jsonl", [*rows(2, category="QA"), *rows(3, category="other"), *rows(1)])
    mixture = mix([Source(path=path, categories=("qa ",))], seed=0, on_bad_row="raise")
    assert [row.category for row in mixture.records] == ["QA", "QA"]
    assert (mixture.sources[0]["filtered"], mixture.sources[0]["kept"]) == (4, 2)
    # Mutation: raise only if no category at all matches: "extraction" passes beside "qa".
    with pytest.raises(ValueError, match=r"no row has extraction; the file has other \(3\), qa \(2\), \(none\) \(1\)"):
        mix([Source(path=path, categories=("qa", "extraction"))], seed=0, on_bad_row="raise")


def test_nothing_left_is_an_error(write):
    with pytest.raises(ValueError, match="no rows left"):
        mix([Source(path=write("a.jsonl", rows(1)), weight=1e-9)], seed=0, on_bad_row="raise")
