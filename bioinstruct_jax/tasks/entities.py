"""Finding mentions in a text: the family of tasks whose answer is a set of spans."""

from bioinstruct_jax.tasks import iob_answer, json_answer
from bioinstruct_jax.tasks.spans import Entities, Mention
from bioinstruct_jax.tasks.task import Answer, Family, Task

Gold = tuple[Mention, ...]

WORDINGS = (
    "Find every mention of {subject} in the following text.",
    "Read the passage closely and pick out all {subject} that it names, each time that they are named.",
    "Which words of the text below name {subject}? Include repeated mentions and abbreviations.",
    "Go through the text from beginning to end and mark the exact words that refer to {subject}.",
    "Annotate {subject} in this text. Keep to what is written: expand no abbreviations and correct no spelling.",
    "A colleague is indexing this text by the {subject} it mentions. Mark each of them where it stands.",
    "Identify the spans of text that denote {subject}. Take the whole name, but no words that do not belong to it.",
    "Extract {subject} from the text, in the order in which they appear. Add nothing that is not written there.",
    "Mark {subject} wherever they are named here, be they affirmed, suspected, denied or of someone else.",
    "Your task is to recognise {subject} in medical and biological writing. Mark each mention in what follows.",
)


def gold(item: Entities) -> Gold:
    """The mentions."""
    return item.mentions


def form(task: Task[Entities, Gold], format: str) -> str:
    """How an answer is to be written, in words that a reader who has never seen one can follow."""
    several = len(task.labels) > 1
    named = ", ".join(task.labels)
    if _is_iob(format):
        letters = ("B-", "I-") if several else ("B", "I")
        behind = f", each with the type behind it: {named}" if several else ""
        return (
            "Write one line for each word or punctuation mark, in order: the word, a colon between blanks, a label. "
            f"{letters[0]} is for the first word of a mention and {letters[1]} for its further words{behind}. "
            "O is for everything else."
        )
    kind = f' and "type" is one of {named}' if several else ""
    return (
        'Answer with a JSON list that has an object for each mention: "text" is copied letter by letter' + kind + ". "
        'Where the same words stand more than once in the text, "occurrence" says which is meant, counted from 1. '
        "Without any mention the list is []."
    )


def render(item: Entities, task: Task[Entities, Gold], format: str) -> tuple[str, str]:
    """The text, and its mentions as lines or as JSON."""
    answer = iob_answer.render if _is_iob(format) else json_answer.render
    return item.text, answer(item, task.labels)


def parse(text: str, item: Entities, task: Task[Entities, Gold], format: str) -> Answer[Gold]:
    """The mentions that an answer names, by its format."""
    answer = iob_answer.parse if _is_iob(format) else json_answer.parse
    return answer(text, item, task.labels)


def inexpressible(item: Entities, format: str) -> Gold:
    """The mentions that an answer of this format cannot hold, so that reading it back gives `gold` without them."""
    return iob_answer.inexpressible(item) if _is_iob(format) else ()


def _is_iob(format: str) -> bool:
    if format not in ("iob", "json"):
        raise ValueError(f"entities have no answer format {format!r}; it is iob or json")
    return format == "iob"


ENTITIES: Family[Entities, Gold] = Family(
    name="entities",
    category="IE",
    wordings=WORDINGS,
    formats=("iob", "json"),
    gold=gold,
    text=lambda item: item.text,
    render=render,
    parse=parse,
    form=form,
)
