"""The batch API of the local server: files, batches, and results that are shuffled, doubled, missing or foreign."""

import json
import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from tests.api.server import Answer, Seen, completion, error


class Batches:
    """Answers what is no chat completion, as `Server`'s ``other``.

    Attributes:
        made: batches that were made, with what each was asked.
        polls: looks at a batch until it is ended.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
        *,
        polls: int = 2,
        status: str = "completed",
        missing: Sequence[int] = (),
        faults: dict[str, list[Answer]] | None = None,
    ) -> None:
        """Args:
        answer: the `response` of a request (a line of the file); None: an answer.
        status: with which the batches end, one after the other those of a list.
        missing: places in a batch that have no result.
        faults: by method and start of a path, what is done instead, the first times.
        """
        self.answer = answer or (lambda asked: {"status_code": 200, "body": json.loads(_completion(asked))})
        self.polls, self.missing = polls, missing
        self.statuses = [status] if isinstance(status, str) else list(status)
        self.faults = faults or {}
        self.files: dict[str, str] = {}
        self.made: list[dict[str, Any]] = []
        self.looks: dict[str, int] = {}

    def __call__(self, seen: Seen) -> Answer:
        path = seen.path.split("?")[0].removeprefix("/v1")
        for start, answers in self.faults.items():
            if f"{seen.method} {path}".startswith(start) and answers:
                fault = answers.pop(0)
                if fault.status < 400 and fault.reset:  # done, but nobody hears of it
                    self._do(seen, path)
                return fault
        return self._do(seen, path)

    def _do(self, seen: Seen, path: str) -> Answer:
        if seen.method == "POST" and path == "/files":
            name = f"file-{len(self.files) + 1}"
            assert b'name="purpose"\r\n\r\nbatch' in seen.body
            found = re.search(rb'filename="[^"]*".*?\r\n\r\n(.*?)\r\n--', seen.body, re.DOTALL)
            assert found
            self.files[name] = found[1].decode()
            return _json({"id": name})
        if seen.method == "POST" and path == "/batches":
            asked = seen.json
            lines = [json.loads(line) for line in self.files[asked["input_file_id"]].splitlines()]
            made = {"id": f"batch_{len(self.made) + 1}", "lines": lines, **asked}
            self.made.append(made)
            return _json({"id": made["id"], "status": "validating"})
        if path == "/batches":
            data = [{key: made[key] for key in ("id", "input_file_id", "metadata")} for made in self.made]
            return _json({"data": data, "has_more": False})
        if found := re.fullmatch(r"/batches/(batch_(\d+))", path):
            return self._look(found[1], int(found[2]) - 1)
        if (found := re.fullmatch(r"/files/(.+)/content", path)) and found[1] in self.files:
            return Answer(body=self.files[found[1]].encode())
        return error("no such page", 404)

    def _look(self, name: str, place: int) -> Answer:
        self.looks[name] = self.looks.get(name, 0) + 1
        if self.looks[name] <= self.polls:
            return _json({"id": name, "status": "in_progress"})
        status = self.statuses[min(place, len(self.statuses) - 1)]
        value: dict[str, Any] = {"id": name, "status": status, "output_file_id": None, "error_file_id": None}
        if status == "failed":
            value["errors"] = {"data": [{"code": "invalid", "message": "the file is no good"}]}
            return _json(value)
        lines = self.made[place]["lines"]
        half = lines if status == "completed" else lines[::2]
        good, bad = [], []
        for number, asked in enumerate(half):
            if number not in self.missing:
                response = self.answer(asked)
                line = {"custom_id": asked["custom_id"], "response": response, "error": None}
                (good if response["status_code"] < 400 else bad).append(line)
        good += [*good[:1], {"custom_id": "of-another", "response": {"status_code": 200, "body": {}}}]
        late = {"code": "batch_expired", "message": "not executed in time"}
        bad += [{"custom_id": each["custom_id"], "response": None, "error": late} for each in lines if each not in half]
        random.Random(place).shuffle(good)
        for kind, found in (("output", good), ("error", bad)):
            if found:
                self.files[f"{kind}-{name}"] = "\n".join([*map(json.dumps, found), "no JSON", ""])
                value[f"{kind}_file_id"] = f"{kind}-{name}"
        return _json(value)


def _completion(asked: dict[str, Any]) -> bytes:
    return completion(f"answer to {asked['body']['messages'][-1]['content']}")


def _json(value: Any) -> Answer:
    return Answer(body=json.dumps(value).encode())
