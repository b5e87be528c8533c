"""Scores of tasks on the way: which questions a run asks itself, and what its model, as it then is, makes of them.

The questions are those that `evaluate` asks with the same seed, limit and split, in the run's own prompt template; the
weights are those of the training step, on its mesh, and nothing of them is copied. Answers are read and forgotten.
"""

import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np
from flax import nnx

from bioinstruct_jax import files
from bioinstruct_jax.config import Train
from bioinstruct_jax.data.dataset import Dataset
from bioinstruct_jax.data.tokenizer import token_id
from bioinstruct_jax.evaluation.bootstrap import bootstrap
from bioinstruct_jax.evaluation.encoding import adds_bos
from bioinstruct_jax.evaluation.runner import asking, questions
from bioinstruct_jax.evaluation.runner.job import Evaluate, Model, Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.runner.ready import Local
from bioinstruct_jax.evaluation.scoring.scored import Scorer
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.inference.engine import Engine
from bioinstruct_jax.inference.jax_language_model import JaxLanguageModel
from bioinstruct_jax.inference.load import longest_context
from bioinstruct_jax.interop import hub_config
from bioinstruct_jax.interop.base import Base
from bioinstruct_jax.scoring_settings import LOSSES
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import Task, check_folder
from bioinstruct_jax.training import state

SLOTS = 32  # prompts completed at the same time, at least
Values = dict[str, float | int | None]


@dataclass(frozen=True)
class Asked:
    """A task with its questions.

    Attributes:
        most: tokens that a generated answer may have.
    """

    task: Task[Any, Any]
    protocol: Protocol
    scorer: Scorer
    questions: tuple[Question, ...]
    most: int


def read(job: Train) -> tuple[Asked, ...]:
    """The tasks that a run scores, with their questions; needs no model, so that a run fails before it begins.

    Raises:
        FileNotFoundError: a corpus is not there; says where it is to be had.
        CorpusError: a file is not what its publisher ships.
        ValueError: a task, split, protocol or metric that is not there, or several processes.
    """
    scoring = job.evaluation
    if scoring.tasks and jax.process_count() > 1:
        raise ValueError(
            f"evaluation.tasks {', '.join(scoring.tasks)}: tasks are scored while training by one process alone, and "
            f"this job has {jax.process_count()}; set evaluation.tasks to [] and score the finished adapter"
        )
    if scoring.tasks:
        check_folder(files.path(scoring.corpora), "evaluation.")
    found = tuple(_asked(job, name) for name in scoring.tasks)
    names = [f"{one.task.name}/{metric.name}" for one in found for metric in one.scorer.metrics()]
    best = job.training.best
    if best is not None and best not in (*LOSSES, *names):
        task = best.partition("/")[0]
        known = [name for name in names if name.startswith(f"{task}/")]
        raise ValueError(f"training.best {best!r}: the scores of {task} are {', '.join(known)}")
    return found


def _asked(job: Train, name: str) -> Asked:
    scoring = job.evaluation
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, 1)
        hint = f"did you mean {near[0]}?" if near else f"the tasks are {', '.join(TASKS)}"
        raise ValueError(f"evaluation.tasks: there is no task {name!r}; {hint}")
    task, corpora = TASKS[name], files.path(scoring.corpora)
    there = [one.name for one in task.splits]
    if scoring.split not in there:
        raise ValueError(
            f"evaluation.split {scoring.split}: {name} has no such split, only {', '.join(there)}. Leave the task out, "
            "or name another split; a test split is better kept for `evaluate`"
        )
    if missing := task.missing(corpora, scoring.split):
        others = ", ".join(one for one in there if not task.missing(corpora, one))
        raise FileNotFoundError(
            f"evaluation.corpora {scoring.corpora!r} has no {missing[0]}, of the {scoring.split} split of {name}"
            f"{f' (of which {others} is there)' if others else ''}. {task.title} ({task.licence.name}, "
            f"{task.licence.kind}): {task.licence.obtain}"
        )
    evaluation = Evaluate(
        out=job.name,
        corpora=scoring.corpora,
        tasks=(name,),
        split=scoring.split,
        limit=scoring.limit,
        seed=job.seed,
        models=(Model(adapter=job.name),),
    )
    known = questions.protocols(evaluation, task)
    protocol = scoring.protocol or ("likelihood" if "likelihood" in known else "generated")
    if protocol not in known:
        raise ValueError(
            f"evaluation.protocol {protocol}: {name} can be asked by {' or '.join(known)} alone; leave the task out, "
            "or set evaluation.protocol to null"
        )
    found = tuple(questions.questions(evaluation, task, scoring.split, corpora))
    if not found:
        raise ValueError(f"evaluation.corpora {corpora}: {task.empty(scoring.split)}")
    most = asking.most_tokens(max(len(one.record.output) for one in found))
    return Asked(task, protocol, scorer(task, protocol, questions.answer_form(evaluation, task)), found, most)


