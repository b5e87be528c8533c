import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.api.answers import Attempt, Kind, lost, read
from tests.api.server import completion

ATTEMPT = Attempt(1, "k", "f", "e", 1, "schema", True, 5, 90, 100, 1, 2)


def said(body, status=200, attempt=ATTEMPT):
    return read(attempt, status, body if isinstance(body, str) else body.decode("utf-8", "surrogateescape"))


def test_an_answer_and_what_it_cost():
    verdict = said(completion("Metformin.", usage=(12, 3)))
    assert (verdict.kind, verdict.text, verdict.finish) == (Kind.ANSWERED, "Metformin.", "stop")
    assert (verdict.input_tokens, verdict.output_tokens, verdict.estimated) == (12, 3, False)
    assert (verdict.uncertain_input, verdict.uncertain_output) == (0, 0)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (completion(""), ""),
        (completion(None), ""),
        (completion("cut of", finish="length"), "cut of"),
        (completion([{"type": "text", "text": "in "}, {"type": "text", "text": "parts"}]), "in parts"),
        (completion(None, refusal="I cannot."), "I cannot."),
        (completion("a\0b"), "a\0b"),
        (completion("\ud83d lone"), "\ud83d lone"),
        (completion("x" * 5_000_000), "x" * 5_000_000),
        (b"\xef\xbb\xbf" + completion("BOM"), "BOM"),
        (completion("odd", finish=17), "odd"),
    ],
)
def test_what_a_model_wrote_is_an_answer_also_where_it_is_odd(body, text):
    # Mutation: `if not content: transient` makes empty answers faults, which are paid again and again.
    verdict = said(body)
    assert (verdict.kind, verdict.text, verdict.problem) == (Kind.ANSWERED, text, "")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Please log in</html>",
        b"[]",
        b"null",
        b'{"choices": "none"}',
        b'{"choices": []}',
        b'{"choices": [7]}',
        b'{"choices": [{"message": "hi"}]}',
        b'{"error": {"message": "engine died"}}',
        completion(42),
        completion([1, 2]),
        completion({"a": 1}),
        completion("cut")[:40],
        b"[" * 100_000,
        b'{"choices": ' + b"9" * 5000 + b"}",
        b"\xff\xfe\x00",
    ],
)
def test_what_is_no_answer_is_asked_again_and_may_have_been_charged(body):
    verdict = said(body)
    assert verdict.kind is Kind.TRANSIENT
    assert verdict.problem
    if b"usage" not in body or verdict.estimated:
        assert (verdict.uncertain_input, verdict.uncertain_output) == (90, 100)


@pytest.mark.parametrize(
    "usage", [None, {}, "many", [1], {"prompt_tokens": "12", "completion_tokens": 3}, (-1, 5), (True, 2), (10**12, 1)]
)
def test_usage_that_is_no_count_is_estimated_and_said_to_be(usage):
    # Mutation: no upper bounds in `uncertain_*` lets spending pass the budget unseen.
    verdict = said(completion("x" * 40, usage=usage))
    assert (verdict.kind, verdict.estimated) == (Kind.ANSWERED, True)
    assert (verdict.input_tokens, verdict.output_tokens) == (5, 10)
    assert (verdict.input_tokens + verdict.uncertain_input, verdict.output_tokens + verdict.uncertain_output) == (
        90,
        100,
    )


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "This model's maximum context length is 8192 tokens", Kind.FILTERED),
        (422, "bad", Kind.REFUSED),
        (413, "too large", Kind.REFUSED),
        (302, "", Kind.REFUSED),
        (400, "The response was filtered: content_filter", Kind.FILTERED),
        (403, "flagged by moderation", Kind.FILTERED),
        (400, "'response_format' is not supported", Kind.UNSTRUCTURED),
        (422, "json_schema: extra fields not permitted", Kind.UNSTRUCTURED),
        (401, "Incorrect API key", Kind.STOP),
        (402, "no balance", Kind.STOP),
        (403, "forbidden", Kind.STOP),
        (404, "The model `m` does not exist", Kind.STOP),
        (429, "slow down", Kind.TRANSIENT),
        (429, "insufficient_quota", Kind.STOP),
        (408, "", Kind.TRANSIENT),
        (500, "response_format", Kind.TRANSIENT),
        (503, "overloaded", Kind.TRANSIENT),
        (529, "", Kind.TRANSIENT),
    ],
)
def test_errors_by_what_can_be_done(status, message, kind):
    body = json.dumps({"error": {"message": message}})
    verdict = read(ATTEMPT, status, body)
    assert verdict.kind is kind
    assert str(status) in verdict.problem
    assert not verdict.input_tokens + verdict.uncertain_input, "an error is not charged"


def test_a_refused_format_is_a_refusal_once_the_format_was_taken():
    from dataclasses import replace

    assert read(replace(ATTEMPT, probe=False), 400, "response_format").kind is Kind.REFUSED


def test_a_request_that_is_sent_back_is_no_reason():
    # Mutation: looking for the filter's name in the whole body.
    body = json.dumps({"detail": [{"msg": "too long", "input": "a talk on content_filter and moderation, restricted"}]})
    assert said(body, 422).kind is Kind.REFUSED
    azure = {"error": {"message": "no", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}
    assert said(json.dumps(azure), 400).kind is Kind.FILTERED


def test_a_filter_is_no_answer_and_is_paid():
    verdict = said(completion("half a", finish="content_filter", usage=(9, 2)))
    assert (verdict.kind, verdict.text, verdict.input_tokens) == (Kind.FILTERED, "", 9)
    assert verdict.reply("k").problem


def test_what_was_never_sent_costs_nothing():
    assert lost(ATTEMPT, "refused", charged=False).uncertain_input == 0
    assert lost(ATTEMPT, "time-out", charged=True).uncertain_output == 100


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "usage", "error", "prompt_tokens", "finish_reason"]),
            inner,
        )
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(value=VALUES, status=st.integers(100, 599), body=st.binary(max_size=50), raw=st.booleans())
def test_nothing_a_server_sends_raises(value, status, body, raw):
    text = body.decode("utf-8", "surrogateescape") if raw else json.dumps(value)
    verdict = read(ATTEMPT, status, text)
    assert (verdict.kind is Kind.ANSWERED) == (not verdict.problem)
