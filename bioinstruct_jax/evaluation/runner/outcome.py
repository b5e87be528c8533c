"""What an evaluation leaves and says once every model has been scored."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bioinstruct_jax import files, settings
from bioinstruct_jax.evaluation.judging import judge
from bioinstruct_jax.evaluation.results import comparison, harness_files, report, samples, tables
from bioinstruct_jax.evaluation.results.comparison import Comparison, GroupScore
from bioinstruct_jax.evaluation.results.items import Samples
from bioinstruct_jax.evaluation.runner import folder
from bioinstruct_jax.evaluation.runner.evaluating import Evaluated
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.evaluation.scoring.scored import TaskResult
from bioinstruct_jax.reporting.progress import Progress
from bioinstruct_jax.reporting.terminal import columns


def write(
    job: Evaluate,
    plan: Sequence[Planned],
    out: Path,
    models: Sequence[Evaluated],
    compared: Sequence[Comparison],
    groups: Sequence[GroupScore],
    judged: dict[str, Any] | None,
    notes: Sequence[str],
) -> None:
    """Results for other tools, tables, comparisons and the report."""
    results = [result for model in models for result in model.results]
    told = [comparison.told(one) for one in compared]
    start = folder.started(out)
    for model, given in zip(models, job.models, strict=True):
        ran = harness_files.Ran(
            job=job,
            model=given,
            start=start,
            seconds=model.seconds,
            items={one.task.name: one.whole for one in plan},
            samples=model.written,
            template={name: str(value) for name, value in model.told.items() if name.startswith("template")},
        )
        own = [one for one in told if one["second"] == model.model]
        harness_files.write(files.path(out), harness_files.results(ran, model.results, comparisons=own))
    lines, names = tables.lines(results), [model.model for model in models]
    everything = {"comparisons": told, "groups": [comparison.told(one) for one in groups], "judge": judged}
    files.write_text(files.path(out / folder.COMPARISONS), json.dumps(everything, indent=1, allow_nan=False) + "\n")
    files.write_text(files.path(out / folder.MARKDOWN), tables.markdown(lines, names))
    files.write_text(files.path(out / folder.LATEX), tables.latex(lines, names))
    rows = Samples(
        [
            (model.model, one.task.name, partial(samples.read, files.path(out / model.model / written.name)))
            for one in plan
            for model in models
            if (written := model.written.get(one.task.name))
        ]
    )
    report.write(
        files.path(out / folder.REPORT),
        f"Evaluation {out.name}",
        results,
        compared,
        groups,
        rows,
        judge=judged,
        settings=settings.dump(job),
        notes=notes,
    )


def judged(job: Evaluate, models: Sequence[Evaluated], out: Path, progress: Progress) -> dict[str, Any] | None:
    """What the judge found, as plain JSON; None where nobody judges, or nothing is to be judged."""
    samples = {model.model: model.judged for model in models if model.judged}
    if job.judge.endpoint is None or not samples:
        return None
    progress.phase("judging")
    journal = out / folder.JUDGE / "journal.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    return judge.run(job, samples, journal, progress.update)


def said(out: Path, results: Sequence[TaskResult], compared: Sequence[Comparison], groups: Sequence[GroupScore]) -> str:
    """A table of scores and where everything is, for the last lines on the screen."""
    rows = []
    for one in results:
        shown = tables.shown(one.estimates[one.headline.name], one.headline.unit)
        rows.append(
            [one.task, one.protocol, one.model, one.headline.name, shown, f"{one.answered:.1%}", f"{len(one.ids):,}"]
        )
    lines = [columns(("task", "protocol", "model", "metric", "score [95 %]", "answered", "items"), rows), ""]
    for one in compared:
        if one.holm is not None and one.difference.estimate.value is not None:
            lines.append(
                f"{one.task}, {one.protocol}: {one.second} less {one.first} {100 * one.difference.estimate.value:+.1f} "
                f"points, p {one.p:.3g}, {one.holm:.3g} after Holm"
            )
    lines += [f"tables  {out / folder.MARKDOWN}, {out / folder.LATEX}", f"report  {out / folder.REPORT}"]
    return "\n".join(lines)