def highest(tasks: Sequence[Asked], name: str | None) -> bool:
    """Whether more is better of what the best checkpoint is chosen by; of a loss it is not."""
    scores = {f"{one.task.name}/{metric.name}": metric for one in tasks for metric in one.scorer.metrics()}
    return name in scores and scores[name].higher_is_better


def notes(job: Train, tasks: Sequence[Asked]) -> list[str]:
    """What a user should know of the tasks before the run begins, a line each."""
    lines = [
        f"scored on the way: {one.task.name}, {len(one.questions):,} {job.evaluation.split} items, {one.protocol}"
        for one in tasks
    ]
    if tasks and job.evaluation.split == "test":
        chosen = job.training.best not in (None, *LOSSES)
        why = "the checkpoint is chosen by it" if chosen else "whoever stops or tunes a run by it has chosen by it"
        lines.append(f"WARNING: the test split is scored on the way: {why}, and its score is no estimate any more")
    return lines


class Scored:
    """Scores the model of a run at any step.

    Args:
        tasks: from `read`.
        data: for the run's tokenizer and template.
        base: for the shape, and for the tokens that end its answers.
        mesh: where the weights lie.
        say: told each task's headline score.
    """

    def __init__(
        self,
        job: Train,
        tasks: Sequence[Asked],
        data: Dataset,
        base: Base,
        mesh: jax.sharding.Mesh,
        say: Callable[[str], None] = print,
    ):
        self.tasks, self.data, self.mesh, self.seed, self.say = tasks, data, mesh, job.seed, say
        self.shape, self.dtype = base.shape, job.model.dtype
        plain = replace(job, model=replace(job.model, remat="none", attention="reference"))
        self.graph = state.plan(plain, base.shape, mesh).graph
        end = token_id(data.template.end, data.tokenizer)
        eos = hub_config.generation(base.folder, bos=None, end=end)["eos_token_id"] if base.folder else end
        self.ends = frozenset([data.tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos])])

    def at(self, step: int, trained: nnx.State, frozen: nnx.State) -> Values:
        """Scores after `step` steps, in the order of the tasks, the headline of each first.

        Of each metric ``<task>/<metric>`` with the ends of its 95 % interval ``_low`` and ``_high`` (None where there
        is none), of each task ``<task>/items`` and ``<task>/unfit``, those longer than the context: they are wrong.

        Args:
            trained, frozen: the model, on the mesh; neither is changed.
        """
        rows = self.mesh.shape["data"] * self.mesh.shape["fsdp"]
        weights = nnx.merge_state(trained, frozen)
        engine = Engine(self.graph, weights, self.shape, self.dtype, self.mesh, math.ceil(SLOTS / rows) * rows)
        tokenizer = self.data.tokenizer
        model = JaxLanguageModel(engine, tokenizer, self.ends, longest_context(self.shape), adds_bos(tokenizer))
        run = Local("run", "", model, self.data.template)
        values: Values = {}
        for one in self.tasks:
            outputs: dict[int, Output] = {}
            with jax.transfer_guard("allow"):  # requests go to the devices as they come
                asked = [(each, run.requests(one.task, one.protocol, each, one.most)) for each in one.questions]
                run.answer(one.task, one.protocol, asked, outputs.__setitem__)
            found = scores(one, [outputs[place] for place in range(len(one.questions))], self.seed)
            self.say(f"step {step:,}: {sentence(one, found)}")
            values |= found
        return values


def scores(asked: Asked, outputs: Sequence[Output], seed: int) -> Values:
    """What the outputs of a task's questions are worth; the same for the same outputs, bit for bit."""
    readings = [asked.scorer.read(*pair) for pair in zip(asked.questions, outputs, strict=True)]
    documents = [question.document for question in asked.questions]
    values: Values = {}
    for metric in asked.scorer.metrics():
        counts = np.array([reading.counts[metric.counts] for reading in readings], float)
        estimate = bootstrap(metric.gather(counts, documents), metric.score, seed=seed)
        name = f"{asked.task.name}/{metric.name}"
        values |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    unfit = sum(output.unfit is not None for output in outputs)
    return values | {f"{asked.task.name}/items": len(outputs), f"{asked.task.name}/unfit": unfit}


def sentence(asked: Asked, values: Mapping[str, float | int | None]) -> str:
    """The headline score with its interval, for a line on the screen."""
    name = f"{asked.task.name}/{asked.scorer.metrics()[0].name}"
    value, low, high = (values[f"{name}{end}"] for end in ("", "_low", "_high"))
    span = "" if low is None or high is None else f" ({low:.3f} to {high:.3f})"
    unfit = values[f"{asked.task.name}/unfit"]
    told = f", {unfit:,} of them longer than the context, so wrong" if unfit else ""
    return f"{name} {value:.3f}{span}, {len(asked.questions):,} items{told}"
