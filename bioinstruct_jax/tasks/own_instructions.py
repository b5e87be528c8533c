"""Own instructions: the user's own rows, each asked in the words of its own instruction. The way in for their data."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from upath import UPath

from bioinstruct_jax.data import guard
from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.reading import Row
from bioinstruct_jax.tasks.task import Answer, Family, Licence, Split, Task

RESTRICTED_FOLDER = "own-instructions-restricted"


@dataclass(frozen=True)
class Instruction:
    """What is to be done, on what (or empty), and the answer that is expected."""

    id: str
    instruction: str
    input: str
    output: str


def render(item: Instruction, task: Task[Instruction, str], format: str) -> tuple[str, str]:
    """The input, which may be empty; then the output. The instruction is the item's own."""
    return item.input, item.output


def parse(text: str, item: Instruction, task: Task[Instruction, str], format: str) -> Answer[str]:
    """The text itself; problems: ``empty``, ``refusal``."""
    return answers.free_text(text)


def _text(item: Instruction) -> str:
    return f"{item.instruction}\n{item.input}".rstrip()


OWN_INSTRUCTION: Family[Instruction, str] = Family(
    name="own_instruction",
    category="GEN",
    wordings=("Written by the user for each row.",),
    formats=("text",),
    gold=lambda item: item.output,
    text=_text,
    render=render,
    parse=parse,
    instruction=lambda item: item.instruction,
)


def read(folder: UPath, split: Split) -> Iterator[Instruction]:
    """JSON lines, or one JSON array, of ``instruction``, ``input`` (may be missing) and ``output``.

    Further fields are left alone, but for ``licence``: a row that says it is restricted belongs into the folder of such
    rows, whose text is neither shown nor kept nor sent, and is refused elsewhere.
    """
    for name in split.files:
        for row in reading.json_objects(folder / name):
            refuse_hidden(row, RESTRICTED_FOLDER, "own_instructions_restricted")
            given = row.text("input", empty=True) if row.values.get("input") is not None else ""
            yield Instruction(f"{split.name}:{row.line}", row.text("instruction"), given, row.text("output"))


def refuse_hidden(row: Row, folder: str, task: str) -> None:
    """CorpusError for a row whose ``licence`` says that it is restricted, and which stands outside of `folder`.

    Args:
        folder, task: where such rows belong, and what scores them.
    """
    licence = row.values.get("licence")
    hidden = guard.is_restricted(licence) if isinstance(licence, str) else licence is not None
    if hidden and row.file.parent.name != folder:
        row.fail(
            f"'licence' is {reading.shown(licence)}; text of {row.file.parent.name}/ stands in samples and reports: "
            f"put the file into {folder}/, and score the task {task}"
        )


_OPEN = Task(
    name="own_instructions",
    title="The user's own instructions",
    family=OWN_INSTRUCTION,
    folder="own-instructions",
    splits=tuple(Split(name, (f"{name}.jsonl",)) for name in ("train", "dev", "test")),
    read=read,
    licence=Licence("open", "as the user holds it", "bring your own: {instruction, input, output} in JSON lines"),
    note="Its text stands in samples, reports and the cache, and goes to a judge or server that is named. An answer of "
    "one word scores 1 or 0.",
)
TASKS = (
    _OPEN,
    replace(
        _OPEN,
        name="own_instructions_restricted",
        title="The user's own instructions, restricted",
        folder=RESTRICTED_FOLDER,
        licence=Licence(
            "restricted", "as the user holds it", "bring your own: {instruction, input, output} in JSON lines"
        ),
        note="The same for rows that nobody else may see: their text is neither shown nor kept nor sent.",
    ),
)
