"""From a server's raw response to a reply: one pure function, used when it arrives and when the journal is read again.

A server may send anything. What cannot be read is a fault of that attempt, and never an exception.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bioinstruct_jax.api.request import Reply

MOST_TOKENS = 10**9  # in one response; what claims more is no count of tokens
BYTES_A_TOKEN = 4  # of English text, for a guess
SHOWN = 300  # characters of what a server said
_TRANSIENT = (408, 409, 425, 429)
_STOPS = (401, 402, 403, 404)
_FILTERED = ("content_filter", "content_policy", "content management policy", "responsibleaipolicy", "moderation")
_FORMATS = ("response_format", "json_schema", "json_object", "guided_json", "structured output")

TOO_LONG = (
    "context_length_exceeded",
    "maximum context length",
    "context size",
    "context window",
)  # OpenAI, vLLM, others


class Kind(StrEnum):
    """What a response means for its request."""

    ANSWERED = "answered"  # a reply
    FILTERED = "filtered"  # none: the server's filter, or its context; that of this request, and no sign of a fault
    REFUSED = "refused"  # none: the server will not take this request
    TRANSIENT = "transient"  # none yet: ask again
    UNSTRUCTURED = "unstructured"  # none yet: ask again without that response_format
    STOP = "stop"  # none for any request: wrong key, unknown model, no credit


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request on its way to a server, with all that its response is read and paid by.

    Attributes:
        id: of this attempt, unique in the journal.
        key, fingerprint, endpoint: of the request.
        number: of this attempt at the request, from 1; one that only found out a response_format has the same again.
        mode: how the server is asked to keep to a schema: schema, json or off.
        probe: whether the server takes that mode is not known.
        input_guess: tokens of the prompt, about.
        input_most, output_most: tokens that it is charged with at most.
        input_price, output_price: of a token, in 1e-12 US dollars.
        batch: number of its batch; 0: none.
    """

    id: int
    key: str
    fingerprint: str
    endpoint: str
    number: int
    mode: str
    probe: bool
    input_guess: int
    input_most: int
    output_most: int
    input_price: int
    output_price: int
    batch: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of an attempt.

    Attributes:
        text, finish, problem: as of a reply; `problem` says what is wrong where there is no answer.
        input_tokens, output_tokens: that the server told, or a guess (`estimated`).
        uncertain_input, uncertain_output: tokens that it may have charged beyond these, at most.
    """

    kind: Kind
    text: str = ""
    finish: str = ""
    problem: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    estimated: bool = False
    uncertain_input: int = 0
    uncertain_output: int = 0

    def reply(self, key: str) -> Reply:
        return Reply(
            key=key,
            text=self.text,
            finish=self.finish,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            estimated=self.estimated,
            problem=self.problem,
        )


def lost(attempt: Attempt, problem: str, *, charged: bool) -> Verdict:
    """An attempt without a response; `charged`: the server may have had it, and may charge it in full."""
    if not charged:
        return Verdict(Kind.TRANSIENT, problem=problem)
    return Verdict(
        Kind.TRANSIENT, problem=problem, uncertain_input=attempt.input_most, uncertain_output=attempt.output_most
    )


def read(attempt: Attempt, status: int, body: str) -> Verdict:
    """What a response says.

    Args:
        status: of HTTP.
        body: its bytes as UTF-8, invalid ones as surrogates (``surrogateescape``).
    """
    value, broken = _json(body)
    if not 200 <= status < 300:
        return _error(attempt, status, value, body)
    if broken:
        return lost(attempt, f"{broken}: {_start(body)}", charged=True)
    tokens = _usage(value)
    text, finish, problem = _choice(value)
    if tokens is None and problem:
        if isinstance(value, dict) and value.get("error"):  # some send their errors with status 200
            problem = f"the server's error: {said(value, body)}"
        return lost(attempt, problem, charged=True)
    estimated, uncertain_input, uncertain_output = tokens is None, 0, 0
    if tokens is None:
        guess = -(-_bytes(text) // BYTES_A_TOKEN)
        tokens = attempt.input_guess, guess
        uncertain_input = max(0, attempt.input_most - attempt.input_guess)
        uncertain_output = max(0, min(attempt.output_most, _bytes(body)) - guess)
    kind = Kind.TRANSIENT if problem else Kind.ANSWERED
    if not problem and finish == "content_filter":
        kind, text, problem = Kind.FILTERED, "", "the server's content filter"
    return Verdict(kind, text, finish, problem, *tokens, estimated, uncertain_input, uncertain_output)


def said(value: Any, body: str) -> str:
    """The message in an error's body, or how the body starts."""
    error = value.get("error", value) if isinstance(value, dict) else None
    if isinstance(error, dict):
        error = next((error[name] for name in ("message", "detail", "code", "type") if error.get(name)), error)
    if error is None or error == value:
        return _start(body)
    return _start(error if isinstance(error, str) else json.dumps(error, ensure_ascii=False))


