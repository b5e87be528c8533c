"""One model through all tasks: asked, read, counted, and written down item by item."""

from contextlib import nullcontext
from pathlib import Path

from bioinstruct_jax import files
from bioinstruct_jax.evaluation import contamination
from bioinstruct_jax.evaluation.results import samples
from bioinstruct_jax.evaluation.runner import asking, cache, folder
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model, Protocol
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.evaluation.runner.questions import answer_form
from bioinstruct_jax.evaluation.runner.ready import Ready
from bioinstruct_jax.evaluation.runner.tally import Tally
from bioinstruct_jax.evaluation.scoring import table
from bioinstruct_jax.evaluation.scoring.scored import TaskResult
from bioinstruct_jax.reporting.progress import Progress

NAMED = 10  # items in a message


def results(
    model: Ready, settings: Model, job: Evaluate, plan: list[Planned], out: Path, progress: Progress, rate: asking.Rate
) -> list[TaskResult]:
    """What a model reached in every task, under every protocol in which it can be asked.

    Raises:
        ValueError: items do not fit its context and are not to count as wrong, or its answers belong to other items.
        FileNotFoundError, CorpusError: as `Task.items`.
        OSError: a file cannot be written.
    """
    tuned = _tuned(settings, progress)
    found: list[TaskResult] = []
    for one in plan:
        asked = [protocol for protocol in one.protocols if protocol in model.protocols]
        rate.add(0, one.items * (len(one.protocols) - len(asked)))
        flags: dict[str, str] = {}
        if tuned is not None and asked:
            progress.phase(f"{model.name}: {one.task.name} in its tuning data")
            flags = tuned.flag(one.task, one.questions())
        if asked:
            place = samples.place(out, model.name, one.task.name, folder.date(out))
            with samples.writing(place, one.task) as file:
                for protocol in asked:
                    found.append(_scored(model, job, one, protocol, file, flags, tuned is not None, progress, rate))
    return found


def _scored(
    model: Ready,
    job: Evaluate,
    one: Planned,
    protocol: Protocol,
    file: samples.SampleFile,
    flags: dict[str, str],
    looked: bool,
    progress: Progress,
    rate: asking.Rate,
) -> TaskResult:
    task = one.task
    scorer = table.scorer(task, protocol, answer_form(job, task))
    tally = Tally(one, protocol, scorer, looked)
    progress.phase(f"{model.name}: {task.name}, {protocol}")
    holds = model.keeps and not (task.licence.restricted and protocol == "generated")
    where = asking.cache_file(folder.cache(job, Path(job.out)), model, task.name, protocol)
    unfit: list[str] = []
    with cache.opened(where) if holds else nullcontext(None) as kept:
        asked = asking.outputs(
            model, task, protocol, one.questions(), most=one.most, kept=kept, progress=progress, rate=rate
        )
        for question, output, arguments in asked:
            reading = scorer.read(question, output)
            file.add(question, protocol, arguments, output, reading, flags.get(question.id, ""))
            tally.add(question, output, reading, question.id in flags)
            if output.unfit and len(unfit) < NAMED:
                unfit.append(f"{question.id} ({output.unfit[0]:,} tokens, the context has {output.unfit[1]:,})")
    if unfit and job.unfit == "refuse":
        raise ValueError(
            f"{model.name}: {tally.unfit:,} of {one.items:,} items of {task.name} do not fit its context: "
            f"{', '.join(unfit)}{', ...' if tally.unfit > len(unfit) else ''}. Show fewer shots, take a model with a "
            "longer context, or let them count as wrong with --unfit=wrong"
        )
    return tally.result(model.name, file.name, {"prompt": model.told.get("template_hash", "")})


def _tuned(settings: Model, progress: Progress) -> contamination.Tuned | None:
    """The rows that a model was tuned on, as far as they are known."""
    sources = [source for place in settings.tuned_on for source in contamination.tuning_sources(files.path(place))]
    if not sources and settings.adapter and settings.runs_on in ("jax", "transformers"):
        sources = contamination.tuning_sources(files.path(settings.adapter))
    if not sources:
        return None
    progress.phase(f"reading what {settings.name} was tuned on")
    return contamination.Tuned.read(sources, progress)
