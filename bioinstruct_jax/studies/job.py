"""The settings of a study."""

from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, model_validator

from bioinstruct_jax import settings
from bioinstruct_jax.config import Float, Natural, Positive, Source, config
from bioinstruct_jax.evaluation.runner.job import Contamination, Evaluate, Label, Model, Name, Protocol
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import CATEGORIES

BASE = "base"  # the arm that is tuned on nothing
ALL = "all"
Size = Literal["matched", "natural"]
OWN = ("out", "corpora", "models", "baseline", "cache", "contamination", "resamples")  # keys that the study sets


@config
class Learner:
    """A base, and how it is tuned."""

    name: Annotated[Label, Field(description="by which cells, tables and figures know it")]
    settings: Annotated[Name, Field(description="of `train`: a shipped name or a file; its model.weights is the base")]
    set: Annotated[
        dict[str, Any], Field(description="keys of `train` that differ from it: {optimizer.learning_rate: 1.0e-4}")
    ] = Field(default_factory=dict)


@config
class Arm:
    """Which rows of the pool a model is tuned on; with neither `only` nor `without`: all."""

    name: Annotated[Label, Field(description="by which cells, tables and figures know it; 'base' is taken")]
    only: Annotated[tuple[Name, ...], Field(description="categories that are kept; empty: all")] = ()
    without: Annotated[tuple[Name, ...], Field(description="categories that are left out")] = ()
    sizes: Annotated[tuple[Size, ...], Field(description="of this arm, among the study's; empty: all of those")] = ()

    @model_validator(mode="after")
    def _one(self) -> "Arm":
        if self.only and self.without:
            raise ValueError(f"arm {self.name}: only and without exclude each other")
        if self.name == BASE:
            raise ValueError(f"arm {BASE!r} is the base, which is tuned on nothing; give another name")
        return self


@config
class Match:
    """Arms of the size 'matched' have as many rows, and as many target tokens of the first model, as one another."""

    rows: Annotated[
        Positive | None,
        Field(description="of each arm; null: nine tenths of the most for which all arms can be matched"),
    ] = None
    tolerance: Annotated[
        Float, Field(gt=0, le=0.1, description="largest difference in target tokens, as a share of their mean")
    ] = 0.01


@config
class Curve:
    """How much data is needed: one arm, of growing parts of its rows; a smaller part stands within a larger one."""

    arm: Annotated[Name, Field(description="an arm of the study; its natural size is the whole")] = ALL
    shares: Annotated[tuple[Float, ...], Field(description="of its rows; 1 is the natural size, run anyway")] = (
        0.01,
        0.05,
        0.25,
    )

    @model_validator(mode="after")
    def _shares(self) -> "Curve":
        if any(not 0 < share < 1 for share in self.shares) or len(set(self.shares)) < len(self.shares):
            raise ValueError(f"curve.shares {list(self.shares)}: give each once, between 0 and 1 (1 is run anyway)")
        return self


@config
class Hypothesis:
    """A primary question, declared before anything is run.

    The p values of all of them, in every model, are adjusted together (Holm); one that is not tested counts as p = 1.
    """

    on: Annotated[Name, Field(description="a task, or a group of tasks: QA, IE, GEN")]
    arm: Annotated[Name, Field(description="the arm that is thought to be better")] = ALL
    against: Annotated[Name, Field(description="'base', or another arm")] = BASE
    size: Annotated[Size, Field(description="of the arms")] = "natural"
    protocol: Annotated[Protocol, Field(description="how the model is asked")] = "generated"


@config
class Reported:
    """A row of a paper, to stand beside ours and be clearly theirs."""

    model: Annotated[Name, Field(description="as the paper calls it")]
    paper: Annotated[Name, Field(description="as it is cited")]
    scores: Annotated[
        dict[str, Float], Field(min_length=1, description="in per cent, by task or group; for gains see `gains`")
    ]
    gains: Annotated[bool, Field(strict=True, description="scores are relative gains over the untuned model")] = False
    note: Annotated[str, Field(description="what makes them comparable or not: split, metric, prompt")] = ""


