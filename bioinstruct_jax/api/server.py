"""An endpoint, and how it is asked at the moment."""

import logging
import time
from dataclasses import asdict
from typing import Any

from bioinstruct_jax.api import body as bodies
from bioinstruct_jax.api.answers import Attempt
from bioinstruct_jax.api.caller import Caller, Fault, Raw
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.pace import LONGEST, Bucket, Gate, retry_after
from bioinstruct_jax.api.request import Request
from bioinstruct_jax.api.settings import Endpoint

TOLD = 60.0  # seconds that a server has us wait from which a person is told
AHEAD = 4  # requests that are in the journal already while they wait at the gate, so that it never waits for the disk
log = logging.getLogger(__name__)


class Server:
    """An endpoint and how it is asked at the moment."""

    def __init__(self, name: str, endpoint: Endpoint, journal: Journal) -> None:
        limits, price = endpoint.limits, endpoint.price
        self.name, self.endpoint, self.journal = name, endpoint, journal
        self.address = f"{endpoint.base_url} {endpoint.model}"
        self.decoding = asdict(endpoint.decoding)
        self.gate = Gate(limits.concurrency)
        self.stage = Gate(max(1, min(AHEAD, limits.concurrency // 4)))  # before it: its limit never changes
        self.requests = Bucket(limits.requests_per_minute) if limits.requests_per_minute else None
        self.tokens = Bucket(limits.tokens_per_minute) if limits.tokens_per_minute else None
        self.prices = (round(price.input * 1e6), round(price.output * 1e6)) if price else (0, 0)
        self.flying = 0  # attempts that wait for a response
        self.takes: set[str] = set()  # response_formats with which it has answered
        self.caller: Caller | None = None

    def mode(self, request: Request) -> str:
        """How the server is asked to keep to the request's schema now: schema, json or off."""
        if request.schema is None:
            return "off"
        asked = self.endpoint.structured
        return self.journal.ledger.modes.get(self.address, bodies.MODES[0]) if asked == "auto" else asked

    def fingerprint(self, request: Request) -> str:
        return request.fingerprint(self.endpoint.model, self.decoding)

    def attempt(self, request: Request, number: int, *, batch: int = 0) -> tuple[Attempt, dict[str, Any]]:
        """The next attempt at a request, still without an id, and its body."""
        mode = self.mode(request)
        said = bodies.body(self.endpoint, request, mode)
        guess, most = bodies.prompt_tokens(said)
        price = self.endpoint.price
        factor = price.batch if batch and price else 1.0
        attempt = Attempt(
            id=0,
            key=request.key,
            fingerprint=self.fingerprint(request),
            endpoint=self.name,
            number=number,
            mode=mode,
            probe=self.endpoint.structured == "auto" and mode != "off" and mode not in self.takes,
            input_guess=guess,
            input_most=most,
            output_most=self.endpoint.decoding.max_tokens,
            input_price=round(self.prices[0] * factor),
            output_price=round(self.prices[1] * factor),
            batch=batch,
        )
        return attempt, said

    def looser(self, mode: str) -> str | None:
        """What to ask for now that a response_format was refused; None: it was once taken, or that is known."""
        known = self.journal.ledger.modes.get(self.address, bodies.MODES[0])
        return None if mode in self.takes or known != mode else bodies.MODES[bodies.MODES.index(mode) + 1]

    def learn(self, raw: Raw | Fault, started: float, through: int) -> None:
        """Ask harder, or less hard, after what came back to an attempt sent at `started` as one of `through`."""
        if isinstance(raw, Fault):
            if raw.why == "time-out":
                self.gate.overloaded(started, through, ours=False)
            return
        wait = retry_after(raw.headers, time.time()) if raw.status == 429 or raw.status >= 500 else None
        if raw.status in (429, 503):
            self.gate.overloaded(started, through, ours=raw.status == 429 or wait is not None)
        elif raw.status < 400:
            self.gate.succeeded(started, through)
        if wait is not None:
            if wait > TOLD:
                log.warning("%s wants to be left alone for %.0f s; waiting %.0f s", self.name, wait, min(wait, LONGEST))
            self.gate.hold(min(wait, LONGEST))
