"""A prepared row: an instruction made from an item of a corpus, with where it came from and who may see it."""

from dataclasses import dataclass
from typing import Literal

SPLITS = ("train", "dev", "test")
Category = Literal["IE", "QA", "GEN", "other"]


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of what `prepare` writes; each field is a column of that name.

    Attributes:
        id: ``<task>/<split>/<id of the item>``, unique in a preparation.
        licence: open, attribution, non-commercial or restricted; before any text, so that a row which is cut tells it.
        instruction: the wording, with how the answer is to be written.
        input: what is asked about; may be empty.
        output: the answer, in `format`.
        category: IE, QA or GEN; other, of rows that a teacher wrote.
        source: name of the task, or of the teacher.
        family: of the task: entities, relations, ...
        split: train, dev or test, as the publisher has it.
        format: of the answer; one of the family's.
        wording: place of the instruction among the family's wordings, from 0.
        labels: what the answer names of a closed set, one for each time; empty for free text.
    """

    id: str
    licence: Literal["open", "attribution", "non-commercial", "restricted"]
    instruction: str
    input: str
    output: str
    category: Category
    source: str
    family: str
    split: Literal["train", "dev", "test"]
    format: str
    wording: int
    labels: tuple[str, ...] = ()

    @property
    def restricted(self) -> bool:
        """Whether it may leave neither the machine nor, as text, the rows themselves."""
        return self.licence == "restricted"
