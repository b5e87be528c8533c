"""The text of an optimized XLA program, as computations and their instructions."""

import re
from dataclasses import dataclass

COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "ragged-all-to-all",
    "collective-permute",
    "collective-broadcast",
)

_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = (.+?) ([a-z][a-z0-9\-]*)\((.*)$")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\{\s*$")
_END = re.compile(r"\}(?:\s*$|, )")  # of a computation; some name the core that runs it
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|true_computation|false_computation)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclass(frozen=True)
class Instruction:
    """One line: name, type of the result, operation, and everything after its bracket."""

    name: str
    type: str
    operation: str
    rest: str
    root: bool


class UnreadableError(ValueError):
    """A program whose text this version does not understand; nothing is guessed."""


def parse(text: str) -> tuple[dict[str, list[Instruction]], str]:
    """The computations of a program by name, and the name of the first to run.

    Raises:
        UnreadableError: there is none that is the first.
    """
    computations: dict[str, list[Instruction]] = {}
    entry, here = "", None
    for line in _joined(text):
        if _END.match(line):
            here = None
        elif (head := _COMPUTATION.match(line)) and not line.startswith(" "):
            here = computations.setdefault(head[2], [])
            entry = head[2] if head[1] else entry
        elif here is not None and (found := _INSTRUCTION.match(line)):
            here.append(Instruction(found[2], found[3], found[4], found[5], bool(found[1])))
    if not entry:
        raise UnreadableError("the program has no ENTRY computation")
    return computations, entry


def _joined(text: str) -> list[str]:
    """Lines, one for each instruction: what belongs to a kernel runs over several, which are not indented."""
    lines: list[str] = []
    for line in text.splitlines():
        inside = lines and lines[-1].startswith("  ")
        if inside and line.strip() and not line.startswith("  ") and not _END.match(line):
            lines[-1] += line
        else:
            lines.append(line)
    return lines


def called(line: Instruction) -> list[str]:
    """Names of the computations that an instruction runs or may run."""
    branches = [name.strip().lstrip("%") for group in _BRANCHES.findall(line.rest) for name in group.split(",")]
    return _CALLED.findall(line.rest) + branches
