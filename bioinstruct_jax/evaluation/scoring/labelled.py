"""Generated answers that are one of a closed set: a letter, yes, no or maybe, a label, a class of relation."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from bioinstruct_jax.evaluation import classification, extraction, label_answers
from bioinstruct_jax.evaluation.bootstrap import ratio
from bioinstruct_jax.evaluation.choice_answers import choice
from bioinstruct_jax.evaluation.extraction import WINDOW, Extracted
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring import always, given
from bioinstruct_jax.evaluation.scoring.macro import macro_f1
from bioinstruct_jax.evaluation.scoring.scored import Metric, Reading
from bioinstruct_jax.tasks.choice import LETTERS
from bioinstruct_jax.tasks.task import Task

FAMILIES = ("choice", "yes_no", "inference", "relations")
UNKNOWN, CUT = "unknown label", "cut off"
_LAST = re.compile(r"(?<!\w)\w+[^\S\n]*\Z")  # the word at the end of a text, if no sign or line end closes it
_JOINS = re.compile(  # what stands before it, if it is named beside another answer
    r"(?:\b(?:and|or|nor|vs|versus|as well as)\b\.?|[,;/&+|])[\s\"'(\[{*_]*"
    r"(?:\b(?:the|an?|no|not|possibly|perhaps|option|choice|answer|letter|label|class)\b[\s\"'(\[{*_]*){0,3}\Z",
    re.IGNORECASE,
)
_NO_ANSWER = "\u019b"  # a letter of which no answer is made
_SYNONYMS = {**label_answers.NLI, **label_answers.ASSOCIATION}


class OneLabel:
    """Scores texts by the answer that is read out of them; one without an answer is wrong and stays in.

    The last word of a text that was cut is no answer, unless the answer is all that was written. It still makes a text
    ambiguous that names it beside another answer: "It is B or A".

    `version` is raised whenever a score changes for the same texts, so whenever `extraction.VERSION` is. `labels` of a
    choice task are the task's letters, of which an item uses as many as it has options.
    """

    version = 2
    reasons: Mapping[str, str] = {
        **extraction.WHY,
        CUT: "the answer was cut off in the word that would settle it",
        "label": "it was made elsewhere, as a label",
        UNKNOWN: "it was made elsewhere, as what is none of the labels",
        **given.REASONS,
    }

    def __init__(self, task: Task[Any, Any]):
        self.labels = task.labels
        self._family = task.family
        self._relations = task.family.name == "relations"
        self.headline = "micro_f1" if self._relations else "acc"
        self._negative = task.labels.index(task.negative) if task.negative is not None else None
        self._synonyms = {word: label for word, label in _SYNONYMS.items() if label in task.labels}

    def read(self, question: Question, output: Output) -> Reading:
        """The answer that a text commits to, or that was made elsewhere."""
        gold, why = self._family.gold(question.item), given.absent(output)
        allowed = self.labels
        if self._family.name == "choice":
            allowed = tuple(LETTERS[: len(question.item.options)])
        found = Extracted[str](None, why) if why else self._extracted(question, output, allowed)
        answered, right = float(found.value is not None), float(found.value == gold)
        counts: dict[str, Sequence[float]] = {
            "acc": (right, 1.0),
            "answered": (right, answered),
            "extraction": (answered, 1.0),
        }
        if self._family.name != "choice":
            row = classification.counts([(gold,)], classification.one_each([found.value]), self.labels)[0]
            counts["labels"] = row.tolist()
        problems = given.unfinished(output) | ({UNKNOWN: 1} if found.why == UNKNOWN else {})
        scores = {"acc": right, "extraction_rate": answered}
        return Reading(found.value, gold, found.why, right, scores, counts, problems, found.span)

    def _extracted(self, question: Question, output: Output, allowed: tuple[str, ...]) -> Extracted[str]:
        if output.label is not None:
            named = {label.casefold(): label for label in allowed}.get(output.label.strip().casefold())
            return Extracted(named, "label" if named is not None else UNKNOWN)

        def read(text: str) -> Extracted[str]:
            if self._family.name == "choice":
                return choice(text, dict(zip(allowed, question.item.options, strict=True)))
            if self._family.name == "yes_no":
                return label_answers.yes_no_maybe(text, self.labels)
            return label_answers.label(text, self.labels, self._synonyms)

        text = output.text or ""
        return _of_cut(text, read) if given.unfinished(output) else read(text)

    def metrics(self) -> tuple[Metric, ...]:
        """Accuracy first; of relations micro-F1, without the negative class where there is one."""
        accuracies = [
            Metric("acc", "Accuracy", "acc", ratio, of_items=True),
            Metric(
                "acc_answered",
                "Accuracy of what was answered",
                "answered",
                ratio,
                note="kind to a model that seldom answers, never to stand alone",
            ),
            Metric("extraction_rate", "Answers that could be read", "extraction", ratio, of_items=True),
        ]
        if self._family.name == "choice":
            return tuple(accuracies)
        several = [Metric("macro_f1", "Macro-F1 over the labels that gold has", "labels", macro_f1)]
        if len(self.labels) == 2:
            several.append(Metric("matthews", "Matthews' correlation", "labels", classification.matthews))
        return (*self._micro(), *accuracies, *several) if self._relations else (*accuracies, *several)

    def _micro(self) -> list[Metric]:
        without = self._negative
        behind = "" if without is None else f" without {self.labels[without]!r}"
        found = [
            Metric(name, f"{title}{behind}", "labels", partial(score, without=without))
            for name, title, score in (
                ("micro_f1", "Micro-F1", classification.micro_f1),
                ("precision", "Precision", classification.precision),
                ("recall", "Recall", classification.recall),
            )
        ]
        if without is None:
            return found
        note = "paper-compatible: with the negative class it is the accuracy once every item is answered"
        whole = Metric("micro_f1_all", "Micro-F1 over all classes", "labels", classification.micro_f1, note=note)
        return [*found, whole]

    def baselines(self, golds: Sequence[str], options: Sequence[int]) -> dict[str, dict[str, float]]:
        """Majority and chance of accuracy, majority of the F1 scores; always the negative class scores no micro-F1."""
        found = {"acc": always.accuracy(golds, options)}
        if self._family.name == "choice":
            return found
        by_name = {metric.name: metric.score for metric in self.metrics()}
        for name in ("micro_f1", "micro_f1_all", "macro_f1"):
            if name in by_name:
                found[name] = always.majority(golds, self.labels, by_name[name])
        return found


def _of_cut(text: str, read: Callable[[str], Extracted[str]]) -> Extracted[str]:
    """What is read out of a text whose last word might have gone on: the "A" of "Acute" is no letter of an option."""
    found, last = read(text), _LAST.search(text)
    if last is None:
        return found
    rests = found.span is not None and found.span[1] > last.start()
    alone = not re.search(r"\w", text[: found.span[0] if rests and found.span else last.start()])
    if alone or (not rests and (found.value is not None or read(last[0]).value is None)):
        return found
    without = read(text[: last.start()] + _NO_ANSWER * len(last[0]))
    part = found.span is not None and without.span is not None and without.span[1] > found.span[0]
    joined = found.why == "ambiguous" and _JOINS.search(text[max(0, last.start() - WINDOW) : last.start()])
    if without.value is not None and not joined and (not part or without.value == found.value):
        return without
    return Extracted(None, CUT) if rests else found
