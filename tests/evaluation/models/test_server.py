import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.settings import Budget, Decoding
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation.models.server import ServerModel, messages
from bioinstruct_jax.evaluation.runner.outputs import Output
from tests.api.batch_server import Batches
from tests.api.conftest import endpoint
from tests.api.server import NEVER, Answer, completion, error, serve


def record(number: int, **more) -> Record:
    return Record(id=f"t/test/{number}", instruction="Answer.", input=f"question {number}", output="", **more)


def asked(count: int, **more) -> list[tuple[str, Record]]:
    return [(f"t/generated/{number}", record(number, **more)) for number in range(count)]


def model(url: str, journal: Path, budget: Budget | None = None, **settings) -> ServerModel:
    return ServerModel("m", endpoint(url, **settings), journal=journal, budget=budget or Budget())


def answers(made: ServerModel, questions, **more) -> dict[int, Output]:
    found: dict[int, Output] = {}

    def take(place: int, output: Output) -> None:
        assert place not in found
        found[place] = output

    try:
        made.answer(questions, take, max_tokens=50, **more)
    finally:
        made.close()
    return found


def number(seen) -> int:
    return int(seen.prompt.split()[-1])


def echo(seen) -> Answer:
    return Answer(content=f"answer {number(seen)}")


def test_what_is_sent_is_the_record_as_chat_messages(tmp_path):
    # Mutations: the system text dropped; the endpoint's temperature of 1 sent.
    one = Record(id="r", instruction=" Name the drug. ", input="aspirin ", output="gold", system="Be brief.")
    with serve(lambda seen: Answer(content="x")) as server:
        made = model(server.url, tmp_path / "j", decoding=Decoding(max_tokens=100))
        found = answers(made, [("k", one)], stop=("\n\n",))
    assert server.seen[0].json == {
        "model": "m-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Name the drug.\n\naspirin"},
        ],
        "max_tokens": 50,
        "temperature": 0.0,
        "stop": ["\n\n"],
    }
    assert found == {0: Output(text="x", finish="stop")}
    turns = messages(Record(id="r", instruction="And now?", input="", output="gold", history=(("a", "b"),)))
    assert turns == (("user", "a"), ("assistant", "b"), ("user", "And now?"))


def test_an_endpoint_bounds_tokens_and_may_leave_temperature_to_the_server(tmp_path):
    with serve(echo) as server:
        bounded = Decoding(max_tokens=20, temperature=None, limit_name="max_completion_tokens")
        answers(model(server.url, tmp_path / "j", decoding=bounded), asked(1))
    assert server.seen[0].json.keys() == {"model", "messages", "max_completion_tokens"}
    assert server.seen[0].json["max_completion_tokens"] == 20


@pytest.mark.parametrize("concurrency", [1, 7, 64])
def test_how_many_are_asked_at_once_changes_no_outcome(tmp_path, concurrency):
    # Mutation: outputs handed over by order of arrival.
    def script(seen):
        return Answer(content=f"answer {number(seen)}", delay=random.random() / 50)

    with serve(script) as server:
        found = answers(model(server.url, tmp_path / "j", limits={"concurrency": concurrency}), asked(60))
    assert {place: output.text for place, output in found.items()} == {place: f"answer {place}" for place in range(60)}
    assert {output.finish for output in found.values()} == {"end"}


def test_faults_of_a_server_are_outputs_and_never_exceptions(tmp_path):
    # Mutation: an empty content taken for an answer like any other.
    def script(seen):
        first = seen.times == 1
        match number(seen):
            case 0 if first:
                return error("slow down", 429, headers={"Retry-After": "0"})
            case 1 if first:
                return error("oops", 500)
            case 2 if first:
                return Answer(content="late", delay=NEVER)
            case 3 if first:
                return Answer(body=completion("answer 3")[:40])
            case 4:
                return Answer(content="")
            case 5:
                return Answer(content="answer 5", usage=None)
            case 6:
                return Answer(content="", finish="content_filter")
            case 7:
                return Answer(content=None, finish="length")
            case 8:
                return error("no such thing", 500)
            case 9:
                return error("your prompt is bad", 400)
            case 10:
                said = "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens"
                return error(f"{said} (4950 in the messages, 50 in the completion).", 400)
            case 11 if first:
                return Answer(reset=True)
        return echo(seen)

    with serve(script) as server:
        limits = {"timeout": 3.0, "concurrency": 4}  # a busy machine may well take a second
        found = answers(model(server.url, tmp_path / "j", limits=limits), asked(24))
        sent = len(server.seen)
        again = answers(model(server.url, tmp_path / "j", limits=limits), asked(24))
        assert {number(seen) for seen in server.seen[sent:]} == {8, 9}, "what failed alone is tried again by a new run"
    assert again == found
    assert found.keys() == set(range(24))
    good = {place for place, output in found.items() if not output.problem}
    assert good == set(range(24)) - {4, 6, 7, 8, 9, 10}
    assert all(found[place] == Output(text=f"answer {place}", finish="end") for place in good)
    assert found[4] == Output(text="", finish="end", problem="the answer is empty (the server ended it with stop)")
    assert (found[7].text, found[7].finish) == ("", "length")
    assert found[6].text is None
    assert "filter" in found[6].problem
    assert "given up after 4 attempts" in found[8].problem
    assert "your prompt is bad" in found[9].problem
    assert found[10].unfit == (5000, 4096)
    assert found[9].unfit is None


