"""The scores of one model in the layout of lm-evaluation-harness 0.4.13: ``<out>/<model>/results_<date>.json``.

Its table, its hub card and its loggers read this as one of its own files: a protocol is a filter, so that a task has
``acc,none`` (the harness's prompt), ``acc,likelihood`` and ``acc,generated``. What the layout has no place for stands
under ``bioinstruct``: intervals, baselines, how answers were read, items left unread, scores without flagged items,
comparisons.
"""

import json
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from typing import Any

import numpy as np
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.evaluation.bootstrap import Estimate
from bioinstruct_jax.evaluation.results.samples import FILTERS, Written, stamp
from bioinstruct_jax.evaluation.runner.job import PROTOCOLS, Evaluate, Model, Protocol
from bioinstruct_jax.evaluation.scoring.scored import Metric, TaskResult
from bioinstruct_jax.tasks.table import TASKS

PACKAGES = (
    "bioinstruct-jax",
    "numpy",
    "tokenizers",
    "transformers",
    "jax",
    "torch",
    "openai",
    "sacrebleu",
    "rouge-score",
)
NONE = "N/A"  # the harness's word where there is no number


@dataclass(frozen=True)
class Group:
    """A score of several tasks under one protocol: their mean, or that of groups within.

    Attributes:
        name: QA.
        tasks: whose scores are in it, or groups.
        metric: its name, as in files.
        estimate: its value; None inside where it has no error.
    """

    name: str
    tasks: tuple[str, ...]
    protocol: Protocol
    metric: str
    estimate: Estimate
    higher_is_better: bool = True


@dataclass(frozen=True)
class Ran:
    """The evaluation of one model.

    Attributes:
        start: when it began; its stamp is in the names of its files.
        seconds: how long it took.
        items: of each task's split, asked or not.
        samples: each task's finished file.
        template: of prompts, as `Template.record` has it; empty where none was used.
        git_hash: of the code; None: not known.
    """

    job: Evaluate
    model: Model
    start: datetime
    seconds: float
    items: Mapping[str, int]
    samples: Mapping[str, Written]
    template: Mapping[str, str] = field(default_factory=dict)
    git_hash: str | None = None


def results(
    ran: Ran, scored: Sequence[TaskResult], *, groups: Sequence[Group] = (), comparisons: Any = None
) -> dict[str, Any]:
    """The whole file, plain JSON.

    Args:
        scored: of this model, in the order in which tables show them.
        comparisons: with other models, plain JSON.

    Raises:
        ValueError: results of another model, two of one task and protocol, or a task without its items and samples.
    """
    tasks = _by_task(ran, scored)
    table = {task: _scores(task, results) for task, results in tasks.items()}
    of_groups = {group.name: {"name": group.name, "alias": group.name} for group in groups}
    for group in groups:
        of_groups[group.name] |= _score(group.metric, FILTERS[group.protocol], group.estimate)
    better = {task: {one.name: one.higher_is_better for one in _metrics(results)} for task, results in tasks.items()}
    for group in groups:
        better.setdefault(group.name, {})[group.metric] = group.higher_is_better
    made = {
        "results": table | of_groups,
        **({"groups": of_groups} if groups else {}),
        "group_subtasks": _subtasks(groups),
        "configs": {task: _config(ran, task, results) for task, results in sorted(tasks.items())},
        "versions": {task: _version(results) for task, results in sorted(tasks.items())},
        "n-shot": {task: results[0].shots for task, results in sorted(tasks.items())},
        "higher_is_better": dict(sorted(better.items())),
        "n-samples": {
            task: {"original": ran.items[task], "effective": len(results[0].ids)} for task, results in tasks.items()
        },
        "config": _run_config(ran),
        "git_hash": ran.git_hash,
        "date": ran.start.timestamp(),
        "pretty_env_info": f"Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        "transformers_version": _versions().get("transformers"),
        "lm_eval_version": None,
        "task_hashes": {task: ran.samples[task].hash for task in tasks},
        "model_source": ran.model.runs_on,
        "model_name": ran.model.name,
        "model_name_sanitized": ran.model.name,  # a label has no letter that the harness would replace
        "system_instruction": None,
        "system_instruction_sha": None,
        "fewshot_as_multiturn": False,
        "chat_template": ran.template.get("with_input"),
        "chat_template_sha": ran.template.get("hash"),
        "total_evaluation_time_seconds": str(ran.seconds),
        "bioinstruct": {
            "packages": _versions(),
            "tasks": {task: {one.protocol: _more(one) for one in results} for task, results in tasks.items()},
            "groups": [asdict(group) for group in groups],
            "comparisons": comparisons,
        },
    }
    return _plain(made)


