"""Own instructions: the user's own rows, each asked in the words of its own instruction. The way in for their data."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from upath import UPath

from bioinstruct_jax.data import guard
from bioinstruct_jax.tasks import answers, reading
from bioinstruct_jax.tasks.reading import Row
from bioinstruct_jax.tasks.task import Answer, Family, G, I, Licence, Split, Task

RESTRICTED = "-restricted"  # behind the name of a folder whose text is neither shown nor kept nor sent


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
            refuse_hidden(row)
            given = row.text("input", empty=True) if row.values.get("input") is not None else ""
            yield Instruction(f"{split.name}:{row.line}", row.text("instruction"), given, row.text("output"))


def refuse_hidden(row: Row) -> None:
    """CorpusError for a row whose ``licence`` says that it is restricted, and which stands in an open folder."""
    licence, place = row.values.get("licence"), row.file.parent.name
    hidden = guard.is_restricted(licence) if isinstance(licence, str) else licence is not None
    if hidden and not place.endswith(RESTRICTED):
        row.fail(
            f"'licence' is {reading.shown(licence)}; text of {place}/ stands in samples and reports: put the file into "
            f"{place}{RESTRICTED}/, and score the task {f'{place}{RESTRICTED}'.replace('-', '_')}"
        )


def with_restricted(task: Task[I, G], rows: str) -> tuple[Task[I, G], Task[I, G]]:
    """A task of the user's own, and the same for rows that nobody else may see, which have a folder of their own."""
    hidden = replace(
        task,
        name=f"{task.name}_restricted",
        title=f"{task.title}, restricted",
        folder=f"{task.folder}{RESTRICTED}",
        licence=replace(task.licence, kind="restricted"),
        note=f"The same for {rows} that nobody else may see: their text is neither shown nor kept nor sent.",
    )
    return task, hidden


_OPEN: Task[Instruction, str] = Task(
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
TASKS = with_restricted(_OPEN, "rows")
