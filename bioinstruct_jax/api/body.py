"""A request as the body of a chat completion, and how many tokens it can come to."""

import json
from typing import Any

from bioinstruct_jax.api.answers import BYTES_A_TOKEN
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.api.settings import Endpoint

MODES = ("schema", "json", "off")  # from the strictest on
AROUND = 64  # tokens of a chat template around a prompt, at most; and as many around each message
_DECODING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")


def body(endpoint: Endpoint, request: Request, mode: str) -> dict[str, Any]:
    """What is sent; `mode`: how the server is asked to keep to the schema."""
    decoding = endpoint.decoding
    said: dict[str, Any] = {
        "model": endpoint.model,
        "messages": [{"role": role, "content": _sendable(content)} for role, content in request.messages],
        decoding.limit_name: decoding.max_tokens,
    }
    said |= {name: value for name in _DECODING if (value := getattr(decoding, name)) is not None}
    said |= decoding.extra
    if request.schema is not None and mode == "schema":
        held = {"name": "answer", "schema": request.schema, "strict": True}
        said["response_format"] = {"type": "json_schema", "json_schema": held}
    elif request.schema is not None and mode == "json":
        said["response_format"] = {"type": "json_object"}
    return said


def as_bytes(said: dict[str, Any]) -> bytes:
    """A request's body as it is sent: compact JSON in UTF-8."""
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode()


def prompt_tokens(said: dict[str, Any]) -> tuple[int, int]:
    """Tokens of a prompt: about, and at most.

    A token of the usual byte-level vocabularies stands for at least one byte of UTF-8, so there are at most as many as
    bytes, beside those that the chat template puts around each message; a schema counts as part of the prompt.
    """
    parts = [text for message in said["messages"] for text in message.values()]
    if "response_format" in said:
        parts.append(json.dumps(said["response_format"], ensure_ascii=False))
    size = sum(len(part.encode()) for part in parts)
    messages = len(said["messages"])
    return -(-size // BYTES_A_TOKEN) + 4 * messages, size + AROUND * (messages + 1)


def _sendable(text: str) -> str:
    """A text without lone surrogates, which UTF-8 cannot hold and servers refuse; each becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
