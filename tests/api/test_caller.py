"""One call: what a server sends is bounded."""

import pytest

from bioinstruct_jax.api import caller
from tests.api.conftest import endpoint, requests
from tests.api.server import Answer, completion, serve


@pytest.mark.parametrize("drip", [0.0, 1e-6])
def test_an_answer_without_end_fills_neither_memory_nor_journal(ask, tmp_path, monkeypatch, drip):
    # Mutation: the plain transport. Dripped bytes come in many parts, of which each is small.
    monkeypatch.setattr(caller, "MOST_BYTES", 2000)
    long = completion("x" * 3000)
    with serve(lambda seen: Answer(body=long if seen.times == 1 else completion("short"), drip=drip)) as server:
        (reply,), counts = ask(endpoint(server.url), requests(1))
    assert reply.text == "short"
    assert counts.retried.total() == 1
    journal = (tmp_path / "journal.jsonl").read_text()
    assert "xxx" not in journal
    assert "more than 2,000 bytes" in journal


def test_nothing_packed_is_asked_for(ask):
    # A small packed answer may unpack to any size. Mutation: the package's own accept-encoding.
    with serve(lambda seen: Answer(body=completion("plain"))) as server:
        ask(endpoint(server.url), requests(1))
        (seen,) = server.seen
    assert seen.headers["accept-encoding"] == "identity"
