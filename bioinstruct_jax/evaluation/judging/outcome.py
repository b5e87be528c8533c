"""What a judging came to, as plain JSON for results files and report: scores, and how far the judge can be trusted."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bioinstruct_jax.evaluation import bootstrap, paired
from bioinstruct_jax.evaluation.judging import plan, prompts, trust, verdicts
from bioinstruct_jax.evaluation.judging.passes import agreement
from bioinstruct_jax.evaluation.judging.plan import Asked
from bioinstruct_jax.evaluation.judging.prompts import CRITERIA, HIGHEST, LOWEST
from bioinstruct_jax.evaluation.judging.samples import ByItem, Sample
from bioinstruct_jax.evaluation.judging.verdicts import LOWEST_GRADES, Grades
from bioinstruct_jax.evaluation.runner.job import Evaluate

if TYPE_CHECKING:
    from bioinstruct_jax.evaluation.judging.judge import Replies

Judged = tuple[Asked, str]  # a request that was answered, and the answer's text


@dataclass(frozen=True, slots=True)
class Graded:
    """An answer's grades in every pass that has a verdict; never empty."""

    sample: Sample
    passes: tuple[Grades, ...]

    def mean(self, criterion: str) -> float:
        """Of the passes."""
        return float(np.mean([grades.of(criterion) for grades in self.passes]))


def told(job: Evaluate, items: Mapping[str, ByItem], asked: Sequence[Asked], replies: "Replies") -> dict[str, Any]:
    """The outcome.

    Keys: ``judge`` (who, with which prompt and settings); ``complete``, ``stopped``, ``requests``, ``spent``;
    ``trusted`` (True, False, or None: cannot be said) with ``warnings``; ``canaries``, ``agreement``, ``position``,
    ``injection`` over all tasks; ``tasks``: by name ``items``, ``models`` and ``pairs``, each by model's name. Grades
    are from 1 to 5, shares and ``score`` from 0 to 1; intervals draw documents again.
    """
    endpoint = job.judge.endpoint
    assert endpoint is not None
    judged = [
        (one, reply.text)
        for one, reply in zip(asked, replies.found, strict=True)
        if reply is not None and not reply.problem
    ]
    failed = Counter(reply.problem for reply in replies.found if reply is not None and reply.problem)
    without = failed.total() + sum(_read(one, text) is None for one, text in judged)
    graded = {task: _graded(task, by_item, judged) for task, by_item in items.items()}
    answers = [
        one.passes for of_model in graded.values() for some in of_model.values() for one in some if not one.sample.blank
    ]
    canaries, injection = trust.canaries(judged), trust.injection(job, judged)
    trusted, warnings = trust.said(canaries, injection)
    pairs = {task: _pairs(job, task, by_item, judged) for task, by_item in items.items()}
    given = len(judged) + failed.total()
    complete = not replies.stopped and given == len(asked) and bool(judged or not asked)
    if not complete:
        warnings.append(
            f"incomplete: {len(judged)} of {len(asked)} requests were answered; the same command goes on. "
            f"{replies.stopped}".rstrip()
        )
    if without:
        hidden = any(sample.restricted for rows in items.values() for row in rows.values() for sample in row.values())
        why = "" if hidden else "".join(f"; {problem} ({times})" for problem, times in failed.most_common(3))
        warnings.append(f"{without} of {given} requests brought no verdict, and count as missing{why}")
    return {
        "judge": {
            "model": endpoint.model,
            "prompt": prompts.version(),
            "passes": job.judge.passes,
            "limit": job.judge.limit,
            "decoding": asdict(endpoint.decoding),
            "seed": job.seed,
        },
        "complete": complete,
        "stopped": replies.stopped,
        "ended": replies.ended or ("" if complete else "server"),
        "requests": {"planned": len(asked), "answered": len(judged), "without_verdict": without},
        "spent": replies.spent,
        "trusted": trusted,
        "warnings": warnings,
        "canaries": canaries,
        "agreement": {
            criterion: asdict(agreement([[grades.of(criterion) for grades in passes] for passes in answers]))
            for criterion in CRITERIA
        },
        "position": trust.position(judged),
        "injection": injection,
        "tasks": {
            task: {
                "items": len(by_item),
                "models": _models(job, by_item, graded[task]),
                "pairs": pairs[task],
            }
            for task, by_item in items.items()
        },
    }


def _read(one: Asked, text: str) -> Grades | str | None:
    return verdicts.winner(text) if one.kind == "pair" else verdicts.grades(text)


