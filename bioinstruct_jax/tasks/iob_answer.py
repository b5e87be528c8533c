"""Answers as ``token : LABEL`` lines, the form of Llama2-MedTuned: B opens a mention, I goes on, O is all else.

Where a task has several types they stand behind: B-Disease. Mentions that nest or overlap cannot be said this way: the
longest is kept of those that share a token, `inexpressible` names the others.
"""

import re
from collections import Counter
from typing import NamedTuple

from bioinstruct_jax.tasks.columns import spans
from bioinstruct_jax.tasks.spans import Entities, Mention, ordered
from bioinstruct_jax.tasks.task import Answer

LOOSE = re.compile(r"(.*?)\s*:\s*([BIObio](?:-\S+)?)", re.DOTALL)
UNKNOWN = "?"  # in place of a B whose type is none of the task's
CELLS = 500_000  # pairs of a line and a token that are compared; of more lines than that, the first
LABEL = re.compile(r"O|([BI])(?:-(.+))?", re.DOTALL)


def flat(mentions: tuple[Mention, ...]) -> tuple[Mention, ...]:
    """Those of the mentions that one row of tags can hold: the longest first, and of equals the one further left."""
    taken: set[int] = set()
    kept = []
    for mention in sorted(mentions, key=lambda one: (one.start - one.end, one)):
        places = range(mention.start, mention.end)
        if taken.isdisjoint(places):
            taken.update(places)
            kept.append(mention)
    return ordered(kept)


def inexpressible(item: Entities) -> tuple[Mention, ...]:
    """Mentions that lines of tags cannot hold, as others overlap them."""
    kept = set(flat(item.mentions))
    return tuple(mention for mention in item.mentions if mention not in kept)


def render(item: Entities, labels: tuple[str, ...]) -> str:
    """A line ``token : tag`` for each token; the type stands in the tag where there are several."""
    tags = ["O"] * len(item.tokens)
    for start, end, kind in flat(item.mentions):
        suffix = f"-{kind}" if len(labels) > 1 else ""
        tags[start:end] = [f"B{suffix}"] + [f"I{suffix}"] * (end - start - 1)
    return "\n".join(f"{token} : {tag}" for token, tag in zip(item.tokens, tags, strict=True))


def parse(text: str, item: Entities, labels: tuple[str, ...]) -> Answer[tuple[Mention, ...]]:
    """Mentions from lines, each line held to the place of its token in the text.

    Lines and tokens are matched in order so that as many as possible agree, exactly before all but for case and
    punctuation; a token without a line is O.

    Problems: ``empty``; ``unparsable line``; ``unknown label`` (read as O); ``label form`` (small letters, a type where
    there is but one); ``case``, ``punctuation``: a token written otherwise; ``missing line``; ``extra line``: of a
    token that is not there, with O; ``not in the text``: a mention of such tokens; ``I without B`` (read as B).
    """
    said = read(text, item.tokens, labels)
    if said.tags is None:
        return Answer(None, dict(said.problems) or {"empty": 1})
    kinds, types = [kind for kind, _ in said.tags], [label for _, label in said.tags]
    for place, kind in enumerate(kinds):
        if kind == "I" and (place == 0 or kinds[place - 1] == "O" or types[place - 1] != types[place]):
            kinds[place] = "B"
            said.problems["I without B"] += 1
    return Answer(spans(kinds, types), dict(said.problems))


class Tagged(NamedTuple):
    """What lines say.

    Attributes:
        tags: letter and type of each token; None: there is no line.
        foreign: mentions of tokens that are not there, and those of a type that is none of the task's, which is empty.
        problems: as in `parse`, but for ``I without B``.
    """

    tags: list[tuple[str, str]] | None
    foreign: list[tuple[str, str]]
    problems: Counter[str]


def read(text: str, tokens: tuple[str, ...], labels: tuple[str, ...]) -> Tagged:
    """The tags that lines give to the tokens, as they stand there."""
    problems: Counter[str] = Counter()
    words: list[str] = []
    tags: list[tuple[str, str]] = []
    for line in text.split("\n"):
        if not line.strip() or (line.lstrip().startswith("```") and " : " not in line):
            continue
        cut = _cut(line, problems, labels)
        if cut is None:
            problems["unparsable line"] += 1
            continue
        words.append(cut[0])
        tags.append(cut[1])
    if not words:
        return Tagged(None, [], problems)
    where = align(words, tokens)
    found = [("O", "")] * len(tokens)
    foreign: list[list[str]] = []
    opened = ""  # the type of a mention in progress whose tokens are not in the text
    for word, (kind, label), place in zip(words, tags, where, strict=True):
        if kind == UNKNOWN:
            foreign.append(["", word])
            kind = "O"
        if place is None:
            if kind == "O":
                problems["extra line"] += 1
                opened = ""
            elif kind == "B" or opened != label:
                problems["not in the text"] += 1
                foreign.append([label, word])
                opened = label
            else:
                foreign[-1].append(word)
            continue
        opened = ""
        found[place] = kind, label
        if word != tokens[place]:
            problems["case" if word.casefold() == tokens[place].casefold() else "punctuation"] += 1
    if missing := len(tokens) - sum(place is not None for place in where):
        problems["missing line"] += missing
    return Tagged(found, [(" ".join(said), label) for label, *said in foreign], problems)