def _error(attempt: Attempt, status: int, value: Any, body: str) -> Verdict:
    told = f"HTTP {status}: {said(value, body)}"
    words, why = body[:20_000].casefold(), _reasons(value)
    if 300 <= status < 400:
        return Verdict(Kind.REFUSED, problem=f"HTTP {status}: a redirect, which is not followed; is base_url right?")
    if status >= 500 or status in _TRANSIENT or status < 200:
        spent = status == 429 and ("insufficient_quota" in words or "billing_hard_limit" in words)
        return Verdict(Kind.STOP if spent else Kind.TRANSIENT, problem=told)
    if any(word in why for word in _FILTERED):
        return Verdict(Kind.FILTERED, finish="content_filter", problem=f"the server's content filter: {told}")
    if status in (400, 413) and any(sign in words for sign in TOO_LONG):
        return Verdict(Kind.FILTERED, finish="context", problem=told)
    if status in _STOPS:
        return Verdict(Kind.STOP, problem=told)
    if attempt.probe and status in (400, 422) and any(word in words for word in _FORMATS):
        return Verdict(Kind.UNSTRUCTURED, problem=told)
    return Verdict(Kind.REFUSED, problem=told)


def _reasons(value: Any) -> str:
    """What an error's object gives as its reason, in small letters; not the request, which some servers send back."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return error.casefold() if isinstance(error, str) else ""
    inner = error.get("innererror")
    told = [error.get(name) for name in ("message", "code", "type")]
    told.append(inner.get("code") if isinstance(inner, dict) else None)
    return " ".join(each for each in told if isinstance(each, str)).casefold()


def _json(body: str) -> tuple[Any, str]:
    """The value of a body, and what is wrong with it."""
    try:
        return json.loads(body.removeprefix("\ufeff")), ""
    except (ValueError, RecursionError):
        return None, "an empty body" if not body.strip() else "a body that is no whole JSON"


def _choice(value: Any) -> tuple[str, str, str]:
    """Text, finish reason and problem of the first choice."""
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return "", "", "a response without choices"
    choice: Mapping[str, Any] = choices[0]
    finish = choice.get("finish_reason")
    finish = finish if isinstance(finish, str) else ""
    message = choice.get("message")
    if not isinstance(message, dict):
        return "", finish, "" if finish == "content_filter" else "a choice without a message"
    content = message.get("content")
    if isinstance(content, list):  # of parts
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts):
            content = "".join(texts)
    if content is None:  # a model that declines says so elsewhere
        content = message["refusal"] if isinstance(message.get("refusal"), str) else ""
    if not isinstance(content, str):
        return "", finish, f"content that is no text but {type(content).__name__}"
    return content, finish, ""


def _usage(value: Any) -> tuple[int, int] | None:
    """Tokens of prompt and answer, where both are told as counts."""
    usage = value.get("usage") if isinstance(value, dict) else None
    if not isinstance(usage, dict):
        return None
    told = [usage.get("prompt_tokens"), usage.get("completion_tokens")]
    counts = [count for count in told if type(count) is int and 0 <= count <= MOST_TOKENS]
    return (counts[0], counts[1]) if len(counts) == len(told) else None


def _bytes(text: str) -> int:
    return len(text.encode("utf-8", "surrogatepass"))


def _start(text: str) -> str:
    """How a text starts, on one line, without what a terminal might obey."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * SHOWN]).split())
    return line[:SHOWN] + ("..." if len(line) > SHOWN else "")
