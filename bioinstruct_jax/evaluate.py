"""Score models on biomedical tasks: several on the same items, with intervals, paired tests and a report.

The same command goes on where it stopped; answers are kept, so that other settings ask for nothing that is known.

Exit code: 0 done, 2 unusable settings or input, 3 ended by the budget, 4 stopped by a server (key, model, too many
errors), 75 SIGTERM, 130 interrupted.
"""

import sys
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from bioinstruct_jax import files, platforms, settings
from bioinstruct_jax.config import Flag, Natural, config
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.interrupt import Interrupt, exit_code
from bioinstruct_jax.reporting.terminal import columns, harmless, put
from bioinstruct_jax.usage import Verb

if TYPE_CHECKING:
    from pathlib import Path

    from bioinstruct_jax.evaluation.bertscore import Encoder
    from bioinstruct_jax.evaluation.contamination import Tuned
    from bioinstruct_jax.evaluation.runner.evaluating import Evaluated
    from bioinstruct_jax.evaluation.runner.planned import Planned
    from bioinstruct_jax.reporting.progress import Progress

EXAMPLES = (
    "--out=scores --corpora=MY_CORPORA --models.0.adapter=runs/tiny",
    "base_and_tuned --corpora=MY_CORPORA --models.1.adapter=runs/mine --out=scores",
    "medical_llamas --corpora=MY_CORPORA --tasks='[medqa, pubmedqa]' --out=scores",
    "base_and_tuned --corpora=MY_CORPORA --models.1.adapter=runs/mine --out=scores --preview=1",
)


@config
class Options:
    """Options of one call."""

    list: Annotated[Flag, Field(description="print the tasks that would be scored, with items and protocols")] = False
    preview: Annotated[Natural, Field(description="print so many items of each task as the models see them")] = 0

    @model_validator(mode="after")
    def _one(self) -> "Options":
        if self.list and self.preview:
            raise ValueError("--list and --preview: one at a time")
        return self


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    verb = Verb("evaluate", " ".join((__doc__ or "").split()), EXAMPLES, configs="evaluation")
    from bioinstruct_jax.api.errors import BudgetError, StoppedError

    def work() -> int:
        job, options = settings.load(argv, verb, Evaluate, Options)
        platforms.settle("auto")
        with Interrupt() as interrupt:
            return run(job, options, interrupt)

    try:
        return exit_code(work)
    except (BudgetError, StoppedError) as error:
        print(f"ended: {error}; the same command goes on", file=sys.stderr)
        return 3 if isinstance(error, BudgetError) else 4


def run(job: Evaluate, options: Options, interrupt: Interrupt) -> int:
    """What the options ask for; returns the exit code.

    Raises ValueError or OSError for input that cannot be used, with what to do.
    """
    from bioinstruct_jax.evaluation.runner.planned import planned

    plan, notes = planned(job, files.path(job.corpora))
    if options.list:
        rows = [
            [one.task.name, one.task.family.category, one.split, f"{one.items:,}", ", ".join(one.protocols)]
            for one in plan
        ]
        put(columns(("task", "group", "split", "items", "protocols"), rows))
        for note in notes:
            print(f"note: {note}", file=sys.stderr)
        return 0
    if options.preview:
        preview(job, plan, options.preview)
        return 0
    return evaluate(job, plan, notes, interrupt)


def preview(job: Evaluate, plan: "list[Planned]", count: int) -> None:
    """Print the first items of each task in the words of each protocol; the template is that of the first model."""
    from itertools import islice

    from bioinstruct_jax.data.guard import shown
    from bioinstruct_jax.evaluation.runner.ready import previewed
    from bioinstruct_jax.inference.evaluated import template_of

    template = template_of(job.models)
    for one in plan:
        for question in islice(one.questions(), count):
            for protocol in one.protocols:
                put(f"=== {question.id}, {protocol}")
                put(harmless(shown(previewed(question, one.task, protocol, template), question.record.restricted)))


