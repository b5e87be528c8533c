"""What the tests of the client share: an endpoint of a server here, and a client that asks it."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.counts import Counts
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.request import Reply, Request
from bioinstruct_jax.api.settings import Budget, Decoding, Endpoint, Limits, Price

Asked = tuple[list[Reply], Counts]


def endpoint(url: str, *, limits: dict[str, Any] | None = None, **settings: Any) -> Endpoint:
    fast = {"backoff": 0.01, "timeout": 60.0, "attempts": 4, **(limits or {})}  # no machine is so busy as to time out
    settings.setdefault("decoding", Decoding(max_tokens=100))
    settings.setdefault("price", Price(input=1.0, output=10.0))
    return Endpoint(base_url=url, model="m-1", key_env="TEST_API_KEY", limits=Limits(**fast), **settings)


def requests(count: int, **more: Any) -> list[Request]:
    return [Request(f"r{place}", "teacher", (("user", f"question {place}"),), **more) for place in range(count)]


@pytest.fixture
def ask(tmp_path: Path) -> Callable[..., Asked]:
    """Asks an endpoint, with a journal in a file of this test: the same one each time."""

    def ask(server: Endpoint, asked: Sequence[Request], budget: Budget | None = None) -> Asked:
        async def run() -> Asked:
            with Journal.open(tmp_path / "journal.jsonl") as journal:
                async with Client({"teacher": server}, journal=journal, budget=budget or Budget()) as client:
                    ask.client = client  # type: ignore[attr-defined]  # for what it says after an exception
                    return await client.ask_all(asked), client.counts

        return asyncio.run(run())

    return ask