def _graded(task: str, by_item: ByItem, judged: Sequence[Judged]) -> dict[str, list[Graded]]:
    """By model; answers without any verdict left out."""
    found: dict[tuple[str, str], list[Grades]] = {}
    for one, text in judged:
        if one.kind == "answer" and one.task == task and (grades := verdicts.grades(text)) is not None:
            found.setdefault((one.item, one.model), []).append(grades)
    by_model: dict[str, list[Graded]] = {}
    for item, row in by_item.items():
        for model, sample in row.items():
            passes = (LOWEST_GRADES,) if sample.blank else tuple(found.get((item, model), ()))
            some = by_model.setdefault(model, [])
            if passes:
                some.append(Graded(sample, passes))
    return by_model


def estimate(job: Evaluate, values: Sequence[float], documents: Sequence[str]) -> dict[str, Any]:
    """A mean and its interval by document."""
    counts = bootstrap.by_document(bootstrap.of_items(values), documents)
    return asdict(bootstrap.bootstrap(counts, bootstrap.ratio, resamples=job.resamples, seed=job.seed))


def _models(job: Evaluate, by_item: ByItem, graded: Mapping[str, Sequence[Graded]]) -> dict[str, Any]:
    first, told = plan.baseline(job), {}
    for model, some in graded.items():
        documents = [one.sample.document for one in some]
        overall = [one.mean("overall") for one in some]
        told[model] = {
            "judged": len(some),
            "missing": len(by_item) - len(some),
            "blank": sum(one.sample.blank for one in some),
            "score": estimate(job, [_scaled(value) for value in overall], documents),
            "criteria": {name: estimate(job, [one.mean(name) for one in some], documents) for name in CRITERIA},
            "difference": _difference(job, graded[first], some) if first in graded and model != first else None,
            "overall": {one.sample.id: value for one, value in zip(some, overall, strict=True)},
        }
    return told


def _scaled(grade: float) -> float:
    return (grade - LOWEST) / (HIGHEST - LOWEST)


def _difference(job: Evaluate, first: Sequence[Graded], other: Sequence[Graded]) -> dict[str, Any]:
    """The other model's score less the baseline's, on the items that both have."""
    of_other = {one.sample.id: one for one in other}
    both = [(one, of_other[one.sample.id]) for one in first if one.sample.id in of_other]
    documents = [one.sample.document for one, _ in both]
    counts = [
        bootstrap.by_document(bootstrap.of_items([_scaled(two[side].mean("overall")) for two in both]), documents)
        for side in (0, 1)
    ]
    return asdict(paired.difference(counts[0], counts[1], bootstrap.ratio, resamples=job.resamples, seed=job.seed))


def _pairs(job: Evaluate, task: str, by_item: ByItem, judged: Sequence[Judged]) -> dict[str, Any]:
    """Of each model against the baseline: a win or loss is one in both orders, all else is a tie."""
    first = plan.baseline(job)
    said: dict[tuple[str, str], dict[int, str | None]] = {}
    for one, text in judged:
        if one.kind == "pair" and one.task == task:
            said.setdefault((one.item, one.model), {})[one.turn] = verdicts.winner(text)
    told: dict[str, Any] = {}
    models = dict.fromkeys(model for row in by_item.values() for model in row if model != first and first in row)
    for model in models if job.judge.pairwise else ():
        values, documents, changed, missing = [], [], 0, 0
        for item, row in by_item.items():
            value = plan.settled(row[first], row[model])
            if value is None:
                turns = said.get((item, model), {})
                sides = [trust.won(turn, turns[turn]) for turn in (0, 1) if turn in turns]
                known = [side for side in sides if side is not None]
                if len(known) < 2:
                    missing += 1
                    continue
                changed += known[0] != known[1]
                value = known[0] if known[0] == known[1] else 0.5
            values.append(value)
            documents.append(row[first].document)
        wins, losses = np.array(values) == 1, np.array(values) == 0
        test = paired.mcnemar(losses, wins)
        told[model] = {
            "baseline": first,
            "compared": len(values),
            "missing": missing,
            "wins": int(wins.sum()),
            "ties": len(values) - int(wins.sum() + losses.sum()),
            "losses": int(losses.sum()),
            "changed_with_order": changed,
            "win_rate": estimate(job, values, documents),
            "sign_test": {"p": test.p, "mid_p": test.mid_p},
        }
    return told
