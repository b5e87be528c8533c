import asyncio
import json
import math
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import pytest

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.settings import Budget, Limits
from tests.api.conftest import endpoint, requests
from tests.api.server import NEVER, Answer, echo, error, serve

COUNT = 40
PROGRAM = """
import asyncio, sys
from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.settings import Budget
from tests.api.conftest import endpoint, requests
async def run(path, url, count):
    with Journal.open(path) as journal:
        async with Client({"teacher": endpoint(url, limits={"concurrency": 6})}, journal=journal, budget=Budget()) as c:
            await c.ask_all(requests(count))
asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


KILLS = 5  # each lets the program have 6 answers at most, so that something is left to ask at the end


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=[pytest.mark.slow] if seed else []) for seed in range(4)])
def test_killed_at_any_moment_nothing_is_lost_and_only_what_was_on_its_way_is_asked_twice(tmp_path, seed):
    # Mutation: `sent` journaled after the request is sent asks some twice uncounted; responses journaled after they
    # were read lose some. The moment goes by requests, and what comes after it waits for its answer until the kill: no
    # machine is so quick that the program ends before.
    enough: float = 0

    def script(seen):
        if seen.number > enough + 2:
            return Answer(delay=NEVER)
        return error("busy", 503) if seen.number % 17 == 0 else Answer(content=f"answer to {seen.prompt}", delay=0.02)

    path, draw = tmp_path / "journal.jsonl", random.Random(seed)
    with serve(script) as server:
        command = [sys.executable, "-c", PROGRAM, str(path), server.url, str(COUNT)]
        for _ in range(KILLS):
            enough = len(server.seen) + draw.randint(1, 4)
            process, deadline = subprocess.Popen(command), time.monotonic() + 120
            while len(server.seen) < enough:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.05))
            process.kill()
            assert process.wait() == -signal.SIGKILL
        enough = math.inf
        subprocess.run(command, check=True, timeout=300)
        with Journal.open(path) as journal:
            ledger = journal.ledger
            assert sorted(reply.text for reply in ledger.replies.values()) == sorted(
                f"answer to question {place}" for place in range(COUNT)
            )
            assert not journal.damaged
            lines = [json.loads(line) for line in path.read_bytes().splitlines()]
            sent = Counter(line["key"] for line in lines if line["kind"] == "sent")
            ended = Counter(line["key"] for line in lines if line["kind"] in ("response", "fault"))
            arrived = Counter(f"r{seen.prompt.split()[-1]}" for seen in server.seen)
            assert arrived.keys() == sent.keys()
            assert all(arrived[key] <= sent[key] for key in sent), "nothing is sent before it is in the journal"
            on_its_way = sum((sent - ended).values())
            assert 0 < on_its_way == ledger.lost <= KILLS * (6 + 1)
            answered = Counter(line["key"] for line in lines if line["kind"] == "response" and line["status"] == 200)
            assert set(answered.values()) == {1}, "nothing whose answer was in the journal was asked again"
            assert bool(ledger.uncertain.tokens) == bool(on_its_way)


def test_who_is_cancelled_keeps_what_was_answered_and_counts_the_rest(tmp_path):
    async def run():
        with Journal.open(tmp_path / "j") as journal:
            async with Client({"teacher": endpoint(server.url)}, journal=journal, budget=Budget()) as client:
                task = asyncio.create_task(client.ask_all(requests(40)))
                while len(server.seen) < 20:
                    await asyncio.sleep(0.005)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert client.counts.in_flight == 0
                assert client.counts.reserved_tokens == 0
        return len(server.seen)

    def script(seen):  # the last one before it is cancelled is certain to be on its way then
        return replace(echo(seen), delay=0.02 if seen.number < 20 else NEVER)

    with serve(script) as server:
        seen = asyncio.run(run())
        with Journal.open(tmp_path / "j") as journal:
            assert journal.ledger.lost <= 4, "those whose answer was being written"
            assert 0 < len(journal.ledger.replies) <= seen
            assert journal.ledger.uncertain.tokens > 0


def test_the_server_of_the_tests_runs_in_a_process_of_its_own(tmp_path):
    rules = [
        {"when": {"contains": "question 1", "times": 1}, "answer": {"status": 500, "text": "no"}},
        {"when": {"every": 2}, "answer": {"content": "even", "usage": [1, 2]}},
    ]
    (tmp_path / "rules.json").write_text(json.dumps(rules))
    command = [sys.executable, "-m", "tests.api.server", "--script", str(tmp_path / "rules.json")]
    command += ["--log", str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout

        async def run(url):
            limits = Limits(backoff=0.01, concurrency=1)
            with Journal.open(tmp_path / "j") as journal:
                given = endpoint(url, limits=limits.__dict__)
                async with Client({"teacher": given}, journal=journal, budget=Budget()) as client:
                    return await client.ask_all(requests(3))

        replies = asyncio.run(run(process.stdout.readline().strip()))
        process.terminate()
    assert {reply.text for reply in replies} <= {"even", *(f"answer to question {place}" for place in range(3))}
    assert [json.loads(line)["number"] for line in (tmp_path / "log").read_text().splitlines()] == [1, 2, 3, 4]
