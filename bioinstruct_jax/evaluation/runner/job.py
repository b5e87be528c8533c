"""The settings of an evaluation."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from bioinstruct_jax.api.settings import Budget, Endpoint
from bioinstruct_jax.config import Flag, Float, Natural, Positive, TemplateName, config
from bioinstruct_jax.config_types import AdapterPlace, ModelPlace
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.task import CATEGORIES

Name = Annotated[str, Field(min_length=1)]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}$")]
TAKEN = ("cache", "servers", "judge")  # folders of an evaluation beside those of its models
Protocol = Literal["harness", "likelihood", "generated"]
PROTOCOLS: tuple[Protocol, ...] = ("harness", "likelihood", "generated")


@config
class Model:
    """A model that is scored."""

    name: Annotated[Label, Field(description="by which tables and files know it")] = "model"
    runs_on: Annotated[
        Literal["jax", "transformers", "server", "predictions"],
        Field(
            description="this machine's devices; transformers (pip install 'bioinstruct-jax[transformers]'); an "
            "OpenAI-compatible server; or nothing: its answers are read from a file"
        ),
    ] = "jax"
    model: ModelPlace = None
    adapter: AdapterPlace = None
    template: Annotated[
        TemplateName | None,
        Field(
            description="of prompts; null: the adapter's, else that of the first model that records one, else the "
            "tokenizer's, else alpaca"
        ),
    ] = None
    dtype: Annotated[
        Literal["float32", "bfloat16"] | None,
        Field(description="of weights and products; null: float32 on a CPU, else bfloat16"),
    ] = None
    context: Annotated[Positive | None, Field(description="longest prompt with answer; null: the model's own")] = None
    batch: Annotated[Positive, Field(description="prompts at once; never changes a score")] = 32
    endpoint: Annotated[Endpoint | None, Field(description="for runs_on=server")] = None
    predictions: Annotated[
        str | None,
        Field(
            min_length=1,
            description="for runs_on=predictions: JSON lines with task, id, and output, label or tags; or the folder "
            "of samples_*.jsonl of an evaluation",
        ),
    ] = None
    tuned_on: Annotated[
        tuple[Name, ...],
        Field(
            description="files or folders of rows it was tuned on, looked up for contamination; empty: what the run "
            "folder of its adapter names"
        ),
    ] = ()

    @model_validator(mode="after")
    def _complete(self) -> "Model":
        if self.name in TAKEN:
            raise ValueError(f"name {self.name!r}: {', '.join(TAKEN)} are folders of the evaluation; give another")
        needs = {"server": "endpoint", "predictions": "predictions"}.get(self.runs_on)
        for key in ("endpoint", "predictions"):
            if (getattr(self, key) is not None) != (key == needs):
                does = "needs" if key == needs else "takes no"
                raise ValueError(f"runs_on {self.runs_on} {does} {key}")
        if needs and (self.model is not None or self.adapter is not None):
            raise ValueError(f"runs_on {self.runs_on} takes neither model nor adapter")
        for key in ("template", "dtype", "context") if needs else ():
            if getattr(self, key) is not None:
                raise ValueError(f"runs_on {self.runs_on} takes no {key}: it has its own")
        if not needs and self.model is None and self.adapter is None:
            raise ValueError(f"{self.name}: give model, adapter, or both")
        return self


@config
class Shots:
    """Solved items shown before the one that is asked; never that one."""

    count: Annotated[Natural, Field(le=64, description="how many; 0: zero-shot")] = 0
    split: Annotated[
        Literal["train", "dev", "test"] | None,
        Field(description="drawn from; null: train, else dev, if their files are there, else the split that is scored"),
    ] = None
    balanced: Annotated[Flag, Field(description="each label as often as any other, where the answer is one of few")] = (
        False
    )


@config
class Judge:
    """A language model that grades free text."""

    endpoint: Annotated[Endpoint | None, Field(description="null: nobody judges")] = None
    tasks: Annotated[
        tuple[Name, ...], Field(description="whose answers are judged; empty: all of GEN that are scored")
    ] = ()
    limit: Annotated[Positive | None, Field(description="items of each task, drawn by seed; null: all")] = 100
    passes: Annotated[Positive, Field(le=5, description="times that each answer is graded; agreement is reported")] = 2
    pairwise: Annotated[
        Flag, Field(description="also compare each model's answers with the baseline's, in both orders")
    ] = True
    canaries: Annotated[
        Natural, Field(le=50, description="known bad answers put among those of each task that ask for a high grade")
    ] = 6
    budget: Budget = Budget()


@config
class BertScore:
    """BERTScore of free text; pip install 'bioinstruct-jax[bertscore]'."""

    model: Annotated[
        Name, Field(description="encoder of BERT's kind: folder or hub id, as which its name stands in results")
    ]
    layer: Annotated[
        Positive,
        Field(
            description="whose vectors are compared; the bert-score package takes 17 of roberta-large, 9 of "
            "bert-base-uncased, 8 of allenai/scibert_scivocab_uncased, 40 of microsoft/deberta-xlarge-mnli"
        ),
    ]


@config
class Contamination:
    """Items that stand in what a model was tuned on."""

    share_13: Annotated[
        Float, Field(ge=0, le=1, description="share of an item's text in shared 13-grams from which it is met; 0: one")
    ] = 0.2
    rouge_l: Annotated[Float, Field(gt=0.3, le=1, description="ROUGE-L (F1) from which two texts are nearly one")] = 0.7


@config
class Evaluate:
    """An evaluation."""

    out: Annotated[Name, Field(description="folder for results, samples and report; new, or of the same evaluation")]
    corpora: Annotated[Name, Field(description="folder of corpora, each in a folder as its publisher ships it")] = (
        "corpora"
    )
    tasks: Annotated[
        tuple[Name, ...],
        Field(min_length=1, description="names of tasks, or of groups: QA, IE, GEN, all (those whose files are there)"),
    ] = ("all",)
    split: Annotated[
        Literal["train", "dev", "test"] | None,
        Field(description="that is scored; null: test where its files are there, else dev, else train"),
    ] = None
    limit: Annotated[Positive | None, Field(description="items of each task, drawn by seed; null: all")] = None
    protocols: Annotated[
        tuple[Protocol, ...],
        Field(
            min_length=1,
            description="harness: log-likelihood of each choice behind lm-evaluation-harness's prompt; likelihood: "
            "behind the model's template; generated: the answer is written, and read",
        ),
    ] = PROTOCOLS
    format: Annotated[
        Literal["iob", "json"], Field(description="in which entities are answered: lines of tags, or a JSON list")
    ] = "iob"
    seed: Annotated[Natural, Field(le=2**31 - 1, description="draws wordings, shots, items and resamples")] = 0
    shots: Shots = Shots()
    unfit: Annotated[
        Literal["wrong", "refuse"],
        Field(description="items longer than a model's context: they count as wrong, or end the run; none is cut"),
    ] = "wrong"
    max_tokens: Annotated[
        Positive | None,
        Field(description="of a generated answer; null: room for the task's longest answer and half again"),
    ] = None
    models: Annotated[tuple[Model, ...], Field(min_length=1, description="several are compared on the same items")]
    baseline: Annotated[str | None, Field(description="name of the model others are compared with; null: first")] = None
    budget: Annotated[Budget, Field(description="of each model behind a server")] = Budget()
    bertscore: Annotated[BertScore | None, Field(description="of free text, beside ROUGE; null: not computed")] = None
    judge: Judge = Judge()
    contamination: Contamination = Contamination()
    resamples: Annotated[Positive, Field(ge=100, description="of the bootstrap and of drawn permutations")] = 10_000
    cache: Annotated[
        str | None,
        Field(min_length=1, description="folder in which answers are kept for other evaluations too; null: in out"),
    ] = None

    @model_validator(mode="after")
    def _known(self) -> "Evaluate":
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"models: two have one name ({', '.join(names)}); give each its own")
        if self.baseline is not None and self.baseline not in names:
            raise ValueError(f"baseline {self.baseline!r}: the models are {', '.join(names)}")
        for name in self.tasks + self.judge.tasks:
            if name not in TASKS and name not in (*CATEGORIES, "all"):
                raise ValueError(f"tasks: {name!r} is neither a task nor a group; {_nearest(name)}")
        return self


def _nearest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, TASKS, 1)
    return f"did you mean {near[0]}?" if near else f"the tasks are {', '.join(TASKS)}"
