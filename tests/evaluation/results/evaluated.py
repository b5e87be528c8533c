"""Results that an evaluation might have had, drawn by seed, for tests of what is told of them; no medicine.

    python -m tests.evaluation.results.evaluated report.html [--items 400] [--models 2]

writes a report of them, to be looked at.
"""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from upath import UPath

from bioinstruct_jax.evaluation import bootstrap, calibration, classification
from bioinstruct_jax.evaluation.results import report
from bioinstruct_jax.evaluation.results.comparison import Comparison, GroupScore, compare
from bioinstruct_jax.evaluation.results.estimates import clean, estimates
from bioinstruct_jax.evaluation.results.groups import groups
from bioinstruct_jax.evaluation.scoring.scored import Metric, TaskResult

RESAMPLES = 300
REASONS = {"exact": "the text is the answer and nothing else", "nothing": "the text names no answer"}
WORDS = ("fever", "cough", "anaemia", "renal", "hepatic", "lesion", "dose", "acute", "stenosis", "therapy", "placebo")
ACCURACY = Metric("acc", "accuracy", "labels", classification.accuracy, of_items=True)
MACRO = Metric("macro_f1", "macro-F1", "labels", classification.macro_f1)
F1 = Metric("f1", "entity-level F1", "mentions", lambda sums: bootstrap.ratio(sums * [2, 1]))
ROUGE = Metric("rouge_l", "ROUGE-L", "means", bootstrap.ratio)


@dataclass(frozen=True)
class Made:
    """All that a report is written from."""

    results: list[TaskResult]
    comparisons: list[Comparison]
    groups: list[GroupScore]
    samples: list[dict[str, Any]]


def made(
    items: int = 60, *, models: Sequence[str] = ("base", "tuned"), hostile: Sequence[str] = (), seed: int = 0
) -> Made:
    """Four tasks: two of labels (one of them by two protocols, tuned is better), entities (alike), free text (worse).

    Args:
        hostile: outputs of the baseline's first items.
    """
    results, samples = [], []
    for model in models:
        skill = 0.25 * models.index(model)
        for task, labels, protocol in (
            ("medqa", tuple("ABCD"), "harness"),
            ("medqa", tuple("ABCD"), "generated"),
            ("pubmedqa", ("yes", "no", "maybe"), "generated"),
        ):
            draw = np.random.default_rng([seed, len(labels), protocol == "harness"])
            results.append(_labels(model, task, labels, protocol, items, 0.35 + skill, draw, samples))
        results.append(_graded(model, "ncbi_disease", "IE", F1, items, 0.6, seed, samples))
        results.append(_graded(model, "dialogue", "GEN", ROUGE, items, 0.5 - skill / 2, seed + 1, samples))
    for row, text in zip(samples, hostile, strict=False):
        row["output"] = text
    baseline = models[0]
    return Made(
        results,
        compare(results, baseline, resamples=RESAMPLES),
        groups(results, baseline, resamples=RESAMPLES),
        samples,
    )


def _labels(model, task, labels, protocol, items, skill, draw, samples) -> TaskResult:
    golds = draw.choice(labels, items)
    easy = draw.random(items)
    mine = np.random.default_rng([len(model), len(labels), protocol == "harness"])
    guesses = mine.choice(labels, items)
    answers = np.where(easy < skill, golds, guesses).astype(object)
    if protocol == "generated":
        answers[mine.random(items) > 0.6 + skill / 2] = None
    right = np.array([one == gold for one, gold in zip(answers, golds, strict=True)], float)
    flagged = (np.arange(items) % 10 == 3) if task == "medqa" and model != "base" else None
    bins: tuple[Any, ...] = ()
    if protocol == "harness":
        sure = np.clip(0.45 + 0.4 * right + 0.2 * mine.standard_normal(items), 0.25, 1)
        bins = tuple(calibration.reliability(calibration.counts(sure, right).sum(0)))
    whys = ["nothing" if one is None else "exact" for one in answers]
    counts = {
        "labels": classification.counts([(one,) for one in golds], classification.one_each(list(answers)), labels)
    }
    return _result(
        model, task, protocol, "QA", (ACCURACY, MACRO), counts, right, whys, samples,
        golds=tuple(golds), answers=tuple(answers), labels=labels, bins=bins, flagged=flagged,
        answered=float(np.mean([one is not None for one in answers])),
        baselines={"acc": {"majority": Counter(golds).most_common(1)[0][1] / items, "chance": 1 / len(labels)}},
    )  # fmt: skip


