"""Instructions written as text under headings, as models do that were asked for JSON or for a numbered list.

    1. Instruction: ...        **Instruction:** ...        ### Instruction        1. Instruction: ... Output: ...
    Input: ...                 **Input:** ...              ...
    Output: ...                **Output:** ...             ### Output

An item begins at a heading "Instruction", and only there: numbers at the beginning of a line, a dose too, are text.
"""

import re
from dataclasses import dataclass

FIELDS = ("instruction", "input", "output", "is_classification")

_HEADING = re.compile(
    r"""
    ^[ \t]*+ (?P<hash> \#{1,6} [ \t]*+ )? (?: [-*•+] [ \t]++ )? (?P<bold> \*\*|__ )?
    (?: (?: task|example|item ) [ \t]++ \d++ [ \t]*+ [.):-]? [ \t]*+ )?
    (?P<number> \d{1,6}+ [.):] [ \t]*+ )? (?: \*\*|__ )?
    (?P<field> instruction|input|output|is[_ ]?classification )
    (?: [ \t]++ \d{1,6}+ )? [ \t]*+ (?P<closed> \*\*|__ )? [ \t]*+ (?P<colon> :(?: \*\*|__ )? | (?= \r?$ ) )
    """,
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
_WITHIN = re.compile(r"(?<=\s)(?:\*\*)?(input|output)(?:\*\*)?:(?:\*\*)?(?=\s)", re.IGNORECASE)
_RULE = re.compile(
    r"(?:#{2,}|-{3,}|\*{3,}|_{3,}|={3,}|`{3,}\w*|(?:#+ *)?\**(?:task|example|item) +\d+\**[.:]?\**)", re.IGNORECASE
)
_ALONE = re.compile(r"\**(\d{1,6})[.)]\**")


@dataclass(frozen=True, slots=True)
class Section:
    """From one heading "Instruction" to the next.

    Attributes:
        fields: texts by their headings.
        sound: no heading stands there twice, and none before one that it has to follow.
    """

    fields: dict[str, str]
    text: str
    sound: bool


def sections(text: str) -> list[Section]:
    """Those of a text, in its order."""
    heads = [
        head for head in _HEADING.finditer(text) if head["colon"] or head["hash"] or (head["bold"] and head["closed"])
    ]
    begins = [place for place, head in enumerate(heads) if _field(head) == "instruction"]
    found = []
    for number, (begin, end) in enumerate(zip(begins, [*begins, len(heads)][1:], strict=True), 1):
        stop = heads[end].start() if end < len(heads) else len(text)
        numbered = end == len(heads) or bool(heads[end]["number"])
        fields: dict[str, str] = {}
        sound, order = True, -1
        for place in range(begin, end):
            name = _field(heads[place])
            here = heads[place + 1].start() if place + 1 < end else stop
            body = text[heads[place].end() : here]
            sound &= FIELDS.index(name) > order
            order = FIELDS.index(name)
            fields[name] = _trimmed(body, 0 if numbered or place + 1 < end else number + 1)
        if "output" not in fields:
            _split(fields)
        found.append(Section(fields, text[heads[begin].start() : stop], sound))
    return found


def _field(head: re.Match[str]) -> str:
    name = head["field"].lower()
    return "is_classification" if name.startswith("is") else name


def _trimmed(body: str, following: int) -> str:
    """Without blanks, rules and headings of the next item at its end.

    Args:
        following: the number that may stand alone in the last line, because it is the next item's; 0: none.
    """
    lines = body.strip().split("\n")
    while len(lines) > 1:
        last = lines[-1].strip()
        alone = _ALONE.fullmatch(last)
        if last and not _RULE.fullmatch(last) and not (alone and int(alone[1]) == following):
            break
        lines.pop()
    return "\n".join(lines).strip()


def _split(fields: dict[str, str]) -> None:
    """Input and output that stand in the line of the instruction, at the first place of their names."""
    name = "input" if "input" in fields else "instruction"
    pieces = _WITHIN.split(fields[name])
    names = [piece.lower() for piece in pieces[1::2]]
    if names in (["input", "output"], ["output"]):
        fields[name] = pieces[0].strip()
        fields |= {key: piece.strip() for key, piece in zip(names, pieces[2::2], strict=True)}