def write(out: UPath, made: Mapping[str, Any]) -> UPath:
    """Writes `results` where the harness's readers look for them; the file."""
    date = datetime.fromtimestamp(made["date"], UTC)
    file = out / made["model_name_sanitized"] / f"results_{stamp(date)}.json"
    files.write_text(file, json.dumps(made, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return file


def read(file: UPath) -> dict[str, Any]:
    """A file of ours, or of the harness.

    Raises:
        ValueError: it is none.
    """
    try:
        made = json.loads(files.read_text(file))
    except json.JSONDecodeError as error:
        raise ValueError(f"{file}, line {error.lineno}: broken JSON: {error.msg}; have it written again") from error
    if not isinstance(made, dict) or "results" not in made:
        raise ValueError(f"{file}: no file of results; it lacks the key 'results'")
    return made


def _by_task(ran: Ran, scored: Sequence[TaskResult]) -> dict[str, list[TaskResult]]:
    tasks: dict[str, list[TaskResult]] = {}
    for one in scored:
        if one.model != ran.model.name:
            raise ValueError(f"{one.task}: scores of {one.model!r} in the file of {ran.model.name!r}")
        if one.protocol not in PROTOCOLS:
            raise ValueError(f"{one.task}: no protocol {one.protocol!r}; they are {', '.join(PROTOCOLS)}")
        if any(other.protocol == one.protocol for other in tasks.get(one.task, ())):
            raise ValueError(f"{one.task}: two results of {one.model!r} under the protocol {one.protocol}")
        for name, known in (("items of its split", ran.items), ("samples", ran.samples)):
            if one.task not in known:
                raise ValueError(
                    f"{one.task}: the {name} are not told; there are those of {', '.join(known) or 'none'}"
                )
        tasks.setdefault(one.task, []).append(one)
    return tasks


def _scores(task: str, results: Sequence[TaskResult]) -> dict[str, Any]:
    made: dict[str, Any] = {"name": task, "alias": task, "sample_len": len(results[0].ids)}
    for one in results:
        for metric in one.metrics:
            made |= _score(metric.name, FILTERS[_protocol(one)], one.estimates[metric.name])
    return made


def _score(metric: str, filter: str, estimate: Estimate) -> dict[str, Any]:
    return {
        f"{metric},{filter}": NONE if estimate.value is None else estimate.value,
        f"{metric}_stderr,{filter}": NONE if estimate.error is None else estimate.error,
    }


def _protocol(one: TaskResult) -> Protocol:
    return next(name for name in PROTOCOLS if name == one.protocol)


def _metrics(results: Sequence[TaskResult]) -> list[Metric]:
    return list({metric.name: metric for one in results for metric in one.metrics}.values())


def _subtasks(groups: Sequence[Group]) -> dict[str, list[str]]:
    made: dict[str, dict[str, None]] = {}
    for group in groups:
        made.setdefault(group.name, {}).update(dict.fromkeys(group.tasks))
    return {name: list(tasks) for name, tasks in made.items()}


def _version(results: Sequence[TaskResult]) -> str:
    """Of scorers, extraction and prompts, in a few words; scores of another are not to be compared."""
    said = (" ".join(f"{name} {version}" for name, version in one.versions.items()) for one in results)
    return "; ".join(dict.fromkeys(said))


def _config(ran: Ran, task: str, results: Sequence[TaskResult]) -> dict[str, Any]:
    """What the harness keeps of a task's settings; metrics are those that every row of its samples has."""
    metrics = {metric.name: metric for metric in _metrics(results)}
    per_item = ran.samples[task].metrics
    filters = [FILTERS[_protocol(one)] for one in results]
    return {
        "task": task,
        "task_alias": task,
        "tag": results[0].group,
        "dataset_path": TASKS[task].folder,
        "dataset_name": None,
        "test_split": results[0].split,
        "output_type": "generate_until" if "generated" in filters else "multiple_choice",
        "num_fewshot": results[0].shots,
        "repeats": 1,
        "metric_list": [
            {"metric": name, "aggregation": "mean", "higher_is_better": metrics[name].higher_is_better}
            for name in per_item
            if name in metrics
        ],
        "filter_list": [{"name": name} for name in filters],
        "metadata": dict(results[0].versions),
    }


def _run_config(ran: Ran) -> dict[str, Any]:
    job, model = ran.job, ran.model
    told = {
        "pretrained": model.model,
        "peft": model.adapter,
        "model": model.endpoint.model if model.endpoint else None,
        "base_url": model.endpoint.base_url if model.endpoint else None,
        "path": model.predictions,
        "dtype": model.dtype,
        "max_length": model.context,
        "template": model.template,
    }
    seeds = ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")
    return {
        "model": model.runs_on,
        "model_args": {name: value for name, value in told.items() if value is not None},
        "batch_size": model.batch,
        "batch_sizes": [],
        "device": None,
        "use_cache": job.cache,
        "limit": job.limit,
        "bootstrap_iters": job.resamples,
        "gen_kwargs": {} if job.max_tokens is None else {"max_gen_toks": job.max_tokens},
        **dict.fromkeys(seeds, job.seed),
    }


def _more(one: TaskResult) -> dict[str, Any]:
    """What one task's result is under one protocol, beyond what the harness has a place for."""
    return {
        "protocol": one.protocol,
        "split": one.split,
        "group": one.group,
        "items": len(one.ids),
        "documents": len(set(one.documents)),
        "headline": one.headline.name,
        "metrics": {
            metric.name: {"title": metric.title, "unit": metric.unit, "note": metric.note}
            | {"higher_is_better": metric.higher_is_better, "estimate": asdict(one.estimates[metric.name])}
            for metric in one.metrics
        },
        "baselines": {name: dict(kinds) for name, kinds in one.baselines.items()},
        "answered": one.answered,
        "why": dict(one.whys),
        "problems": dict(one.problems),
        "unfit": one.unfit,
        "flagged": None if one.flagged is None else int(np.count_nonzero(one.flagged)),
        "clean": {name: asdict(estimate) for name, estimate in one.clean.items()},
        "calibration": [asdict(one) for one in one.bins],
        "versions": dict(one.versions),
        "samples": one.samples,
    }


def _versions() -> dict[str, str]:
    """Of the packages that a score may depend on, those that are installed."""
    there = {}
    for name in PACKAGES:
        try:
            there[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return there


def _plain(value: Any) -> Any:
    """The same as JSON knows it: numbers of numpy as such, tuples as lists, what is no number as null."""
    match value:
        case np.generic():
            return _plain(value.item())
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
    return value
