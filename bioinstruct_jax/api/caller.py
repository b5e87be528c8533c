"""One HTTP call through the `openai` package. What goes wrong comes back as a value: its exceptions hold the key."""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

from bioinstruct_jax.api.answers import Attempt
from bioinstruct_jax.api.ledger import attempt_line
from bioinstruct_jax.api.redact import LEAST, Redactor, silence
from bioinstruct_jax.api.settings import Endpoint
from bioinstruct_jax.data.guard import is_loopback

CONNECT = 20.0  # seconds in which a connection is made, or not
IDLE = 4.0  # seconds that a connection waits for its next use; servers close theirs after five or more
MOST_BYTES = 32 << 20  # of a response
_HEADERS = ("host", "accept", "accept-encoding", "connection", "content-length", "content-type", "transfer-encoding")
_KEPT = ("retry-after", "retry-after-ms", "x-request-id", "request-id", "date", "content-type", "location")


@dataclass(frozen=True, slots=True)
class Raw:
    """A response: HTTP status, some headers by names in small letters, and the body as UTF-8 with surrogates."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True, slots=True)
class Fault:
    """No response. `why`: connection or time-out; `charged`: the server may have had the request."""

    why: str
    problem: str
    charged: bool


def key_of(name: str, endpoint: Endpoint) -> str:
    """The key of an endpoint, from the environment; empty where it needs none.

    Raises ValueError, without the key, where it is missing or cannot be one.
    """
    key, variable = os.environ.get(endpoint.key_env, "").strip(), endpoint.key_env
    if is_loopback(endpoint.base_url):
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise ValueError(f"endpoint {name}: the key in {variable} has characters that no header may have")
        return key
    if not key:
        raise ValueError(
            f"endpoint {name}: no key for {endpoint.base_url}; put it into the environment variable {variable}, or "
            "name the variable that has it as key_env"
        )
    if not (key.isascii() and key.isprintable()) or " " in key:
        raise ValueError(f"endpoint {name}: the key in {variable} has characters that no header may have; copy it anew")
    if len(key) < LEAST:
        raise ValueError(f"endpoint {name}: what is in {variable} has {len(key)} characters, which is no key")
    return key


class Caller:
    """The HTTP client of an endpoint: no proxy, no redirect, no retry, nothing taken from the environment."""

    def __init__(self, endpoint: Endpoint, key: str, redact: Redactor) -> None:
        import httpx2
        from openai import AsyncOpenAI

        silence()
        self._redact = redact
        self._timeout = endpoint.limits.timeout
        most = endpoint.limits.concurrency

        async def only_ours(request: httpx2.Request) -> None:
            """The package adds headers that name this machine, and those of its environment variables."""
            for name in [name for name in request.headers if name.lower() not in _HEADERS]:
                del request.headers[name]
            request.headers["user-agent"] = "bioinstruct-jax"
            request.headers["accept-encoding"] = "identity"  # what is unpacked cannot be bounded
            if key:
                request.headers["authorization"] = f"Bearer {key}"

        self._client = AsyncOpenAI(
            api_key=key or "none",
            admin_api_key="",
            organization="",
            project="",
            webhook_secret="",
            base_url=endpoint.base_url,
            max_retries=0,
            http_client=httpx2.AsyncClient(
                transport=_bounded(
                    httpx2.Limits(max_connections=most + 8, max_keepalive_connections=most, keepalive_expiry=IDLE)
                ),
                trust_env=False,
                follow_redirects=False,
                timeout=httpx2.Timeout(self._timeout, connect=min(self._timeout, CONNECT), pool=None),
                event_hooks={"request": [only_ours]},
            ),
        )

    async def close(self) -> None:
        await self._client.close()

    async def post(self, path: str, body: bytes) -> Raw | Fault:
        return await self._call("post", path, content=body, options={"headers": {"Content-Type": "application/json"}})

    async def upload(self, path: str, name: str, content: bytes, fields: Mapping[str, str]) -> Raw | Fault:
        """A file, as a form."""
        form = {"headers": {"Content-Type": "multipart/form-data"}}
        files = [("file", (name, content, "application/jsonl"))]
        return await self._call("post", path, body=dict(fields), files=files, options=form)

    async def get(self, path: str) -> Raw | Fault:
        return await self._call("get", path)

    async def _call(self, method: str, path: str, **more: Any) -> Raw | Fault:
        import httpx2
        import openai

        try:
            async with asyncio.timeout(self._timeout):
                call = self._client.get if method == "get" else self._client.post
                response = await call(path, cast_to=httpx2.Response, **more)
        except openai.APIStatusError as error:
            response = error.response
        except TimeoutError:
            return Fault("time-out", f"no answer within {self._timeout:g} seconds", charged=True)
        except Exception as error:  # of any library beneath: none may escape with its request
            return self._fault(error)
        try:
            headers = {name.lower(): value for name, value in response.headers.items() if name.lower() in _KEPT}
            return Raw(response.status_code, headers, response.content.decode("utf-8", "surrogateescape"))
        except Exception as error:
            return self._fault(error)

    def _fault(self, error: Exception) -> Fault:
        import httpx2
        import openai

        cause = error.__cause__ or error
        unsent = isinstance(
            cause, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.UnsupportedProtocol
        )
        late = isinstance(error, openai.APITimeoutError)
        what = " ".join(str(cause).split())[:200] or "no reason is given"
        told = self._redact(f"{type(cause).__name__}: {what}")
        return Fault("time-out" if late else "connection", told, charged=not unsent)


def outcome_line(attempt: Attempt, raw: Raw | Fault) -> dict[str, Any]:
    """The journal's line of what came back."""
    if isinstance(raw, Fault):
        return attempt_line("fault", attempt, why=raw.why, problem=raw.problem, charged=raw.charged)
    return attempt_line("response", attempt, status=raw.status, headers=raw.headers, body=raw.body)


def _bounded(limits: Any) -> Any:
    """A transport that gives up a response of more than `MOST_BYTES`: it would fill the journal, and memory before."""
    import httpx2

    class Body(httpx2.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            size = 0
            async for part in self._stream:
                size += len(part)
                if size > MOST_BYTES:
                    raise httpx2.ReadError(f"the answer has more than {MOST_BYTES:,} bytes")
                yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    class Bounded(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            response = await super().handle_async_request(request)
            response.stream = Body(response.stream)
            return response

    return Bounded(trust_env=False, limits=limits)
