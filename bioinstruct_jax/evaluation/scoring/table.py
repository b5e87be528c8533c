"""Which scorer a task has under a protocol."""

from typing import Any

from bioinstruct_jax.evaluation.bertscore import Encoder
from bioinstruct_jax.evaluation.choice_prompts import likelihood
from bioinstruct_jax.evaluation.runner.job import Protocol
from bioinstruct_jax.evaluation.runner.questions import RANKED
from bioinstruct_jax.evaluation.scoring import labelled, texts
from bioinstruct_jax.evaluation.scoring.labelled import OneLabel
from bioinstruct_jax.evaluation.scoring.mentions import Mentions
from bioinstruct_jax.evaluation.scoring.multi import SeveralLabels
from bioinstruct_jax.evaluation.scoring.ranked import Ranked
from bioinstruct_jax.evaluation.scoring.scored import Scorer
from bioinstruct_jax.evaluation.scoring.texts import Texts
from bioinstruct_jax.preparation.rows import answer_format
from bioinstruct_jax.tasks.task import Task


def scorer(task: Task[Any, Any], protocol: Protocol, form: str, encoder: Encoder | None = None) -> Scorer:
    """The scorer of a task's answers.

    Args:
        form: of the answer, one of the family's formats; relations are asked for by class.
        encoder: for BERTScore of free text; None: it is not computed.

    Raises:
        ValueError: the task does not know the protocol, or its family the format.
    """
    family = task.family.name
    form = answer_format(task, form)
    if protocol == "harness":
        likelihood(task)
        return Ranked(task, protocol)
    if protocol == "likelihood":
        if family not in RANKED:
            raise ValueError(
                f"{task.name}: protocol 'likelihood' ranks answers of {', '.join(RANKED)}, not of {family}; use "
                "'generated'"
            )
        return Ranked(task, protocol)
    if family == "relations" and form == "json":
        raise ValueError(f"{task.name}: answers in format 'json' are not scored; relations are asked for by 'class'")
    if family in labelled.FAMILIES:
        return OneLabel(task)
    if family == "labels":
        return SeveralLabels(task)
    if family == "entities":
        return Mentions(task, form)
    if family in texts.FAMILIES:
        return Texts(task, encoder)
    raise ValueError(f"{task.name}: answers of family {family!r} have no scorer; add one to scoring/")
