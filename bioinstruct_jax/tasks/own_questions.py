"""Own questions: the user's own, each with its options, so that answers are right or wrong. Labels are options too."""

from collections.abc import Iterator

from upath import UPath

from bioinstruct_jax.tasks import own_instructions, reading
from bioinstruct_jax.tasks.choice import CHOICE, LETTERS, Choice
from bioinstruct_jax.tasks.reading import Row
from bioinstruct_jax.tasks.task import Licence, Split, Task


def read(folder: UPath, split: Split) -> Iterator[Choice]:
    """JSON lines, or one JSON array, of ``question``, ``options`` and ``answer``.

    ``options`` are 2 to 10 texts: a list, or an object whose keys are A, B, ... in this order. ``answer`` is the letter
    of the right one, or its text. Further fields are left alone, but for ``licence``, as of own instructions.
    """
    for name in split.files:
        for row in reading.json_objects(folder / name):
            own_instructions.refuse_hidden(row)
            options = _options(row)
            yield Choice(f"{split.name}:{row.line}", row.text("question"), options, _place(row, options))


def _options(row: Row) -> tuple[str, ...]:
    given = row.get("options")
    if isinstance(given, dict):
        letters = tuple(LETTERS[: len(given)])
        if tuple(given) != letters:
            row.fail("'options' is an object whose keys are not A, B, ... in this order; a list needs no letters")
        cells = Row(row.file, row.line, given)
        options = tuple(cells.text(letter) for letter in letters)
    else:
        options = row.texts("options")
    if not 2 <= len(options) <= len(LETTERS):
        row.fail(f"'options' has {len(options)}; a question needs 2 to {len(LETTERS)}")
    if len({option.casefold() for option in options}) < len(options):
        row.fail("'options' has one text twice, so that two letters would say the same")
    return options


def _place(row: Row, options: tuple[str, ...]) -> int:
    answer, letters = row.text("answer"), LETTERS[: len(options)]
    places = {place for place, named in enumerate(zip(letters, options, strict=True)) if answer in named}
    if not places:
        row.fail(f"'answer' is {reading.shown(answer)}, neither one of {', '.join(letters)} nor the text of an option")
    if len(places) > 1:
        row.fail(f"'answer' is {reading.shown(answer)}, the letter of one option and the text of another")
    return places.pop()


_OPEN: Task[Choice, str] = Task(
    name="own_questions",
    title="The user's own questions with options",
    family=CHOICE,
    folder="own-questions",
    splits=tuple(Split(name, (f"{name}.jsonl",)) for name in ("train", "dev", "test")),
    read=read,
    licence=Licence("open", "as the user holds it", "bring your own: {question, options, answer} in JSON lines"),
    subject="medicine",
    labels=tuple(LETTERS),
    note="Its text stands in samples, reports and the cache, and goes to a judge or server that is named. Options may "
    "differ in number.",
)
TASKS = own_instructions.with_restricted(_OPEN, "questions")
