"""Log-likelihoods of choices: which is the likeliest, whether it is right, and how sure the model is of it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from bioinstruct_jax.evaluation import calibration, choices, classification
from bioinstruct_jax.evaluation.bootstrap import ratio
from bioinstruct_jax.evaluation.choice_prompts import ChoicePrompt
from bioinstruct_jax.evaluation.language_model import Score, TooLong
from bioinstruct_jax.evaluation.runner import questions
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring import always, given
from bioinstruct_jax.evaluation.scoring.macro import macro_f1
from bioinstruct_jax.evaluation.scoring.scored import Metric, Reading
from bioinstruct_jax.tasks.task import Task


class Ranked:
    """Scores choices by their log-likelihoods (`choices.read`), each item among its own.

    An item that does not fit the context, or that no server answered, is wrong in accuracies and F1 and left out of
    what rests on probabilities.

    `version` is raised whenever a score changes for the same log-likelihoods. `labels` of a choice task are the task's
    letters, of which an item uses as many as it has options.
    """

    version = 1
    headline = "acc"
    reasons: Mapping[str, str] = {
        "likeliest": "the choice with the largest log-likelihood, the first of equals",
        **given.REASONS,
    }

    def __init__(self, task: Task[Any, Any], protocol: Literal["harness", "likelihood"]):
        self.labels = task.labels
        self._task, self._protocol = task, protocol
        self._fixed = task.family.name != "choice"  # labels mean the same in every item

    def read(self, question: Question, output: Output) -> Reading:
        """The likeliest choice.

        Raises:
            ValueError: not one log-likelihood for each choice, one that is NaN or infinite (as `choices.read`), or a
                gold answer that is none of the choices: this is the caller's or the weights' fault, not a text's.
        """
        named = self._choices(question)
        gold = self._task.family.gold(question.item)
        if gold not in named:
            raise ValueError(f"{question.id}: the answer {gold!r} is not one of {', '.join(named)}")
        why = given.absent(output)
        results: list[Score | TooLong] = [
            Score(value, greedy=False, tokens=1) for value in (() if why else output.loglikelihoods)
        ]
        if why:
            results = [TooLong(*(output.unfit or (0, 0)))] * len(named)
        prompt = ChoicePrompt(question.id, "", named, named.index(gold))
        made = choices.read([prompt], results, unfit="wrong")
        taken, right = int(made.taken[0]), float(made.acc[0])
        answer = None if why else named[taken]
        scores = {"acc": right}
        counts: dict[str, Sequence[float]] = {"acc": (right, 1.0)}
        if self._protocol == "harness":
            scores["acc_norm"] = float(made.acc_norm[0])
            counts["acc_norm"] = (scores["acc_norm"], 1.0)
        if self._fixed:
            row = classification.counts([(gold,)], classification.one_each([answer]), self.labels)[0]
            counts["labels"] = row.tolist()
        if why:
            counts |= {"brier": (0.0, 0.0), "bins": (0.0,) * (3 * calibration.BINS)}
            return Reading(None, gold, why, 0.0, scores, counts)
        shares = made.probabilities[0]
        scores["brier"] = float(made.brier[0])
        counts["brier"] = (scores["brier"], 1.0)
        counts["bins"] = calibration.counts(shares[taken : taken + 1], np.array([right]))[0].tolist()
        probabilities = tuple(shares.tolist())
        return Reading(answer, gold, "likeliest", right, scores, counts, probabilities=probabilities)

    def _choices(self, question: Question) -> tuple[str, ...]:
        return self._task.labels if self._protocol == "harness" else questions.choices(question, self._task)

    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy first; by character too under ``harness``, macro-F1 where labels are the same in every item."""
        found = [Metric("acc", "Accuracy", "acc", ratio, of_items=True)]
        if self._protocol == "harness":
            found.append(Metric("acc_norm", "Accuracy, likeliest by character", "acc_norm", ratio, of_items=True))
        if self._fixed:
            found.append(Metric("macro_f1", "Macro-F1 over the labels that gold has", "labels", macro_f1))
        found += [
            Metric("brier", "Brier score", "brier", ratio, unit="error", higher_is_better=False),
            Metric(
                "ece",
                "Expected calibration error",
                "bins",
                calibration.error,
                unit="error",
                higher_is_better=False,
                note=f"{calibration.BINS} bins; above 0 for a model of perfect calibration too, the more so with few "
                "items",
            ),
        ]
        return tuple(found)

    def baselines(self, golds: Sequence[str], options: Sequence[int]) -> dict[str, dict[str, float]]:
        """Majority and chance of accuracies, majority of macro-F1; of ``acc_norm`` as of ``acc``."""
        found = {"acc": always.accuracy(golds, options)}
        if self._protocol == "harness":
            found["acc_norm"] = found["acc"]
        if self._fixed:
            found["macro_f1"] = always.majority(golds, self.labels, macro_f1)
        return found
