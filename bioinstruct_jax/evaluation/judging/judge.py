"""A language model judges answers: asked through a journal, so that an interrupted run goes on where it ended."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bioinstruct_jax.api.caller import key_of
from bioinstruct_jax.api.client import Client
from bioinstruct_jax.api.errors import BudgetError, StoppedError
from bioinstruct_jax.api.journal import Journal
from bioinstruct_jax.api.request import Reply
from bioinstruct_jax.data import guard
from bioinstruct_jax.evaluation.judging import outcome, plan
from bioinstruct_jax.evaluation.judging.plan import Asked
from bioinstruct_jax.evaluation.judging.samples import Samples, chosen
from bioinstruct_jax.evaluation.runner.job import Evaluate

Progress = Callable[[int, int], None]  # requests with a reply, of all
LOOKED = 0.5  # seconds between two looks at how far it is


@dataclass(frozen=True)
class Replies:
    """What came back.

    Attributes:
        found: in the order of the requests; None: not asked, or on its way when it had to stop.
        stopped: why it did not get to the end; empty: it did. ``ended``: budget or server, or empty likewise.
        spent: tokens and dollars, those of earlier runs with this journal too.
    """

    found: list[Reply | None]
    stopped: str
    ended: str
    spent: dict[str, float]


def check(job: Evaluate, restricted: int) -> None:
    """Look for what would keep the judge from the first answer, before anything else is paid for.

    Args:
        restricted: how many of the items that will be judged are.

    Raises:
        RestrictedError: restricted text would leave this machine.
        ValueError: no key for the endpoint.
    """
    if job.judge.endpoint is not None:
        guard.check_endpoint(job.judge.endpoint.base_url, restricted=restricted)
        key_of(plan.ENDPOINT, job.judge.endpoint)


def run(job: Evaluate, samples: Samples, journal: str | os.PathLike[str], progress: Progress) -> dict[str, Any]:
    """Judge what models answered, and say how it went in plain JSON: `outcome.told`.

    A budget that is used up or a server that stops ends it early; the outcome then is that of what was answered, and
    says so. The same call goes on from the journal.

    Args:
        job: with `judge.endpoint`.
        samples: by model, then task.
        journal: file on a local disk, kept between runs; with restricted texts none is, and the next run asks again.

    Raises:
        RestrictedError, ValueError: as `check`, `samples.chosen` and `Journal.open`.
        OSError: the journal cannot be written.
    """
    items = chosen(job, samples)
    restricted = sum(sample.restricted for rows in items.values() for row in rows.values() for sample in row.values())
    check(job, restricted)
    asked = plan.requests(job, items)
    with Journal.unnamed() if restricted else Journal.open(journal) as opened:
        replies = asyncio.run(_judge(job, asked, restricted, opened, progress))
        return outcome.told(job, items, asked, replies) | {"notes": opened.notes()}


async def _judge(job: Evaluate, asked: list[Asked], restricted: int, journal: Journal, progress: Progress) -> Replies:
    assert job.judge.endpoint is not None
    client = Client(
        {plan.ENDPOINT: job.judge.endpoint}, journal=journal, budget=job.judge.budget, restricted=restricted
    )
    stopped = ended = ""
    async with client:
        task = asyncio.create_task(client.ask_all([one.request for one in asked]))
        try:
            while not task.done():
                await asyncio.wait({task}, timeout=LOOKED)
                counts = client.counts
                progress(min(len(asked), counts.answered + counts.replayed + counts.failed), len(asked))
            task.result()
        except (BudgetError, StoppedError) as error:
            stopped = "its words are not kept, as texts are restricted" if restricted else str(error)
            ended = "budget" if isinstance(error, BudgetError) else "server"
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
    counts = client.counts
    spent = {"dollars": counts.dollars, "uncertain_dollars": counts.uncertain_dollars}
    spent |= {"input_tokens": counts.input_tokens, "output_tokens": counts.output_tokens}
    return Replies([client.known(one.request) for one in asked], stopped, ended, spent)
