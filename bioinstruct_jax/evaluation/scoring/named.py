"""Mentions out of whatever a model, or a tagger, gave for a text: JSON, lines of tags, or bare tags."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from bioinstruct_jax.evaluation import extraction
from bioinstruct_jax.evaluation.mentions import align
from bioinstruct_jax.evaluation.tags import conlleval, strict
from bioinstruct_jax.tasks import iob_answer, json_answer
from bioinstruct_jax.tasks.spans import Entities, Mention

OTHER = "another type"  # of a mention whose type is none of the task's: a false positive


@dataclass(frozen=True)
class Found:
    """What was read.

    Attributes:
        why: how, or why not.
        strict: mentions; where they were tags, as IOB2 has them. None: nothing could be read.
        lenient: as conlleval reads the same tags.
        foreign: by type, mentions that have no place in the text, or no type of the task: false positives.
        foreign_lenient: the same beside `lenient`.
        words: of those, with their types, as far as they were given in words.
        problems: what was odd, by kind, counted.
    """

    why: str
    strict: tuple[Mention, ...] | None = None
    lenient: tuple[Mention, ...] | None = None
    foreign: dict[str, int] = field(default_factory=dict)
    foreign_lenient: dict[str, int] = field(default_factory=dict)
    words: tuple[tuple[str, str], ...] = ()
    problems: dict[str, int] = field(default_factory=dict)


def of_json(text: str, item: Entities, labels: tuple[str, ...]) -> Found:
    """From a JSON list of mentions, each placed by `mentions.align`; one that is said too often is foreign."""
    rows, problems = json_answer.read(extraction.answered(text), labels)
    if rows is None:
        return Found(_unread(text), problems=dict(problems))
    aligned = align([row for row in rows if row.type], item)
    other = [(row.words, OTHER) for row in rows if not row.type]
    foreign = aligned.foreign | ({OTHER: len(other)} if other else {})
    placed = [(item.words(mention), mention.type) for mention in aligned.mentions]
    named = [(row.words, row.type) for row in rows if row.type]
    return Found(
        "mentions" if rows else "none",
        aligned.mentions,
        aligned.mentions,
        foreign,
        foreign,
        (*_less(named, placed), *other) if foreign else (),
        _merged(problems, aligned.problems),
    )


def _less(named: Iterable[tuple[str, str]], placed: Iterable[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """What was named without what was placed, words compared but for case, punctuation and blanks."""
    taken = Counter((iob_answer.plain(words), kind) for words, kind in placed)
    for words, kind in named:
        key = iob_answer.plain(words), kind
        taken[key] -= 1
        if taken[key] < 0:
            yield words, kind


def of_lines(text: str, item: Entities, labels: tuple[str, ...]) -> Found:
    """From ``token : LABEL`` lines, each held to the place of its token (`iob_answer.read`)."""
    said = iob_answer.read(extraction.answered(text), item.tokens, labels)
    if said.tags is None:
        return Found(_unread(text), problems=dict(said.problems))
    tags = [letter if letter == "O" else f"{letter}-{kind}" for letter, kind in said.tags]
    words = tuple((words, kind or OTHER) for words, kind in said.foreign)
    return _tagged(tags, labels, words, dict(said.problems))


def of_tags(given: Sequence[str], item: Entities, labels: tuple[str, ...]) -> Found:
    """From tags made elsewhere, one a token: in any case, bare where the task has one type."""
    if len(given) != len(item.tokens):
        return Found("unparsable", problems={"tags of another length": 1})
    known = {label.casefold(): label for label in labels}
    tags = []
    for tag in given:
        letter, joint, kind = tag.strip().partition("-")
        letter = letter.upper()
        if letter not in ("O", "B", "I") or (letter == "O" and joint):
            return Found("unparsable", problems={"no tag": 1})
        single = labels[0] if len(labels) == 1 and not kind else OTHER
        tags.append("O" if letter == "O" else f"{letter}-{known.get(kind.casefold(), single)}")
    return _tagged(tags, labels, (), {})


def _tagged(
    tags: Sequence[str], labels: tuple[str, ...], words: tuple[tuple[str, str], ...], problems: dict[str, int]
) -> Found:
    ways = []
    for mentions in (strict(tags), conlleval(tags)):
        foreign = Counter(kind for _, kind in words)
        foreign.update(OTHER for mention in mentions if mention.type not in labels)
        ways.append((tuple(mention for mention in mentions if mention.type in labels), dict(foreign)))
    (exact, foreign_exact), (lenient, foreign_lenient) = ways
    if exact != lenient:
        problems = _merged(problems, {"I without B": len(set(lenient) - set(exact))})
    why = "mentions" if lenient or foreign_lenient else "none"
    return Found(why, exact, lenient, foreign_exact, foreign_lenient, words, problems)


def _unread(text: str) -> str:
    if not text.strip():
        return "empty"
    return "refused" if extraction.refused(text.strip()) else "unparsable"


def _merged(first: dict[str, int] | Counter[str], second: dict[str, int]) -> dict[str, int]:
    both = Counter(first)
    both.update(second)
    return {kind: count for kind, count in both.items() if count}
