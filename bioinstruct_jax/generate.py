"""Have a teacher write new instructions from seed tasks: filtered for novelty, and nothing is paid for twice.

The same command goes on where it stopped, and filters again, at no cost, with whatever filters the settings have now.

Exit code: 0 the target is reached, 2 unusable settings or input, 3 ended before the target by a limit of the settings
(budget, most_requests, patience; with --replay, the journal), 4 stopped by the server (key, model, too many errors), 75
SIGTERM, 130 interrupted.
"""

import asyncio
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from bioinstruct_jax import settings
from bioinstruct_jax.config import Flag, Natural, config
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.reporting.terminal import harmless, put
from bioinstruct_jax.usage import Verb

if TYPE_CHECKING:
    from bioinstruct_jax.api.client import Client
    from bioinstruct_jax.data.records import Record
    from bioinstruct_jax.generation.asking import End
    from bioinstruct_jax.generation.labelling import Labels
    from bioinstruct_jax.generation.pool import Pool
    from bioinstruct_jax.reporting.progress import Progress

EXAMPLES = (
    "bioinstruct --dry-run",
    "bioinstruct --budget.dollars=500",
    "local --teachers.0.model=MODEL --target=1000",
    "bioinstruct --decontamination.corpora=MY_CORPORA",
    "bioinstruct --audit=200",
    "bioinstruct --categorise=bio-nlp-umass/bioinstruct --out=generated/published --categories.by=classifier",
)
CODES = {"target": 0, "most_requests": 3, "patience": 3, "journal": 3, "budget": 3, "stopped": 4}


