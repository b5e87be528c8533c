import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.data import tokenizer as tokenizers
from bioinstruct_jax.preparation import composition
from tests.outputs import ROW


@given(st.lists(st.integers(0, 50), min_size=1, max_size=80))
def test_quantiles_are_numpys_of_the_rows_themselves(lengths):
    # Mutation: the next length but one.
    found = composition.quantiles(Counter(lengths))
    for name, share in (("median", 0.5), ("p95", 0.95), ("max", 1.0)):
        assert found[name] == np.quantile(lengths, share, method="inverted_cdf")


def test_rows_are_counted_by_source_and_by_family():
    made = composition.Composition()
    for split, labels in (("train", ("yes",)), ("train", ("yes", "no")), ("test", ())):
        made.add(replace(ROW, split=split, labels=labels, input="Two words.", output="one", wording=2))
    made.add(replace(ROW, source="pubmedqa", input="", wording=0))
    told = made.summary()
    assert told["sources"]["gad"]["train"]["rows"] == 2
    assert told["sources"]["gad"]["train"]["labels"] == {"yes": 2, "no": 1}
    assert told["sources"]["gad"]["train"]["wordings"] == [0, 0, 2]
    assert told["sources"]["gad"]["train"]["tokens"] == {"input": 6, "output": 2}  # a full stop is one
    assert told["sources"]["pubmedqa"]["train"]["input_tokens"] == {"median": 0, "p95": 0, "max": 0}
    assert told["families"]["yes_no"]["train"]["rows"] == 3
    assert told["families"]["yes_no"]["test"]["rows"] == 1


def test_what_is_counted_shard_by_shard_is_the_whole():
    # Mutations: the order of the shards in place of that of the parts; `merge` without wordings.
    rows = [
        replace(ROW, source=source, split=split, labels=labels, wording=place)
        for source, split in (("gad", "train"), ("gad", "test"), ("pubmedqa", "train"))
        for place, labels in enumerate([("no",), ("yes", "no"), ("yes",)])
    ]
    whole, merged = composition.Composition(), composition.Composition()
    for row in rows:
        whole.add(row)
    by_split = sorted(rows, key=lambda row: row.split)  # as shards hold them
    for some in (by_split[:2], by_split[2:7], by_split[7:]):
        shard = composition.Composition()
        for row in some:
            shard.add(row)
        merged.merge(shard)
    parts = [("gad", "train"), ("gad", "dev"), ("gad", "test"), ("pubmedqa", "train")]
    made = composition.in_order(merged, [(source, ROW.family, split) for source, split in parts])
    assert json.dumps(made.summary()) == json.dumps(whole.summary())


def test_tokens_are_those_of_a_tokenizer_where_one_is_given():
    # Mutations: special tokens counted; the tokenizer read by nothing.
    made = composition.Composition("tiny")
    text = "Levothyroxine 50 micrograms daily."
    made.add(replace(ROW, input=text, output=""))
    expected = len(tokenizers.load("tiny").encode(text, add_special_tokens=False))
    told = made.summary()
    assert told["unit"] == "tokens of tiny"
    assert told["sources"]["gad"]["train"]["tokens"] == {"input": expected, "output": 0}
    with pytest.raises(ValueError, match="there is no such folder"):
        composition.counter("/no/where")
