"""Mentions that a model gave as words, found in the text they were taken from."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.tasks.json_answer import places_of
from bioinstruct_jax.tasks.spans import Entities, Mention, ordered

FOREIGN = "not in the text"
REPEATED = "more often than in the text"
UNPARSABLE = "unparsable"


@dataclass(frozen=True)
class Aligned:
    """What became of a model's mentions; each is either in `mentions` or counted in `foreign`.

    Attributes:
        mentions: with their places among the tokens.
        foreign: by type, those with no place: false positives, so they belong into precision.
        problems: ``not in the text``, ``more often than in the text`` (both are in `foreign`); ``case`` and
            ``punctuation``: words written otherwise, and found.
    """

    mentions: tuple[Mention, ...]
    foreign: dict[str, int]
    problems: dict[str, int]


def align(named: Sequence[tuple[str, str]], item: Entities) -> Aligned:
    """Places for (words, type), from left to right, each occurrence used once.

    An occurrence begins and ends with tokens. The words as they stand are looked for first; failing that, but for case;
    failing that, but for case, punctuation and blanks (`json_answer.places_of`). Mentions of more letters are placed
    before those of fewer, so that "lung cancer" is not kept from its place by a "cancer"; those of equal length in the
    order in which they are named. Each takes the first occurrence that shares no token with a mention placed before;
    failing that the first that none has, which then lies within or around another; failing that the first that none of
    its type has. One that is left over is said more often than it stands there.
    """
    problems: Counter[str] = Counter()
    foreign: Counter[str] = Counter()
    placed: set[Mention] = set()
    tokens: set[int] = set()
    for words, kind in sorted(named, key=lambda pair: -sum(sign.isalnum() for sign in pair[0])):
        places = places_of(item, words, problems) if words.strip() else []
        spans = {(mention.start, mention.end) for mention in placed}
        free = (
            [place for place in places if tokens.isdisjoint(range(*place))]
            or [place for place in places if place not in spans]
            or [place for place in places if Mention(*place, kind) not in placed]
        )
        if free:
            placed.add(Mention(*free[0], kind))
            tokens.update(range(*free[0]))
        else:
            problems[REPEATED if places else FOREIGN] += 1
            foreign[kind] += 1
    return Aligned(ordered(placed), dict(foreign), dict(problems))


def tally(read: Sequence[Aligned | None]) -> dict[str, int]:
    """What was read out of a split's outputs: mentions ``aligned``, ``unparsable`` outputs (None), and all problems."""
    found = Counter(
        {"aligned": sum(len(one.mentions) for one in read if one), UNPARSABLE: sum(one is None for one in read)}
    )
    found.update({FOREIGN: 0, REPEATED: 0})
    for one in read:
        found.update(one.problems if one else {})
    return dict(found)
