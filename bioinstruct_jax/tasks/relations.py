"""Relations: how two entities marked in a sentence are related, one class of a closed set."""

import json
from dataclasses import dataclass

from bioinstruct_jax.tasks import answers
from bioinstruct_jax.tasks.task import Answer, Family, Task

FIRST, SECOND = ("<< ", " >>"), ("[[ ", " ]]")  # the marks around the first and the second entity

WORDINGS = (
    "Read the sentence and decide which relation it states between {subject}.",
    "Classify the relation that the text asserts between {subject}.",
    "From this text alone, determine how {subject} are related.",
    "Choose the class that best describes the relation between {subject}. Rely on what is written, not on what is "
    "otherwise known.",
    "A curator is recording relations from the literature and from notes. Which class applies to {subject} here?",
    "Assign one of the listed classes to the pair formed by {subject}.",
    "Consider what the passage says about {subject}, and name the relation between them.",
    "What does this passage state about {subject}? Answer with the class of their relation.",
    "Identify the relation between {subject} in the passage below. Mere mention together is not a relation.",
    "Look at {subject}. Which of the classes below does the wording of the passage support?",
)


@dataclass(frozen=True)
class Pair:
    """Two entities in a text.

    Attributes:
        text: with the first entity between ``<< >>`` and the second between ``[[ ]]``, or both masked.
        first, second: as they stand there.
        label: of the task's.
        document: what it was taken from, where that is known.
    """

    id: str
    text: str
    first: str
    second: str
    label: str
    document: str = ""


def marked(text: str, first: tuple[int, int], second: tuple[int, int]) -> str:
    """A text with marks around two spans (start, end), which may lie within each other."""
    marks = []
    for order, (start, end), (opening, closing) in ((0, first, FIRST), (1, second, SECOND)):
        width = end - start
        marks += [(start, 1, -width, order, opening), (end, 0, width, -order, closing)]
    for place, _, _, _, mark in sorted(marks, reverse=True):
        text = text[:place] + mark + text[place:]
    return text


def choices(task: Task[Pair, str]) -> str:
    """The labels of a task, one a line, with what they mean."""
    meanings = task.meanings or ("",) * len(task.labels)
    pairs = zip(task.labels, meanings, strict=True)
    return "\n".join(f"- {label}: {meaning}" if meaning else f"- {label}" for label, meaning in pairs)


def render(item: Pair, task: Task[Pair, str], format: str) -> tuple[str, str]:
    """Text, entities, classes and the form of the answer; then the answer."""
    entities = f"First entity: {item.first}\nSecond entity: {item.second}"
    if format == "json":
        form = 'Answer with a JSON object with the keys "first", "second" and "class".'
        answer = {"first": item.first, "second": item.second, "class": item.label}
        output = json.dumps(answer, ensure_ascii=False)
    else:
        form, output = "Answer with the name of one class.", item.label
    return f"Text: {item.text}\n{entities}\nClasses:\n{choices(task)}\n{form}", output


def parse(text: str, item: Pair, task: Task[Pair, str], format: str) -> Answer[str]:
    """The class that a text gives, by itself or as the ``class`` of the first JSON object.

    Problems: ``unparsable JSON`` (then read as prose), ``other entities`` than those asked about, and those of
    `answers.single`.
    """
    problems: dict[str, int] = {}
    if format == "json":
        found = _object(text)
        if found is None:
            problems["unparsable JSON"] = 1
        else:
            if (found.get("first"), found.get("second")) != (item.first, item.second):
                problems["other entities"] = 1
            text = str(found.get("class", found.get("relation", found.get("label", ""))))
    answer = answers.single(text, task.labels)
    return Answer(answer.gold, problems | answer.problems)


def _object(text: str) -> dict[str, object] | None:
    decoder = json.JSONDecoder()
    place = text.find("{")
    while place >= 0:
        try:
            value, _ = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            return value
        place = text.find("{", place + 1)
    return None


RELATIONS: Family[Pair, str] = Family(
    name="relations",
    category="IE",
    wordings=WORDINGS,
    formats=("class", "json"),
    gold=lambda item: item.label,
    text=lambda item: item.text,
    render=render,
    parse=parse,
)
