"""Requests through the batch API: a file of them is uploaded, answered within a day, at a lower price.

The journal has a batch before its file is uploaded, the file before the batch is made, and the batch before it is
waited for. A run that was killed in between looks for its batch in the server's list by name, and makes none twice.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bioinstruct_jax.api.answers import Attempt, Kind, Verdict, read, said
from bioinstruct_jax.api.caller import Fault, Raw
from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.ledger import Batch, Cost, Id, attempt_line, worst
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.api.server import Server

MOST_REQUESTS = 50_000  # in a file
MOST_BYTES = 200_000_000
AT_ONCE = 500  # results journaled together
LONGEST_POLL = 60.0  # seconds between two looks at a batch
PAGES = 20  # of the server's list of batches, newest first, 100 on each
_ENDED = ("completed", "failed", "expired", "cancelled")
_PROBE = Attempt(0, "", "", "", 1, "off", False, 0, 0, 0, 0, 0)  # by which a response about a batch is judged
log = logging.getLogger(__name__)


async def ask(client: Client, server: Server, requests: Sequence[Request]) -> None:
    """Have the journal answer all these requests of one endpoint, through as many batches as it takes.

    Raises what `Client.ask` does.
    """
    waiting: dict[Id, tuple[Request, int]] = {}
    for request in requests:
        identity = (request.key, server.fingerprint(request))
        if identity not in waiting and not client.replay(identity):
            waiting[identity] = request, 1
    while waiting:
        client.check_halt()
        under_way = [batch for batch in client.journal.ledger.batches.values() if batch.address == server.address]
        under_way = [batch for batch in under_way if batch.endpoint == server.name]
        sent = {(each.key, each.fingerprint) for batch in under_way for each in batch.attempts.values()}
        fresh = [one for identity, one in waiting.items() if identity not in sent]
        follow = [(batch.number, b"") for batch in under_way]
        while fresh:
            number, content, count = await _plan(client, server, fresh)
            if not count:
                break
            follow.append((number, content))
            fresh = fresh[count:]
        if not follow:
            attempt, _ = server.attempt(*fresh[0], batch=1)
            client.over(worst(attempt))
        ended = await asyncio.gather(*(_follow(client, server, *each) for each in follow), return_exceptions=True)
        for result in ended:
            if isinstance(result, BaseException):
                raise result from None
            for attempt, verdict in result:
                identity = (attempt.key, attempt.fingerprint)
                if identity in waiting:
                    again = attempt.number + (verdict.kind is Kind.TRANSIENT)
                    waiting[identity] = waiting[identity][0], again
        waiting = {identity: one for identity, one in waiting.items() if not client.journal.reply(*identity)}


async def _plan(client: Client, server: Server, requests: Sequence[tuple[Request, int]]) -> tuple[int, bytes, int]:
    """Journal a batch of the first requests, as many as a file may have and the budget bears.

    Returns its number, its file, and how many those are; none: the budget bears no more.
    """
    ledger = client.journal.ledger
    number, first = ledger.last_batch + 1, ledger.last_attempt + 1
    lines: list[dict[str, Any]] = []
    parts: list[bytes] = []
    size, total = 0, Cost()
    for request, count in requests[:MOST_REQUESTS]:
        attempt, body = server.attempt(request, count, batch=number)
        attempt = replace(attempt, id=first + len(parts))
        asked = {"custom_id": str(attempt.id), "method": "POST", "url": "/v1/chat/completions", "body": body}
        part = json.dumps(asked, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
        size, total = size + len(part), total + worst(attempt)
        if size > MOST_BYTES or not client.fits(total):
            break
        lines.append(attempt_line("sent", attempt, **({"body": body} if count == 1 else {})))
        parts.append(part)
    if parts:
        name = f"bioinstruct-{uuid.uuid4().hex}"
        about = {"batch": number, "name": name, "endpoint": server.name, "address": server.address}
        await client.journal.send(*lines, {"kind": "batch", **about})
    return number, b"".join(parts), len(parts)


async def _follow(client: Client, server: Server, number: int, content: bytes) -> list[tuple[Attempt, Verdict]]:
    """Bring a batch to its end, from wherever it stands. `content`: its file, where this process made it."""
    batch = client.journal.ledger.batches[number]
    attempts = dict(batch.attempts)
    client.count_on_way(len(attempts))
    try:
        if not batch.file and not content:  # killed before its file was there: nobody has ever seen it
            await client.journaled([(attempt, Fault("batch", "never sent", False)) for attempt in attempts.values()])
            await client.journal.send({"kind": "finished", "batch": number})
            return []
        resumed = bool(batch.file)
        if not batch.file:
            batch = await _upload(client, server, batch, content)
        if not batch.id:
            batch = await _submit(client, server, batch, resumed=resumed)
        value = await _poll(client, server, batch)
        found = await _results(client, server, batch, value)
        ended = await _end(client, server, batch, found)
        if value["status"] == "failed":
            client.stop(f"endpoint {server.name}: batch {batch.id} failed: {_errors(value)}")
        return ended
    finally:
        client.count_on_way(-len(attempts))


async def _upload(client: Client, server: Server, batch: Batch, content: bytes) -> Batch:
    for last in _tries(server):
        raw = await client.caller(server).upload("/files", f"{batch.name}.jsonl", content, {"purpose": "batch"})
        if (value := _value(client, server, raw, "the upload of a batch's file", last=last)) is not None:
            file = _text(client, server, value, "id", "the upload of a batch's file")
            await client.journal.send({"kind": "uploaded", "batch": batch.number, "file": file})
            return replace(batch, file=file)
        await client.nap(server.endpoint.limits.backoff)
    raise AssertionError("the last try returns or raises")


async def _submit(client: Client, server: Server, batch: Batch, *, resumed: bool) -> Batch:
    """Make the batch, unless the server has it: a first try may have come through whose answer was lost."""
    asked = {
        "input_file_id": batch.file,
        "endpoint": "/v1/chat/completions",
        "completion_window": "24h",
        "metadata": {"name": batch.name},
    }
    for last in _tries(server):
        found = await _find(client, server, batch) if resumed else None
        if found is None:
            raw = await client.caller(server).post("/batches", json.dumps(asked).encode())
            value = _value(client, server, raw, "the making of a batch", last=last)
            found = None if value is None else _text(client, server, value, "id", "the making of a batch")
        if found is not None:
            await client.journal.send({"kind": "submitted", "batch": batch.number, "id": found})
            return replace(batch, id=found)
        resumed = True
        await client.nap(server.endpoint.limits.backoff)
    raise AssertionError("the last try returns or raises")


async def _find(client: Client, server: Server, batch: Batch) -> str | None:
    """The id of a batch in the server's list, by its name or its file."""
    after = ""
    for _ in range(PAGES):
        value = await _get(client, server, f"/batches?limit=100{after}", "the list of batches")
        page = value.get("data")
        page = [each for each in page if isinstance(each, dict)] if isinstance(page, list) else []
        for each in page:
            metadata = each.get("metadata")
            named = isinstance(metadata, dict) and metadata.get("name") == batch.name
            if (named or each.get("input_file_id") == batch.file) and isinstance(each.get("id"), str):
                return str(each["id"])
        if not page or not value.get("has_more"):
            break
        after = f"&after={page[-1].get('id')}"
    return None