@config
class Options:
    """Options of one call."""

    preview: Annotated[
        Natural, Field(description="print this many requests as the teacher will see them, then stop")
    ] = 0
    dry_run: Annotated[Flag, Field(description="print what the target will cost and how long it takes, then stop")] = (
        False
    )
    replay: Annotated[Flag, Field(description="filter and report what the journal holds; ask for nothing")] = False
    accept_changes: Annotated[
        Flag, Field(description="go on though requests differ from those of the journal; its answers are not used then")
    ] = False
    audit: Annotated[Natural, Field(description="draw so many accepted rows to blinded sheets for two readers")] = 0
    agreement: Annotated[Flag, Field(description="read the filled sheets: how far the two readers agree")] = False
    categorise: Annotated[
        str | None,
        Field(min_length=1, description="file, folder or hub id of instructions made elsewhere: give them categories"),
    ] = None

    @model_validator(mode="after")
    def _one(self) -> "Options":
        asked = [
            name for name in ("preview", "dry_run", "replay", "audit", "agreement", "categorise") if getattr(self, name)
        ]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(f'--{name}' for name in asked)}: one at a time")
        return self


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    verb = Verb("generate", " ".join((__doc__ or "").split()), EXAMPLES, configs="generation")
    try:
        job, options = settings.load(argv, verb, Generate, Options)
        return run(job, options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130


def run(job: Generate, options: Options) -> int:
    """What the options ask for; raises ValueError or OSError for input that cannot be used, with what to do."""
    if options.agreement:
        from bioinstruct_jax.generation import sheets

        print(sheets.agreement(job))
        return 0
    from bioinstruct_jax.generation.seeds import seeds

    shown = seeds(job)
    if options.categorise:
        from bioinstruct_jax.generation.categorise import categorise

        code, said = categorise(job, shown, options.categorise)
        print(said)
        return code
    if options.preview:
        preview(job, shown, options.preview)
        return 0
    if options.dry_run:
        from bioinstruct_jax.generation import estimate

        put(estimate.said(job, shown))
        return 0
    return generate(job, shown, options)


def preview(job: Generate, shown: "list[Record]", count: int) -> None:
    """Print the first requests as their teachers will see them."""
    from bioinstruct_jax.generation import asking, prompts
    from bioinstruct_jax.generation.draw import draw

    put(f"prompt version {prompts.VERSION}, hash {prompts.prompt_hash()}")
    for number in range(count):
        drawn, request = draw(job, shown, number), asking.request(job, shown, number)
        seeds = ", ".join(seed.id for seed in drawn.seeds)
        put(f"\n=== {request.key} to {drawn.teacher.name} ({drawn.teacher.model}), seeds {seeds}")
        for role, text in request.messages:
            put(f"--- {role}\n{harmless(text)}")


def generate(job: Generate, shown: "list[Record]", options: Options) -> int:
    """Ask, filter, give categories, write; returns the exit code."""
    from bioinstruct_jax.api.client import Client
    from bioinstruct_jax.api.errors import BudgetError
    from bioinstruct_jax.api.journal import Journal
    from bioinstruct_jax.generation import folder, labelling, outcome, prompts
    from bioinstruct_jax.generation.contamination import HeldOut
    from bioinstruct_jax.generation.pool import Pool
    from bioinstruct_jax.generation.seeds import seeds_hash
    from bioinstruct_jax.reporting.progress import Progress

    origin = {"prompt": prompts.prompt_hash(), "seeds": seeds_hash(shown)}
    out = folder.begin(job, origin, accept_changes=options.accept_changes)
    with Progress() as progress, Journal.open(out / folder.JOURNAL) as journal:
        folder.record(out, job, origin)
        teachers = {teacher.name: teacher for teacher in job.teachers}
        client = Client(teachers, journal=journal, budget=job.budget, offline=options.replay or bool(options.audit))
        client.check()
        for note in journal.notes():
            progress.note(f"note: {note}")
        held_out = None
        if job.decontamination.corpora:
            progress.phase("reading evaluation rows")
            held_out = HeldOut.read(job.decontamination, progress.update)
        pool = Pool(job, shown, prompt=origin["prompt"], held_out=held_out)
        end, labels = asyncio.run(ask(job, shown, pool, client, progress))
        if job.categories.by == "classifier" and not end.signal:  # here, where a signal ends it
            progress.phase("giving categories")
            labels = labelling.by_classifier(pool.accepted, shown)
        accepted = labels.given(pool.accepted)
        if options.audit:
            from bioinstruct_jax.generation import sheets

            print(f"{options.audit} rows to judge in {sheets.draw(job, accepted, options.audit)}")
            return 0
        progress.phase("writing")
        told = outcome.told(job, pool, accepted, client, end, labels, held_out)
        folder.clear(out)
        outcome.write_page(out, job, told, accepted, pool.rejected)
        folder.write(out, job, accepted, pool.rejected, told)
    print(outcome.said(told, out))
    if end.signal:
        return 75 if end.signal == signal.SIGTERM else 130
    return CODES[end.reason] or (0 if labels.failure is None else 3 if isinstance(labels.failure, BudgetError) else 4)


async def ask(
    job: Generate, shown: "list[Record]", pool: "Pool", client: "Client", progress: "Progress"
) -> "tuple[End, Labels]":
    """Fill the pool, then have its rows categorised; ends early, with what there is, where it has to."""
    from bioinstruct_jax.generation import asking, labelling
    from bioinstruct_jax.generation.outcome import Rate, line

    task = asyncio.current_task()
    assert task is not None
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        for one in (signal.SIGTERM, signal.SIGINT):  # a second one ends the process at once
            loop.remove_signal_handler(one)
        task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    labels = labelling.Labels({}, {"by": "nobody"})
    rate, by_teacher = Rate(), job.categories.by == "teacher"

    def told() -> None:
        progress.told(pool.count, job.target, line(job, pool, client, rate))

    end = asking.End("interrupted")
    progress.phase("asking")
    async with client:
        try:
            end = await asking.fill(job, shown, pool, client, told)
            if by_teacher:
                progress.phase("giving categories")
                more = end.reason not in ("budget", "stopped")
                labels = await labelling.by_teacher(job, pool.accepted, shown, client, ask=more)
        except asyncio.CancelledError:
            end = replace(end, reason="interrupted", said="the same command goes on", signal=received[0])
            if by_teacher:
                labels = await labelling.by_teacher(job, pool.accepted, shown, client, ask=False)
    return end, labels


if __name__ == "__main__":
    sys.exit(main())