def test_the_budget_ends_it_once_all_that_was_answered_is_handed_over(tmp_path):
    # Mutation: `raise failure` without what the journal knows behind the first that is not paid for.
    path = tmp_path / "j"
    with serve(echo, latency=0.01) as server:
        answers(model(server.url, path), asked(40)[30:])
        found: dict[int, Output] = {}
        made = model(server.url, path, Budget(tokens=600), limits={"concurrency": 3})
        with pytest.raises(BudgetError, match="budget"), made:
            made.answer(asked(40), found.__setitem__, max_tokens=50)
        assert set(range(30, 40)) <= found.keys() < set(range(40))
        sent = len(server.seen)
        whole = answers(model(server.url, path), asked(40))
        assert len(server.seen) == 40 >= sent
    assert [whole[place].text for place in range(40)] == [f"answer {place}" for place in range(40)]
    assert found.items() <= whole.items()


def test_while_a_server_is_out_nothing_is_an_outcome(tmp_path):
    # Mutation: outputs with a problem handed over at once; four stay although the server comes back.
    out = True

    def script(seen):
        return error("down", 503) if out and number(seen) >= 5 else echo(seen)

    with serve(script) as server:
        found: dict[int, Output] = {}
        limits = {"attempts": 1, "concurrency": 1}
        with (
            pytest.raises(StoppedError, match="one after another"),
            model(server.url, tmp_path / "j", limits=limits) as m,
        ):
            m.answer(asked(20), found.__setitem__, max_tokens=50)
        assert {place: output.text for place, output in found.items()} == {n: f"answer {n}" for n in range(5)}
        out = False
        whole = answers(model(server.url, tmp_path / "j", limits=limits), asked(20))
    assert [whole[place].text for place in range(20)] == [f"answer {place}" for place in range(20)]


def test_a_wrong_key_stops_it(tmp_path):
    with (
        serve(lambda seen: error("who are you", 401)) as server,
        model(server.url, tmp_path / "j") as made,
        pytest.raises(StoppedError, match="who are you"),
    ):
        made.answer(asked(3), lambda place, output: pytest.fail("nothing was answered"), max_tokens=5)


def test_what_the_taker_raises_ends_the_call_and_the_journal_stays_whole(tmp_path):
    def full(place: int, output: Output) -> None:
        raise OSError("no space")

    with serve(echo) as server:
        with pytest.raises(OSError, match="no space"), model(server.url, tmp_path / "j") as made:
            made.answer(asked(20), full, max_tokens=50)
        assert len(answers(model(server.url, tmp_path / "j"), asked(20))) == 20


def test_restricted_questions_stay_on_this_machine_and_in_no_file(tmp_path, monkeypatch):
    # Mutation: the run's own journal used for them.
    monkeypatch.setenv("TEST_API_KEY", "sk-0123456789abcdef")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    elsewhere = model("https://llm.example.org/v1", tmp_path / "j")
    with pytest.raises(RestrictedError, match="restricted"), elsewhere:
        elsewhere.answer(asked(2, restricted=True), lambda place, output: None, max_tokens=5)
    with pytest.raises(RestrictedError, match="2 of the rows"), elsewhere:
        elsewhere.check(restricted=2)
    elsewhere.check()
    with serve(echo) as server:
        held = model(server.url, tmp_path / "j2")
        found: dict[int, Output] = {}
        with held:
            held.answer(asked(3, restricted=True), found.__setitem__, max_tokens=50)
            held.answer(asked(3, restricted=True), found.__setitem__, max_tokens=50)
            assert len(server.seen) == 3
            texts = [file.read_text() for file in tmp_path.rglob("*") if file.is_file()]
        assert not [text for text in texts if "question" in text or "answer" in text]
        with pytest.raises(ValueError, match="task by task"):
            held.answer([*asked(1, restricted=True), *asked(1)], found.__setitem__, max_tokens=5)
    assert len(found) == 3


def test_through_the_batch_api_it_is_the_same(tmp_path, monkeypatch):
    # Mutation: the endpoint's `batch` overlooked.
    monkeypatch.setattr("bioinstruct_jax.api.batches.LONGEST_POLL", 0.01)
    script = Batches(
        lambda one: {"status_code": 200, "body": json.loads(completion(one["body"]["messages"][-1]["content"]))}
    )
    with serve(echo, other=script) as server:
        found = answers(model(server.url, tmp_path / "j", batch="on"), asked(6))
        assert not server.seen
        assert answers(model(server.url, tmp_path / "j", batch="on"), asked(6)) == found
    assert len(script.made) == 1
    assert {place: output.text for place, output in found.items()} == {n: f"Answer.\n\nquestion {n}" for n in range(6)}


PROGRAM = """
import sys
from tests.evaluation.models.test_server import asked, model
with model(sys.argv[2], sys.argv[1], limits={"concurrency": 5}) as made:
    made.answer(asked(60), lambda place, output: print(place, output.text, flush=True), max_tokens=50)
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_ended_at_a_random_moment_and_resumed_nothing_answered_is_asked_twice(tmp_path, end):
    # The moment goes by requests, and the last of them wait for their answers until then: it never ends before.
    path, draw, told = tmp_path / "j", random.Random(int(end)), False

    def script(seen):
        late = seen.number > 20 and not told
        return Answer(content=f"answer {number(seen)}", delay=NEVER if late else 0.03)

    with serve(script) as server:
        command = [sys.executable, "-c", PROGRAM, str(path), server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            deadline = time.monotonic() + 120
            while len(server.seen) < 8:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.05))
            process.send_signal(end)
            process.communicate(timeout=120)
        assert process.returncode
        told = True
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        said = done.stdout
    assert sorted(said.splitlines()) == sorted(f"{n} answer {n}" for n in range(60))
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    answered = Counter(line["key"] for line in lines if line["kind"] == "response")
    assert len(answered) == 60
    assert set(answered.values()) == {1}
    assert len(server.seen) <= 60 + (5 + 4)
