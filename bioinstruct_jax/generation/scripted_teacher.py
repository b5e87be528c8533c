"""A teacher that is no language model: it composes tasks by rule, for tests and to try `generate` without a key.

    python -m bioinstruct_jax.generation.scripted_teacher --port 8765

It answers as an OpenAI-compatible server does, on this machine alone. The same request gets the same answer. One item
in ten is made bad on purpose (repeated, refused, empty, not in English), so that there is something to filter.
Whatever it writes says nothing of what a language model would: the model is called ``scripted-teacher``.
"""

import argparse
import contextlib
import hashlib
import json
import re
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random
from typing import Any

from bioinstruct_jax.generation.scripted_tasks import Task, task

MODEL = "scripted-teacher"
_ASKED = re.compile(r"with exactly (\d+) tasks")
_TASK = re.compile(r"-----\n(\{.*?\})\n-----", re.DOTALL)
_WORDS = (  # by which a category is told; the first that occurs
    ("extraction", r"\b(list|extract|pull out|identify|name the|find|number the|problem list|does not have|mention)"),
    ("question_answering", r"\?|\b(state|check|decide)\b"),
    ("generation", r"\b(summari[sz]e|write|draft|explain|rewrite|define|condense|create)\b"),
)


class Teacher:
    """What it answers; it remembers the outputs of what it wrote, for when they are asked for on their own."""

    def __init__(self) -> None:
        self._outputs: dict[tuple[str, str], Task] = {}

    def answer(self, messages: list[dict[str, Any]]) -> str:
        """The text of an answer to a request of `generate`: tasks, an output, a label or categories."""
        said = str(messages[-1].get("content", ""))
        if asked := _ASKED.search(said):
            return self._tasks(said, int(asked[1]))
        if found := _TASK.search(said):
            return self._answer(json.loads(found[1]), labelled='"label"' in said)
        return self._categories(said)

    def _tasks(self, said: str, count: int) -> str:
        draw = Random(hashlib.sha256(said.encode()).hexdigest())
        made: list[Task] = []
        for _ in range(count):
            one = task(draw)
            self._outputs[one["instruction"], one["input"]] = self._outputs[one["instruction"], ""] = one
            made.append(_spoiled(one, made, draw) if draw.random() < 0.1 else one)
        if '"output": "..."' not in said:
            made = [{key: text for key, text in one.items() if key != "output"} for one in made]
        return json.dumps({"tasks": made}, ensure_ascii=False)

    def _answer(self, asked: dict[str, str], *, labelled: bool) -> str:
        known = self._outputs.get((asked["instruction"], asked.get("input", "")))
        if labelled:
            return json.dumps({"label": known["output"], "input": known["input"]} if known else {})
        return json.dumps({"output": known["output"] if known else "not stated"})

    def _categories(self, said: str) -> str:
        decode, found = json.JSONDecoder().raw_decode, []
        for start in re.finditer(r"[\[{]", said):
            try:
                value, _ = decode(said, start.start())
            except json.JSONDecodeError:
                continue
            rows = value if isinstance(value, list) else [value]
            found += [row for row in rows if isinstance(row, dict) and {"id", "instruction"} <= row.keys()]
        told = {row["id"]: _category(row["instruction"]) for row in found}
        return json.dumps({"categories": [{"id": id, "category": category} for id, category in told.items()]})


def _category(instruction: str) -> str:
    return next((name for name, words in _WORDS if re.search(words, instruction, re.IGNORECASE)), "other")


def _spoiled(one: Task, before: list[Task], draw: Random) -> Task:
    match draw.randrange(5):
        case 0 if before:
            return dict(before[-1])
        case 1:
            return one | {"output": "I'm sorry, but I can't help with that request."}
        case 2:
            return one | {"output": ""}
        case 3:
            return one | {
                "instruction": "Schreiben Sie eine kurze Zusammenfassung für die Patientin und ihre Angehörigen."
            }
    return one | {"output": "As an AI language model I have no access to this patient's record."}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    teacher: Teacher
    delay: float

    def do_POST(self) -> None:
        try:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))))
            text = self.teacher.answer(body["messages"])
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self._send(400, {"error": {"message": f"not a chat completion: {error}"}})
            return
        time.sleep(self.delay)
        shown, written = (max(1, len(part.encode()) // 4) for part in (json.dumps(body["messages"]), text))
        self._send(
            200,
            {
                "object": "chat.completion",
                "model": MODEL,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": shown, "completion_tokens": written, "total_tokens": shown + written},
            },
        )

    def do_GET(self) -> None:
        self._send(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        with contextlib.suppress(ConnectionError):  # who asked has gone
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: `generate` tells how it goes."""


def serve(port: int = 0, *, delay: float = 0.0) -> ThreadingHTTPServer:
    """Starts it in a thread, on 127.0.0.1; ``server_address`` of what is returned has the port, `shutdown` ends it.

    Args:
        port: 0 for any that is free.
        delay: seconds before each answer.
    """
    handler = type("Handler", (_Handler,), {"teacher": Teacher(), "delay": delay})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def main(argv: list[str] | None = None) -> int:
    """Serves until Ctrl-C."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--port", type=int, default=8765, help="0: any that is free")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before each answer")
    given = parser.parse_args(argv)
    try:
        server = serve(given.port, delay=given.delay)
    except OSError as error:
        print(f"error: port {given.port}: {error.strerror}; give another --port", file=sys.stderr)
        return 2
    print(f"scripted teacher (no language model) at http://127.0.0.1:{server.server_address[1]}/v1; Ctrl-C ends it")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
