"""How near the client comes to the ideal: many requests to a local server that is slow and takes few at once.

    python -m tests.benchmarks.client

Ideal: requests x latency / connections. Two servers: one has further requests wait, one answers them with 429 and
``Retry-After: 1``. The server runs in a process of its own; the journal is synced line by line, as always.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.api.settings import Budget, Endpoint, Limits


async def run(url: str, folder: Path, requests: int, most: int) -> tuple[float, list[float], Client]:
    """Seconds in all, and when each answer came."""
    endpoint = Endpoint(base_url=url, model="m", limits=Limits(concurrency=most))
    asked = [Request(f"r{place}", "teacher", (("user", f"question {place}" * 20),)) for place in range(requests)]
    done: list[float] = []

    async def one(client: Client, request: Request) -> None:
        await client.ask(request)
        done.append(time.perf_counter())

    with Journal.open(folder / "journal.jsonl") as journal:
        async with Client({"teacher": endpoint}, journal=journal, budget=Budget()) as client:
            start = time.perf_counter()
            await asyncio.gather(*(one(client, request) for request in asked))
    return time.perf_counter() - start, done, client


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[32, 64], help="the client's limit")
    given = parser.parse_args()
    ideal = given.requests * given.latency / given.connections
    print(f"{given.requests} requests, {given.latency} s, {given.connections} at once: ideal {ideal:.2f} s")
    for most in given.concurrency:
        for refuse in (False, True):
            command = [sys.executable, "-m", "tests.api.server", "--latency", str(given.latency)]
            command += ["--most", str(given.connections)] + ["--refuse"] * refuse
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
                assert server.stdout
                url = server.stdout.readline().strip()
                with tempfile.TemporaryDirectory() as folder:
                    seconds, done, client = asyncio.run(run(url, Path(folder), given.requests, most))
                server.terminate()
            done.sort()
            ramp = given.requests // 20  # answers until the pace is reached
            rest = (done[-1] - done[ramp - 1]) / ((given.requests - ramp) * given.latency / given.connections)
            print(
                f"client up to {most}, further ones {'get 429' if refuse else 'wait   '}: {seconds:6.2f} s, "
                f"{seconds / ideal:.3f} x ideal; after the first {ramp}: {rest:.3f} x; {client.counts.sent} sent, "
                f"{re.sub('Counter', '', json.dumps(client.counts.retried))}",
                flush=True,
            )


if __name__ == "__main__":
    main()
