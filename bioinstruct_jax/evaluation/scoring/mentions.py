"""Mentions against gold: exactly and by overlap, in seqeval's, nervaluate's and the papers' ways of counting."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from bioinstruct_jax.evaluation import classification, entities, extraction, muc, token_dict
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring import given
from bioinstruct_jax.evaluation.scoring.macro import macro_f1
from bioinstruct_jax.evaluation.scoring.named import OTHER, Found, of_json, of_lines, of_tags
from bioinstruct_jax.evaluation.scoring.scored import Metric, Reading
from bioinstruct_jax.tasks.task import Task

_CATEGORIES = 5


def muc_f1(sums: np.ndarray, scheme: int) -> np.ndarray:
    """F1 of a scheme of `muc.SCHEMES`, of sums of its counts, flat."""
    shaped = sums.reshape(*sums.shape[:-1], len(muc.SCHEMES), _CATEGORIES)
    return muc.f1(shaped[..., scheme, :])


class Mentions:
    """Scores mentions. What could not be read scores as none; what was said beyond the text is a false positive.

    One rule for all formats: a mention that has no place of its own, because its words are not in the text or stand
    there less often than they are said, or whose type is none of the task's, is a false positive. Gold is all that the
    publisher marked, also what lines of tags cannot hold.

    `version` is raised whenever a score changes for the same texts, so whenever `extraction.VERSION` is.
    """

    version = 1
    headline = "f1"
    labels: tuple[str, ...] = ()
    reasons: Mapping[str, str] = {
        "mentions": "mentions were read",
        "none": "the answer is that there is none",
        "unparsable": "neither a list of mentions nor lines of tags, or not one tag a token; it scores as none",
        "refused": extraction.WHY["refused"],
        "empty": extraction.WHY["empty"],
        **given.REASONS,
    }

    def __init__(self, task: Task[Any, Any], form: str):
        self._types, self._form = task.labels, form

    def read(self, question: Question, output: Output) -> Reading:
        """The mentions that an output names; tags made elsewhere go before text."""
        item, gold = question.item, question.item.mentions
        found = self._found(question, output)
        types = (*self._types, OTHER)
        truth, guess, foreign = [gold], [found.strict], [found.foreign]
        exact = entities.counts(truth, guess, types, foreign=foreign)[0]
        lenient, apart = exact, found.foreign_lenient != found.foreign
        if apart or found.lenient != found.strict:
            lenient = entities.counts(truth, [found.lenient], types, foreign=[found.foreign_lenient])[0]
        relaxed = entities.counts(truth, guess, types, match="relaxed", foreign=foreign)[0]
        counts: dict[str, Sequence[float]] = {
            "mentions": exact.tolist(),
            "lenient": lenient.tolist(),
            "relaxed": relaxed.tolist(),
            "muc": muc.counts(truth, guess, foreign)[0].ravel().tolist(),
        }
        if self._form == "iob":
            counts["token_dict"] = self._token_dict(question, output)
        answered = found.strict is not None
        right = float(classification.micro_f1(exact))
        if answered and not gold and not found.strict and not found.foreign:
            right = 1.0
        answer = None
        if found.strict is not None:
            answer = _shown([*((item.words(one), one.type) for one in found.strict), *found.words])
        return Reading(
            answer,
            _shown((item.words(one), one.type) for one in gold),
            found.why,
            right,
            {"f1": right, "extraction_rate": float(answered)},
            counts,
            found.problems | given.unfinished(output),
        )

    def _found(self, question: Question, output: Output) -> Found:
        if why := given.absent(output):
            return Found(why)
        if output.tags is not None:
            return of_tags(output.tags, question.item, self._types)
        return (of_lines if self._form == "iob" else of_json)(output.text or "", question.item, self._types)

    def _token_dict(self, question: Question, output: Output) -> Sequence[float]:
        said = "" if given.absent(output) else output.text or ""
        if output.tags is not None and len(output.tags) == len(question.item.tokens):
            said = "\n".join(f"{token} : {tag}" for token, tag in zip(question.item.tokens, output.tags, strict=True))
        sides = token_dict.mentions(question.record.output, said)
        known = self._types if len(self._types) > 1 else ("",)
        gold, guess = ([one if one.type in known else one._replace(type=OTHER) for one in side] for side in sides)
        row: Sequence[float] = entities.counts([gold], [guess], (*known, OTHER))[0].tolist()
        return row

    def metrics(self) -> tuple[Metric, ...]:
        """Strict micro-F1 of exact mentions first."""
        score = classification.micro_f1
        found = [
            Metric("f1", "F1 of mentions, exact (strict IOB2)", "mentions", score),
            Metric("precision", "Precision of mentions, exact (strict IOB2)", "mentions", classification.precision),
            Metric("recall", "Recall of mentions, exact (strict IOB2)", "mentions", classification.recall),
            Metric(
                "f1_conlleval",
                "F1 of mentions, exact (conlleval, seqeval's default)",
                "lenient",
                score,
                note="an I behind no mention of its type opens one; differs from f1 only where answers are tags",
            ),
            Metric("f1_relaxed", "F1 of mentions by overlap, one to one", "relaxed", score),
        ]
        for place, scheme in enumerate(muc.SCHEMES):
            title = f"F1 of mentions, {scheme} (nervaluate)"
            found.append(Metric(f"f1_muc_{scheme}", title, "muc", partial(muc_f1, scheme=place)))
        if len(self._types) > 1:
            found.append(Metric("macro_f1", "Macro-F1 over the types that gold has, exact", "mentions", macro_f1))
        if self._form == "iob":
            note = "paper-compatible, never to be reported alone: words repeated in a sentence collapse, in gold too"
            found.append(Metric("f1_token_dict", "F1 as Llama2-MedTuned counts", "token_dict", score, note=note))
        found.append(
            Metric(
                "extraction_rate",
                "Answers that could be read",
                "mentions",
                classification.extraction_rate,
                of_items=True,
            )
        )
        return tuple(found)

    def baselines(self, golds: Sequence[str], options: Sequence[int]) -> dict[str, dict[str, float]]:
        """None: nothing is named always, and no number of options is guessed among."""
        return {}


def _shown(named: Iterable[tuple[str, str]]) -> str:
    """JSON that any file can hold: half a surrogate pair of a model's becomes a question mark."""
    rows = [{"text": words, "type": kind} for words, kind in named]
    return json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace").decode("utf-8")
