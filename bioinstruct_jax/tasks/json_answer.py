"""Answers as a compact JSON list: ``[{"text":"fever"},{"text":"cough","occurrence":2}]``, with ``"type"`` where a task
has several.

``occurrence`` stands where the words stand more than once in the text. It counts from 1, from the text's beginning,
every place where the same characters begin with a token and end with one, mentions or not, overlapping or not.
"""

import json
import re
from collections import Counter
from typing import Any

from bioinstruct_jax.tasks.iob_answer import plain
from bioinstruct_jax.tasks.spans import Entities, Mention, ordered
from bioinstruct_jax.tasks.task import Answer

OPENINGS = 200  # brackets at which a list is looked for

Span = tuple[int, int]


def occurrences(item: Entities, words: str) -> list[Span]:
    """Where the words stand in an item's text, as tokens (start, end), from left to right."""
    ends = {
        start + len(token): place + 1 for place, (start, token) in enumerate(zip(item.starts, item.tokens, strict=True))
    }
    found = []
    for place, start in enumerate(item.starts):
        if (end := ends.get(start + len(words))) and item.text.startswith(words, start):
            found.append((place, end))
    return found


def render(item: Entities, labels: tuple[str, ...]) -> str:
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
    if not text.strip():
        return Answer(None, {"empty": 1})
    rows = _rows(text)
    if rows is None:
        return Answer(None, {"unparsable JSON": 1})
    problems: Counter[str] = Counter()
    found: set[Mention] = set()
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
        label = _label(row.get("type"), labels, problems)
        if label is None:
            continue
        places = places_of(item, words, problems)
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


def _rows(text: str) -> list[Any] | None:
    """The first list of mentions; failing that, a list that is empty; None: there is neither."""
    decode = json.JSONDecoder().raw_decode
    empty: list[Any] | None = None
    place = -1
    for _ in range(OPENINGS):
        found = re.compile(r"[\[{]").search(text, place + 1)
        if not found:
            break
        place = found.start()
        try:
            value, end = decode(text, place)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            if "text" not in value or any(isinstance(inside, list) for inside in value.values()):
                continue  # it is around the list, perhaps beside the whole text
            value = [value]
        if any(isinstance(one, (dict, str)) for one in value):
            return value
        if not value and empty is None:
            empty = value
        place = end - 1
    return empty


def _label(named: Any, labels: tuple[str, ...], problems: Counter[str]) -> str | None:
    if len(labels) == 1 and named is None:
        return labels[0]
    label = {one.casefold(): one for one in labels}.get(named.strip().casefold()) if isinstance(named, str) else None
    if label is None:
        problems["unknown type"] += 1
    elif named != label or len(labels) == 1:
        problems["type form"] += 1
    return label


def places_of(item: Entities, words: str, problems: Counter[str]) -> list[Span]:
    """Where the words stand, exactly; or but for case; or but for case, punctuation and blanks."""
    if places := occurrences(item, words):
        return places
    goal, bare = words.strip().casefold(), plain(words)
    alike, close = [], []
    plains = ["".join(sign for sign in token if sign.isalnum()).casefold() for token in item.tokens]
    for start, first in enumerate(plains):
        if not first or not bare.startswith(first):
            continue
        joined = ""
        for end in range(start, len(plains)):
            joined += plains[end]
            if plains[end] and joined == bare:
                close.append((start, end + 1))
                if item.words(Mention(start, end + 1, "")).casefold() == goal:
                    alike.append((start, end + 1))
                break
            if not bare.startswith(joined):
                break
    if alike or close:
        problems["case" if alike else "punctuation"] += 1
    return alike or close
