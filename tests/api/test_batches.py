import asyncio
import json

import pytest

from bioinstruct_jax.api import batches
from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.api.settings import Budget, Price
from tests.api.batch_server import Batches
from tests.api.conftest import endpoint, requests
from tests.api.server import NEVER, Answer, error, serve

TEXTS = [f"answer to question {place}" for place in range(20)]


def by_batch(url, **more):
    return endpoint(url, batch="on", **more)


def test_shuffled_doubled_and_foreign_results_find_their_requests(ask):
    # Mutation: results taken in the order of the file answer the wrong requests.
    api = Batches()
    with serve(other=api) as server:
        replies, counts = ask(by_batch(server.url), requests(20))
        assert [reply.text for reply in replies] == TEXTS
        assert not server.seen, "nothing went the dear way"
        assert len(api.made) == 1
        assert api.made[0]["endpoint"] == "/v1/chat/completions"
        assert api.made[0]["lines"][0]["body"]["max_tokens"] == 100
        assert (counts.answered, counts.in_flight, counts.reserved_tokens) == (20, 0, 0)
        assert counts.dollars == pytest.approx(20 * (12 * 1e-6 + 7 * 1e-5) * 0.5), "half price"
        assert ask(by_batch(server.url), requests(20))[0] == replies
        assert len(api.made) == 1


def test_missing_and_failed_requests_are_asked_again_in_another_batch(ask):
    tries = {}

    def answer(asked):
        prompt = asked["body"]["messages"][-1]["content"]
        tries[prompt] = tries.get(prompt, 0) + 1
        if prompt == "question 7":
            return {"status_code": 400, "body": {"error": {"message": "too long"}}}
        if prompt == "question 8" and tries[prompt] == 1:
            return {"status_code": 500, "body": {"error": {"message": "died"}}}
        return {"status_code": 200, "body": {"choices": [{"message": {"content": f"answer to {prompt}"}}]}}

    api = Batches(answer, missing=[3])
    with serve(other=api) as server:
        replies, counts = ask(by_batch(server.url, limits={"attempts": 5}), requests(20))
        assert "too long" in replies[7].problem
        assert [reply.text for place, reply in enumerate(replies) if place != 7] == TEXTS[:7] + TEXTS[8:]
        assert len(api.made) == 2
        assert counts.retried == {"batch": 1, "HTTP 500": 1}
        assert counts.failed == 1
        assert counts.uncertain_tokens > 0, "what is missing may have been charged"


def test_an_expired_batch_goes_on_in_the_next(ask):
    api = Batches(status=["expired", "completed"])
    with serve(other=api) as server:
        replies, _ = ask(by_batch(server.url), requests(20))
        assert [reply.text for reply in replies] == TEXTS
        assert [len(made["lines"]) for made in api.made] == [20, 10]


def test_a_failed_batch_stops_and_is_no_outcome(ask):
    api = Batches(status=["failed", "completed"])
    with serve(other=api) as server:
        with pytest.raises(StoppedError, match="the file is no good"):
            ask(by_batch(server.url), requests(5))
        assert ask.client.counts.uncertain_tokens == 0
        assert [reply.text for reply in ask(by_batch(server.url), requests(5))[0]] == TEXTS[:5]


@pytest.mark.parametrize(
    "faults",
    [
        {"GET /batches/batch_1": [Answer(reset=True)] * 2},
        {"POST /batches": [Answer(reset=True)]},
        {"POST /files": [Answer(reset=True), error("busy", 503)]},
        {"GET /files": [error("busy", 500), Answer(body=b"", sent=0, headers={"Content-Length": "9"})]},
    ],
)
def test_faults_on_the_way_make_no_second_batch(ask, faults):
    # Mutation: making the batch again without looking for it makes two.
    api = Batches(faults=faults)
    with serve(other=api) as server:
        assert [reply.text for reply in ask(by_batch(server.url), requests(20))[0]] == TEXTS
        assert len(api.made) == 1


@pytest.mark.parametrize("moment", ["POST /files", "POST /batches", "GET /batches/", "GET /files"])
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_any_step_the_same_batch_is_fetched(tmp_path, moment, done):
    # Mutation: without the `submitted` or `uploaded` line, or without the look into the list, two are made.
    api = Batches()
    path = tmp_path / "journal.jsonl"

    async def run(other):
        server.other = other
        with Journal.open(path) as journal:
            async with Client({"teacher": by_batch(server.url)}, journal=journal, budget=Budget()) as client:
                return await client.ask_all(requests(20))

    def cut(seen):
        if f"{seen.method} {seen.path.removeprefix('/v1')}".startswith(moment):
            if done:
                api(seen)
            state.append(path.read_bytes())
            task.get_loop().call_soon_threadsafe(task.cancel)
            return Answer(delay=NEVER)  # it is cancelled before
        return api(seen)

    with serve() as server:
        state = []

        async def killed():
            nonlocal task
            task = asyncio.create_task(run(cut))
            with pytest.raises(asyncio.CancelledError):
                await task

        task = None
        asyncio.run(killed())
        path.write_bytes(state[0])  # as a kill would have left it
        replies = asyncio.run(run(api))
        assert [reply.text for reply in replies] == TEXTS
        assert len(api.made) == 1
        assert path.read_bytes().count(b'"kind":"response"') == 20


def test_large_ones_are_split_and_the_budget_holds(ask, monkeypatch):
    monkeypatch.setattr(batches, "MOST_REQUESTS", 8)
    api = Batches()
    with serve(other=api) as server:
        ask(by_batch(server.url), requests(20))
        assert sorted(len(made["lines"]) for made in api.made) == [4, 8, 8]
        monkeypatch.setattr(batches, "MOST_BYTES", 1000)
        more = [Request(f"m{place}", "teacher", (("user", f"question {place}"),)) for place in range(20)]
        ask(by_batch(server.url), more)
        assert all(sum(len(json.dumps(line)) for line in made["lines"]) < 1300 for made in api.made[3:])
        with pytest.raises(BudgetError):
            ask(by_batch(server.url, price=Price(input=1.0, output=100.0)), requests(300), Budget(dollars=0.1))
        counts = ask.client.counts
        assert counts.dollars + counts.uncertain_dollars <= 0.1
        assert len(api.made[-1]["lines"]) < 20


def test_the_format_is_found_in_batches_too(ask):
    def answer(asked):
        if "response_format" in asked["body"]:
            return {"status_code": 400, "body": {"error": {"message": "unknown key response_format"}}}
        return {"status_code": 200, "body": {"choices": [{"message": {"content": "[]"}}]}}

    with serve(other=Batches(answer, polls=0)) as server:
        replies, counts = ask(by_batch(server.url, limits={"attempts": 1}), requests(4, schema={"type": "array"}))
        assert [reply.text for reply in replies] == ["[]"] * 4
        assert counts.failed == 0


def test_a_server_without_a_batch_api_says_so(ask):
    with serve() as server, pytest.raises(StoppedError, match="upload of a batch's file: HTTP 404"):
        ask(by_batch(server.url), requests(2))
