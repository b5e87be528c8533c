"""The settings of a preparation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bioinstruct_jax.config import Flag, Float, Natural, Positive, config
from bioinstruct_jax.data.sample import SPLITS
from bioinstruct_jax.tasks.table import TASKS

Name = Annotated[str, Field(min_length=1)]


@config
class Published:
    """What a paper counts of a source, to stand beside what is made here."""

    train: Annotated[Natural | None, Field(description="training rows")] = None
    evaluation: Annotated[Natural | None, Field(description="rows that were scored")] = None
    split: Annotated[Literal["dev", "test", "unknown"], Field(description="which split the scored rows really are")] = (
        "test"
    )


@config
class Corpus:
    """One task as a source of rows."""

    task: Annotated[Name, Field(description="name of a task; `--list` prints them")]
    splits: Annotated[
        tuple[Literal["train", "dev", "test"], ...],
        Field(min_length=1, description="which to make, of those that the task has"),
    ] = SPLITS  # type: ignore[assignment]
    format: Annotated[str | None, Field(description="of the answer; null: the first of the task's family")] = None
    cap: Annotated[Positive | None, Field(description="most training rows, drawn by seed; null: all")] = None
    weight: Annotated[Float, Field(gt=0, le=1000, description="training rows for each one of the corpus")] = 1.0
    published: Annotated[Published | None, Field(description="the paper's counts")] = None
    ours: Annotated[Flag, Field(description="not of the paper: put in place of what cannot be used")] = False

    @model_validator(mode="after")
    def _known(self) -> "Corpus":
        if self.task not in TASKS:
            raise ValueError(f"task {self.task!r}: {_nearest(self.task)}")
        task = TASKS[self.task]
        if self.format is not None and self.format not in task.family.formats:
            raise ValueError(
                f"format {self.format!r}: {task.family.name} are answered as {' or '.join(task.family.formats)}"
            )
        if not self.made:
            has = ", ".join(split.name for split in task.splits)
            raise ValueError(f"splits {list(self.splits)}: {self.task} has {has}")
        return self

    @property
    def made(self) -> tuple[str, ...]:
        """The splits that are wanted and that the task has, in the order train, dev, test."""
        there = {split.name for split in TASKS[self.task].splits}
        return tuple(split for split in SPLITS if split in there and split in self.splits)


@config
class Absent:
    """A source of a paper that has no place here."""

    name: Annotated[Name, Field(description="as the paper calls it")]
    why: Annotated[Name, Field(description="why it is not used")]
    published: Annotated[Published, Field(description="the paper's counts")]


@config
class Paper:
    """The paper that a recipe follows."""

    name: Annotated[Name, Field(description="as it is cited")]
    train: Annotated[Positive, Field(description="its training rows in all")]
    evaluation: Annotated[Positive, Field(description="its scored rows in all")]
    absent: Annotated[tuple[Absent, ...], Field(description="its sources that are not used")] = ()


@config
class Balance:
    """How many training rows each source gives."""

    temperature: Annotated[
        Float | None,
        Field(ge=1, description="T: shares as counts to the power 1/T (Raffel et al., 2020); null: as counts"),
    ] = None
    total: Annotated[Positive | None, Field(description="training rows to share out; null: as many as are there")] = (
        None
    )
    most_copies: Annotated[Positive, Field(description="times a row may stand there to fill a share")] = 4


@config
class Overlap:
    """Rows that are there twice, and training rows that evaluation would meet again."""

    duplicates: Annotated[
        Literal["remove", "report", "ignore"],
        Field(description="training rows of a source that an earlier one of the same kind and subject has, or nearly"),
    ] = "remove"
    leaks: Annotated[
        Literal["remove", "report", "ignore"], Field(description="training rows that share text with evaluation rows")
    ] = "remove"
    against: Annotated[
        Literal["all", "sources"],
        Field(description="evaluation splits of all tasks whose files are there, or of the recipe's tasks alone"),
    ] = "all"
    ngram: Annotated[Positive, Field(ge=5, description="words of an n-gram (Brown et al., 2020)")] = 13
    ngram_share: Annotated[
        Float,
        Field(ge=0, le=1, description="share of an evaluation text that makes a leak when in shared n-grams; 0: one"),
    ] = 0.2
    rouge_l: Annotated[Float, Field(gt=0.3, le=1, description="ROUGE-L (F1) from which two texts are nearly one")] = 0.7


@config
class Prepare:
    """A preparation."""

    out: Annotated[Name, Field(description="folder for the rows; new or empty; local or a bucket")]
    corpora: Annotated[Name, Field(description="folder of corpora, each in a folder as its publisher ships it")] = (
        "corpora"
    )
    form: Annotated[
        Literal["alpaca", "alpaca-json", "chat", "parquet", "hub", "tfds", "text"],
        Field(
            description="JSON lines, a JSON array, chat messages, Parquet, a hub folder with data card, ArrayRecord, "
            "or text alone, to train a base on"
        ),
    ] = "alpaca"
    shard_rows: Annotated[Positive, Field(description="rows in a file")] = 50_000
    seed: Annotated[Natural, Field(le=2**31 - 1, description="draws wordings, and rows where not all are taken")] = 0
    tokenizer: Annotated[
        str | None,
        Field(
            min_length=1, description="folder, hub id or 'tiny', to count tokens in the report; null: words and signs"
        ),
    ] = None
    workers: Annotated[Natural, Field(description="processes that read; 0: as many as cores. Never changes a row")] = 0
    missing: Annotated[
        Literal["raise", "report"], Field(description="what to do with a source whose files are not there")
    ] = "raise"
    sources: Annotated[tuple[Corpus, ...], Field(min_length=1, description="what to make rows of")]
    balance: Balance = Balance()
    overlap: Overlap = Overlap()
    paper: Annotated[Paper | None, Field(description="null: the recipe follows none")] = None

    @model_validator(mode="after")
    def _once(self) -> "Prepare":
        names = [source.task for source in self.sources]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"sources: {', '.join(twice)} given twice; use weight to see its rows more often")
        return self


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, TASKS, 1)
    return f"did you mean {near[0]}?" if near else f"the tasks are {', '.join(TASKS)}"
