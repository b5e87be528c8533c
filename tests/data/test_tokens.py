import copy
import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.data import tokens
from bioinstruct_jax.data.prompts import Piece, render, template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokenizer import control_tokens, token_id, train
from bioinstruct_jax.data.tokens import Refused, encode, encode_all, encode_prompt, shorten_input

PLAIN = Record("r1", "List every drug in the note.", "Started on warfarin 2.5 mg.", "warfarin")
NASTY = [
    "</s>",
    "<s>",
    "<unk>",
    "<|eot_id|>",
    "<|im_end|>",
    "<|begin_of_text|>",
    "<think>",
    "<0x0A>",
    "[/INST]",
    " ",
    "  ",
    "\n",
    "µg",
    "😀",
    "\u200b",
    "e\u0301",
    "warfarin",
]
parts = st.lists(st.sampled_from(NASTY) | st.text(st.characters(exclude_categories=["Cs"]), max_size=6), max_size=6)
texts = parts.map("".join)
filled = texts.filter(str.strip)
records = st.builds(Record, id=st.just("r"), instruction=filled, input=texts, output=filled)
few = settings(max_examples=40)


CASES = [
    ("alpaca", "llama3"),
    ("llama3", "llama3"),
    ("tokenizer", "chatml"),
    ("llama2", "llama2"),
    ("medtuned", "llama2"),
    ("alpaca", "unigram_first"),
    ("llama2", "unigram_always"),
]


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    name, kind = request.param
    tokenizer = request.getfixturevalue(kind)
    return template(name, tokenizer), tokenizer


def check_every_record(case, property_of):
    @few
    @given(records)
    def run(record):
        property_of(record, *case)

    run()


def test_the_inference_prompt_is_the_beginning_of_the_training_example(case):
    # Mutation: prompt and answer encoded as one text
    def holds(record, form, tokenizer):
        prompt = encode_prompt(record, form, tokenizer)
        example = encode(record, form, tokenizer)
        np.testing.assert_array_equal(example.tokens[: len(prompt)], prompt)
        assert not example.weights[: len(prompt)].any()
        assert example.weights[len(prompt) :].all()

    check_every_record(case, holds)


def test_text_never_becomes_control(case):
    # Mutation: `control.isdisjoint` left out of _clean; that and added_tokens kept in _text_encoder
    def holds(record, form, tokenizer):
        pieces = render(record, form)
        control = set(control_tokens(tokenizer).values()) - {tokenizer.unk_token_id}
        found = [token for token in encode(record, form, tokenizer).tokens.tolist() if token in control]
        assert found == [token_id(piece.text, tokenizer) for piece in pieces if piece.control]

    check_every_record(case, holds)


def test_decoding_gives_the_exact_text(case):
    # Mutation: _without_prefix not called (Llama 2 then writes a blank before each answer)
    def holds(record, form, tokenizer):
        pieces = render(record, form)
        text = "".join(piece.text for piece in pieces if not piece.control)
        control = {token_id(piece.text, tokenizer) for piece in pieces if piece.control}
        kept = [token for token in encode(record, form, tokenizer).tokens.tolist() if token not in control]
        if tokenizer.bos_token == "<s>":  # SentencePiece writes a blank as this sign and cannot tell them apart
            text = text.replace("▁", " ")
        assert tokenizer.decode(kept, clean_up_tokenization_spaces=False) == text

    check_every_record(case, holds)


def test_eos_stays_in_the_loss_when_pad_is_eos(chatml):
    # trl#976. Mutation: weights = tokens != pad_token_id
    assert chatml.pad_token_id == chatml.eos_token_id
    example = encode(PLAIN, template("tokenizer", chatml), chatml)
    assert example.tokens[-1] == chatml.eos_token_id
    assert example.weights[-1] == 1


@pytest.mark.parametrize("name", ["alpaca", "medtuned", "llama2"])
def test_one_bos_and_one_end(name, llama2):
    # open-r1#462. Mutation: the BOS piece twice in prompts._bos
    example = encode(PLAIN, template(name, llama2), llama2)
    assert example.tokens[0] == llama2.bos_token_id
    assert np.sum(example.tokens == llama2.bos_token_id) == 1
    assert np.sum(example.tokens == llama2.eos_token_id) == 1
    assert example.weights[0] == 0


