"""Outputs that are kept: whatever was put is found again, and a torn file costs one question."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.evaluation.runner import cache
from bioinstruct_jax.evaluation.runner.outputs import Output

NUMBER = st.floats(allow_nan=False, max_value=0)
OUTPUTS = st.one_of(
    st.builds(Output, text=st.text(), finish=st.sampled_from(["end", "length", "stop"])),
    st.lists(NUMBER, min_size=1, max_size=5).map(
        lambda values: Output(loglikelihoods=tuple(values), greedy=tuple(value > -1 for value in values))
    ),
    st.tuples(st.integers(2, 99), st.integers(1, 9)).map(lambda pair: Output(unfit=pair)),
)


@given(st.lists(OUTPUTS, max_size=8), st.integers(0, 8))
def test_what_was_put_is_found_by_this_process_and_the_next(tmp_path_factory, outputs, split):
    # Mutations: no seek to the end before writing; the place of the line after; -inf written as a text.
    file = tmp_path_factory.mktemp("cache") / "deep" / "task.jsonl"
    with cache.opened(file) as kept:
        for place, output in enumerate(outputs[:split]):
            kept.put(cache.key(place), output)
            assert kept[cache.key(0)] == outputs[0]
    with cache.opened(file) as kept:
        for place, output in enumerate(outputs[split:], split):
            assert cache.key(place) not in kept
            kept.put(cache.key(place), output)
        assert [kept[cache.key(place)] for place in range(len(outputs))] == outputs


@pytest.mark.parametrize("keep", [1, 10, 40, -1, -2])
def test_a_torn_line_is_asked_again_and_hurts_no_other(tmp_path, keep):
    # Mutation: no line end put behind a torn line: the next answer is lost with it.
    file = tmp_path / "task.jsonl"
    with cache.opened(file) as kept:
        kept.put("a", Output(text="first"))
        whole = file.stat().st_size
        kept.put("b", Output(text="second, which is torn"))
    data = file.read_bytes()
    file.write_bytes(data[: whole + keep if keep > 0 else len(data) + keep])
    with cache.opened(file) as kept:
        assert kept["a"].text == "first"
        assert ("b" in kept) == (keep == -1)  # only the line end was lost
        kept.put("c", Output(text="third"))
    with cache.opened(file) as kept:
        assert (kept["a"].text, kept["c"].text) == ("first", "third")


def test_foreign_lines_are_passed_over(tmp_path):
    file = tmp_path / "task.jsonl"
    file.write_bytes(b'\x00\xff\n[1]\n{"key": "a"}\n{"key": "b", "loglikelihoods": ["x"]}\n{"key": "c", "text": "t"}\n')
    with cache.opened(file) as kept:
        assert "b" not in kept
        assert kept["c"] == Output(text="t")


def test_a_server_that_failed_is_asked_again(tmp_path):
    # Mutation: outputs with a problem are kept.
    with cache.opened(tmp_path / "task.jsonl") as kept:
        kept.put("a", Output(problem="500"))
        assert "a" not in kept


def test_keys_tell_texts_apart():
    parts = ["a", ["a"], ["a", ""], ["", "a"], "1", 1, ["ab"], ["a", "b"], {"a": 1}, None]
    assert len({cache.key(part) for part in parts}) == len(parts)
    assert cache.key("a", "b") != cache.key("ab")
    assert cache.key({"a": 1, "b": 2}) == cache.key(json.loads('{"b": 2, "a": 1}'))
