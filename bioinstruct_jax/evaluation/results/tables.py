"""Scores of several models beside each other, in Markdown and in LaTeX (booktabs).

A line is a task under one protocol, or a group that the caller has put behind them; a model has two columns: its score
with the interval, and the share of answers that could be read.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bioinstruct_jax.evaluation.bootstrap import Estimate
from bioinstruct_jax.evaluation.scoring.scored import TaskResult

PROTOCOLS = {
    "harness": "log-likelihood, harness",
    "likelihood": "log-likelihood, template",
    "generated": "generated",
}
HEAD = ("Task", "Protocol", "Metric", "n", "Majority", "Chance")
TEXTS = 3  # columns of HEAD that are words; the others are numbers and stand to the right
ABSENT = "\u2013"  # an en dash
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    ABSENT: "--",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",
    "]": "{]}",
    "\u2212": "$-$",
    "\u2020": r"\dag{}",
    "\u2026": r"\ldots{}",
} | {character: f"\\{character}" for character in "&%$#_{}"}
# What LaTeX sets without a package, beside ASCII: accented letters but for those that its first fonts lack, and quotes.
_SET = {chr(code) for code in range(0xC0, 0x100)} - set("ÐÞðþ×÷") | set("‘’“”—")  # noqa: RUF001


@dataclass(frozen=True)
class Cell:
    """What one model reached.

    Attributes:
        score: with its interval, as `shown` writes it.
        answered: share of answers that could be read; None: nothing had to be.
    """

    score: str
    answered: float | None = None


@dataclass(frozen=True)
class Line:
    """One line of a table.

    Attributes:
        metric: as people read it.
        items: how many; several numbers where models were asked different ones.
        majority, chance: scores that need no model, as `number` writes them; empty where there is none.
        cells: by model.
    """

    name: str
    protocol: str
    metric: str
    items: tuple[int, ...]
    cells: Mapping[str, Cell]
    majority: str = ""
    chance: str = ""


def lines(results: Sequence[TaskResult]) -> list[Line]:
    """A line for each task and protocol, in the order in which they first come.

    Raises:
        ValueError: two results of one model, task and protocol.
    """
    rows: dict[tuple[str, str], dict[str, TaskResult]] = {}
    for one in results:
        models = rows.setdefault((one.task, one.protocol), {})
        if one.model in models:
            raise ValueError(f"{one.task}, {one.protocol}: two results of the model {one.model!r}; give one of them")
        models[one.model] = one
    made = []
    for (task, protocol), models in rows.items():
        first = next(iter(models.values()))
        metric = first.headline
        kinds = first.baselines.get(metric.name, {})
        made.append(
            Line(
                name=task,
                protocol=PROTOCOLS[protocol],
                metric=metric.title,
                items=tuple(dict.fromkeys(len(one.ids) for one in models.values())),
                cells={name: _cell(one) for name, one in models.items()},
                majority=number(kinds.get("majority"), metric.unit),
                chance=number(kinds.get("chance"), metric.unit),
            )
        )
    return made


def _cell(one: TaskResult) -> Cell:
    metric = one.headline
    return Cell(shown(one.estimates[metric.name], metric.unit), one.answered if one.protocol == "generated" else None)


def shown(estimate: Estimate, unit: str = "share") -> str:
    """A score with its interval: ``31.9 [29.4, 34.5]``."""
    value = number(estimate.value, unit)
    if not value or estimate.low is None or estimate.high is None:
        return value
    return f"{value} [{number(estimate.low, unit)}, {number(estimate.high, unit)}]"


def number(value: float | None, unit: str = "share") -> str:
    """A score as people read it: shares in per cent, points as they are, errors and nats with three digits."""
    match unit:
        case _ if value is None:
            return ""
        case "share":
            return f"{100 * value:.1f}"
        case "points":
            return f"{value:.1f}"
    return f"{value:.3f}"


def markdown(table: Sequence[Line], models: Sequence[str]) -> str:
    """As Markdown, a column of each of `models`, and one of what could be read where anything had to be."""
    head, body = _cells(table, models, markdown_text)
    rule = ["---" if place < TEXTS else "---:" for place in range(len(head))]
    return "".join(f"| {' | '.join(row)} |\n" for row in (head, rule, *body))


def latex(table: Sequence[Line], models: Sequence[str]) -> str:
    """As a LaTeX ``tabular`` that needs the package booktabs."""
    head, body = _cells(table, models, latex_text)
    columns = "l" * TEXTS + "r" * (len(head) - TEXTS)
    rows = [" & ".join(row) + r" \\" for row in (head, *body)]
    parts = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rows[0], r"\midrule", *rows[1:], r"\bottomrule"]
    return "\n".join([*parts, r"\end{tabular}"]) + "\n"


def _cells(
    table: Sequence[Line], models: Sequence[str], escaped: Callable[[str], str]
) -> tuple[list[str], list[list[str]]]:
    """The head and the lines, every cell escaped."""
    head = list(HEAD)
    read = {name: any(one.cells[name].answered is not None for one in table if name in one.cells) for name in models}
    for name in models:
        head += [name, f"{name}, read"] if read[name] else [name]
    body = []
    for one in table:
        count = " / ".join(f"{items:,}" for items in one.items)
        row = [one.name, one.protocol, one.metric, count, one.majority, one.chance]
        for name in models:
            cell = one.cells.get(name, Cell(""))
            row += [cell.score, number(cell.answered)] if read[name] else [cell.score]
        body.append([escaped(text or ABSENT) for text in row])
    return [escaped(text) for text in head], body


def markdown_text(text: str) -> str:
    """Text in a cell of Markdown; an interval's brackets make no link."""
    return re.sub(r"([\\|*_`<])", r"\\\1", " ".join(text.split()))


def latex_text(text: str) -> str:
    """Text in a cell of LaTeX; a bracket at the beginning of a row would else belong to the line break before it.

    What LaTeX cannot set without more packages stands as its number, e.g. U+03B2.
    """
    return "".join(map(_latex, " ".join(text.split())))


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    set_as_is = character in _SET or (character.isascii() and character.isprintable())
    return character if set_as_is else f"U+{ord(character):04X}"
