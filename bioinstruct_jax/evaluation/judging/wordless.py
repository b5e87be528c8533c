"""Journal lines about restricted texts, without a word of them: what was sent is left out, what came back is reduced to
grades."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from bioinstruct_jax.api import answers
from bioinstruct_jax.api.answers import Attempt, Kind
from bioinstruct_jax.evaluation.judging import verdicts

PREFIX = "restricted/"  # of a request's key
_SIGNS = {Kind.UNSTRUCTURED: "response_format", Kind.FILTERED: "content_filter", Kind.STOP: "insufficient_quota"}


class Wordless:
    """What a journal's lines go through before they are written; `before` is what they went through so far.

    A line still reads as the same kind of outcome (`api.answers.read`), so that an interrupted run goes on.
    """

    def __init__(self, before: Callable[[str], str]) -> None:
        self._before = before

    def __call__(self, text: str) -> str:
        text = self._before(text)
        if f'"{PREFIX}' not in text:
            return text
        line = json.loads(text)
        if not str(line.get("key", "")).startswith(PREFIX):
            return text
        if line["kind"] == "sent":
            line.pop("body", None)
        elif line["kind"] == "response":
            line["body"] = _reduced(line)
        elif "problem" in line:
            line["problem"] = "not kept, as the text is restricted"
        return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _reduced(line: dict[str, Any]) -> str:
    attempt = Attempt(**{name: line[name] for name in Attempt.__dataclass_fields__})
    verdict = answers.read(attempt, int(line["status"]), line["body"])
    if not 200 <= int(line["status"]) < 300:
        return json.dumps({"error": {"message": _SIGNS.get(verdict.kind, "not kept, as the text is restricted")}})
    value: dict[str, Any] = {}
    if not verdict.estimated and verdict.input_tokens + verdict.output_tokens:
        value["usage"] = {"prompt_tokens": verdict.input_tokens, "completion_tokens": verdict.output_tokens}
    if verdict.kind in (Kind.ANSWERED, Kind.FILTERED):
        finish = verdict.finish if verdict.finish in ("stop", "length", "content_filter") else ""
        value["choices"] = [{"message": {"content": _plain(verdict.text)}, "finish_reason": finish}]
    return json.dumps(value)


def _plain(text: str) -> str:
    """A reply's verdict alone; empty where it has none."""
    if (grades := verdicts.grades(text)) is not None:
        return json.dumps(asdict(grades))
    winner = verdicts.winner(text)
    return json.dumps({"winner": winner}) if winner else ""
