"""Mentions that a model gave as words, found in the text they were taken from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.tasks.json_answer import Named, Places
from bioinstruct_jax.tasks.spans import Entities, Mention, ordered

FOREIGN = "not in the text"
REPEATED = "more often than in the text"
NO_OCCURRENCE = "no such occurrence"
UNPARSABLE = "unparsable"


@dataclass(frozen=True)
class Aligned:
    """What became of a model's mentions; each is either in `mentions` or counted in `foreign`.

    Attributes:
        mentions: with their places among the tokens.
        foreign: by type, those with no place: false positives, so they belong into precision.
        problems: ``not in the text``, ``more often than in the text`` (both are in `foreign`); ``no such occurrence``:
            beyond the last; ``case`` and ``punctuation``: words written otherwise, and found.
    """

    mentions: tuple[Mention, ...]
    foreign: dict[str, int]
    problems: dict[str, int]


def align(named: Sequence[Named | tuple[str, str]], item: Entities) -> Aligned:
    """Places for (words, type) or `Named`, from left to right, each occurrence used once.

    An occurrence begins and ends with tokens. The words as they stand are looked for first; failing that, but for case;
    failing that, but for case, punctuation and blanks (`json_answer.Places`). Mentions that say which occurrence they
    are, and there is one, are placed there before all others; if it is taken by one of their type they are said too
    often. Of the others, those of more letters are placed before those of fewer, so that "lung cancer" is not kept from
    its place by a "cancer"; those of equal length in the order in which they are named. Each takes the first occurrence
    that shares no token with a mention placed before; failing that the first that none has, which then lies within or
    around another; failing that the first that none of its type has. One that is left over is said more often than it
    stands there. Time grows with what is named and the length of the text.
    """
    problems: Counter[str] = Counter()
    foreign: Counter[str] = Counter()
    placed: set[Mention] = set()
    spans: set[tuple[int, int]] = set()
    tokens: set[int] = set()
    full: set[tuple[str, str]] = set()  # words and type for which no place is left
    where = Places(item)

    def put(places: Sequence[tuple[int, int]], kind: str, found: bool) -> None:
        if places:
            placed.add(Mention(*places[0], kind))
            spans.add(places[0])
            tokens.update(range(*places[0]))
        else:
            problems[REPEATED if found else FOREIGN] += 1
            foreign[kind] += 1

    others = []
    for one in named:
        words, kind, occurrence = Named(*one)
        places = where.any(words, Counter()) if occurrence is not None and words.strip() else []
        if occurrence is not None and 0 < occurrence <= len(places):
            where.any(words, problems)
            place = places[occurrence - 1]
            put([place] if Mention(*place, kind) not in placed else [], kind, True)
            continue
        problems[NO_OCCURRENCE] += bool(places)
        others.append((words, kind))
    for words, kind in sorted(others, key=lambda pair: -sum(sign.isalnum() for sign in pair[0])):
        places = where.any(words, problems) if words.strip() else []
        free = (words, kind) not in full and (
            [place for place in places if tokens.isdisjoint(range(*place))]
            or [place for place in places if place not in spans]
            or [place for place in places if Mention(*place, kind) not in placed]
        )
        if not free:
            full.add((words, kind))
        put(free or [], kind, bool(places))
    return Aligned(ordered(placed), dict(foreign), dict(+problems))


def tally(read: Sequence[Aligned | None]) -> dict[str, int]:
    """What was read out of a split's outputs: mentions ``aligned``, ``unparsable`` outputs (None), and all problems."""
    found = Counter(
        {"aligned": sum(len(one.mentions) for one in read if one), UNPARSABLE: sum(one is None for one in read)}
    )
    found.update({FOREIGN: 0, REPEATED: 0})
    for one in read:
        found.update(one.problems if one else {})
    return dict(found)
