"""`generate` against a server that misbehaves by script: nothing is lost, nothing comes twice, and counts add up."""

import hashlib
import json

import pytest

from bioinstruct_jax import generate
from bioinstruct_jax.generation.scripted_teacher import Teacher
from tests.api.server import NEVER, Answer, Seen, completion, error, serve
from tests.test_generate import KEY, made, rows, statistics

TRANSIENT = (
    lambda: error("slow down", 429),
    lambda: error("slow down", 429, headers={"Retry-After": "0"}),
    lambda: error("oops", 500),
    lambda: error("busy", 503),
    lambda: Answer(reset=True),
    lambda: Answer(delay=NEVER),  # beyond the time-out
    lambda: Answer(content="x" * 2000, sent=700),
    lambda: Answer(body=b'{"choices": [{"message": {"content": "cut'),
    lambda: Answer(body=b"<html>a proxy's page</html>"),
    lambda: Answer(body=b'{"object": "chat.completion", "choices": []}'),
)


def words(url, out, *more):
    return [
        *("scripted", f"--out={out}", f"--teachers.0.base_url={url}", "--target=40"),
        *("--teachers.0.limits.timeout=4", "--teachers.0.limits.backoff=0.01", "--categories.by=off"),
        *("--teachers.0.limits.concurrency=8", "--teachers.0.limits.attempts=4", *more),
    ]


def honest(seen: Seen, teacher=None) -> str:
    return (teacher or Teacher()).answer(seen.json["messages"])


def transient(seen: Seen) -> Answer:
    """Each prompt fails once or twice, each in another way, before it is answered."""
    draw = hashlib.sha256(seen.prompt.encode()).digest()
    if seen.times <= draw[0] % 3:
        return TRANSIENT[(draw[1] + seen.times) % len(TRANSIENT)]()
    return Answer(content=honest(seen))


def test_faults_that_pass_change_nothing(tmp_path):
    # Mutation: a fault counted as an answer, or an answer that came after a retry taken out of its place.
    with serve(lambda seen: Answer(content=honest(seen))) as server:
        assert generate.main(words(server.url, tmp_path / "calm", "--asked=2")) == 0
    with serve(transient) as server:
        assert generate.main(words(server.url, tmp_path / "rough", "--asked=2")) == 0
        came = len(server.seen)
    assert made(tmp_path / "rough") == made(tmp_path / "calm")
    told = statistics(tmp_path / "rough")
    assert len(told["client"]["retried"]) > 5
    assert (
        told["client"]["requests"]["sent"]
        == came
        == told["client"]["requests"]["answered"] + sum(told["client"]["retried"].values())
    )


def odd(seen: Seen) -> Answer:
    """Every way in which an answer can be odd, in turn."""
    text = honest(seen)
    items = json.loads(text)["tasks"]
    ways = (
        lambda: Answer(content=text),
        lambda: Answer(content=""),
        lambda: Answer(content=None),
        lambda: Answer(content=text, usage=None),
        lambda: Answer(content=text, finish="length"),
        lambda: Answer(content=text[: len(text) // 2], finish="length"),
        lambda: Answer(content="", finish="content_filter"),
        lambda: Answer(content=json.dumps({"tasks": [*reversed(items), *items]})),
        lambda: Answer(content=json.dumps({"tasks": items * 10})),
        lambda: Answer(content=json.dumps([{"question": "What?", "answer": "That."}])),
        lambda: Answer(body=completion("placeholder").replace(b"placeholder", b"\\ud800 half \\u0000")),
        lambda: Answer(content=json.dumps({"tasks": [{**items[0], "output": "word " * 200_000}, *items[1:]]})),
        lambda: Answer(
            body=json.dumps({"choices": [{"message": {"content": [{"type": "text", "text": text}]}}]}).encode()
        ),
        lambda: Answer(body=json.dumps({"choices": "none", "usage": {"prompt_tokens": "many"}}).encode()),
        lambda: Answer(content=f"Here you are:\n```json\n{text}\n```\nTell me if you want more."),
        lambda: Answer(content=text.replace(items[0]["instruction"], "<script>alert(1)</script></script><img src=x>")),
        lambda: error("this prompt is not to my liking", 400, code="content_policy_violation"),
    )
    return ways[seen.number % len(ways)]()


def test_odd_answers_lose_nothing_beside_them(tmp_path, capsys):
    # The crashes that curator mended: missing usage, empty content, content_filter.
    with serve(odd) as server:
        code = generate.main(words(server.url, tmp_path / "out", "--target=60", "--teachers.0.limits.breaker=1000"))
        came = len(server.seen)
    said = capsys.readouterr()
    assert code in (0, 3), said.err
    assert "Traceback" not in said.err + said.out
    accepted, rejected, told = (
        rows(tmp_path / "out"),
        rows(tmp_path / "out", "rejected.jsonl"),
        statistics(tmp_path / "out"),
    )
    ids = [row["id"] for row in accepted + rejected]
    assert len(set(ids)) == len(ids) == told["totals"]["seen"]
    assert len({row["instruction"] for row in accepted}) == len(accepted)
    assert {"truncated", "surplus", "too_long", "empty", "malformed"} <= set(told["rejected"])
    assert told["failed"]
    assert told["client"]["requests"]["sent"] == came
    # the page holds what a teacher wrote as text alone
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "<img src=x>" not in page
    # what came is what a second look at the journal finds
    before = made(tmp_path / "out")
    assert generate.main(words("http://127.0.0.1:9/v1", tmp_path / "out", "--target=60", "--replay")) in (0, 3, 4)
    assert made(tmp_path / "out") == before


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_or_model_stops_at_once_and_the_key_is_not_said(status, tmp_path, monkeypatch, capsys):
    # Servers repeat the key in what they say. Mutation: the body written as it came.
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serve(lambda seen: error(f"Incorrect API key provided: {KEY}", status)) as server:
        assert generate.main(words(server.url, tmp_path / "out")) == 4
        assert len(server.seen) <= 8
        assert {seen.headers.get("authorization") for seen in server.seen} == {f"Bearer {KEY}"}
    said = capsys.readouterr()
    assert KEY not in said.out + said.err
    assert "OPENAI_API_KEY" in said.out + said.err
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_the_key_is_not_repeated_by_an_answer_either(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

    def script(seen: Seen) -> Answer:
        return Answer(content=honest(seen).replace("once daily", KEY))

    with serve(script) as server:
        assert generate.main(words(server.url, tmp_path / "out", "--target=10")) == 0
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or KEY.encode() not in file.read_bytes(), file


def test_restricted_seeds_are_never_sent(tmp_path, capsys):
    seeds = tmp_path / "seeds.jsonl"
    row = {"instruction": "Name the drug of the note.", "input": "Secret ward", "output": "x", "licence": "restricted"}
    seeds.write_text("".join(json.dumps(row | {"id": str(n)}) + "\n" for n in range(4)))
    with serve() as server:
        assert generate.main(words(server.url, tmp_path / "out", f"--seeds={seeds}")) == 2
        assert not server.seen
    said = capsys.readouterr()
    assert "restricted" in said.err
    assert "Secret" not in said.err + said.out
    assert not (tmp_path / "out").exists()