def _graded(model, task, group, metric, items, level, seed, samples) -> TaskResult:
    draw = np.random.default_rng([seed, len(model)])
    values = np.clip(np.random.default_rng(seed).normal(level, 0.2, items) + draw.normal(0, 0.1, items), 0, 1)
    if metric is F1:
        hits, gold = np.round(values * 4), np.full(items, 4.0)
        values = hits / 4
        counts = {"mentions": np.stack([hits, 2 * gold], 1)}
    else:
        counts = {"means": bootstrap.of_items(values)}
    return _result(model, task, "generated", group, (metric,), counts, values, ["exact"] * items, samples)


def _result(model, task, protocol, group, metrics, counts, values, whys, samples, **more) -> TaskResult:
    ids = tuple(f"{task}/test/{place}" for place in range(len(values)))
    words = np.random.default_rng([len(task), len(model)])
    for place, id in enumerate(ids):
        golds, answers = more.get("golds"), more.get("answers")
        samples.append(
            {
                "id": id,
                "task": task,
                "protocol": protocol,
                "model": model,
                "prompt": f"Question {place}: {' '.join(words.choice(WORDS, 120))}\nAnswer:",
                "output": f"I think that it is {answers[place] if answers else ''} {' '.join(words.choice(WORDS, 25))}",
                "answer": (None if answers[place] is None else str(answers[place])) if answers else "a text",
                "gold": str(golds[place]) if golds else "another text",
                "why": whys[place],
                "problems": {"unparsable line": 1} if place % 7 == 2 else {},
                "value": float(values[place]),
                "flagged": None if more.get("flagged") is None else bool(more["flagged"][place]),
            }
        )
    flagged = more.get("flagged")
    return TaskResult(
        model=model, task=task, protocol=protocol, split="test", group=group, shots=0, ids=ids, documents=ids,
        metrics=metrics, counts=counts, estimates=estimates(metrics, counts, ids, resamples=RESAMPLES),
        values=np.asarray(values), whys=Counter(whys), unanswered=Counter(why for why in whys if why == "nothing"),
        problems={"unparsable line": len(ids) // 7}, reasons=REASONS, versions={"scorer": 1, "extraction": 1},
        clean={} if flagged is None else clean(metrics, counts, ids, flagged, resamples=RESAMPLES),
        samples=f"samples_{task}.jsonl", **{"baselines": {}} | more,
    )  # fmt: skip


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("file")
    arguments.add_argument("--items", type=int, default=400)
    arguments.add_argument("--models", type=int, default=2)
    asked = arguments.parse_args()
    all_of_it = made(asked.items, models=("base", "tuned", "tuned-longer", "tuned-wide", "fifth")[: asked.models])
    report.write(
        UPath(asked.file), "Evaluation", all_of_it.results, all_of_it.comparisons, all_of_it.groups, all_of_it.samples,
        judge=judged(),
        settings="tasks: [medqa]\nseed: 0\n", notes=["Made up: no model answered."],
    )  # fmt: skip


if __name__ == "__main__":
    main()


def judged(*, trusted: bool | None = True, judge: str = "a judge") -> dict[str, Any]:
    """What a judge found, as `judging.outcome.told` has it."""
    value = {"value": 3.25, "low": 2.5, "high": 4.0}
    names = ("overall", "coherence", "accuracy", "completeness", "safety")
    one = {"judged": 8, "missing": 1, "blank": 2, "score": value, "criteria": dict.fromkeys(names, value)}
    pair = {"baseline": "base", "compared": 8, "missing": 0, "wins": 5, "ties": 2, "losses": 1, "changed_with_order": 1}
    pair |= {"win_rate": {"value": 0.75, "low": None, "high": None}, "sign_test": {"p": 0.21875, "mid_p": 0.125}}
    return {
        "judge": {"model": judge},
        "trusted": trusted,
        "warnings": ["2 of 30 requests brought no verdict"],
        "requests": {"planned": 30},
        "spent": {"dollars": 0.0},
        "canaries": {"low": 6},
        "agreement": {"overall": {"kappa": 0.7134}},
        "position": None,
        "injection": None,
        "tasks": {"meqsum": {"items": 9, "models": {"base": one, "tuned": one}, "pairs": {"tuned": pair}}},
    }
