"""The settings of a demonstration."""

from typing import Annotated

from pydantic import Field, model_validator

from bioinstruct_jax.config import Positive, config


@config
class Demo:
    """A demonstration."""

    out: Annotated[str, Field(min_length=1, description="folder for everything; new, or of the same demo; local")] = (
        "demo"
    )
    instructions: Annotated[
        Positive, Field(description="that the teacher is to write, as many as pass the filters")
    ] = 600
    held_out: Annotated[Positive, Field(description="of them that are asked in the end, and not tuned on")] = 100
    training: Annotated[
        str, Field(min_length=1, description="settings of `train`, base included: a shipped name or a file")
    ] = "demo"
    steps: Annotated[Positive | None, Field(description="of tuning; null: as the settings of `train` say")] = None

    @model_validator(mode="after")
    def _left(self) -> "Demo":
        if self.held_out >= self.instructions:
            raise ValueError(
                f"held_out {self.held_out} of {self.instructions} instructions: none is left to tune on; "
                "raise instructions or lower held_out"
            )
        return self
