import asyncio
import json
import os
import random
import subprocess
import sys

import pytest

from bioinstruct_jax.api.answers import Attempt
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.ledger import attempt_line
from bioinstruct_jax.api.redact import Redactor
from tests.api.server import completion


def attempt(number: int, **more) -> Attempt:
    values = {"id": number, "key": f"r{number}", "fingerprint": f"f{number}", "endpoint": "teacher", "number": 1}
    values |= {"mode": "off", "probe": False, "input_guess": 4, "input_most": 50, "output_most": 100}
    return Attempt(**{**values, "input_price": 1_000_000, "output_price": 10_000_000, **more})


def fill(path, count, *, text="answer"):
    """A journal of so many requests, each answered."""

    async def run():
        with Journal.open(path) as journal:
            for number in range(1, count + 1):
                await journal.send(attempt_line("sent", attempt(number), body={"messages": []}))
                body = completion(f"{text} {number}").decode()
                await journal.add(attempt_line("response", attempt(number), status=200, headers={}, body=body))
            return journal.ledger

    return asyncio.run(run())


def test_what_was_written_is_read_again_and_adds_up_to_the_same(tmp_path):
    ledger = fill(tmp_path / "j", 5, text="lone \ud83d, NUL \0, line \u2028")
    with Journal.open(tmp_path / "j") as journal:
        assert journal.reply("r3", "f3").text == "lone \ud83d, NUL \0, line \u2028 3"
        assert journal.reply("r3", "other") is None
        assert journal.ledger == ledger
        assert not journal.notes()
    assert len((tmp_path / "j").read_bytes().split(b"\n")) == 12
    (tmp_path / "j").read_text(encoding="utf-8")


def test_cut_anywhere_it_opens_and_only_loses_what_is_behind(tmp_path):
    # alpaca: a dump that a kill leaves in pieces.
    # Mutation: without the truncation the next line is glued to the torn one, and both are lost.
    fill(tmp_path / "j", 4)
    whole = (tmp_path / "j").read_bytes()
    for place in random.Random(0).sample(range(1, len(whole)), 60):
        (tmp_path / "k").write_bytes(whole[:place])
        complete = whole[:place].count(b'"kind":"response"', 0, whole.rfind(b"\n", 0, place) + 1)
        with Journal.open(tmp_path / "k") as journal:
            assert len(journal.ledger.replies) in (complete, complete + 1)
            assert journal.torn <= place
            known = len(journal.ledger.replies)
            journal.put(attempt_line("sent", attempt(9))).result()
        with Journal.open(tmp_path / "k") as journal:
            assert len(journal.ledger.replies) == known
            assert not journal.torn
            assert not journal.damaged


def test_a_damaged_line_is_told_and_left_out(tmp_path):
    fill(tmp_path / "j", 4)
    lines = (tmp_path / "j").read_bytes().split(b"\n")
    lines[4] = b'{"kind":"response","key":' + b"\xff\0"  # of r2
    lines[6] = b'{"kind":"response"}'  # of r3
    lines[7] = b"[1, 2]"  # r4's request
    (tmp_path / "j").write_bytes(b"\n".join(lines))
    with Journal.open(tmp_path / "j") as journal:
        assert {key for key, _ in journal.ledger.replies} == {"r1", "r4"}
        assert journal.damaged == [5, 7, 8]
        assert "5, 7, 8" in journal.notes()[0]
        assert journal.ledger.lost == 2
        assert journal.ledger.uncertain.tokens == 300


def test_what_was_on_its_way_is_counted_and_may_have_been_charged(tmp_path):
    with Journal.open(tmp_path / "j") as journal:
        asyncio.run(journal.send(attempt_line("sent", attempt(1)), attempt_line("sent", attempt(2))))
        assert journal.ledger.reserved.tokens == 300
    with Journal.open(tmp_path / "j") as journal:
        assert journal.ledger.lost == 2
        assert journal.ledger.reserved.price == 0
        assert journal.ledger.uncertain.price == 2 * (50 * 1_000_000 + 100 * 10_000_000)