def _cut(line: str, problems: Counter[str], labels: tuple[str, ...]) -> tuple[str, tuple[str, str]] | None:
    """A line's token and tag, parted at the last " : "; None where there is none."""
    word, middle, tag = line.rpartition(" : ")
    if not middle or not word.strip():
        loose = LOOSE.fullmatch(line.strip())
        if not loose or not loose[1]:
            return None
        word, tag = loose[1], loose[2]
        problems["punctuation"] += 1
    tag = tag.strip()
    match = LABEL.fullmatch(tag[:1].upper() + tag[1:])
    if not match:
        problems["unknown label"] += 1
        return word, ("O", "")
    if not match[1]:
        if tag != "O":
            problems["label form"] += 1
        return word, ("O", "")
    named = {label.casefold(): label for label in labels}
    label = labels[0] if len(labels) == 1 and match[2] is None else named.get((match[2] or "").casefold())
    if label is None:
        problems["unknown label"] += 1
        return word, (UNKNOWN if match[1] == "B" else "O", "")
    if tag != (f"{match[1]}-{label}" if len(labels) > 1 else match[1]):
        problems["label form"] += 1
    return word, (match[1], label)


def plain(word: str) -> str:
    """A word but for case and punctuation."""
    return "".join(sign for sign in word if sign.isalnum()).casefold() or word.strip()


def align(words: list[str], tokens: tuple[str, ...]) -> list[int | None]:
    """For each word the token it stands for, in order, each token once: as many as can be, exact ones before others.

    Where a word may stand for several, it is the one furthest left.
    """
    where = _match(words, tokens)
    free = 0  # the first token behind those taken
    for index, place in enumerate(where):
        if place is not None:
            same = words[index] == tokens[place]
            where[index] = next(
                other
                for other in range(free, place + 1)
                if (words[index] == tokens[other] if same else plain(words[index]) == plain(tokens[other]))
            )
            free = where[index] + 1  # type: ignore[operator]
    return where


def _match(words: list[str], tokens: tuple[str, ...]) -> list[int | None]:
    """A matching as in `align`, wherever its words stand."""
    where: list[int | None] = [None] * len(words)
    low = 0
    while low < min(len(words), len(tokens)) and words[low] == tokens[low]:
        where[low] = low
        low += 1
    high = 0
    while high < min(len(words), len(tokens)) - low and words[-1 - high] == tokens[-1 - high]:
        where[len(words) - 1 - high] = len(tokens) - 1 - high
        high += 1
    some, more = words[low : len(words) - high], tokens[low : len(tokens) - high]
    if not some or not more:
        return where
    some = some[: max(CELLS // len(more), 2 * len(more))]
    exact = 2 * min(len(some), len(more)) + 1
    plains, goals = [plain(word) for word in some], [plain(token) for token in more]
    score = [[0] * (len(more) + 1)]  # of the best matching of what lies behind, filled from the end
    for row in range(len(some) - 1, -1, -1):
        behind, line = score[-1], [0] * (len(more) + 1)
        word, bare = some[row], plains[row]
        for column in range(len(more) - 1, -1, -1):
            best = max(behind[column], line[column + 1])
            if word == more[column]:
                best = max(best, behind[column + 1] + exact)
            elif bare == goals[column]:
                best = max(best, behind[column + 1] + exact - 1)
            line[column] = best
        score.append(line)
    score.reverse()
    row = column = 0
    while row < len(some) and column < len(more):
        gain = exact if some[row] == more[column] else exact - 1 if plains[row] == goals[column] else 0
        if gain and score[row][column] == score[row + 1][column + 1] + gain:
            where[low + row] = low + column
            row, column = row + 1, column + 1
        elif score[row][column] == score[row][column + 1]:
            column += 1
        else:
            row += 1
    return where
