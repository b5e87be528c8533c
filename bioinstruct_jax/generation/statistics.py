"""``statistics.json``: what a generation made, counted.

Plain values alone, which follow from the rows and counts: the same ones give the same bytes, on any day.
"""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from bioinstruct_jax.evaluation.agreement import wilson
from bioinstruct_jax.generation.item import CATEGORIES, Accepted

PAPER = {  # shares of the categories in percent, as printed: they make 100.1 together
    "source": "BioInstruct (Tran et al., 2024)",
    "rows": 25_005,
    "percent": {"question_answering": 22.8, "extraction": 33.8, "generation": 33.5, "other": 10.0},
}
BINS = 20
VERBS, OBJECTS = 20, 4  # as many root verbs, and objects of each, as are told
_POINTS = 200  # of the series over requests


class CountsError(ValueError):
    """Counts that must add up do not."""


def statistics(
    accepted: Iterable[Accepted],
    *,
    ended: Mapping[str, Any],
    failed: Mapping[str, int],
    seen: int,
    waiting: int,
    compared: Mapping[str, Any],
    rejected: Mapping[str, int],
    turned_down: Mapping[str, int],
    requests: Iterable[tuple[int, int, int]],
    client: Mapping[str, Any],
    roots: Iterable[tuple[str, str]],
    decontamination: Mapping[str, Mapping[str, int]],
    agreement: Mapping[str, Any],
) -> dict[str, Any]:
    """All of it, as JSON takes it (texts may hold half surrogates: write it as ASCII). The rows are read once.

    Args:
        ended: ``reason``, ``said`` and the ``target``.
        failed: requests that have no answer, by problem.
        seen: items that answers held, broken ones too; each was accepted or rejected, or is ``waiting`` for an output.
        compared: evaluation items by task (``tasks``), files that are not there by task (``missing``), and the
            ``action``; empty: nothing was compared.
        rejected: how many by reason; ``turned_down``: the same ones by teacher.
        requests: number of a request and how many were accepted and rejected up to its end, in that order.
        client: ``requests`` (sent, answered, replayed, given_up), ``retried`` (by reason), ``tokens`` (input, output),
            ``dollars`` (spent, uncertain, projected; None: no price is known).
        roots: root verb and its object of each accepted instruction; empty where there is none.
        decontamination: of each task, how many rows each test found.
        agreement: of the categories with labels that were known, as it was measured.

    Raises:
        CountsError: see `check`.
    """
    teachers: dict[str, Counter[str]] = defaultdict(Counter)
    lengths: dict[str, Counter[int]] = {name: Counter() for name in ("instruction", "input", "output")}
    categories: Counter[str] = Counter()
    seeds: Counter[str] = Counter()
    similar = [0] * BINS
    rows = 0
    for row in accepted:
        rows += 1
        teachers[row.teacher][row.model] += 1
        categories[row.category] += 1
        seeds.update(row.seeds)
        similar[min(BINS - 1, int(row.similarity * BINS))] += 1
        for name, of in lengths.items():
            of[len(getattr(row, name).split())] += 1
    lost = sum(rejected.values())
    spent = client.get("dollars", {}).get("spent")
    told: dict[str, Any] = {
        "ended": dict(ended),
        "failed": _ordered(failed),
        "totals": {
            "seen": seen,
            "accepted": rows,
            "rejected": lost,
            "waiting": waiting,
            "acceptance": rows / seen if seen else None,
            "dollars_each": spent / rows if rows and spent is not None else None,
        },
        "rejected": _ordered(rejected),
        "requests": _thinned(list(requests)),
        "client": dict(client),
        "teachers": {
            name: {
                "accepted": teachers[name].total(),
                "rejected": turned_down.get(name, 0),
                "models": _ordered(teachers[name]),
            }
            for name in sorted({*teachers, *turned_down})
        },
        "lengths": {"unit": "words", **{name: _lengths(of) for name, of in lengths.items()}},
        "empty_input": {"rows": lengths["input"][0], "share": lengths["input"][0] / rows if rows else None},
        "categories": _categories(categories),
        "similarity": {"measure": "ROUGE-L F1 with the most similar earlier one", "width": 1 / BINS, "counts": similar},
        "verbs": _verbs(roots),
        "seeds": {
            "used": len(seeds),
            "fewest": min(seeds.values(), default=0),
            "most": max(seeds.values(), default=0),
            "rows": dict(sorted(seeds.items())),
        },
        "compared": dict(compared),
        "decontamination": {task: dict(sorted(tests.items())) for task, tests in sorted(decontamination.items())},
        "agreement": dict(agreement),
    }
    check(told)
    return told