def test_two_processes_are_refused(tmp_path):
    # Mutation: no lock, and both write.
    code = f"from bioinstruct_jax.api.journal import Journal\nJournal.open({str(tmp_path / 'j')!r})"
    with Journal.open(tmp_path / "j"):
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
        assert "another process" in other.stderr
        with pytest.raises(ValueError, match="another process"):
            Journal.open(tmp_path / "j")
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_many_lines_share_a_sync_and_none_is_done_before_it_is_on_the_disk(tmp_path, monkeypatch):
    # Mutation: setting results before `os.fsync` fails the count of what was synced.
    synced, real = [], os.fsync

    def fsync(descriptor):
        real(descriptor)
        synced.append(os.fstat(descriptor).st_size)

    monkeypatch.setattr(os, "fsync", fsync)

    async def run():
        with Journal.open(tmp_path / "j") as journal:

            async def one(number):
                await journal.send(attempt_line("sent", attempt(number)))
                assert f'"key":"r{number}"'.encode() in (tmp_path / "j").read_bytes()[: synced[-1]]

            await asyncio.gather(*map(one, range(1, 300)))

    asyncio.run(run())
    assert len(synced) < 150


def test_a_full_disk_is_told_and_nothing_is_written_behind_a_torn_line(tmp_path, monkeypatch):
    journal = Journal.open(tmp_path / "j")
    journal.put({"kind": "structured", "address": "a", "mode": "json"}).result()
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        journal.put(attempt_line("sent", attempt(1))).result()
    monkeypatch.setattr(os, "write", real)
    with pytest.raises(OSError, match="No space"):
        journal.put(attempt_line("sent", attempt(2))).result()
    with pytest.raises(OSError, match="No space"):
        journal.close()
    with Journal.open(tmp_path / "j") as journal:
        assert journal.ledger.modes == {"a": "json"}


def test_what_is_no_journal_is_left_alone(tmp_path):
    (tmp_path / "notes").write_text("# Notes\nof mine\n")
    with pytest.raises(ValueError, match="no journal"):
        Journal.open(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "# Notes\nof mine\n"
    (tmp_path / "later").write_text('{"kind":"journal","version":99}\n')
    with pytest.raises(ValueError, match="later version"):
        Journal.open(tmp_path / "later")
    with pytest.raises(ValueError, match="local"):
        Journal.open("memory://journal.jsonl")


def test_a_key_is_written_nowhere_and_the_reply_is_the_same_when_read_again(tmp_path):
    key = "sk-secret-0123456789"

    async def run():
        with Journal.open(tmp_path / "j") as journal:
            journal.redact = Redactor([key])
            hidden = "".join(f"\\u{ord(letter):04x}" for letter in key)
            body = completion("HERE").decode().replace("HERE", f"{key} and {hidden}")
            await journal.add(
                attempt_line("response", attempt(1), status=200, headers={"x-request-id": key}, body=body)
            )
            return journal.reply("r1", "f1")

    reply = asyncio.run(run())
    assert reply.text == "[key] and [key]"
    assert key.encode() not in (tmp_path / "j").read_bytes()
    with Journal.open(tmp_path / "j") as journal:
        assert journal.reply("r1", "f1") == reply


def test_an_outage_that_was_taken_back_is_no_outcome(tmp_path):
    about = {"key": "r1", "fingerprint": "f1", "endpoint": "teacher"}
    with Journal.open(tmp_path / "j") as journal:
        journal.note({"kind": "outcome", **about, "why": "transient", "problem": "given up"})
        assert journal.reply("r1", "f1").problem == "given up"
        journal.note({"kind": "reopened", "endpoint": "teacher", "requests": [["r1", "f1"]]})
        assert journal.reply("r1", "f1") is None
    with Journal.open(tmp_path / "j") as journal:
        assert journal.reply("r1", "f1") is None
        assert journal.ledger.streaks["teacher"] == {}


def test_lines_are_json_of_one_kind_each(tmp_path):
    fill(tmp_path / "j", 2)
    kinds = [json.loads(line)["kind"] for line in (tmp_path / "j").read_text().splitlines()]
    assert kinds == ["journal", "sent", "response", "sent", "response"]
