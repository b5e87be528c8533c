"""The client of OpenAI-compatible servers: limits, retries, budget, breaker; a journal, so that nothing is paid twice.

An attempt goes: its share of the minute, its worst case within the budget, the journal's `sent`, the server's gate, the
server, the journal's `response`, and only then is the response read. What comes of it depends on the journal alone, so
that the same command, started again, goes on where it ended.
"""

import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn, Self

from bioinstruct_jax.api import body as bodies
from bioinstruct_jax.api import spending
from bioinstruct_jax.api.answers import Attempt, Kind, Verdict
from bioinstruct_jax.api.caller import Caller, Fault, Raw, key_of, outcome_line
from bioinstruct_jax.api.counts import Counts
from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.ledger import Cost, Id, attempt_line, worst
from bioinstruct_jax.api.redact import Redactor
from bioinstruct_jax.api.request import Reply, Request
from bioinstruct_jax.api.server import Server
from bioinstruct_jax.api.settings import Budget, Endpoint
from bioinstruct_jax.data import guard

BACKOFF = 60.0  # seconds, the longest that a request waits of its own accord


class Client:
    """Asks servers, each request once.

    Exceptions of `ask` and `ask_all` end the run: after one, everything else raises it too, but for what is on its way,
    which is finished. Gather with ``return_exceptions=True``, so that a cancelled task does not cut off what was paid.
    """

    def __init__(
        self,
        endpoints: Mapping[str, Endpoint],
        *,
        journal: Journal,
        budget: Budget,
        restricted: int = 0,
        offline: bool = False,
    ) -> None:
        """
        Args:
            endpoints: by name.
            restricted: how many of the texts that will be sent are restricted.
            offline: nothing is sent; what the journal does not answer stops the run.
        """
        self.journal, self.budget, self.offline = journal, budget, offline
        self._restricted = restricted
        self._counts = Counts()
        self.servers = {name: Server(name, endpoint, journal) for name, endpoint in endpoints.items()}
        self.redact = Redactor(())
        self._order = itertools.count()
        self._on_way = 0  # attempts whose worst case is reserved, those not yet journaled as sent too
        self._locks: dict[Id, asyncio.Lock] = {}
        self._settled, self._halted = asyncio.Event(), asyncio.Event()
        self._halt: Exception | None = None

    def check(self) -> None:
        """Look for what would make the first request fail: no key; restricted text for another machine.

        Raises ValueError that says what to do.
        """
        for name, server in self.servers.items() if not self.offline else ():
            guard.check_endpoint(server.endpoint.base_url, restricted=self._restricted)
            key_of(name, server.endpoint)

    async def __aenter__(self) -> Self:
        self.check()
        if self.offline:
            return self
        keys = {name: key_of(name, server.endpoint) for name, server in self.servers.items()}
        self.redact = self.journal.redact = Redactor(keys.values())
        for name, server in self.servers.items():
            server.caller = Caller(server.endpoint, keys[name], self.redact)
            if len(self.journal.ledger.streaks.get(name, {})) >= server.endpoint.limits.breaker:
                await self._reopen(server)  # killed while it stopped
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self.servers.values():
            if server.caller:
                await server.caller.close()
                server.caller = None

    @property
    def counts(self) -> Counts:
        """The counts at this moment."""
        ledger = self.journal.ledger
        return replace(
            self._counts,
            retried=Counter(self._counts.retried),
            lost=ledger.lost,
            input_tokens=ledger.spent.input,
            output_tokens=ledger.spent.output,
            dollars=ledger.spent.dollars,
            uncertain_tokens=ledger.uncertain.tokens,
            uncertain_dollars=ledger.uncertain.dollars,
            reserved_tokens=ledger.reserved.tokens,
            reserved_dollars=ledger.reserved.dollars,
            paused={name: server.gate.held for name, server in self.servers.items() if server.gate.held},
            streak=max((len(streak) for streak in ledger.streaks.values()), default=0),
        )

    async def ask(self, request: Request) -> Reply:
        """The reply to a request: from the journal where it has one, else from its server.

        Raises:
            BudgetError: asking could cost more than is left.
            StoppedError: a server will not answer.
            OSError: the journal cannot be written.
        """
        server = self.servers[request.endpoint]
        identity = (request.key, server.fingerprint(request))
        if reply := self.replay(identity):
            return reply
        if self.offline:
            self.stop(f"the journal has no answer to {request.key}, and nothing is to be asked")
        lock = self._locks.setdefault(identity, asyncio.Lock())
        async with lock:  # who asks for the same meanwhile gets the same reply
            if reply := self.replay(identity):
                return reply
            self._counts.waiting += 1
            try:
                return await self._ask(server, request)
            finally:
                self._counts.waiting -= 1
                self._locks.pop(identity, None)

    async def ask_all(self, requests: Sequence[Request]) -> list[Reply]:
        """The replies to requests, in their order; through the batch API where the endpoint's `batch` is on.

        Raises what `ask` does, once all that was on its way has ended.
        """
        from bioinstruct_jax.api import batches

        by_batch = {
            name: list[Request]()
            for name, server in self.servers.items()
            if server.endpoint.batch == "on" and not self.offline
        }
        for request in requests:
            if request.endpoint in by_batch:
                by_batch[request.endpoint].append(request)
        done = await asyncio.gather(
            *(batches.ask(self, self.servers[name], some) for name, some in by_batch.items() if some),
            *(self.ask(request) for request in requests if request.endpoint not in by_batch),
            return_exceptions=True,
        )
        for result in done:
            if isinstance(result, BaseException):
                raise result from None
        found = []
        for request in requests:
            reply = self.known(request)
            if reply is None:
                raise RuntimeError(f"request {request.key} has no reply, which cannot be")
            found.append(reply)
        return found

    def known(self, request: Request) -> Reply | None:
        """The journal's reply to a request, if it has one."""
        return self.journal.reply(request.key, self.servers[request.endpoint].fingerprint(request))

    def replay(self, identity: Id) -> Reply | None:
        """The journal's reply, counted."""
        reply = self.journal.reply(*identity)
        self._counts.replayed += reply is not None
        return reply

    # -- one request ---------------------------------------------------------------------------------------------------

    async def _ask(self, server: Server, request: Request) -> Reply:
        order, number, backoff = next(self._order), 1, server.endpoint.limits.backoff
        while True:
            attempt, verdict = await self._try(server, request, number, order)
            if reply := await self.settle(server, attempt, verdict):
                return reply
            if verdict.kind is Kind.TRANSIENT:
                longest = min(BACKOFF, backoff * 2.0 ** (number - 1))
                number += 1
                await self.nap(random.uniform(0, longest))

    async def _try(self, server: Server, request: Request, number: int, order: int) -> tuple[Attempt, Verdict]:
        """One attempt, to its verdict."""
        on_way = 0
        try:
            await server.stage.enter(order)
            try:
                attempt, said = server.attempt(request, number)
                tokens = attempt.input_guess + attempt.output_most
                await self._paced(server, tokens)
                attempt = await self._reserved(attempt)
                on_way = 1
                self._on_way += on_way
                await self._ready(server, attempt, said, order)
            finally:
                server.stage.leave()
            through = True
            try:
                raw = await self._send(server, attempt, said)
                if isinstance(raw, Raw) and raw.status < 400:  # else nobody follows until it is known what is wrong
                    server.gate.leave()
                    through = False
                [verdict] = await self.journaled([(attempt, raw)])
            finally:
                if through:
                    server.gate.leave()
        finally:
            self._on_way -= on_way
            self._settled.set()
        if server.tokens:
            used = verdict.input_tokens + verdict.output_tokens
            server.tokens.correct(tokens - used - verdict.uncertain_input - verdict.uncertain_output)
        return attempt, verdict

    async def _ready(self, server: Server, attempt: Attempt, said: dict[str, Any], order: int) -> None:
        """Journal an attempt, and wait to be let through with it."""
        unsent = attempt_line("fault", attempt, why="cancelled", problem="never sent", charged=False)
        try:
            await self.journal.send(attempt_line("sent", attempt, **({"body": said} if attempt.number == 1 else {})))
            await server.gate.enter(order)
        except asyncio.CancelledError:
            self.journal.note(unsent)
            raise
        if self._halt:
            server.gate.leave()
            self.journal.note(unsent)
            self.check_halt()

    async def _send(self, server: Server, attempt: Attempt, said: dict[str, Any]) -> Raw | Fault:
        started = time.monotonic()
        self._counts.sent += 1
        self._counts.in_flight += 1
        server.flying += 1
        through = server.flying
        try:
            raw = await self.caller(server).post("/chat/completions", bodies.as_bytes(said))
        except asyncio.CancelledError:
            self.journal.note(attempt_line("fault", attempt, why="cancelled", problem="cancelled", charged=True))
            raise
        finally:
            self._counts.in_flight -= 1
            server.flying -= 1
        server.learn(raw, started, through)
        return raw

    async def _paced(self, server: Server, tokens: int) -> None:
        """Wait for the minute's share."""
        for bucket, amount in ((server.requests, 1), (server.tokens, tokens)):
            while bucket and (seconds := bucket.wait(amount)):
                await self.nap(seconds)

    async def _reserved(self, attempt: Attempt) -> Attempt:
        """The attempt with an id, once its worst case fits into the budget beside what is on its way.

        Between this and the journal's `send` nothing may be awaited: that is where it begins to count.
        """
        while not self.fits(worst(attempt)):
            if not self._on_way or not self.fits(worst(attempt), alone=True):
                self.over(worst(attempt))
            self._settled.clear()
            await self._settled.wait()
            self.check_halt()
        self.check_halt()
        return replace(attempt, id=self.journal.ledger.last_attempt + 1)

    async def journaled(self, pairs: Sequence[tuple[Attempt, Raw | Fault]]) -> list[Verdict]:
        """Journal what came back to attempts, and read it."""
        read = await self.journal.add(*(outcome_line(attempt, raw) for attempt, raw in pairs))
        verdicts = [verdict for verdict in read if verdict is not None]
        for (_, raw), verdict in zip(pairs, verdicts, strict=True):
            if verdict.kind is Kind.TRANSIENT:
                self._counts.retried[raw.why if isinstance(raw, Fault) else _reason(raw.status)] += 1
        return verdicts

    def count_on_way(self, more: int) -> None:
        """Count attempts that a batch took on its way (or, negative, brought back)."""
        self._counts.sent += max(0, more)
        self._counts.in_flight += more
        self._on_way += more
        self._settled.set()

    # -- what comes of it, of a batch too ------------------------------------------------------------------------------

    async def settle(self, server: Server, attempt: Attempt, verdict: Verdict) -> Reply | None:
        """The reply that a verdict makes; None: the request is to be asked again."""
        identity, limits = (attempt.key, attempt.fingerprint), server.endpoint.limits
        match verdict.kind:
            case Kind.ANSWERED:
                self._counts.answered += 1
                server.takes.add(attempt.mode)
                return self.journal.reply(*identity)
            case Kind.UNSTRUCTURED:
                if mode := server.looser(attempt.mode):
                    await self.journal.send({"kind": "structured", "address": server.address, "mode": mode})
                self.check_halt()
                return None
            case Kind.STOP:
                self.stop(
                    f"endpoint {server.name} ({server.endpoint.base_url}, model {server.endpoint.model}): "
                    f"{verdict.problem}. Look at the key in {server.endpoint.key_env}, base_url, model and credit, and "
                    "start the same command again"
                )
            case Kind.TRANSIENT if attempt.number < limits.attempts:
                self.check_halt()
                return None
        await self._check_outage(server)
        if verdict.kind is Kind.TRANSIENT:
            problem = f"given up after {attempt.number} attempts; the last: {verdict.problem}"
            self._counts.given_up += 1
        else:
            problem = verdict.problem
        self._counts.failed += 1
        about = {"key": attempt.key, "fingerprint": attempt.fingerprint, "endpoint": attempt.endpoint}
        await self.journal.add({"kind": "outcome", **about, "why": verdict.kind, "problem": problem})
        await self._check_outage(server)
        streak = self.journal.ledger.streaks.get(server.name, {})
        if verdict.kind is not Kind.FILTERED and len(streak) >= limits.breaker:
            self._halt_with(
                StoppedError(
                    f"endpoint {server.name} ({server.endpoint.base_url}): {len(streak)} requests one after another "
                    f"were refused or given up; the last: {problem}. They are asked again when the same command is "
                    "started, which is worth it once the server answers; limits.breaker says how many it takes"
                )
            )
            await self._check_outage(server)
        return self.journal.reply(*identity)

    async def _check_outage(self, server: Server) -> None:
        """While a server is out, nothing is an outcome."""
        if isinstance(self._halt, StoppedError):
            await self._reopen(server)
            self.check_halt()

    async def _reopen(self, server: Server) -> None:
        """Take back what was refused or given up since the last answer: it was an outage, or a wrong setting."""
        if streak := self.journal.ledger.streaks.get(server.name):
            requests = [list(identity) for identity in streak]
            await self.journal.send({"kind": "reopened", "endpoint": server.name, "requests": requests})

    def fits(self, more: Cost, *, alone: bool = False) -> bool:
        """Whether the budget bears this much more, beside the worst of all that is on its way (unless `alone`)."""
        return spending.fits(self.journal.ledger, self.budget, more, alone=alone)

    def over(self, more: Cost) -> NoReturn:
        """Stop: the budget does not bear this much more."""
        self._stop(BudgetError(spending.used_up(self.journal.ledger, self.budget, more)))

    def stop(self, message: str) -> NoReturn:
        """Stop: a server will not answer."""
        self._stop(StoppedError(self.redact(message)))

    def _stop(self, error: Exception) -> NoReturn:
        self._halt_with(error)
        raise self._ended()

    def _halt_with(self, error: Exception) -> None:
        """Have everything that waits end with this error, or with the first that there was."""
        self._halt = self._halt or error
        self._halted.set()
        self._settled.set()
        for server in self.servers.values():
            server.stage.close()
            server.gate.close()

    def check_halt(self) -> None:
        """Raise what everything was stopped for."""
        if self._halt:
            raise self._ended()

    def _ended(self) -> Exception:
        """What everything was stopped for, anew for each who raises it: an exception collects tracebacks."""
        return type(self._halt)(*self._halt.args) if self._halt else RuntimeError("nothing was stopped")

    async def nap(self, seconds: float) -> None:
        """Sleep, unless everything stops."""
        try:
            await asyncio.wait_for(self._halted.wait(), seconds)
        except TimeoutError:
            return
        self.check_halt()

    def caller(self, server: Server) -> Caller:
        """The open connection to a server; RuntimeError where the client is not open."""
        if server.caller is None:
            raise RuntimeError("the client is not open: use `async with`")
        return server.caller


def _reason(status: int) -> str:
    return f"HTTP {status}" if status >= 400 else "unreadable"
