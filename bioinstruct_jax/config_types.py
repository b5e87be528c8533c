"""What settings are made of: frozen dataclasses that take no unknown key, and the kinds of their values."""

from typing import Annotated, Literal, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

Class = TypeVar("Class")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def config(kind: type[Class]) -> type[Class]:
    """Make a class a frozen dataclass whose values are checked and which takes no unknown key."""
    return dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))(kind)  # type: ignore[return-value]


Int = Annotated[int, Field(strict=True)]  # "3" and true are no integers
Float = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Flag = Annotated[bool, Field(strict=True)]
ModelPlace = Annotated[
    str | None,
    Field(min_length=1, description="folder, run folder, bucket URL or hub id; null: the base the adapter names"),
]
AdapterPlace = Annotated[
    str | None, Field(min_length=1, description="in PEFT form: its folder, a run folder, bucket URL or hub id")
]
Positive = Annotated[Int, Field(gt=0)]
Natural = Annotated[Int, Field(ge=0)]
Fraction = Annotated[Float, Field(ge=0, lt=1)]
TemplateName = Literal["alpaca", "medtuned", "llama2", "llama3", "tokenizer", "text"]
