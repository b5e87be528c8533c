"""Answers as a compact JSON list: ``[{"text":"fever"},{"text":"cough","occurrence":2}]``, with ``"type"`` where a task
has several.

``occurrence`` stands where the words stand more than once in the text. It counts from 1, from the text's beginning,
every place where the same characters begin with a token and end with one, mentions or not, overlapping or not.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, NamedTuple

from bioinstruct_jax.tasks.iob_answer import plain
from bioinstruct_jax.tasks.spans import Entities, Mention, ordered
from bioinstruct_jax.tasks.task import Answer

OPENINGS = 200  # brackets at which a list is looked for
EFFORT = 100_000  # characters read in vain beside four times the text, before the search is given up
_OPENING = re.compile(r"[\[{]")
_NEXT = re.compile(r"[\s,]*+\{")

Span = tuple[int, int]


class Named(NamedTuple):
    """A mention as it is named. ``type``: empty where it is none of the task's; ``occurrence``: from 1, if said."""

    words: str
    type: str
    occurrence: int | None = None


class Places:
    """Where words stand in an item's text, as tokens (start, end), from left to right."""

    def __init__(self, item: Entities):
        self._item = item
        pairs = enumerate(zip(item.starts, item.tokens, strict=True))
        bounds = [(start, start + len(token), place) for place, (start, token) in pairs]
        self._exact = item.text, *_bounds(bounds)
        plains = ["".join(sign for sign in token if sign.isalnum()).casefold() for token in item.tokens]
        ends = accumulate(map(len, plains))
        bare = [(end - len(plains[place]), end, place) for place, end in enumerate(ends) if plains[place]]
        self._bare = "".join(plains), *_bounds(bare)
        self._known: dict[str, tuple[list[Span], str]] = {}

    def exact(self, words: str) -> list[Span]:
        """As they are, letter by letter."""
        return _found(words, *self._exact)

    def any(self, words: str, problems: Counter[str]) -> list[Span]:
        """Exactly; or but for case; or but for case, punctuation and blanks, of which the problems are told."""
        if words not in self._known:
            self._known[words] = self._find(words)
        places, problem = self._known[words]
        if problem:
            problems[problem] += 1
        return places

    def _find(self, words: str) -> tuple[list[Span], str]:
        if places := self.exact(words):
            return places, ""
        close, goal = _found(plain(words), *self._bare), words.strip().casefold()
        alike = [place for place in close if self._item.words(Mention(*place, "")).casefold() == goal]
        return alike or close, "case" if alike else "punctuation" if close else ""


def _bounds(bounds: list[tuple[int, int, int]]) -> tuple[dict[int, int], dict[int, int]]:
    """From (start, end, token): the token that begins at a character, and the one behind that which ends at one."""
    return {start: place for start, _, place in bounds}, {end: place + 1 for _, end, place in bounds}


def _found(words: str, text: str, starts: dict[int, int], ends: dict[int, int]) -> list[Span]:
    found = []
    place = text.find(words) if words else -1
    while place >= 0:
        if place in starts and place + len(words) in ends:
            found.append((starts[place], ends[place + len(words)]))
        place = text.find(words, place + 1)
    return found


def occurrences(item: Entities, words: str) -> list[Span]:
    """Where the words stand in an item's text, as tokens (start, end), from left to right."""
    return Places(item).exact(words)


def render(item: Entities, labels: tuple[str, ...]) -> str:
    """Mentions as JSON: the text, which occurrence it is where it has several, and the type where there are several."""
    rows = []
    for mention in item.mentions:
        words = item.words(mention)
        row: dict[str, Any] = {"text": words}
        places = occurrences(item, words)
        if len(places) > 1:
            row["occurrence"] = places.index((mention.start, mention.end)) + 1
        if len(labels) > 1:
            row["type"] = mention.type
        rows.append(row)
    return json.dumps(rows, ensure_ascii=False, separators=(",", ":"))


