"""What a teacher wrote, before and after it was judged."""

from dataclasses import dataclass

CATEGORIES = ("question_answering", "extraction", "generation", "other")  # as in the seeds


@dataclass(frozen=True, slots=True)
class Item:
    """One instruction of an answer that holds several.

    Attributes:
        place: in the answer, from 0.
        classification: the output is one of a closed set of labels, as the teacher says.
    """

    place: int
    instruction: str
    input: str
    output: str
    classification: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """A part of an answer that is no instruction.

    Attributes:
        place: in the answer, from 0.
        reason: one of the reasons of `rejected.jsonl`.
        text: its first characters.
    """

    place: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """A row of `instructions.jsonl`; each field is a column of that name.

    Attributes:
        id: ``<number of the request>.<place in its answer>``, in the order in which they were filtered.
        category: of `CATEGORIES`; empty where nobody said.
        seeds: ids of the seed instances that the teacher was shown.
        teacher: name of the endpoint; ``model``: what stood behind it.
        prompt: hash of the prompt's wording.
        request: key of the request in the journal.
        nearest: id of the most similar seed or earlier instruction, whatever its score; empty: nothing shares a word.
        similarity: ROUGE-L (F1) with it.
        answered_by: name of the endpoint that wrote the output.
    """

    id: str
    instruction: str
    input: str
    output: str
    category: str
    seeds: tuple[str, ...]
    teacher: str
    model: str
    prompt: str
    request: str
    nearest: str
    similarity: float
    answered_by: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row of `rejected.jsonl`.

    Attributes:
        id: as of an accepted one.
        reason: of a fixed list; ``detail``: with what values, or what it is too similar to.
    """

    id: str
    reason: str
    detail: str
    instruction: str
    input: str
    output: str
    teacher: str
    request: str