async def _poll(client: Client, server: Server, batch: Batch) -> dict[str, Any]:
    wait = server.endpoint.limits.backoff
    while True:
        value = await _get(client, server, f"/batches/{batch.id}", f"batch {batch.id}")
        if value.get("status") in _ENDED:
            return value
        await client.nap(wait)
        wait = min(LONGEST_POLL, wait * 1.5)


async def _results(client: Client, server: Server, batch: Batch, value: dict[str, Any]) -> dict[int, Raw | Fault]:
    """What came back for each attempt, by id; the first of several counts."""
    found: dict[int, Raw | Fault] = {}
    odd = 0
    for name in ("output_file_id", "error_file_id"):
        file = value.get(name)
        if not isinstance(file, str) or not file:
            continue
        for custom_id, result in _lines(await _content(client, server, file)):
            place = int(custom_id) if custom_id.isascii() and custom_id.isdigit() and len(custom_id) < 19 else 0
            if place not in batch.attempts or place in found:
                odd += 1
            else:
                found[place] = result
    missing = batch.attempts.keys() - found.keys()
    charged = value["status"] == "completed"  # and so it may have been answered; else it was not begun
    for place in missing:
        found[place] = Fault("batch", f"no result in a batch that is {value['status']}", charged)
    if odd:
        log.warning("batch %s: %d results are of no request, or of one that has its result", batch.id, odd)
    return found


