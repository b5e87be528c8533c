"""What a model's free text says where the answer is one of a closed set: the rules that all kinds of answer share.

A tolerant reader for scores; the families' ``parse`` is the strict one that reads rendered answers back. It never sees
the gold answer and never draws one. A text names answers at places (`Mention`); those joined to each other stand or
fall together. Each place is weighed by the words around it, and the weightiest decides:

1. the whole text is an answer: ``exact``;
2. called final, boxed, or in an answer tag; the last one counts;
3. said to be the answer, chosen, concluded, or found right. Of several, the last counts if it revises or concludes;
4. the first words, or the last line, of the text;
5. named in passing, if it is the only one that is not denied.

What is denied, asked about or only supposed has no weight. A text that declines has what 2 and 3 find, and nothing
else. Different answers of one weight are ``ambiguous``. What a base model goes on to write as the next question is not
read. Time is linear in the text's length: what surrounds a place is looked at in a window.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from bioinstruct_jax.evaluation.weighing import CONCLUDED, JUST, REVISED, WINDOW, Mention, weight
from bioinstruct_jax.generation import refusals
from bioinstruct_jax.tasks import answers

VERSION = 2  # of the rules: raised whenever any text is read otherwise than before
WHY = {
    "exact": "the text is the answer and nothing else",
    "stated": "the text says that it is the answer, or begins or ends with it",
    "option text": "the text gives the words of an option, not its letter",
    "mentioned": "the text names no other answer",
    "listed": "the text is a list of answers",
    "ambiguous": "the text gives several answers and settles on none",
    "refused": "the text declines to answer",
    "nothing": "the text names no answer",
    "empty": "there is no text",
}

T = TypeVar("T")


@dataclass(frozen=True)
class Extracted(Generic[T]):
    """What was read.

    Attributes:
        value: the answer; None: there is none.
        why: a key of `WHY`.
        span: its characters in the text, [start, end); None without a value.
        unknown: entries of a list of answers that are none of the set.
    """

    value: T | None
    why: str
    span: tuple[int, int] | None = None
    unknown: int = 0


@dataclass(frozen=True)
class Plain:
    """A text without its markup. ``places[i]``: where the character i stood."""

    text: str
    places: list[int]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Characters of the text as it was."""
        return self.places[start], self.places[end - 1] + 1


_SIGNS = {0xFF01 + place: 0x21 + place for place in range(94)} | str.maketrans(
    "\u2018\u2019\u201c\u201d\u2212\u2013\u2014\u3002\u3000\u00a0\u3010\u3011", "''\"\"---.  []"
)
_MARKUP = re.compile(
    r"(?P<final>\\(?:boxed|fbox)\b|<(?:final_?)?answer>)|(?P<gap></?[A-Za-z]{1,12}\s?/?>)"
    r"|```(?:(?:json|text|txt|plaintext|python|markdown|md|yaml|xml|html|latex|tex)\b)?"
    r"|\\(?:text(?:bf|rm|it)?|mathrm|mathbf)\b|\\(?=[^A-Za-z])|[*`$]",
    re.IGNORECASE,
)
_THOUGHT = re.compile(r".*</think>", re.IGNORECASE | re.DOTALL)  # of a model that thinks aloud first
_NEXT = re.compile(r"\n[^\S\n]*(?:#+ ?Instruction|(?:Next )?Question(?: \d+)?[.:]|Q\d*:|Human:|User:)", re.IGNORECASE)
_JOINED = re.compile(r"[\s\"'()\[\]{},;/&+|]*(?:\b(?:and/or|and|or|nor|as well as|but also)\b)?[\s\"'()\[\]{}]*")
_LACKING = re.compile(
    r"\W*(?:there is |there's )?(?:not enough|insufficient|no) (?:information|evidence|data)[^.\n]{0,30} to "
    r"(?:answer|decide|determine|say|choose|tell)|[^.\n]{0,60}\bcan(?:not|'t) be (?:answered|determined|decided)\b",
    re.IGNORECASE,
)


