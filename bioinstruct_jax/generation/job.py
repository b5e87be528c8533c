"""The settings of a generation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bioinstruct_jax.api.settings import Budget, Endpoint
from bioinstruct_jax.config import Flag, Float, Natural, Positive, config

Name = Annotated[str, Field(min_length=1)]


@config
class Teacher(Endpoint):
    """A model that writes instructions."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$", description="by which the rows and the journal know it")
    ] = "teacher"
    weight: Annotated[Float, Field(ge=0, le=1000, description="its share of requests for instructions; 0: none")] = 1.0


@config
class Answers:
    """Who writes the outputs, and when."""

    by: Annotated[
        Literal["instruction", "second_pass"],
        Field(description="with the instruction, or in a request of their own once the instruction has been accepted"),
    ] = "instruction"
    teachers: Annotated[
        tuple[str, ...],
        Field(
            description="names of those who answer in the second pass; several are asked for a consensus; empty: the "
            "one that wrote the instruction"
        ),
    ] = ()
    agreement: Annotated[
        Float, Field(ge=0, le=1, description="mean ROUGE-L (F1) with the others' that the kept answer must have")
    ] = 0.3

    @model_validator(mode="after")
    def _used(self) -> "Answers":
        if self.teachers and self.by == "instruction":
            raise ValueError("teachers are asked in the second pass alone: set answers.by=second_pass")
        if len(set(self.teachers)) < len(self.teachers):
            raise ValueError("teachers: one is named twice; its two answers would be no consensus")
        return self


@config
class Filters:
    """What an instruction and its output must be like to be accepted."""

    rouge_l: Annotated[
        Float,
        Field(
            gt=0.3,
            le=1,
            description="ROUGE-L (F1) with a seed's or an accepted instruction from which one is "
            "not new; Self-Instruct's rule is 'above 0.7'",
        ),
    ] = 0.7
    near_duplicates: Annotated[
        Flag, Field(description="also leave out rows whose input and output together are nearly those of another")
    ] = False
    least_words: Annotated[Positive, Field(description="of an instruction")] = 3
    most_words: Annotated[Positive, Field(description="of an instruction")] = 150
    most_input_words: Annotated[Positive, Field(description="of an input")] = 3000
    most_output_words: Annotated[Positive, Field(description="of an output")] = 1500
    language: Annotated[Literal["en", "any"], Field(description="en: rows that are not in English are left out")] = "en"

    @model_validator(mode="after")
    def _ordered(self) -> "Filters":
        if self.least_words > self.most_words:
            raise ValueError(f"least_words {self.least_words} is above most_words {self.most_words}")
        return self


@config
class Categories:
    """Question answering, extraction, generation or other."""

    by: Annotated[
        Literal["teacher", "classifier", "off"],
        Field(
            description="a teacher with a rubric, or a classifier trained here on the seed tasks, which costs nothing"
        ),
    ] = "classifier"
    teacher: Annotated[str | None, Field(description="name of the teacher; null: the first")] = None
    rows: Annotated[Positive, Field(le=100, description="instructions in one request")] = 20


@config
class Decontamination:
    """Instructions that evaluation would meet again."""

    corpora: Annotated[
        str | None, Field(min_length=1, description="folder of corpora, as for `prepare`; null: nothing is compared")
    ] = None
    action: Annotated[Literal["remove", "report"], Field(description="what to do with those that are found")] = "remove"
    share_13: Annotated[
        Float,
        Field(ge=0, le=1, description="share of an evaluation text in shared 13-grams from which it is met; 0: one"),
    ] = 0.2
    share_8: Annotated[
        Float, Field(ge=0, le=1, description="the same for 8-grams (Chowdhery et al., 2022, draw the line at 0.7)")
    ] = 0.7
    rouge_l: Annotated[Float, Field(gt=0.3, le=1, description="ROUGE-L (F1) from which two texts are nearly one")] = 0.7


@config
class Generate:
    """A generation."""

    out: Annotated[Name, Field(description="folder for journal, rows and report; new, or of the same generation")]
    target: Annotated[Positive, Field(description="instructions to accept")] = 25_005
    seed: Annotated[Natural, Field(le=2**31 - 1, description="draws teachers and seeds of each request")] = 0
    seeds: Annotated[str | None, Field(min_length=1, description="file or folder of seed tasks; null: the 80")] = None
    shown: Annotated[
        Positive, Field(le=20, description="seed instances in each request, drawn from the seeds alone")
    ] = 3
    asked: Annotated[Positive, Field(le=100, description="instructions that a request asks for")] = 10
    most_requests: Annotated[
        Positive | None,
        Field(description="requests for instructions after which it ends, target or not; null: no limit"),
    ] = None
    patience: Annotated[
        Positive, Field(description="requests one after another without an accepted instruction after which it ends")
    ] = 50
    teachers: Annotated[tuple[Teacher, ...], Field(min_length=1, description="who writes; several are mixed by weight")]
    answers: Answers = Answers()
    filters: Filters = Filters()
    categories: Categories = Categories()
    decontamination: Decontamination = Decontamination()
    budget: Budget = Budget()
    forms: Annotated[
        tuple[Literal["alpaca-json", "chat", "parquet", "hub", "tfds"], ...],
        Field(description="further forms of the accepted rows, each in a folder of its name"),
    ] = ()

    @model_validator(mode="after")
    def _named(self) -> "Generate":
        names = [teacher.name for teacher in self.teachers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"teachers: {', '.join(twice)} stands there twice; give each a name of its own")
        if not any(teacher.weight for teacher in self.teachers):
            raise ValueError("teachers: the weight of each is 0, so nobody writes instructions")
        asked = (*self.answers.teachers, *([self.categories.teacher] if self.categories.teacher else []))
        if unknown := [name for name in asked if name not in names]:
            raise ValueError(f"no teacher is called {', '.join(unknown)}; there are {', '.join(names)}")
        return self
