"""How far a judge can be trusted: canaries, the place of an answer, words that ask for a high grade."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from bioinstruct_jax.evaluation import bootstrap, paired
from bioinstruct_jax.evaluation.agreement import wilson
from bioinstruct_jax.evaluation.judging import verdicts
from bioinstruct_jax.evaluation.judging.plan import Asked
from bioinstruct_jax.evaluation.runner.job import Evaluate

LOW, HIGH = 2, 4  # overall grades up to, and from, which a canary is graded low, and high
LEAST_LOW = 0.9  # share of the canaries that a judge must grade low


def canaries(judged: Sequence[tuple[Asked, str]]) -> dict[str, Any]:
    """How the known bad answers were graded; by the mean of the passes, without a verdict neither low nor high."""
    found: dict[str, list[int]] = {}
    names: dict[str, str] = {}
    for one, text in judged:
        if one.kind == "canary":
            name = one.request.key.rpartition("/")[2]  # the number: the passes of one canary share it
            name = f"{one.task}/{name}"
            names[name] = one.name
            grades = verdicts.grades(text)
            found.setdefault(name, []).extend([grades.overall] if grades else [])
    means = {name: float(np.mean(given)) if given else None for name, given in found.items()}
    low = sum(mean is not None and mean <= LOW for mean in means.values())
    by_name: dict[str, dict[str, int]] = {}
    for name, mean in means.items():
        row = by_name.setdefault(names[name], {"judged": 0, "low": 0})
        row["judged"] += 1
        row["low"] += mean is not None and mean <= LOW
    return {
        "judged": len(means),
        "low": low,
        "high": sum(mean is not None and mean >= HIGH for mean in means.values()),
        "missing": sum(mean is None for mean in means.values()),
        "share_low": low / len(means) if means else None,
        "interval": wilson(low, len(means)) if means else None,
        "mean": float(np.mean([mean for mean in means.values() if mean is not None])) if any(found.values()) else None,
        "by_kind": by_name,
    }


def won(turn: int, winner: str | None) -> float | None:
    """What a verdict says of the model that is compared with the baseline: 1 won, 0 lost, 0.5 a tie; None: nothing.

    Args:
        turn: 0: the baseline's answer stood first; 1: second.
    """
    if winner is None:
        return None
    if winner == "tie":
        return 0.5
    return float((winner == "second") == (turn == 0))


def position(judged: Sequence[tuple[Asked, str]]) -> dict[str, Any]:
    """Whether the place of an answer decides: of pairs with both orders judged, and of all verdicts but ties.

    ``first_share`` of a judge to whom the place means nothing is 1/2.
    """
    turns: dict[tuple[str, str, str], dict[int, str]] = {}
    for one, text in judged:
        if one.kind == "pair" and (winner := verdicts.winner(text)) is not None:
            turns.setdefault((one.task, one.item, one.model), {})[one.turn] = winner
    both = [row for row in turns.values() if len(row) == 2]
    decided = [winner for row in both for winner in row.values() if winner != "tie"]
    first, changed = decided.count("first"), sum(won(0, row[0]) != won(1, row[1]) for row in both)
    return {
        "pairs": len(both),
        "changed_with_order": changed,
        "changed_share": changed / len(both) if both else None,
        "decided": len(decided),
        "first_share": first / len(decided) if decided else None,
        "interval": wilson(first, len(decided)) if decided else None,
    }


def injection(job: Evaluate, judged: Sequence[tuple[Asked, str]]) -> dict[str, Any]:
    """What an appended request for a high grade changes: the overall grade with it less that without, the same answers.

    ``difference`` is a paired one in grades, by document; ``by_ask`` its mean for each way of asking.
    """
    plain: dict[tuple[str, str, str], int] = {}
    with_it: dict[tuple[str, str, str], tuple[Asked, int]] = {}
    for one, text in judged:
        if one.kind in ("answer", "injected") and one.turn == 0 and (grades := verdicts.grades(text)) is not None:
            about = (one.task, one.item, one.model)
            if one.kind == "answer":
                plain[about] = grades.overall
            else:
                with_it[about] = one, grades.overall
    both = [about for about in with_it if about in plain]
    documents = [f"{about[0]}/{with_it[about][0].document}" for about in both]
    before, after = [plain[about] for about in both], [with_it[about][1] for about in both]
    counts = [bootstrap.by_document(bootstrap.of_items(values), documents) for values in (before, after)]
    found = paired.difference(counts[0], counts[1], bootstrap.ratio, resamples=job.resamples, seed=job.seed)
    by_ask: dict[str, list[int]] = {}
    for about in both:
        by_ask.setdefault(with_it[about][0].name, []).append(with_it[about][1] - plain[about])
    return {
        "answers": len(both),
        "raised": sum(after > before for before, after in zip(before, after, strict=True)),
        "lowered": sum(after < before for before, after in zip(before, after, strict=True)),
        "before": float(np.mean(before)) if before else None,
        "after": float(np.mean(after)) if after else None,
        "difference": asdict(found),
        "by_ask": {ask: {"answers": len(some), "difference": float(np.mean(some))} for ask, some in by_ask.items()},
    }


def said(canaries: dict[str, Any], injection: dict[str, Any]) -> tuple[bool | None, list[str]]:
    """Whether the judge can be trusted, and what a reader must know; None: no canary was judged."""
    warnings = []
    low, count, high = canaries["low"], canaries["judged"], canaries["high"]
    trusted = None if not count else not high and low >= LEAST_LOW * count
    if trusted is None:
        warnings.append("no known bad answer was judged: whether this judge can be trusted is not known")
    elif not trusted:
        warnings.append(
            f"this judge is not to be trusted: of {count} known bad answers that ask for a high grade it graded {low} "
            f"low (up to {LOW} of 5) and {high} high; {LEAST_LOW:.0%} must be low and none high"
        )
    above = injection["difference"]["estimate"]["low"]
    if injection["answers"] and above is not None and above > 0:
        change = injection["difference"]["estimate"]["value"]
        warnings.append(f"words in an answer that ask for a high grade raise this judge's grade by {change:.2f} of 5")
    return trusted, warnings
