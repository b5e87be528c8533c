"""A model behind an OpenAI-compatible server: questions go there as chat messages, under the server's own template.

It answers and does not rank: chat completions tell no log-likelihood of a given text. What a completion has no place
for, such as why a server gave none, stands in `Output`; so questions are asked with `ServerModel.answer` rather than
with ``complete``.
"""

import asyncio
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Self

from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.request import Reply, Request
from bioinstruct_jax.api.settings import Budget, Endpoint
from bioinstruct_jax.data.prompts import question
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.evaluation.runner.outputs import Output

SETTLED = ("content_filter", "context")  # how requests ended that need not be tried again
AHEAD = 4  # requests that wait for a place among those on their way
STOPS = 4  # texts at which a completion ends that OpenAI's API takes; servers of others may take more

# "This model's maximum context length is 4096 tokens. However, you requested 5000 tokens": OpenAI's, vLLM's words
_CONTEXT = re.compile(r"maximum context length is (\d+) tokens\b.*?\b(\d+) (?:input )?tokens", re.DOTALL)

OnOutput = Callable[[int, Output], None]  # called with a question's place and what came of it


class ServerModel:
    """Asks a server, each question once: what the journal has is not asked again, whenever and however a run ended.

    Restricted questions go to this machine alone, and their journal is in a file without a name that ends with the
    process: what was answered before an interruption is asked anew.
    """

    def __init__(self, name: str, endpoint: Endpoint, *, journal: str | os.PathLike[str], budget: Budget) -> None:
        """
        Args:
            name: of the model, in messages.
            endpoint: its ``decoding.max_tokens`` bounds that of a task; what of temperature and top_p is null there is
                left to the server, all else is as evaluation asks.
            journal: file that is made, or added to; one a model.
        """
        self.name, self.endpoint, self.budget = name, endpoint, budget
        self._place = journal
        self._journal: Journal | None = None
        self._unnamed: Journal | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the journal. Raises OSError where its last lines cannot be written."""
        for journal in (self._journal, self._unnamed):
            if journal:
                journal.close()
        self._journal = self._unnamed = None

    def check(self, *, restricted: int = 0) -> None:
        """Look for what would make the first request fail, and send nothing.

        Args:
            restricted: how many restricted questions there will be.

        Raises:
            RestrictedError: they may not be sent there.
            ValueError: no key; another process has the journal.
        """
        endpoints = {self.name: self.endpoint}
        Client(endpoints, journal=self._opened(bool(restricted)), budget=self.budget, restricted=restricted).check()

    def notes(self) -> list[str]:
        """What a person should know of how the journal was found, a sentence each."""
        return self._opened(False).notes()

    def answer(
        self,
        asked: Iterable[tuple[str, Record]],
        on_output: OnOutput,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        top_p: float = 1.0,
        stop: tuple[str, ...] = (),
    ) -> None:
        """Ask questions, many at once; what comes of each does not depend on how many.

        A question that got no answer for good has an Output with `problem`, handed over last: while a server is out,
        nothing is an outcome. So has an empty answer.

        Args:
            asked: (key, record) of each; the key finds the answer again, ``task/protocol/row``. All are of one task.
            on_output: called in no order; what it raises ends the call.
            max_tokens: of an answer.

        Raises:
            BudgetError, StoppedError: no more can be asked. All that was answered, also before, has been handed over.
            RestrictedError: restricted questions, and the server is another machine.
            ValueError: no key, more stop texts than servers take, or open and restricted questions in one call.
            OSError: the journal cannot be written.
        """
        if len(stop) > STOPS:
            raise ValueError(
                f"{self.name}: servers take {STOPS} stop texts, not {len(stop)}: {', '.join(map(repr, stop))}"
            )
        source = iter(asked)
        first = next(source, None)
        if first is None:
            return
        endpoint, restricted = self._decoding(max_tokens, temperature, top_p, stop), first[1].restricted
        client = Client(
            {self.name: endpoint}, journal=self._opened(restricted), budget=self.budget, restricted=int(restricted)
        )
        requests = self._requests(itertools.chain([first], source), restricted, client)

        def hand_over(place: int, reply: Reply) -> None:
            on_output(place, _output(reply, stop))

        asyncio.run(_ask(client, endpoint, requests, hand_over))

    def _decoding(self, max_tokens: int, temperature: float, top_p: float, stop: tuple[str, ...]) -> Endpoint:
        given = self.endpoint.decoding
        decoding = replace(
            given,
            max_tokens=min(max_tokens, given.max_tokens),
            temperature=None if given.temperature is None else temperature,
            top_p=None if given.top_p is None else top_p,
            extra=given.extra | ({"stop": list(stop)} if stop else {}),
        )
        return replace(self.endpoint, decoding=decoding)

    def _requests(
        self, asked: Iterable[tuple[str, Record]], restricted: bool, client: Client
    ) -> Iterator[tuple[int, Request]]:
        for place, (key, record) in enumerate(asked):
            if record.restricted != restricted:
                raise ValueError(f"{self.name}: {key}: open and restricted questions in one call; ask task by task")
            yield place, self._unfailed(Request(key, self.name, messages(record)), client)

    @staticmethod
    def _unfailed(request: Request, client: Client) -> Request:
        """The request, under a further key for each time that it was given up before: a new run tries it once more.

        What a filter or the model's context kept back is no failure, and stays as it is.
        """
        key, times = request.key, 1
        while (reply := client.known(request)) and reply.problem and reply.finish not in SETTLED:
            times += 1
            request = replace(request, key=f"{key} ({times})")
        return request

    def _opened(self, restricted: bool) -> Journal:
        if restricted:
            self._unnamed = self._unnamed or Journal.unnamed()
            return self._unnamed
        self._journal = self._journal or Journal.open(self._place)
        return self._journal


def messages(record: Record) -> tuple[tuple[str, str], ...]:
    """A record's question as chat messages, without its output."""
    system = [("system", record.system)] if record.system else []
    turns = [said for user, answer in record.history for said in (("user", user), ("assistant", answer))]
    return (*system, *turns, ("user", question(record.instruction, record.input)))


