"""A local OpenAI-compatible server that answers, and misbehaves, by script. For tests and demonstrations only.

    with serve(script) as server:           # in a thread
        server.url, server.seen, server.most_at_once

    python -m tests.api.server --port 8001 --script rules.json --log seen.jsonl       # in a process of its own

A script is a function from what arrived (`Seen`) to what to do (`Answer`), or a list of rules: the first whose ``when``
fits decides. ``when``: number, times (each a number or a list of them), every (each n-th), contains (in the prompt).
``answer``: the fields of `Answer`, with ``json`` or ``text`` for its body. ``GET /stats`` tells the counts.
"""

import argparse
import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Seen:
    """A request that arrived. `number`: of the chat completions, from 1; `times`: that this prompt has come by now."""

    number: int
    times: int
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    prompt: str
    time: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """What is done with a request.

    Attributes:
        body: of the response; None: a chat completion that says `content`.
        usage: tokens of prompt and answer; None: not told.
        delay: seconds before it.
        until: held back, after that, until this is true.
        reset: the connection is torn down instead (TCP reset).
        sent: bytes of the body that are sent before the connection is closed; None: all.
        drip: seconds between two bytes of the body.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    content: Any = None
    finish: Any = "stop"
    usage: Any = (12, 7)
    delay: float = 0.0
    until: Callable[[], bool] | None = None
    reset: bool = False
    sent: int | None = None
    drip: float = 0.0


Script = Callable[[Seen], Answer]
NEVER = 3600.0  # a delay that no test outlives: the server ends first


def completion(content: Any, *, finish: Any = "stop", usage: Any = (12, 7), **message: Any) -> bytes:
    """The body of a chat completion."""
    value: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content, **message}}],
    }
    value["choices"][0]["finish_reason"] = finish
    if usage is not None:
        value["usage"] = usage
        if isinstance(usage, tuple | list) and len(usage) == 2:
            value["usage"] = {"prompt_tokens": usage[0], "completion_tokens": usage[1]}
    return json.dumps(value).encode()


def error(message: str, status: int = 500, **more: Any) -> Answer:
    """An error as OpenAI words it; `more`: fields of `Answer`, or of the error (code, type, param)."""
    known = {name: more.pop(name) for name in ("headers", "delay", "drip", "sent") if name in more}
    return Answer(status=status, body=json.dumps({"error": {"message": message, **more}}).encode(), **known)


def echo(seen: Seen) -> Answer:
    """The script of a server that behaves."""
    return Answer(content=f"answer to {seen.prompt}")


def from_rules(rules: Sequence[Mapping[str, Any]]) -> Script:
    """The script of a list of rules."""

    def script(seen: Seen) -> Answer:
        for rule in rules:
            if _fits(rule.get("when", {}), seen):
                given = dict(rule.get("answer", {}))
                if "json" in given:
                    given["body"] = json.dumps(given.pop("json")).encode()
                if "text" in given:
                    given["body"] = given.pop("text").encode("utf-8", "surrogatepass")
                given.setdefault("content", f"answer to {seen.prompt}")
                return Answer(**given)
        return echo(seen)

    return script


def _fits(when: Mapping[str, Any], seen: Seen) -> bool:
    for name, wanted in when.items():
        if name == "contains":
            fits = wanted in seen.prompt
        elif name == "every":
            fits = seen.number % wanted == 0
        else:
            value = {"number": seen.number, "times": seen.times}[name]
            fits = value in wanted if isinstance(wanted, list) else value == wanted
        if not fits:
            return False
    return True


class Server:
    """Attributes: seen: chat completions, in order; others: all other requests; most_at_once: requests worked on."""

    def __init__(
        self,
        script: Script = echo,
        *,
        latency: float = 0.0,
        most: int | None = None,
        refuse: bool = False,
        log: Path | None = None,
        other: Callable[[Seen], Answer] | None = None,
    ) -> None:
        """Args:
        latency: seconds of every answer.
        most: requests at once; further ones wait, or (`refuse`) get 429 with ``Retry-After: 1``.
        log: file to which each chat completion adds a line when it arrives: number, times, prompt.
        other: answers what is no chat completion.
        """
        self.script, self.latency, self.most, self.refuse, self.log, self.other = (
            script,
            latency,
            most,
            refuse,
            log,
            other,
        )
        self.seen: list[Seen] = []
        self.others: list[Seen] = []
        self.connections = self.at_once = self.most_at_once = self.refused = self.answered = 0
        self.port = 0
        self._times: Counter[str] = Counter()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    async def start(self, port: int = 0) -> asyncio.Server:
        self._places = asyncio.Semaphore(self.most) if self.most else None
        server = await asyncio.start_server(self._connection, "127.0.0.1", port, limit=1 << 26, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._request(reader, writer):
                pass
        writer.close()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answers one request; returns whether the connection stays open."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:]) if name}
        if headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(await reader.readline(), 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readline()
        else:
            body = await reader.readexactly(int(headers.get("content-length", 0)))
        if path.endswith("/stats"):
            return await self._send(writer, Answer(body=json.dumps(self.stats()).encode()))
        chat = path.endswith("/chat/completions")
        prompt = ""
        if chat:
            with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
                prompt = json.loads(body)["messages"][-1]["content"]
        self._times[prompt] += chat
        number = len(self.seen) + 1
        seen = Seen(number, self._times[prompt], method, path, headers, body, prompt, time.monotonic())
        if not chat:
            self.others.append(seen)
            answer = self.other(seen) if self.other else error("no such page", 404)
            await asyncio.sleep(answer.delay)
            return await self._send(writer, answer)
        self.seen.append(seen)
        if self.log:
            with self.log.open("a") as log:
                log.write(json.dumps({"number": seen.number, "times": seen.times, "prompt": prompt}) + "\n")
        if self._places and self.refuse and self._places.locked():
            self.refused += 1
            return await self._send(writer, error("too many", 429, headers={"Retry-After": "1"}))
        async with self._places or contextlib.nullcontext():
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
            try:
                answer = self.script(seen)
                if delay := self.latency + answer.delay:
                    await asyncio.sleep(delay)
                while answer.until and not answer.until():
                    await asyncio.sleep(0.005)
            finally:
                self.at_once -= 1
        self.answered += 1
        return await self._send(writer, answer)

    async def _send(self, writer: asyncio.StreamWriter, answer: Answer) -> bool:
        if answer.reset:
            connection = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
            return False
        body = answer.body
        if body is None:
            body = completion(answer.content, finish=answer.finish, usage=answer.usage)
        headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
        head = f"HTTP/1.1 {answer.status} Said\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        part = body if answer.sent is None else body[: answer.sent]
        writer.write(head.encode("latin-1") + b"\r\n" + (b"" if answer.drip else part))
        await writer.drain()
        for place in range(len(part) if answer.drip else 0):
            writer.write(part[place : place + 1])
            await writer.drain()
            await asyncio.sleep(answer.drip)
        return answer.sent is None

    def stats(self) -> dict[str, Any]:
        return {
            "connections": self.connections,
            "requests": len(self.seen),
            "answered": self.answered,
            "refused": self.refused,
            "prompts": len(self._times),
            "most_at_once": self.most_at_once,
        }


@contextlib.contextmanager
def serve(script: Script = echo, **options: Any) -> Iterator[Server]:
    """A server in a thread of this process, until the block ends."""
    server, ready, loop = Server(script, **options), threading.Event(), asyncio.new_event_loop()

    async def run() -> None:
        await server.start()
        ready.set()
        await asyncio.Event().wait()

    def body() -> None:
        asyncio.set_event_loop(loop)
        task = loop.create_task(run())
        server.stop = lambda: loop.call_soon_threadsafe(task.cancel)  # type: ignore[attr-defined]
        with contextlib.suppress(asyncio.CancelledError):
            loop.run_until_complete(task)
        for other in asyncio.all_tasks(loop):
            other.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()

    thread = threading.Thread(target=body, daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield server
    finally:
        server.stop()  # type: ignore[attr-defined]
        thread.join(10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: a free one; the address is printed")
    parser.add_argument("--script", type=Path, help="JSON file with a list of rules")
    parser.add_argument("--log", type=Path, help="file for a line for each request")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds of each answer")
    parser.add_argument("--most", type=int, help="requests at once")
    parser.add_argument("--refuse", action="store_true", help="answer 429 beyond that, rather than have them wait")
    given = parser.parse_args()
    script = from_rules(json.loads(given.script.read_text())) if given.script else echo

    async def run() -> None:
        server = Server(script, latency=given.latency, most=given.most, refuse=given.refuse, log=given.log)
        listening = await server.start(given.port)
        print(server.url, flush=True)
        await listening.serve_forever()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()
