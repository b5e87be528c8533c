"""What a judge found, as tables of the report; from the plain JSON of `judging.outcome.told`."""

from collections.abc import Mapping
from typing import Any

from bioinstruct_jax.reporting import page

GRADES = ("overall", "coherence", "accuracy", "completeness", "safety")
TRUST = {
    True: "The judge graded the known bad answers low: its grades may be read.",
    False: "The judge is not to be trusted: see the warnings. Its grades say nothing.",
    None: "Whether the judge can be trusted is not known: no known bad answer was graded.",
}


def tables(told: Mapping[str, Any]) -> list[str]:
    """A sentence on trust, the warnings, and tables of grades, pairs, canaries and agreement."""
    parts = [(page.paragraph if told["trusted"] else page.note)(TRUST[told["trusted"]])]
    parts += [page.note(warning) for warning in told["warnings"]]
    grades: list[list[object]] = []
    pairs: list[list[object]] = []
    for task, found in told["tasks"].items():
        for model, one in found["models"].items():
            means = [_interval(one["criteria"][name]) for name in GRADES if name in one["criteria"]]
            grades.append([task, model, one["judged"], one["missing"], one["blank"], *means])
        for model, one in found["pairs"].items():
            counts = [one[name] for name in ("wins", "ties", "losses", "changed_with_order", "missing")]
            names = f"{model} against {one['baseline']}"
            pairs.append([task, names, *counts, _interval(one["win_rate"], 100), f"{one['sign_test']['p']:.3g}"])
    if grades:
        parts.append(page.paragraph("Mean grades from 1 to 5, with 95% intervals; a blank answer has 1 throughout."))
        parts.append(page.table(["task", "model", "judged", "missing", "blank", *GRADES], grades, broad=True))
    if pairs:
        parts.append(page.paragraph("Pairs, asked in both orders: won or lost in both, all else is a tie."))
        head = ["task", "models", "won", "tied", "lost", "changed with the order", "missing", "win rate, %", "p"]
        parts.append(page.table(head, pairs, broad=True))
    rest = {
        name: told[name] for name in ("judge", "requests", "spent", "canaries", "agreement", "position", "injection")
    }
    parts.append(
        page.folded("Canaries, agreement of passes, order and injection", page.table(["what", "value"], flat(rest)))
    )
    return parts


def _interval(estimate: Mapping[str, Any], scale: float = 1) -> str:
    if estimate["value"] is None:
        return "none"
    if estimate["low"] is None:
        return f"{scale * estimate['value']:.2f}"
    return f"{scale * estimate['value']:.2f} ({scale * estimate['low']:.2f} to {scale * estimate['high']:.2f})"


def flat(told: Any, name: str = "") -> list[list[object]]:
    """Nested values as rows, each by the names on the way to it."""
    if isinstance(told, Mapping):
        return [row for key, inner in told.items() for row in flat(inner, f"{name}: {key}" if name else str(key))]
    shown = round(told, 4) if isinstance(told, float) else "" if told is None else str(told)
    return [[name.replace("_", " "), shown]]
