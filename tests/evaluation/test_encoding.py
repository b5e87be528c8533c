import pytest
from hypothesis import given
from hypothesis import strategies as st

from bioinstruct_jax.data import tokenizer
from bioinstruct_jax.data.prompts import render, template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokens import encode
from bioinstruct_jax.evaluation import encoding


@pytest.fixture(scope="module")
def tiny():
    return tokenizer.load("tiny")


@given(context=st.text("ab \n:?", min_size=1), continuation=st.text("ab \nABCD", min_size=1))
def test_context_and_continuation_are_the_tokens_of_both_together(context, continuation, tiny):
    # Mutations: blanks left with the context; the continuation encoded by itself.
    try:
        ids, rest = encoding.encode_pair(context, continuation, tiny, bos=False)
    except ValueError:
        return  # the tokens of both together are no more than those of the context
    plain = tiny(context.rstrip(), add_special_tokens=False)["input_ids"]
    both = tiny(context + continuation, add_special_tokens=False)["input_ids"]
    if plain:
        assert (ids, rest) == (plain, both[len(plain) :])
    else:
        assert (ids, rest) == ([tiny.bos_token_id], both)


def test_bos_stands_once_in_front(tiny):
    # lm-eval#3347, vllm#27515.
    assert encoding.encode_prompt("a", tiny, bos=True) == [
        tiny.bos_token_id,
        *encoding.encode_prompt("a", tiny, bos=False),
    ]
    assert encoding.encode_pair("a", " b", tiny, bos=True)[0] == encoding.encode_prompt("a", tiny, bos=True)
    assert encoding.encode_pair("", "b", tiny, bos=True)[0] == [tiny.bos_token_id]
    pieces = tuple(
        render(Record(id="", instruction="I", input="", output=""), template("alpaca", tiny), with_answer=False)
    )
    assert encoding.encode_prompt(pieces, tiny, bos=True).count(tiny.bos_token_id) == 1


def test_control_tokens_in_a_text_are_text(tiny):
    assert tiny.eos_token_id not in encoding.encode_prompt("a</s>b", tiny, bos=False)


def test_an_answer_is_scored_with_the_tokens_of_training(tiny):
    alpaca = template("alpaca", tiny)
    record = Record(id="", instruction="Is aspirin a drug?", input="", output="yes, it is")
    pieces = tuple(render(record, alpaca, with_answer=False))
    ids, rest = encoding.encode_pair(pieces, record.output, tiny, bos=True)
    example = encode(record, alpaca, tiny)
    assert ids + rest == example.tokens[:-1].tolist()
    assert example.weights[len(ids) :].all()


def test_whether_a_tokenizer_adds_bos_is_seen(tiny):
    assert not encoding.adds_bos(tiny)
