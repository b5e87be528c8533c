"""What an evaluation leaves and says once every model has been scored."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bioinstruct_jax import files, settings
from bioinstruct_jax.evaluation import effects
from bioinstruct_jax.evaluation.bootstrap import Estimate
from bioinstruct_jax.evaluation.contamination import Tuned
from bioinstruct_jax.evaluation.judging import judge
from bioinstruct_jax.evaluation.results import comparison, harness_files, report, samples, tables
from bioinstruct_jax.evaluation.results.comparison import Comparison, GroupScore
from bioinstruct_jax.evaluation.results.items import Samples
from bioinstruct_jax.evaluation.runner import folder
from bioinstruct_jax.evaluation.runner.evaluating import Evaluated
from bioinstruct_jax.evaluation.runner.job import PROTOCOLS, Evaluate
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.evaluation.scoring.given import NO_SERVER
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
    tuned: Mapping[str, Tuned],
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
        harness_files.write(
            files.path(out),
            harness_files.results(ran, model.results, groups=_groups(groups, model.model), comparisons=own),
        )
    names = [model.model for model in models]
    lines = [*tables.lines(results), *_group_lines(groups, names)]
    everything = {"comparisons": told, "groups": [comparison.told(one) for one in groups], "judge": judged}
    everything["tuning_data"] = {name: one.told() for name, one in tuned.items()}
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


def notes(job: Evaluate, models: Sequence[Evaluated]) -> list[str]:
    """What a reader must know before any score: answers that are missing, or models that were asked differently."""
    found = []
    for model in models:
        for one in model.results:
            where = f"{model.model}: {one.task}, {one.protocol}: "
            if missing := one.whys.get(NO_SERVER, 0):
                found.append(
                    f"{where}{missing:,} of {len(one.ids):,} items have no answer, as the server failed, and count as "
                    "wrong; the same command asks for them again"
                )
            if one.unfit:
                found.append(
                    f"{where}{one.unfit:,} of {len(one.ids):,} items are longer than its context and count as wrong"
                )
            elif one.protocol == "generated" and one.answered < effects.ENOUGH and not missing:
                found.append(
                    f"{where}only {one.answered:.1%} of the items have an answer that could be read: the score says "
                    "how it answers, not what it knows"
                )
    base = next(one for one in models if one.model == (job.baseline or job.models[0].name))
    for model in models:
        hashes = [one.told.get("template_hash") for one in (base, model)]
        if None not in hashes and hashes[0] != hashes[1]:
            names = [one.told.get("template") for one in (base, model)]
            found.append(
                f"{base.model} and {model.model} were asked in different templates ({names[0]}, {names[1]}): what they "
                "differ by is due to that, too; --models.N.template gives both the same"
            )
    return found


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
    for pair in compared:
        if pair.holm is not None and pair.difference.estimate.value is not None:
            lines.append(
                f"{pair.task}, {pair.protocol}: {pair.second} less {pair.first} "
                f"{_scaled(pair.difference.estimate.value, pair, results):+.1f}, p {pair.p:.3g}, "
                f"{pair.holm:.3g} after Holm"
            )
    for mean in groups:
        if gain := mean.gain:
            relative = f"{gain.relative:+.1%}" if gain.relative is not None else f"withheld, {gain.withheld}"
            lines.append(f"{mean.group}, {mean.protocol}: {mean.model} {100 * gain.absolute:+.1f}; relative {relative}")
    lines += [f"tables  {out / folder.MARKDOWN}, {out / folder.LATEX}", f"report  {out / folder.REPORT}"]
    return "\n".join(lines)


def _scaled(value: float, pair: Comparison, results: Sequence[TaskResult]) -> float:
    """A difference on the scale on which its scores are shown."""
    unit = next(one.headline.unit for one in results if (one.task, one.protocol) == (pair.task, pair.protocol))
    return value if unit == "points" else 100 * value


def _group_lines(groups: Sequence[GroupScore], names: Sequence[str]) -> list[tables.Line]:
    """The means of groups as lines of a table, of those that every model has."""
    rows: dict[tuple[str, str], dict[str, GroupScore]] = {}
    for one in groups:
        rows.setdefault((one.group, one.protocol), {})[one.model] = one
    return [
        tables.Line(
            name=f"{group} (mean of {len(next(iter(models.values())).tasks)})",
            protocol=protocol,
            metric="headline metrics",
            items=(),
            cells={name: tables.Cell(tables.shown(_estimate(one))) for name, one in models.items()},
        )
        for (group, protocol), models in rows.items()
        if set(models) == set(names)
    ]


def _estimate(one: GroupScore) -> Estimate:
    return Estimate(one.score, None, one.low, one.high, 0.95, "percentile", 0, one.note)


def _groups(groups: Sequence[GroupScore], model: str) -> list[harness_files.Group]:
    """A model's groups, as the harness lists means of tasks."""
    return [
        harness_files.Group(
            f"{one.group}_{one.protocol}",
            one.tasks,
            protocol,
            "/".join(dict.fromkeys(one.metric_names)),
            _estimate(one),
        )
        for one in groups
        if one.model == model and one.score is not None
        for protocol in PROTOCOLS
        if protocol == one.protocol
    ]
