"""What a judge's reply says. What is missing, out of range or said twice is no verdict; none is ever guessed."""

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from bioinstruct_jax.evaluation.judging.prompts import CRITERIA, HIGHEST, LOWEST, WINNERS
from bioinstruct_jax.generation.loose_json import Node, Value, read

_NUMBER = re.compile(rf"\s*(\d)(?:\.0+)?(?:\s*/\s*{HIGHEST})?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Grades:
    """Whole numbers from 1 to 5, the better the higher, in the order of `prompts.CRITERIA`."""

    coherence: int
    accuracy: int
    completeness: int
    safety: int
    overall: int

    def of(self, criterion: str) -> int:
        """The grade of a criterion."""
        return astuple(self)[CRITERIA.index(criterion)]


LOWEST_GRADES = Grades(*(LOWEST for _ in CRITERIA))  # of an answer in which nothing stands


def grades(text: str) -> Grades | None:
    """The grades in a reply; None where one is missing or no whole number from 1 to 5, or where two verdicts differ."""
    found = {_grades(fields) for fields in _objects(text) if fields.keys() & set(CRITERIA)}
    return found.pop() if len(found) == 1 else None


def winner(text: str) -> str | None:
    """``first``, ``second`` or ``tie``; None where a reply says neither, or more than one."""
    found = {_winner(fields["winner"]) for fields in _objects(text) if "winner" in fields}
    return found.pop() if len(found) == 1 else None


def _grades(fields: dict[str, Value]) -> Grades | None:
    numbers = []
    for criterion in CRITERIA:
        value = fields.get(criterion)
        match = _NUMBER.fullmatch(value) if isinstance(value, str) else None
        if match is None or not LOWEST <= int(match[1]) <= HIGHEST:
            return None
        numbers.append(int(match[1]))
    return Grades(*numbers)


def _winner(value: Value) -> str | None:
    said = value.strip().lower() if isinstance(value, str) else ""
    return said if said in WINNERS else None


def _objects(text: str) -> Iterator[dict[str, Value]]:
    """Every object behind what a model thought aloud, its keys in small letters; one that is cut or has a key twice
    comes with its values gone."""
    waiting: list[Value] = [*read(text.rpartition("</think>")[2])]
    while waiting:
        node = waiting.pop()
        if not isinstance(node, Node):
            continue
        waiting += node.entries or []
        if node.fields is not None:
            waiting += node.fields.values()
            fields = {key.strip().lower(): value for key, value in node.fields.items()}
            whole = node.closed and len(fields) == len(node.fields) and not any(key[:1] == "\0" for key in node.fields)
            yield fields if whole else dict.fromkeys(fields, "")