async def _end(
    client: Client, server: Server, batch: Batch, found: dict[int, Raw | Fault]
) -> list[tuple[Attempt, Verdict]]:
    """Journal what came back, and then what comes of it."""
    pairs = [(batch.attempts[place], found[place]) for place in sorted(found)]
    ended: list[tuple[Attempt, Verdict]] = []
    for start in range(0, len(pairs), AT_ONCE):
        some = pairs[start : start + AT_ONCE]
        verdicts = await client.journaled(some)
        ended += [(attempt, verdict) for (attempt, _), verdict in zip(some, verdicts, strict=True)]
    await client.journal.send({"kind": "finished", "batch": batch.number})
    for attempt, verdict in ended:
        await client.settle(server, attempt, verdict)
    return ended


def _lines(body: str) -> Iterator[tuple[str, Raw | Fault]]:
    """Custom id and result of each line of an output or error file; a line that is none is passed over."""
    for line in body.split("\n"):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(value, dict) or not isinstance(value.get("custom_id"), str):
            continue
        response = value.get("response")
        if isinstance(response, dict):
            status, content = response.get("status_code"), response.get("body")
            status = status if isinstance(status, int) and 100 <= status < 600 else 200
            text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
            yield value["custom_id"], Raw(status, {}, text)
        else:
            yield value["custom_id"], Fault("batch", said(value, line), False)


async def _content(client: Client, server: Server, file: str) -> str:
    """The text of a file; empty where the server no longer has it."""
    for last in _tries(server):
        raw = await client.caller(server).get(f"/files/{file}/content")
        if isinstance(raw, Raw) and 200 <= raw.status < 300:
            return raw.body
        if isinstance(raw, Raw) and raw.status == 404:
            log.warning("endpoint %s no longer has file %s; its requests are asked again", server.name, file)
            return ""
        if isinstance(raw, Raw):
            _value(client, server, raw, f"file {file}", last=last)
        elif last:
            client.stop(f"endpoint {server.name}: file {file}: {raw.problem}; start the same command again")
        await client.nap(server.endpoint.limits.backoff)
    raise AssertionError("the last try returns or raises")


async def _get(client: Client, server: Server, path: str, what: str) -> dict[str, Any]:
    for last in _tries(server):
        raw = await client.caller(server).get(path)
        if (value := _value(client, server, raw, what, last=last)) is not None:
            return value
        await client.nap(server.endpoint.limits.backoff)
    raise AssertionError("the last try returns or raises")


def _tries(server: Server) -> Iterator[bool]:
    """Once for each attempt: whether it is the last."""
    attempts = server.endpoint.limits.attempts
    return (number == attempts for number in range(1, attempts + 1))


def _value(client: Client, server: Server, raw: Raw | Fault, what: str, *, last: bool) -> dict[str, Any] | None:
    """The object in a response about a batch; None: try again. Stops where that does not help, or was the last try."""
    if isinstance(raw, Raw) and 200 <= raw.status < 300:
        try:
            value = json.loads(raw.body)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        problem, over = "a body that is no JSON object", last
    elif isinstance(raw, Raw):
        verdict = read(_PROBE, raw.status, raw.body)
        problem, over = verdict.problem, last or verdict.kind is not Kind.TRANSIENT
    else:
        problem, over = raw.problem, last
    if over:
        client.stop(
            f"endpoint {server.name} ({server.endpoint.base_url}): {what}: {problem}. What was sent goes on there; "
            "start the same command again to fetch it"
        )
    return None


def _text(client: Client, server: Server, value: dict[str, Any], name: str, what: str) -> str:
    found = value.get(name)
    if not isinstance(found, str) or not found:
        client.stop(f"endpoint {server.name}: {what}: the response has no {name}; does it have a batch API?")
    return found


def _errors(value: dict[str, Any]) -> str:
    """What the server says of a batch that failed."""
    errors = value.get("errors")
    data = errors.get("data") if isinstance(errors, dict) else None
    told = [said(each, str(each)) for each in data if isinstance(each, dict)] if isinstance(data, list) else []
    return "; ".join(told[:3]) or "no reason is given"
