"""One model through all tasks: asked, read, counted, and written down item by item."""

import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bioinstruct_jax import files
from bioinstruct_jax.evaluation import contamination
from bioinstruct_jax.evaluation.bertscore import Encoder
from bioinstruct_jax.evaluation.contamination import Tuned, TuningSource
from bioinstruct_jax.evaluation.judging.samples import Sample, drawn, judged
from bioinstruct_jax.evaluation.results import samples
from bioinstruct_jax.evaluation.results.samples import SampleFile, Written
from bioinstruct_jax.evaluation.runner import asking, cache, folder
from bioinstruct_jax.evaluation.runner.job import Contamination, Evaluate, Model, Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.evaluation.runner.questions import Question, answer_form
from bioinstruct_jax.evaluation.runner.ready import Ready
from bioinstruct_jax.evaluation.runner.tally import Tally
from bioinstruct_jax.evaluation.scoring import table
from bioinstruct_jax.evaluation.scoring.given import NO_SERVER
from bioinstruct_jax.evaluation.scoring.scored import TaskResult
from bioinstruct_jax.reporting.progress import Progress

NAMED = 10  # items in a message


@dataclass(frozen=True)
class Evaluated:
    """What became of one model.

    Attributes:
        results: of each task and protocol.
        written: the samples file of each task.
        seconds: that it took, answers kept from before included.
        told: where it lies, dtype, template.
        judged: by task, the answers that a judge is to grade.
    """

    model: str
    results: list[TaskResult]
    written: dict[str, Written]
    seconds: float
    told: dict[str, Any]
    judged: dict[str, list[Sample]]

    @property
    def failed(self) -> int:
        """Answers that a server did not give."""
        return sum(one.whys.get(NO_SERVER, 0) for one in self.results)


def results(
    model: Ready,
    job: Evaluate,
    plan: list[Planned],
    out: Path,
    tuned: Tuned | None,
    progress: Progress,
    rate: asking.Rate,
    encoder: Encoder | None = None,
) -> Evaluated:
    """What a model reached in every task, under every protocol in which it can be asked.

    Args:
        tuned: the items that stand in what it was tuned on; None: nothing is known of that.
        encoder: for BERTScore of free text; None: it is not computed.

    Raises:
        ValueError: items do not fit its context and are not to count as wrong, its answers belong to other items, or
            it can be asked nothing.
        FileNotFoundError, CorpusError: as `Task.items`.
        OSError: a file cannot be written.
    """
    began = time.monotonic()
    found: list[TaskResult] = []
    written: dict[str, Written] = {}
    wanted = judged(job, [one.task.name for one in plan])
    graded: dict[str, dict[str, Sample | None]] = {
        one.task.name: dict.fromkeys(drawn(job, one.task.name, (each.id for each in one.questions())))
        for one in plan
        if one.task.name in wanted
    }
    for one in plan:
        asked = [protocol for protocol in one.protocols if protocol in model.protocols(one.task)]
        rate.add(0, one.items * (len(one.protocols) - len(asked)))
        if asked:
            with SampleFile(files.path(samples_file(out, model, one)), one.task) as file:
                for protocol in asked:
                    found.append(_scored(model, job, one, out, protocol, file, tuned, graded, progress, rate, encoder))
            written[one.task.name] = file.written
    if not found:
        names, under = (", ".join(some) for some in ([one.task.name for one in plan], job.protocols))
        raise ValueError(
            f"{model.name}: nothing to score: it can be asked none of {names} under {under}. A server answers under "
            "generated alone, a file under what it holds: give other --protocols, tasks or predictions, or leave it out"
        )
    return Evaluated(model.name, found, written, time.monotonic() - began, model.told, _answered(graded))


def _scored(
    model: Ready,
    job: Evaluate,
    one: Planned,
    out: Path,
    protocol: Protocol,
    file: SampleFile,
    tuned: Tuned | None,
    graded: dict[str, dict[str, Sample | None]],
    progress: Progress,
    rate: asking.Rate,
    encoder: Encoder | None,
) -> TaskResult:
    task = one.task
    scorer = table.scorer(task, protocol, answer_form(job, task), encoder)
    met = tuned.flag(task.name) if tuned else {}
    looked = tuned is not None and tuned.flags(task.name, []) is not None
    tally, headline = Tally(one, protocol, scorer, looked), scorer.metrics()[0].counts
    progress.phase(f"{model.name}: {task.name}, {protocol}")
    holds = model.keeps and not task.licence.restricted
    where = asking.cache_file(folder.cache(job, out), model, task.name, protocol)
    unfit: list[str] = []
    with cache.opened(where) if holds else nullcontext(None) as kept:
        answered = asking.outputs(
            model, task, protocol, one.questions(), most=one.most, kept=kept, progress=progress, rate=rate
        )
        for question, output, asked in answered:
            reading = scorer.read(question, output)
            flagged = question.id in met
            counts, known = reading.counts[headline], flagged if looked else None
            file.add(question, protocol, asked, output, reading, counts=counts, flagged=known)
            tally.add(question, output, reading, flagged)
            if protocol == "generated" and question.id in graded.get(task.name, {}):
                graded[task.name][question.id] = _sample(question, output)
            if output.unfit and len(unfit) < NAMED:
                unfit.append(f"{question.id} ({output.unfit[0]:,} tokens, the context has {output.unfit[1]:,})")
    if unfit and job.unfit == "refuse":
        raise ValueError(
            f"{model.name}: {tally.unfit:,} of {one.items:,} items of {task.name} do not fit its context: "
            f"{', '.join(unfit)}{', ...' if tally.unfit > len(unfit) else ''}. Show fewer shots, take a model with a "
            "longer context, or let them count as wrong with --unfit=wrong"
        )
    return tally.result(model.name, file.written.name, {"prompt": model.told.get("template_hash", "")[:12]})


def _answered(graded: dict[str, dict[str, Sample | None]]) -> dict[str, list[Sample]]:
    return {task: [one for one in some.values() if one] for task, some in graded.items() if any(some.values())}


def _sample(question: Question, output: Output) -> Sample:
    record = question.record
    return Sample(
        id=question.id,
        document=question.document,
        instruction=record.instruction,
        input=record.input,
        reference=record.output,
        answer=output.text or output.label or "",
        restricted=record.restricted,
    )


def samples_file(out: Path, model: Ready, one: Planned) -> Path:
    """Where the samples of a task are written."""
    return out / model.name / samples.file_name(one.task.name, folder.started(out))


def tuning(
    models: tuple[Model, ...], thresholds: Contamination, plan: list[Planned], progress: Progress
) -> dict[str, Tuned]:
    """What of the items stands in the rows that each model was tuned on, as far as they are known; by model."""
    sources: dict[str, list[TuningSource]] = {}
    for model in models:
        if model.tuned_on:
            sources[model.name] = contamination.named(model.tuned_on)
        elif model.runs_on in ("jax", "transformers") and (model.adapter or model.model):
            place = files.path(model.adapter or model.model or "")
            found = contamination.tuning_sources(place) if place.is_dir() else []
            if model.adapter or any(one.source for one in found):  # of a bare base nothing is expected to be known
                sources[model.name] = found
    if not any(one.source for some in sources.values() for one in some):
        return {}
    progress.phase("reading the items that tuning data may hold")
    index = contamination.items(thresholds)
    for one in plan:
        contamination.add(index, one.task, one.questions())
    progress.phase("comparing tuning data with the items")

    def told(path: str, rows: int) -> None:
        progress.told(rows, rows + 1, f"{rows:,} rows of {path}")

    return {name: Tuned.read(some, index, told) for name, some in sources.items()}