def check(told: Mapping[str, Any]) -> None:
    """Whether all counts add up.

    Raises:
        CountsError: they do not; with both values of each that does not.
    """
    totals = told["totals"]
    rows, rejected = totals["accepted"], totals["rejected"]
    categories = told["categories"]
    pairs = [
        ("accepted, rejected and waiting, against items seen", rows + rejected + totals["waiting"], totals["seen"]),
        ("rejected by reason", sum(told["rejected"].values()), rejected),
        ("accepted by teacher", sum(one["accepted"] for one in told["teachers"].values()), rows),
        ("rejected by teacher", sum(one["rejected"] for one in told["teachers"].values()), rejected),
        ("accepted by category", sum(one["rows"] for one in categories["shares"].values()) + categories["none"], rows),
        ("accepted by similarity", sum(told["similarity"]["counts"]), rows),
        ("root verbs", told["verbs"]["instructions"], rows),
    ]
    pairs += [
        (f"accepted by words of the {name}", sum(told["lengths"][name]["histogram"]["counts"]), rows)
        for name in ("instruction", "input", "output")
    ]
    if told["requests"]:
        _, last_accepted, last_rejected = told["requests"][-1]
        pairs += [("accepted by request", last_accepted, rows), ("rejected by request", last_rejected, rejected)]
    if wrong := [f"{name}: {found:,} instead of {due:,}" for name, found, due in pairs if found != due]:
        raise CountsError(f"the counts of this generation do not add up: {'; '.join(wrong)}")


def _ordered(counts: Mapping[str, int]) -> dict[str, int]:
    """The most common first, then by name."""
    return dict(sorted(counts.items(), key=lambda one: (-one[1], one[0])))


def _thinned(series: list[tuple[int, int, int]]) -> list[list[int]]:
    for earlier, later in itertools.pairwise(series):
        if later[0] <= earlier[0] or later[1] < earlier[1] or later[2] < earlier[2]:
            raise CountsError(f"what had been accepted and rejected after a request runs back: {earlier}, then {later}")
    step = max(1, math.ceil(len(series) / _POINTS))
    return [list(point) for place, point in enumerate(series) if place % step == 0 or place == len(series) - 1]


def _lengths(of: Counter[int]) -> dict[str, Any]:
    rows = of.total()
    width = _width(_quantile(of, 0.95)) if rows else 1
    counts = [0] * BINS
    for words, times in of.items():
        counts[min(BINS - 1, words // width)] += times
    return {
        "min": min(of, default=None),
        "median": _quantile(of, 0.5) if rows else None,
        "mean": sum(words * times for words, times in of.items()) / rows if rows else None,
        "p95": _quantile(of, 0.95) if rows else None,
        "max": max(of, default=None),
        "histogram": {"width": width, "counts": counts, "last": "and above"},
    }


def _quantile(of: Counter[int], share: float) -> int:
    """The least number of words that this share of the rows does not go beyond."""
    left = share * of.total()
    for words in sorted(of):
        left -= of[words]
        if left <= 1e-9:
            return words
    raise ValueError("no rows")


def _width(p95: int) -> int:
    """Words of a bin, so that 95 % of the rows lie in the first three quarters of the bins: 1, 2 or 5 times 10^n."""
    least, ten = max(1.0, p95 / (0.75 * BINS)), 1
    while True:
        for step in (1, 2, 5):
            if step * ten >= least:
                return step * ten
        ten *= 10


def _categories(counts: Counter[str]) -> dict[str, Any]:
    known = sum(counts[name] for name in CATEGORIES)
    if other := sorted(set(counts) - {*CATEGORIES, ""}):
        raise ValueError(f"categories {', '.join(map(repr, other))}; there are {', '.join(CATEGORIES)}")
    shares = {}
    for name in CATEGORIES:
        low, high = wilson(counts[name], known) if known else (None, None)
        shares[name] = {
            "rows": counts[name],
            "share": counts[name] / known if known else None,
            "low": low,
            "high": high,
            "paper_percent": PAPER["percent"][name],  # type: ignore[index]
        }
    return {"interval": "Wilson, 95 %", "paper": PAPER["source"], "none": counts[""], "shares": shares}


def _verbs(roots: Iterable[tuple[str, str]]) -> dict[str, Any]:
    verbs: dict[str, Counter[str]] = defaultdict(Counter)
    rows = found = 0
    for verb, thing in roots:
        rows += 1
        if verb:
            found += 1
            verbs[verb][thing] += 1
    common = sorted(verbs.items(), key=lambda one: (-one[1].total(), one[0]))[:VERBS]
    return {
        "instructions": rows,
        "with_verb": found,
        "different": len(verbs),
        "common": [
            {
                "verb": verb,
                "rows": things.total(),
                "objects": dict(list(_ordered({thing: n for thing, n in things.items() if thing}).items())[:OBJECTS]),
            }
            for verb, things in common
        ],
    }
