import asyncio
import json
import logging
import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.api.settings import Budget, Decoding, Endpoint, Price
from tests.api.conftest import endpoint, requests
from tests.api.server import Answer, completion, echo, error, serve

FAULTS = {
    "429 with a time": lambda: error("slow down", 429, headers={"Retry-After": "0.02"}),
    "429 with a date": lambda: error("slow down", 429, headers={"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}),
    "429": lambda: error("slow down", 429),
    "500": lambda: error("engine died", 500),
    "503": lambda: Answer(status=503, body=b"<html>busy</html>"),
    "reset": lambda: Answer(reset=True),
    "truncated": lambda: Answer(content="x" * 500, sent=60),
    "no body": lambda: Answer(body=b""),
    "a page": lambda: Answer(body=b"<html>log in</html>", headers={"Content-Type": "text/html"}),
    "no choices": lambda: Answer(body=b'{"choices": []}'),
    "wrong schema": lambda: Answer(body=b'{"choices": "none", "usage": {"prompt_tokens": -4}}'),
    "number": lambda: Answer(content=42),
    "not gzip": lambda: Answer(content="x", headers={"Content-Encoding": "gzip"}),
    "error with status 200": lambda: Answer(body=b'{"error": {"message": "engine died"}}'),
}


def test_every_fault_is_asked_again_and_nothing_is_lost_or_done_twice(ask):
    # curator. Mutation: returning a fault as the reply, or journaling it as an outcome, loses requests.
    kinds = list(FAULTS)

    def script(seen):
        place = int(seen.prompt.split()[-1])
        return FAULTS[kinds[place]]() if place < len(kinds) and seen.times == 1 else echo(seen)

    asked = requests(len(kinds) + 6)
    with serve(script) as server:
        replies, counts = ask(endpoint(server.url), asked)
        assert [reply.text for reply in replies] == [f"answer to question {place}" for place in range(len(asked))]
        assert [reply.key for reply in replies] == [request.key for request in asked]
        assert counts.sent == len(server.seen) == len(asked) + len(kinds)
        assert counts.retried.total() == len(kinds)
        assert (counts.answered, counts.failed, counts.in_flight, counts.waiting) == (len(asked), 0, 0, 0)
        assert counts.input_tokens == 12 * (len(asked) + 1), "the number, too, had a usage"
        assert counts.reserved_tokens == 0
        assert counts.uncertain_tokens > 0
        again, replayed = ask(endpoint(server.url), asked)
        assert again == replies
        assert (replayed.sent, replayed.replayed) == (0, len(asked))
        assert (replayed.dollars, replayed.uncertain_dollars) == (counts.dollars, counts.uncertain_dollars)
        assert len(server.seen) == counts.sent


ODD = {
    "empty": (Answer(content=""), ""),
    "length": (Answer(content="cut of", finish="length"), "cut of"),
    "no usage": (Answer(content="free?", usage=None), "free?"),
    "parts": (Answer(content=[{"type": "text", "text": "in parts"}]), "in parts"),
    "surrogate": (Answer(content="\ud83d"), "\ud83d"),
    "NUL": (Answer(content="a\0b"), "a\0b"),
    "large": (Answer(content="ü" * 2_500_000), "ü" * 2_500_000),
    "slowly": (Answer(content="drop by drop", drip=0.0001), "drop by drop"),
}


def test_odd_answers_are_answers_live_and_from_the_journal(ask):
    kinds = list(ODD)
    with serve(lambda seen: ODD[kinds[int(seen.prompt.split()[-1])]][0]) as server:
        replies, counts = ask(endpoint(server.url, limits={"timeout": 60.0}), requests(len(kinds)))  # 5 MB take a while
        assert [reply.text for reply in replies] == [text for _, text in ODD.values()]
        assert not any(reply.problem for reply in replies)
        assert [reply.estimated for reply in replies] == [name == "no usage" for name in kinds]
        assert counts.sent == len(kinds)
        assert ask(endpoint(server.url), requests(len(kinds)))[0] == replies


def test_a_server_that_drips_does_not_outlive_the_time_out(ask):
    # Mutation: httpx's own time-out is of each read, and a byte now and then keeps it waiting for ever.
    with serve(lambda seen: Answer(content="x" * 10_000, drip=0.02)) as server:  # more than three minutes long
        start = time.monotonic()
        [reply], counts = ask(endpoint(server.url, limits={"timeout": 0.3, "attempts": 2, "breaker": 9}), requests(1))
        assert "given up after 2 attempts" in reply.problem
        assert counts.retried == {"time-out": 2}
        assert time.monotonic() - start < 100
        assert counts.uncertain_dollars > 0


def test_what_failed_for_good_is_an_outcome_and_is_not_asked_again(ask):
    def script(seen):
        match int(seen.prompt.split()[-1]):
            case 0:
                return error("maximum context length is 10 tokens", 400)
            case 1:
                return Answer(content="half", finish="content_filter")
            case 2:
                return error("flagged", 400, code="content_filter")
            case 3:
                return error("always", 500)
            case 4:
                return Answer(status=307, headers={"Location": "http://127.0.0.1:1/v1"}, body=b"")
        return echo(seen)

    with serve(script) as server:
        replies, counts = ask(endpoint(server.url), requests(6))
        problems = [reply.problem for reply in replies]
        assert "maximum context" in problems[0]
        assert "filter" in problems[1]
        assert "filter" in problems[2]
        assert "after 4 attempts" in problems[3]
        assert "redirect" in problems[4]
        assert problems[5] == ""
        assert (counts.failed, counts.given_up, counts.answered) == (5, 1, 1)
        seen = len(server.seen)
        assert seen == 5 + 4
        assert ask(endpoint(server.url), requests(6))[0] == replies
        assert len(server.seen) == seen


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("concurrency", [1, 8])
def test_an_outage_stops_the_run_and_is_no_outcome(ask, status, concurrency):
    # Mutation: without either `_reopen` the next run takes some of the outage for answers.
    broken = True
    with serve(lambda seen: error("down", status) if broken else echo(seen), latency=0.005) as server:
        given = endpoint(server.url, limits={"breaker": 3, "attempts": 2, "concurrency": concurrency})
        with pytest.raises(StoppedError, match="requests one after another"):
            ask(given, requests(40))
        assert len(server.seen) < 60, "it did not go on against a server that is out"
        broken = False
        replies, counts = ask(given, requests(40))
        assert not [reply for reply in replies if reply.problem]
        assert counts.answered == 40


def test_an_outage_is_taken_back_also_where_it_was_killed_while_it_stopped(ask, tmp_path):
    # Mutation: without the look at the streak when the client opens, three stay given up.
    broken = True
    with serve(lambda seen: error("down", 500) if broken else echo(seen)) as server:
        given = endpoint(server.url, limits={"breaker": 3, "attempts": 1, "concurrency": 1})
        with pytest.raises(StoppedError):
            ask(given, requests(9))
        lines = (tmp_path / "journal.jsonl").read_bytes().splitlines(keepends=True)
        (tmp_path / "journal.jsonl").write_bytes(b"".join(line for line in lines if b'"reopened"' not in line))
        broken = False
        assert not [reply for reply in ask(given, requests(9))[0] if reply.problem]


def test_an_answer_in_between_closes_the_breaker_and_filters_do_not_count(ask):
    def script(seen):
        place = int(seen.prompt.split()[-1])
        return (
            echo(seen) if place % 3 == 0 else error("bad", 400) if place % 3 == 1 else Answer(finish="content_filter")
        )

    with serve(script) as server:
        replies, counts = ask(endpoint(server.url, limits={"breaker": 3, "concurrency": 1}), requests(30))
        assert counts.failed == 20
        assert len(replies) == 30


@pytest.mark.parametrize(("status", "message"), [(401, "Incorrect API key"), (404, "no model m-1"), (403, "no access")])
def test_a_wrong_key_or_model_stops_at_once_and_says_why(ask, status, message):
    broken = True
    with serve(lambda seen: error(message, status) if broken else echo(seen)) as server:
        with pytest.raises(StoppedError, match=message) as caught:
            ask(endpoint(server.url), requests(50))
        assert "TEST_API_KEY" in str(caught.value)
        assert len(server.seen) <= 4
        broken = False
        replies, _ = ask(endpoint(server.url), requests(50))
        assert not [reply for reply in replies if reply.problem]


SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}


@pytest.mark.parametrize(
    ("takes", "mode"),
    [(("json_schema", "json_object", ""), "json_schema"), (("json_object", ""), "json_object"), (("",), "")],
)
def test_the_format_that_a_server_takes_is_found_and_remembered(ask, takes, mode):
    # Mutation: counting probes as attempts or refusals makes outcomes of them.
    def script(seen):
        kind = seen.json.get("response_format", {}).get("type", "")
        return echo(seen) if kind in takes else error(f"response_format {kind} is not supported", 400)

    with serve(script) as server:
        asked = requests(12, schema=SCHEMA)
        replies, counts = ask(endpoint(server.url, limits={"breaker": 1, "attempts": 1}), asked)
        assert not [reply for reply in replies if reply.problem]
        assert counts.failed == 0
        before = len(server.seen)
        ask(endpoint(server.url), [replace(request, key=request.key + "b") for request in asked])
        later = [seen.json.get("response_format", {}).get("type", "") for seen in server.seen[before:]]
        assert later == [mode] * 12
        ask(endpoint(server.url), [Request("free", "teacher", (("user", "q"),))])
        assert "response_format" not in server.seen[-1].json


def test_the_body_holds_every_key_of_decoding_and_none_that_is_null(ask):
    decoding = Decoding(
        max_tokens=9,
        limit_name="max_completion_tokens",
        temperature=None,
        top_p=0.5,
        presence_penalty=0.25,
        frequency_penalty=-0.25,
        extra={"seed": 5},
    )
    with serve() as server:
        given = endpoint(server.url, decoding=decoding, structured="schema")
        ask(given, [Request("k", "teacher", (("system", "s"), ("user", "lone \ud83d")), schema=SCHEMA)])
        body = server.seen[0].json
        held = {"name": "answer", "schema": SCHEMA, "strict": True}
        assert body == {
            "model": "m-1",
            "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "lone \ufffd"}],
            "max_completion_tokens": 9,
            "top_p": 0.5,
            "presence_penalty": 0.25,
            "frequency_penalty": -0.25,
            "seed": 5,
            "response_format": {"type": "json_schema", "json_schema": held},
        }
        ask(endpoint(server.url), [Request("l", "teacher", (("user", "q"),))])
        assert server.seen[1].json == {
            "model": "m-1",
            "messages": [{"role": "user", "content": "q"}],
            "max_tokens": 100,
            "temperature": 1.0,
        }


@pytest.mark.parametrize("key", ["n", "stream", "max_tokens", "model", "response_format"])
def test_extra_keys_that_would_undo_the_reckoning_are_refused(key):
    with pytest.raises(ValueError, match=key):
        Decoding(extra={key: 2})


@pytest.mark.parametrize("usage", [(12, 7), (164, 100), None])
def test_the_budget_is_never_passed_even_in_the_worst_case(ask, usage):
    # Mutation: no reservation lets all that is on its way pass it together; none for lost ones, time-outs.
    def script(seen):
        return Answer(reset=True) if seen.number % 5 == 0 else Answer(content="x" * 90, usage=usage)

    budget = Budget(dollars=0.02)
    with serve(script, latency=0.01) as server:
        given = endpoint(server.url, price=Price(input=1.0, output=10.0))
        with pytest.raises(BudgetError, match="budget is used up"):
            ask(given, requests(2000), budget)
        counts = ask.client.counts
        assert counts.dollars + counts.uncertain_dollars <= 0.02
        assert counts.reserved_dollars == 0
        assert counts.in_flight == 0
        worst = (64 * 2 + len("question 1000") + 4) * 1e-6 + 100 * 1e-5
        assert counts.dollars + counts.uncertain_dollars > 0.02 - 2 * worst, "and it is used"
        sent = len(server.seen)
        with pytest.raises(BudgetError):
            ask(given, requests(2000), budget)
        assert len(server.seen) <= sent + 1
        replies, _ = ask(given, requests(4), Budget(dollars=0.0))
        assert all(reply.text for reply in replies), "what is in the journal costs nothing more"


def test_tokens_have_a_budget_too(ask):
    with serve() as server:
        with pytest.raises(BudgetError, match=r"budget\.tokens: 1,000"):
            ask(endpoint(server.url, price=None), requests(200), Budget(tokens=1000))
        counts = ask.client.counts
        assert 0 < counts.input_tokens + counts.output_tokens <= 1000


def test_never_more_at_once_than_may_be(ask):
    # The first wait for one another, so that as many are at once as may be, however slowly they come.
    with serve(lambda seen: replace(echo(seen), delay=0.01, until=lambda: server.most_at_once >= 3)) as server:
        ask(endpoint(server.url, limits={"concurrency": 3}), requests(40))
        assert server.most_at_once == 3


def test_requests_a_minute(ask):
    with serve() as server:
        start = time.monotonic()  # before the first is let through: its way to the server may be the slowest
        ask(endpoint(server.url, limits={"requests_per_minute": 1200}), requests(75))
        assert server.seen[-1].time - start > (75 - 1200 * 0.05 - 1) / 20 * 0.9


def test_tokens_a_minute(ask):
    # Mutation: without the bucket of tokens they go in a moment.
    with serve(lambda seen: Answer(usage=(10, 100))) as server:
        start = time.monotonic()
        ask(endpoint(server.url, limits={"tokens_per_minute": 120_000}), requests(70))
        assert server.seen[-1].time - start > (69 * 110 - 120_000 * 0.05) / 2000 * 0.9


def test_who_asks_for_the_same_at_once_pays_once(ask):
    with serve(latency=0.02) as server:
        replies, _ = ask(endpoint(server.url), [*requests(3), *requests(3)])
        assert len(server.seen) == 3
        assert replies[:3] == replies[3:]


def test_another_decoding_is_another_request(ask):
    with serve() as server:
        ask(endpoint(server.url), requests(2))
        ask(endpoint(server.url, decoding=Decoding(max_tokens=100, temperature=0.0)), requests(2))
        assert len(server.seen) == 4


KEY = "sk-Secret/0123456789+abc"


def test_the_key_is_nowhere_but_in_its_header(tmp_path, monkeypatch, capfd, caplog):
    # Mutation: dropping `redact` in journal._text, client.stop or caller._fault leaves it in the journal or an error.
    monkeypatch.setenv("TEST_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-of-another")
    monkeypatch.setenv("OPENAI_CUSTOM_HEADERS", "X-Other: of-the-environment")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    caplog.set_level(logging.DEBUG)
    logging.getLogger().setLevel(logging.DEBUG)
    said = [
        lambda: error(f"Incorrect API key provided: {KEY}", 500, headers={"x-request-id": KEY}),
        lambda: Answer(content=f"your key is {KEY}"),
        lambda: Answer(body=completion("K").replace(b"K", "".join(f"\\u{ord(each):04x}" for each in KEY).encode())),
        lambda: Answer(reset=True),
        lambda: error(f"no {KEY}", 401),
    ]

    async def run():
        with Journal.open(tmp_path / "journal.jsonl") as journal:
            async with Client({"teacher": endpoint(server.url)}, journal=journal, budget=Budget()) as client:
                for request in requests(10):
                    print(await client.ask(request), client.counts)

    with serve(lambda seen: said[min(seen.number, len(said)) - 1]()) as server:
        with pytest.raises(StoppedError) as caught:
            asyncio.run(run())
        assert {seen.headers["authorization"] for seen in server.seen} == {f"Bearer {KEY}"}
        assert not {"openai-organization", "x-other", "x-stainless-os"} & {
            name for s in server.seen for name in s.headers
        }
    import traceback

    errors = "".join(traceback.format_exception(caught.value))
    out, err = capfd.readouterr()
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for text in (errors, out, err, caplog.text, written.decode()):
        assert KEY not in text
        assert json.dumps(KEY)[1:-1] not in text
        assert "\\u0073\\u006b\\u002d" not in text
    assert "[key]" in errors
    assert "[key]" in out
    error_now = caught.value
    while error_now := error_now.__context__ or error_now.__cause__:
        assert not type(error_now).__module__.startswith(("openai", "httpx"))


def test_what_cannot_work_is_said_before_anything_is_sent(tmp_path, monkeypatch):
    def client(restricted=0, **settings):
        given = Endpoint(model="m", key_env="TEST_API_KEY", price=Price(input=1, output=1), **settings)
        return Client({"teacher": given}, journal=journal, budget=Budget(), restricted=restricted)

    with Journal.open(tmp_path / "j") as journal:
        monkeypatch.delenv("TEST_API_KEY", raising=False)
        with pytest.raises(ValueError, match="TEST_API_KEY"):
            client().check()
        client(base_url="http://127.0.0.1:1/v1").check()
        for bad in ("short", "sk-123456789 0", "sk-123456789\x01", "sk-ключ-123456"):
            monkeypatch.setenv("TEST_API_KEY", bad)
            with pytest.raises(ValueError, match="TEST_API_KEY") as caught:
                client().check()
            assert bad not in str(caught.value)
        monkeypatch.setenv("TEST_API_KEY", KEY)
        client().check()
        with pytest.raises(ValueError, match="restricted"):
            client(restricted=3).check()
        client(restricted=3, base_url="http://localhost:1/v1").check()


def test_no_key_of_another_name_goes_to_a_server_here(ask, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_ADMIN_KEY", KEY)
    monkeypatch.delenv("TEST_API_KEY", raising=False)
    with serve() as server:
        ask(endpoint(server.url), requests(1))
        assert "authorization" not in server.seen[0].headers


def test_nobody_listens(ask):
    with serve() as server:
        url = server.url
    [reply], counts = ask(endpoint(url, limits={"attempts": 2}), requests(1))
    assert "given up" in reply.problem
    assert counts.uncertain_dollars == 0, "what was never sent costs nothing"


def test_the_settings_load_without_the_package():
    code = "import sys, bioinstruct_jax.api.settings, bioinstruct_jax.api.client\nassert 'openai' not in sys.modules"
    code += "\nassert 'httpx2' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=os.environ)