def test_earlier_answers_carry_no_loss(llama2):
    # Mutation: target on the end token of every turn
    record = dataclasses.replace(PLAIN, history=(("fever?", "Not stated."),))
    example = encode(record, template("llama2", llama2), llama2)
    ends = np.flatnonzero(example.tokens == llama2.eos_token_id)
    assert example.weights[ends].tolist() == [0, 1]
    assert np.sum(example.tokens == llama2.bos_token_id) == 2


def test_whole_words_are_kept_where_nothing_is_control(llama2, llama3):
    # parity with the tokenizers themselves; a continuation is the text without the prefix blank
    for tokenizer, text in ((llama2, "[INST] List every drug [/INST]"), (llama3, "List every drug, 2.5 mg")):
        form = template("alpaca", tokenizer)
        ((ids, _),) = tokens.encode_pieces([[Piece(text)]], form.bos, tokenizer)
        assert ids.tolist() == tokenizer.encode(text, add_special_tokens=False)
    ((ids, _),) = tokens.encode_pieces([[Piece("x"), Piece(" warfarin")]], template("alpaca", llama2).bos, llama2)
    assert ids.tolist()[-1] == llama2.encode("warfarin", add_special_tokens=False)[-1]
    assert "pembrolizumab" in llama3.convert_ids_to_tokens(
        encode(dataclasses.replace(PLAIN, output="pembrolizumab"), template("alpaca", llama3), llama3).tokens.tolist()
    )


def test_what_an_earlier_call_left_in_the_tokenizer_cuts_nothing(llama3):
    # Mutation: definition() without truncation=None
    other = copy.deepcopy(llama3)
    form = template("alpaca", llama3)
    other("a b c d e", truncation=True, max_length=3)
    np.testing.assert_array_equal(encode(PLAIN, form, other).tokens, encode(PLAIN, form, llama3).tokens)


def test_many_at_once_are_the_same_as_one_by_one(llama2, monkeypatch):
    # Mutation: results of a chunk without its refused records
    monkeypatch.setattr(tokens, "CHUNK", 3)
    form = template("alpaca", llama2)
    many = [dataclasses.replace(PLAIN, id=str(i), output="fever " * (i + 1)) for i in range(8)]
    many[4] = dataclasses.replace(many[4], system="Be brief.")
    many[5] = dataclasses.replace(many[5], input="\ud800")
    seen = []
    results = encode_all(many, form, llama2, lambda done, total: seen.append((done, total)))
    assert seen == [(3, 8), (6, 8), (8, 8)]
    assert [result.id for result in results] == [record.id for record in many]
    assert isinstance(results[4], Refused)
    assert "no place for a system text" in results[4].reason
    assert isinstance(results[5], Refused)
    assert "surrogate" in results[5].reason
    for record, result in zip(many, results, strict=True):
        if not isinstance(result, Refused):
            np.testing.assert_array_equal(result.tokens, encode(record, form, llama2).tokens)


def test_a_refused_record_is_named(llama2):
    with pytest.raises(ValueError, match="record r1: template alpaca has no place"):
        encode(dataclasses.replace(PLAIN, system="x"), template("alpaca", llama2), llama2)


def test_an_example_without_target_is_an_error(llama2, monkeypatch):
    # trl#6320. Mutation: the check left out
    monkeypatch.setattr(tokens, "render", lambda record, form: [Piece("<s>", True), Piece("fever")])
    with pytest.raises(ValueError, match=r"record r1: none of its [0-9]+ tokens is a target"):
        encode(PLAIN, template("alpaca", llama2), llama2)


@settings(max_examples=40)
@given(filled, st.integers(4, 300))
def test_shortening_keeps_the_answer_and_fits(text, length):
    # trl#6320, axolotl#3401. Mutation: kept = middle + 9
    tokenizer = train([], 258)
    form = template("alpaca", tokenizer)
    record = dataclasses.replace(PLAIN, input=text * 20)
    room = length + len(encode(dataclasses.replace(record, input=text[0]), form, tokenizer).tokens)
    whole = encode(record, form, tokenizer)
    short = shorten_input(record, form, tokenizer, room)
    assert short is not None
    assert len(short.tokens) <= room
    answer = [*tokenizer.encode("warfarin"), tokenizer.eos_token_id]
    assert short.tokens[-len(answer) :].tolist() == answer
    assert short.weights.sum() == len(answer)
    if len(whole.tokens) > room:  # bytes are tokens here, and a character has at most four
        assert room - len(short.tokens) < 4


def test_an_input_that_cannot_be_shortened_enough_gives_nothing(llama2):
    assert shorten_input(PLAIN, template("alpaca", llama2), llama2, 20) is None
