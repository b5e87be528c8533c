"""From no reply to a full pool: which requests are sent, how many at once, and when it ends.

Requests are numbered, and the pool takes their replies by number. So what is in flight, and how much more was asked for
than needed, changes what is paid for and never what is accepted; what is beyond the target waits in the journal.
"""

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.request import Reply, Request
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation import answers, prompts
from bioinstruct_jax.generation.draw import draw
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.generation.pool import Answer, Candidate, Pool

T = TypeVar("T")
KNOWN = 5  # requests whose yield says something of the next ones'
HOPED = 0.8  # of the instructions asked for, accepted; for the first round of a batch, where a round takes hours


@dataclass(frozen=True)
class End:
    """Why no more is asked for.

    Attributes:
        reason: the target, a limit of the settings, the budget, the server, the end of the journal where nothing may be
            asked, or a signal (`signal`).
    """

    reason: Literal["target", "most_requests", "patience", "budget", "stopped", "journal", "interrupted"]
    said: str = ""
    signal: int = 0


def request(job: Generate, seeds: Sequence[Record], number: int) -> Request:
    """Request `number` for instructions, from 0."""
    drawn = draw(job, seeds, number)
    answered = job.answers.by == "instruction"
    messages = prompts.tasks(drawn.seeds, asked=job.asked, answered=answered, labels_first=answers.labels_first(job))
    return Request(f"tasks/{number:06d}", drawn.teacher.name, messages, prompts.tasks_schema(answered=answered))


async def fill(job: Generate, seeds: Sequence[Record], pool: Pool, client: Client, told: Callable[[], None]) -> End:
    """Ask until the pool is full or it has to end; what is in flight then is waited for, since it is paid for.

    Args:
        told: called whenever something came.
    """
    asking = Asking(job, seeds, pool, client, told)
    return await (asking.rounds() if any(teacher.batch == "on" for teacher in job.teachers) else asking.stream())


class Asking:
    """What was asked for and has not been filtered yet."""

    def __init__(self, job: Generate, seeds: Sequence[Record], pool: Pool, client: Client, told: Callable[[], None]):
        self._job, self._seeds, self._pool, self._client, self._told = job, seeds, pool, client, told
        self._sent = 0
        self._replies: dict[int, Reply] = {}
        self._answers: dict[str, Answer] = {}  # of candidates, by id
        self._failure: BudgetError | StoppedError | None = None

    async def stream(self) -> End:
        """Requests one by one, as many at once as the client lets through."""
        window = 4 + sum(teacher.limits.concurrency for teacher in self._job.teachers)
        tasks: set[asyncio.Task[None]] = set()
        try:
            while True:
                for candidate in self._filter():
                    tasks.add(asyncio.create_task(self._second(candidate)))
                if not self._pool.ended and self._failure is None:
                    while len(tasks) < window and self._wants_more() and not self._busy(window):
                        tasks.add(asyncio.create_task(self._first(self._sent)))
                        self._sent += 1
                if not tasks:
                    return self._end()
                done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()  # an error of ours is none to go on after
                self._told()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def rounds(self) -> End:
        """Requests in rounds, each through the batch API where a teacher has it: few rounds, for each takes hours."""
        while not self._pool.ended and self._failure is None and self._wants_more():
            each = self._yield() if self._pool.next else HOPED * self._job.asked
            count = math.ceil((self._job.target - self._pool.count) / each)
            if self._job.most_requests:
                count = min(count, self._job.most_requests - self._sent)
            numbers = range(self._sent, self._sent + count)
            asked = [request(self._job, self._seeds, number) for number in numbers]
            for number, reply in zip(numbers, await self._all(asked), strict=True):
                if reply is not None:
                    self._replies[number] = reply
            self._sent += count
            candidates = [(one, answers.requests(self._job, one)) for one in self._filter()]
            replies = iter(await self._all([one for _, requests in candidates for one in requests]))
            for candidate, requests in candidates:
                own = [reply for reply in itertools.islice(replies, len(requests)) if reply is not None]
                if len(own) == len(requests):
                    self._answers[candidate.row.id] = answers.settled(self._job, candidate, requests, own)
            self._filter()
            self._told()
        return self._end()

    async def _all(self, requests: list[Request]) -> list[Reply | None]:
        """Replies in order; None where there is none because it had to stop."""
        found = await self._caught(self._client.ask_all(requests))
        return [*found] if found is not None else [self._client.known(one) for one in requests]

    async def _caught(self, asked: Awaitable[T]) -> T | None:
        try:
            return await asked
        except (BudgetError, StoppedError) as error:
            self._failure = self._failure or error
            return None

    async def _first(self, number: int) -> None:
        reply = await self._caught(self._client.ask(request(self._job, self._seeds, number)))
        if reply is not None:
            self._replies[number] = reply

    async def _second(self, candidate: Candidate) -> None:
        asked = answers.requests(self._job, candidate)
        replies = await self._caught(self._client.ask_all(asked))
        if replies is not None:
            self._answers[candidate.row.id] = answers.settled(self._job, candidate, asked, replies)

    def _filter(self) -> list[Candidate]:
        """Gives the pool what it can take by now; returns who wants an output."""
        new: list[Candidate] = []
        while not self._pool.ended and self._pool.next in self._replies:
            number = self._pool.next
            drawn, key = draw(self._job, self._seeds, number), f"tasks/{number:06d}"
            new += self._pool.take(drawn, key, self._replies.pop(number))
        while not self._pool.ended and self._pool.due in self._answers:
            self._pool.settle(self._answers.pop(self._pool.due))
        return new

    def _wants_more(self) -> bool:
        if self._sent >= (self._job.most_requests or math.inf):
            return False
        expected = self._pool.count + self._pool.waiting + (self._sent - self._pool.next) * self._yield()
        return expected < self._job.target

    def _busy(self, window: int) -> bool:
        """Whether outputs enough are to be asked for: they come first, or new instructions use up the budget."""
        if self._job.answers.by == "instruction":
            return False
        return self._pool.waiting + (self._sent - self._pool.next) * self._yield() >= window

    def _yield(self) -> float:
        """Instructions that a request gives; at first all that it asks for, so that nothing is asked for in vain."""
        if self._pool.next < KNOWN:
            return self._job.asked
        return max((self._pool.count + self._pool.waiting) / self._pool.next, 0.1)

    def _end(self) -> End:
        self._told()
        if self._pool.full:
            return End("target")
        if self._client.offline and self._failure is not None:
            return End("journal", "the journal holds no more answers")
        if isinstance(self._failure, BudgetError):
            return End("budget", str(self._failure))
        if self._failure is not None:
            return End("stopped", str(self._failure))
        if self._pool.ended:
            return End("patience", f"the last {self._job.patience} requests gave no instruction that was accepted")
        return End("most_requests", f"{self._sent:,} requests were the most that the settings allow")