def parse(text: str, item: Entities, labels: tuple[str, ...]) -> Answer[tuple[Mention, ...]]:
    """Mentions from the first JSON list of mentions in the text; prose and code fences around it are passed over.

    A mention without ``occurrence`` is the first place of its words that no mention before it took.

    Problems: ``empty``; ``unparsable JSON``; ``malformed mention``; ``unknown type`` and ``type form``; ``not in the
    text``; ``no such occurrence``; ``occurrence not given`` where there are several; ``repeated mention``; ``case``,
    ``punctuation`` (and blanks): the words are written otherwise.
    """
    rows, problems = read(text, labels)
    if rows is None:
        return Answer(None, dict(problems))
    where = Places(item)
    found: set[Mention] = set()
    for words, label, count in rows:
        if not label:
            continue
        places = where.any(words, problems)
        if not places:
            problems["not in the text"] += 1
            continue
        if count is None:
            problems["occurrence not given"] += len(places) > 1
            taken = {(mention.start, mention.end) for mention in found}
            free = [place for place in places if place not in taken]
            place = free[0] if free else places[0]
        elif count > len(places):
            problems["no such occurrence"] += 1
            continue
        else:
            place = places[count - 1]
        problems["repeated mention"] += Mention(*place, label) in found
        found.add(Mention(*place, label))
    return Answer(ordered(found), dict(+problems))


def read(text: str, labels: tuple[str, ...]) -> tuple[list[Named] | None, Counter[str]]:
    """The mentions that a text names, before they are looked for; None: there is no list. And problems, as `parse`."""
    if not text.strip():
        return None, Counter({"empty": 1})
    rows = _rows(text)
    if rows is None:
        return None, Counter({"unparsable JSON": 1})
    problems: Counter[str] = Counter()
    named = []
    for row in rows:
        if isinstance(row, str):
            row = {"text": row}
        words, count = (row.get("text"), row.get("occurrence")) if isinstance(row, dict) else (None, None)
        if isinstance(count, str) and count.isdecimal() and len(count) < 9:
            count = int(count)
        sound = count is None or (isinstance(count, int) and not isinstance(count, bool) and count > 0)
        if not isinstance(words, str) or not words.strip() or not sound:
            problems["malformed mention"] += 1
            continue
        named.append(Named(words, _label(row.get("type"), labels, problems) or "", count))
    return named, problems


def _rows(text: str) -> list[Any] | None:
    """The first list of mentions; failing that, mentions without a list around them, or with one that has no end;
    failing that, a list that is empty; None: there is none of these."""
    decode = json.JSONDecoder().raw_decode
    empty: list[Any] | None = None
    place, effort = -1, EFFORT + 4 * len(text)
    for _ in range(OPENINGS):
        found = _OPENING.search(text, place + 1)
        if not found or effort < 0:
            break
        place = found.start()
        try:
            value, end = decode(text, place)
        except json.JSONDecodeError as error:
            effort -= error.pos - place
            continue
        except (ValueError, RecursionError):
            effort -= EFFORT // 10
            continue
        if isinstance(value, dict):
            if "text" not in value or any(isinstance(inside, list) for inside in value.values()):
                continue  # it is around the list, perhaps beside the whole text
            value = [value, *_more(text, end)]
        if any(isinstance(one, (dict, str)) for one in value):
            return value
        if not value and empty is None:
            empty = value
        place = end - 1
    return empty


def _more(text: str, place: int) -> Iterator[Any]:
    """Objects one after another, with commas and blanks between them at most."""
    while found := _NEXT.match(text, place):
        try:
            value, place = json.JSONDecoder().raw_decode(text, found.end() - 1)
        except (ValueError, RecursionError):
            return
        yield value


def _label(named: Any, labels: tuple[str, ...], problems: Counter[str]) -> str | None:
    if len(labels) == 1 and named is None:
        return labels[0]
    label = {one.casefold(): one for one in labels}.get(named.strip().casefold()) if isinstance(named, str) else None
    if label is None:
        problems["unknown type"] += 1
    elif named != label or len(labels) == 1:
        problems["type form"] += 1
    return label