def evaluate(job: Evaluate, plan: "list[Planned]", notes: list[str], interrupt: Interrupt) -> int:
    """Ask every model, score, compare, judge, write; returns the exit code."""
    from bioinstruct_jax.evaluation.judging import judge
    from bioinstruct_jax.evaluation.judging.samples import judged
    from bioinstruct_jax.evaluation.results import comparison
    from bioinstruct_jax.evaluation.results import groups as means
    from bioinstruct_jax.evaluation.runner import evaluating, folder, outcome
    from bioinstruct_jax.reporting.progress import Progress

    if job.judge.endpoint is not None:
        graded = judged(job, [one.task.name for one in plan])
        judge.check(job, sum(one.items for one in plan if one.task.name in graded and one.task.licence.restricted))
    out = folder.begin(job)
    with Progress() as progress:
        for note in notes:
            progress.note(f"note: {note}")
        encoder = bertscore(job, plan, progress)
        tuned = evaluating.tuning(job.models, job.contamination, plan, progress)
        for name, known in tuned.items():
            notes += [f"{name}: tuned on {source.path}: {source.note}" for source in known.sources if source.note]
        models = scores(job, plan, out, tuned, encoder, progress, notes, interrupt)
        found = outcome.notes(job, models)
        progress.phase("comparing")
        results = [result for model in models for result in model.results]
        baseline = job.baseline or job.models[0].name
        compared = comparison.compare(results, baseline, resamples=job.resamples, seed=job.seed)
        groups = means.groups(results, baseline, resamples=job.resamples, seed=job.seed)
        verdicts = outcome.judged(job, models, out, progress)
        found += [f"judge: {warning}" for warning in verdicts["warnings"]] if verdicts else []
        for note in found:
            progress.note(f"warning: {note}")
        progress.phase("writing")
        outcome.write(job, plan, out, models, compared, groups, verdicts, tuned, [*found, *notes])
        code = 4 if any(model.failed for model in models) else 0
        if verdicts and verdicts["ended"]:
            code = 3 if verdicts["ended"] == "budget" else 4
        folder.finish(out, code)
    print(outcome.said(out, results, compared, groups))
    return code


def bertscore(job: Evaluate, plan: "list[Planned]", progress: "Progress") -> "Encoder | None":
    """The encoder for BERTScore; None where it is not computed, or no task is answered in free text."""
    from bioinstruct_jax.evaluation.scoring import texts

    if job.bertscore is None or not any(one.task.family.name in texts.FAMILIES for one in plan):
        return None
    from bioinstruct_jax.inference import encoder

    progress.phase(f"loading {job.bertscore.model} for BERTScore")
    return encoder.load(job.bertscore)


def scores(
    job: Evaluate,
    plan: "list[Planned]",
    out: "Path",
    tuned: "dict[str, Tuned]",
    encoder: "Encoder | None",
    progress: "Progress",
    notes: list[str],
    interrupt: Interrupt,
) -> "list[Evaluated]":
    """What each model reached, one model after the other in memory; adds what is to be known of them to the notes."""
    from bioinstruct_jax.evaluation.runner import asking, evaluating
    from bioinstruct_jax.inference import opened

    opened.check(job, plan)
    total = sum(one.items * len(one.protocols) for one in plan) * len(job.models)
    rate = asking.Rate(total, interrupt.check)
    shared = opened.shared_template(job.models)
    done: list[Evaluated] = []
    for model in job.models:
        progress.phase(f"loading {model.name}")
        with opened.opened(model, job, plan, shared, out) as ready:
            for note in ready.notes:
                notes.append(f"{model.name}: {note}")
                progress.note(f"warning: {model.name}: {note}")
            done.append(evaluating.results(ready, job, plan, out, tuned.get(model.name), progress, rate, encoder))
        del ready  # or its weights stay while the next model's are loaded
    return done


if __name__ == "__main__":
    sys.exit(main())