def _output(reply: Reply, stop: tuple[str, ...]) -> Output:
    if reply.problem:
        found = _CONTEXT.search(reply.problem)
        unfit = (int(found[2]), int(found[1])) if found and int(found[2]) > int(found[1]) else None
        return Output(finish=reply.finish, problem=reply.problem, unfit=unfit)
    finish = "end" if reply.finish == "stop" and not stop else reply.finish
    blank = (
        "" if reply.text.strip() else f"the answer is empty (the server ended it with {reply.finish or 'no reason'})"
    )
    return Output(text=reply.text, finish=finish, problem=blank)


async def _ask(
    client: Client,
    endpoint: Endpoint,
    requests: Iterator[tuple[int, Request]],
    hand_over: Callable[[int, Reply], None],
) -> None:
    async with client:
        unanswered: list[tuple[int, Request]] = []
        if endpoint.batch == "on":
            unanswered = list(requests)
            failure = await _by_batch(client, unanswered)
        else:
            failure = await _one_by_one(client, AHEAD + endpoint.limits.concurrency, requests, unanswered, hand_over)
        for place, request in itertools.chain(unanswered, requests):
            if reply := client.known(request):  # an outage took back what had been given up in it
                hand_over(place, reply)
        if failure:
            raise failure


async def _by_batch(client: Client, requests: list[tuple[int, Request]]) -> BudgetError | StoppedError | None:
    try:
        await client.ask_all([request for _, request in requests])
    except (BudgetError, StoppedError) as error:
        return error
    return None


async def _one_by_one(
    client: Client,
    window: int,
    requests: Iterator[tuple[int, Request]],
    unanswered: list[tuple[int, Request]],
    hand_over: Callable[[int, Reply], None],
) -> BudgetError | StoppedError | None:
    """Ask until there are no more requests or a failure ends it; then what is on its way is waited for: it is paid."""
    failure: BudgetError | StoppedError | None = None
    tasks: dict[asyncio.Task[Reply], tuple[int, Request]] = {}
    try:
        while True:
            for one in itertools.islice(requests, 0 if failure else window - len(tasks)):
                tasks[asyncio.create_task(client.ask(one[1]))] = one
            if not tasks:
                return failure
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                place, request = tasks.pop(task)
                try:
                    reply = task.result()
                except (BudgetError, StoppedError) as error:
                    failure = failure or error
                    continue
                if reply.problem:
                    unanswered.append((place, request))
                else:
                    hand_over(place, reply)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