@config
class Study:
    """A study."""

    out: Annotated[Name, Field(description="folder of the study; new, or of the same study; local")]
    corpora: Annotated[Name, Field(description="folder of corpora, each in a folder as its publisher ships it")] = (
        "corpora"
    )
    title: Annotated[str, Field(description="of the report")] = "Which instructions help which tasks?"
    models: Annotated[tuple[Learner, ...], Field(min_length=1, description="each is run in every arm and seed")]
    pool: Annotated[
        tuple[Source, ...],
        Field(
            min_length=1,
            description="rows to tune on; what an arm keeps or leaves out is their category, which may be any field of "
            "a row: columns {category: source}",
        ),
    ]
    arms: Annotated[tuple[Arm, ...], Field(min_length=1, description="beside the base")]
    sizes: Annotated[
        tuple[Size, ...], Field(min_length=1, description="matched: equal rows and target tokens; natural: all rows")
    ] = ("matched", "natural")
    match: Match = Match()
    curve: Annotated[Curve | None, Field(description="null: no data-size curve")] = None
    seeds: Annotated[
        tuple[Natural, ...],
        Field(min_length=3, description="of training: weights, order, and which rows a part of an arm has"),
    ] = (0, 1, 2)
    evaluation: Annotated[
        dict[str, Any],
        Field(description="keys of `evaluate`, the same for every cell, without a judge: {tasks: [QA], limit: 500}"),
    ] = Field(default_factory=dict)
    comparators: Annotated[
        tuple[Model, ...], Field(description="models of others, scored on the same items: hub ids, servers, files")
    ] = ()
    hypotheses: Annotated[tuple[Hypothesis, ...], Field(min_length=1, description="declared before anything is run")]
    reported: Annotated[tuple[Reported, ...], Field(description="rows of papers, printed beside")] = ()
    contamination: Annotated[
        Contamination, Field(description="rows of the pool that meet an evaluated item so far are left out")
    ] = Contamination()
    resamples: Annotated[Positive, Field(ge=100, description="of the bootstrap over seeds, then items")] = 10_000
    seed: Annotated[Natural, Field(le=2**31 - 1, description="draws matched rows and resamples")] = 0
    slice: Annotated[
        str | None, Field(min_length=1, description="TPU slice or GPU of a cell, for --dry-run: v5e-8, h100-1")
    ] = None
    price: Annotated[Float | None, Field(gt=0, description="USD for a chip and hour, for --dry-run")] = None

    @model_validator(mode="after")
    def _consistent(self) -> "Study":
        for arm in self.arms:
            if extra := [size for size in arm.sizes if size not in self.sizes]:
                raise ValueError(f"arm {arm.name}: size {extra[0]} is not among sizes {list(self.sizes)} of the study")
        for what, names in (
            ("models", [one.name for one in self.models]),
            ("arms", [one.name for one in self.arms]),
            ("comparators", [one.name for one in self.comparators]),
            ("seeds", list(map(str, self.seeds))),
            ("sizes", [str(size) for size in self.sizes]),
        ):
            if twice := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"{what}: {', '.join(twice)} stands there twice")
        arms = {arm.name for arm in self.arms}
        sizes = {arm.name: self.sizes_of(arm) for arm in self.arms}
        if self.curve is not None and self.curve.arm not in arms:
            raise ValueError(f"curve.arm {self.curve.arm!r}: the arms are {', '.join(sorted(arms))}")
        if self.curve is not None and "natural" not in sizes[self.curve.arm]:
            raise ValueError(f"curve: its last point is the natural size; add 'natural' to sizes of {self.curve.arm}")
        for number, one in enumerate(self.hypotheses):
            where = f"hypotheses.{number}"
            if one.arm not in arms or one.against not in arms | {BASE} or one.arm == one.against:
                known = ", ".join(sorted(arms))
                raise ValueError(f"{where}: {one.arm!r} against {one.against!r}: the arms are {known}, and {BASE}")
            for name in {one.arm, one.against} - {BASE}:
                if one.size not in sizes[name]:
                    raise ValueError(f"{where}: size {one.size} is not among sizes {list(sizes[name])} of {name}")
            if one.on not in TASKS and one.on not in CATEGORIES:
                raise ValueError(f"{where}: {one.on!r} is neither a task nor one of {', '.join(CATEGORIES)}")
        if taken := [key for key in self.evaluation if key in OWN]:
            raise ValueError(f"evaluation.{taken[0]} is set by the study itself; leave it out")
        scored = self.scored()
        if scored.judge.endpoint is not None:
            raise ValueError(self._unjudged(scored))
        for number, one in enumerate(self.hypotheses):
            if one.protocol not in scored.protocols:
                raise ValueError(
                    f"hypotheses.{number}: protocol {one.protocol} is not among evaluation.protocols "
                    f"{list(scored.protocols)}"
                )
        return self

    def _unjudged(self, scored: Evaluate) -> str:
        """Why a study takes no judge, and the command by which one grades finished cells."""
        model, arm = self.models[0].name, self.arms[0]
        names = f"{model}-{BASE}", f"{model}-{arm.name}-{self.sizes_of(arm)[0]}-s{self.seeds[0]}"
        tasks = ", ".join(scored.judge.tasks or ("GEN",))
        models = ", ".join(
            f"{{name: {name}, runs_on: predictions, predictions: {self.out}/scores/{name}/{name}}}" for name in names
        )
        return (
            "evaluation.judge.endpoint: a study compares scores of tasks and reads no grades, so a judge would be paid "
            "for in vain. Take it out, and have the answers of finished cells graded together: python -m "
            f"bioinstruct_jax.evaluate {self.out}/evaluation.yaml --out={self.out}-judged "
            f"--tasks='[{tasks}]' --judge.tasks='[{tasks}]' --protocols='[generated]' --models='[{models}]' "
            "--judge.endpoint.model=MODEL --judge.endpoint.base_url=URL"
        )

    def sizes_of(self, arm: Arm) -> tuple[Size, ...]:
        """The sizes in which an arm is run."""
        return arm.sizes or self.sizes

    def scored(self) -> Evaluate:
        """The evaluation that every cell has, of a model yet to be named.

        Raises ValueError for keys that `evaluate` does not have, or values that it does not take.
        """

        given = {
            **self.evaluation,
            "out": self.out,
            "corpora": self.corpora,
            "models": [{"name": "cell", "model": "cell"}],
            "resamples": self.resamples,
        }
        try:
            return TypeAdapter(Evaluate).validate_python({"contamination": self.contamination, **given})
        except ValidationError as error:
            raise ValueError("; ".join(settings.problems(error, Evaluate, "evaluation"))) from None