def plain(text: str) -> Plain:
    """A text without fences, emphasis and tags, its full-width signs narrow, up to where the next question begins.

    What a model thinks in a ``<think>`` tag is left out, if anything follows it.
    """
    text = text.translate(_SIGNS)
    parts: list[str] = []
    places: list[int] = []
    thought = _THOUGHT.match(text)
    end = thought.end() if thought and text[thought.end() :].strip() else 0
    for match in _MARKUP.finditer(text, end):
        put = "\nfinal answer: " if match["final"] else "\n" if match["gap"] else ""
        parts += [text[end : match.start()], put]
        places += [*range(end, match.start()), *[match.start()] * len(put)]
        end = match.end()
    bare = "".join([*parts, text[end:]])
    places += range(end, len(text))
    start = len(bare) - len(bare.lstrip())
    cut = _NEXT.search(bare, start)
    return Plain(bare[start : cut.start() if cut else None].rstrip(), places[start:])


def spoken(text: str) -> str:
    """A text as it stands, without what a model thinks in a ``<think>`` tag before it, if anything follows it."""
    thought = _THOUGHT.match(text)
    rest = text[thought.end() :] if thought else ""
    return rest if rest.strip() else text


def answered(text: str) -> str:
    """The `spoken` text up to where the next question begins."""
    said = spoken(text)
    cut = _NEXT.search(said, len(said) - len(said.lstrip()))
    return said[: cut.start()] if cut else said


def refused(text: str) -> bool:
    """Whether a plain text begins by declining, or says that the question cannot be answered."""
    return bool(answers.refused(text) or refusals.refused(text) or _LACKING.match(text[:300]))


def decide(said: Plain, mentions: Sequence[Mention], joined: Callable[[Mention, Mention], bool]) -> Extracted[str]:
    """The answer that a text settles on by rules 2 to 5 of this module; ``mentions`` in the order of the text.

    ``joined``: whether two neighbours are one place, beside those that "and", "or" and the like join.
    """
    groups: list[list[Mention]] = []
    for mention in mentions:
        last = groups[-1][-1] if groups else None
        again = last and mention.value in _values(groups[-1:])  # "of B and C, B": said anew
        if last and (joined(last, mention) or (not again and _links(said.text[last.end : mention.start]))):
            groups[-1].append(mention)
        else:
            groups.append([mention])
    weighed = [(weight(said.text, group), group) for group in _without_menus(said.text, groups)]
    for level in (4, 3, 2, 1):
        if level == 2 and refused(said.text):
            return Extracted(None, "refused")
        if chosen := [group for one, group in weighed if one == level]:
            return _settled(said, chosen, level)
    return Extracted(None, "ambiguous" if len(groups) > len(weighed) else "nothing")


def _links(between: str) -> bool:
    return len(between) <= 20 and "\n" not in between and bool(_JOINED.fullmatch(between))


def _settled(said: Plain, chosen: list[list[Mention]], level: int) -> Extracted[str]:
    """The answer of the places that weigh most."""
    if level == 1 and any(not mention.by_text for group in chosen for mention in group):
        lettered = ([mention for mention in group if not mention.by_text] for group in chosen)
        chosen = [group for group in lettered if group]
    last = chosen[-1]
    if len(_values(chosen)) > 1 and len(chosen) > 1 and level > 1:
        text, start = said.text, last[0].start
        between = text[max(chosen[-2][-1].end, start - WINDOW) : start]
        concluded = CONCLUDED.search(text[max(0, start - WINDOW) : start])
        if level == 4 or concluded or REVISED.search(between):
            chosen = [last]
    if len(_values(chosen)) > 1:
        return Extracted(None, "ambiguous")
    why = "option text" if all(mention.by_text for mention in last) else "stated" if level > 1 else "mentioned"
    return Extracted(last[0].value, why, said.span(last[0].start, last[-1].end))


def _values(groups: Sequence[Sequence[Mention]]) -> set[str]:
    return {mention.value for group in groups for mention in group}


def _without_menus(text: str, groups: list[list[Mention]]) -> list[list[Mention]]:
    """Places without lists that only repeat what was to be chosen from: different answers alone on lines that follow
    each other."""
    whole = []
    for group in groups:
        before = text[max(0, group[0].start - WINDOW) : group[0].start]
        whole.append(
            bool(re.search(r"(?:^|\n)[^\S\n]*(?:[-\u2022]|\d+[.)])?[\s\"'(\[]*$", before))
            and bool(JUST.match(text[group[-1].end : group[-1].end + WINDOW]))
        )
    menu = set()
    for place in range(1, len(groups)):
        one, other = groups[place - 1], groups[place]
        between = text[one[-1].end : other[0].start]
        if whole[place - 1] and whole[place] and between.count("\n") == 1 and _values([one]) != _values([other]):
            menu |= {place - 1, place}
    return [group for place, group in enumerate(groups) if place not in menu]
