"""Every setting of a training job: one tree of frozen dataclasses, checked when it is made.

The names of a key on the command line (``--optimizer.learning_rate=1e-4``), in a YAML file and in Python are the same.
`settings.py` reads files and command lines into this tree; nothing else makes one.
"""

from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from bioinstruct_jax.config_types import Flag, Float, Fraction, Int, Natural, Positive, TemplateName, config
from bioinstruct_jax.scoring_settings import Scoring
from bioinstruct_jax.shape_settings import Shape

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@config
class Model:
    """The base model."""

    weights: Annotated[
        str,
        Field(
            min_length=1,
            description="'random'; 'small', which is shipped (4 million parameters); or a local folder, bucket URL or "
            "hub id in Hugging Face layout",
        ),
    ]
    revision: Annotated[str | None, Field(description="branch, tag or commit of a hub id")] = None
    shape: Annotated[
        Shape | None, Field(description="size; needed for random weights, else compared with config.json")
    ] = None
    dtype: Annotated[
        Literal["float32", "bfloat16"], Field(description="of the frozen base and of the matrix products")
    ] = "bfloat16"
    quantize: Annotated[
        Literal["none", "int8", "nf4"],
        Field(
            description="how a frozen base's layers hold their kernels. int8: a scale for each output; nf4: 4 bits "
            "and a scale for each 64 inputs, as in QLoRA"
        ),
    ] = "none"
    attention: Annotated[
        Literal["auto", "reference", "splash", "triton"],
        Field(description="auto: splash on a TPU, triton on a GPU, else the reference; on a CPU kernels are emulated"),
    ] = "auto"
    remat: Annotated[
        Literal["full", "attention", "offload", "none"],
        Field(
            description="what the backward pass computes again. full: each layer; attention: all but its attention's "
            "output; offload: as full, layers' inputs wait in the host's memory; none: nothing"
        ),
    ] = "full"
    unroll: Annotated[
        Positive, Field(description="layers compiled as straight code in each turn of the loop over layers")
    ] = 1
    logits_mib: Annotated[
        Float,
        Field(gt=0, description="most MiB of float32 logits formed at once on a device; beyond it, in turns"),
    ] = 256.0

    @model_validator(mode="after")
    def _has_shape(self) -> "Model":
        if self.weights == "random" and self.shape is None:
            raise ValueError("weights 'random' need model.shape (hidden_size, num_hidden_layers, ...)")
        return self


@config
class Lora:
    """Low-rank adapters (Hu et al., 2021): y = xW + s (xA)B with s = alpha / rank, or alpha / sqrt(rank) for rsLoRA."""

    rank: Annotated[Positive, Field(description="r: columns of A, rows of B")] = 16
    alpha: Annotated[Float, Field(gt=0, description="numerator of the scale")] = 32.0
    dropout: Annotated[Fraction, Field(description="share of the adapter's inputs set to zero in training")] = 0.0
    rslora: Annotated[Flag, Field(description="scale by alpha / sqrt(rank), Kalajdzievski 2023")] = False
    targets: Annotated[tuple[str, ...], Field(description="projections that get an adapter")] = PROJECTIONS
    start: Annotated[
        str | None,
        Field(
            min_length=1,
            description="adapter in PEFT form to go on from: a folder, bucket URL, run folder or hub id; "
            "null: A random, B zero",
        ),
    ] = None

    @model_validator(mode="after")
    def _known(self) -> "Lora":
        unknown = [name for name in self.targets if name not in PROJECTIONS]
        if unknown or not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"targets {list(self.targets)}: give each of {', '.join(PROJECTIONS)} at most once")
        return self


@config
class Tokenizer:
    """Where the tokenizer comes from."""

    path: Annotated[
        str | None, Field(description="folder or hub id, 'tiny' for the one shipped; null: the model's own folder")
    ] = None
    train_vocab_size: Annotated[
        Positive | None, Field(ge=260, description="train a byte-level BPE of this size on the training rows instead")
    ] = None

    @model_validator(mode="after")
    def _one(self) -> "Tokenizer":
        if self.path and self.train_vocab_size:
            raise ValueError("path and train_vocab_size exclude each other: load a tokenizer or train one")
        return self


@config
class Source:
    """One file, folder or data set of instructions."""

    path: Annotated[
        str, Field(min_length=1, description="'seeds', a file, a folder in hub layout, a bucket URL or a hub id")
    ]
    format: Annotated[
        Literal["auto", "alpaca", "chat", "csv", "parquet", "hub", "seeds", "text"],
        Field(description="auto: by the name and first bytes; text: JSON lines with a field text, all of it learned"),
    ] = "auto"
    split: Annotated[str, Field(description="split of a hub data set")] = "train"
    weight: Annotated[
        Float, Field(gt=0, description="times a row is seen an epoch; the fraction is drawn by seed, row by row")
    ] = 1.0
    categories: Annotated[tuple[str, ...], Field(description="keep only these categories; empty: all")] = ()
    columns: Annotated[
        dict[str, str], Field(description="our field -> the file's, e.g. {instruction: question, output: answer}")
    ] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _columns(self) -> "Source":
        known = ("id", "instruction", "input", "output", "category", "system", "messages", "licence", "text")
        for ours in self.columns:
            if ours not in known:
                raise ValueError(f"columns: unknown field {ours!r}; the fields are {', '.join(known)}")
        return self


TEMPLATES = get_args(TemplateName)


@config
class Data:
    """From rows of text to rows of tokens."""

    sources: Annotated[tuple[Source, ...], Field(min_length=1, description="what to train on")]
    template: Annotated[
        TemplateName,
        Field(
            description="how a row becomes a prompt; 'tokenizer': its own chat template; 'text': nothing around it, to "
            "go on training a base on text"
        ),
    ] = "alpaca"
    length: Annotated[Positive, Field(ge=8, description="tokens in a row of the batch")] = 2048
    packing: Annotated[Flag, Field(description="several examples in a row, kept apart by segment ids")] = True
    over_length: Annotated[
        Literal["drop", "truncate_input", "raise", "split"],
        Field(description="what to do with an example longer than length; split: text alone goes on in further rows"),
    ] = "drop"
    on_bad_row: Annotated[
        Literal["report", "raise"], Field(description="report: count it, write it to bad_rows.jsonl, go on")
    ] = "report"
    held_out: Annotated[
        Float, Field(ge=0, le=0.5, description="share kept for the held-out loss, grouped by prompt and by answer")
    ] = 0.0
    cache_dir: Annotated[str, Field(min_length=1, description="folder for tokenised rows")] = "~/.cache/bioinstruct-jax"


@config
class Optimizer:
    """AdamW (Loshchilov and Hutter, 2019) with warm-up and decay."""

    learning_rate: Annotated[Float, Field(gt=0, description="peak learning rate")] = 2e-4
    schedule: Annotated[
        Literal["cosine", "linear", "constant"], Field(description="how it falls to zero after warm-up")
    ] = "cosine"
    warmup_steps: Annotated[Natural, Field(description="steps over which it rises from zero")] = 0
    warmup_share: Annotated[
        Fraction, Field(description="the same as a share of all steps, for runs of any length; rounded down")
    ] = 0.0
    weight_decay: Annotated[Float, Field(ge=0, description="decoupled decay of every trained weight")] = 0.0
    b1: Annotated[Fraction, Field(description="decay of the first moment")] = 0.9
    b2: Annotated[Fraction, Field(description="decay of the second moment")] = 0.999
    eps: Annotated[Float, Field(gt=0, description="added to the root of the second moment")] = 1e-8
    clip_norm: Annotated[
        Float | None, Field(gt=0, description="largest global norm of the gradient; null: no clipping")
    ] = 1.0

    @model_validator(mode="after")
    def _one_warmup(self) -> "Optimizer":
        if self.warmup_steps and self.warmup_share:
            raise ValueError(
                f"warmup_steps {self.warmup_steps} and warmup_share {self.warmup_share:g} exclude each other: set one "
                "of them to 0"
            )
        return self

    def warmup(self, steps: int) -> int:
        """Steps of warm-up in a run of so many steps."""
        return self.warmup_steps or int(self.warmup_share * steps)


@config
class Training:
    """How long, how much at once, how often to look."""

    epochs: Annotated[Float | None, Field(gt=0, description="passes over the rows; null: steps")] = None
    steps: Annotated[Positive | None, Field(description="optimizer steps; null: epochs")] = None
    batch_rows: Annotated[Positive, Field(description="rows in an optimizer step, over all devices")] = 8
    micro_batches: Annotated[Positive, Field(description="parts a step is computed in, weighted by target tokens")] = 1
    eval_every: Annotated[Natural, Field(description="steps between held-out losses; 0: at the end only")] = 0
    checkpoint_every: Annotated[Natural, Field(description="steps between checkpoints; 0: at the end only")] = 0
    keep_checkpoints: Annotated[Positive, Field(description="checkpoints kept, newest first")] = 2
    best: Annotated[
        str | None,
        Field(
            min_length=1,
            description="keep the checkpoint where this is best too, and make the adapter of it: held_out_loss, loss, "
            "or <task>/<metric> of evaluation.tasks, such as medmcqa/acc; null: of the last",
        ),
    ] = None
    early_stopping: Annotated[
        Positive | None, Field(description="held-out losses without a new lowest after which the run ends; null: none")
    ] = None
    skip_nonfinite: Annotated[
        Natural, Field(description="steps left out because loss or gradient is not finite, before the run stops")
    ] = 0
    save_failures: Annotated[
        Natural, Field(description="checkpoints in a row that may fail to be written before the run stops")
    ] = 2
    profile_steps: Annotated[
        Natural, Field(description="steps recorded to a trace and a table of where the time goes; 0: none")
    ] = 0
    profile_after: Annotated[Natural, Field(description="steps of this process before the recorded ones")] = 2

    @model_validator(mode="after")
    def _one(self) -> "Training":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps, not both and not neither")
        if self.batch_rows % self.micro_batches:
            raise ValueError(f"batch_rows {self.batch_rows} is no multiple of micro_batches {self.micro_batches}")
        return self


@config
class Mesh:
    """How many devices along each axis; -1 once: all that are left."""

    data: Annotated[Int, Field(description="copies of the model, each with its share of the batch")] = 1
    fsdp: Annotated[Int, Field(description="devices that share weights and batch")] = -1
    tensor: Annotated[Int, Field(description="devices that share heads and the feed-forward width")] = 1

    @model_validator(mode="after")
    def _sizes(self) -> "Mesh":
        sizes = (self.data, self.fsdp, self.tensor)
        if any(size == 0 or size < -1 for size in sizes) or sizes.count(-1) > 1:
            raise ValueError(f"data, fsdp, tensor = {sizes}: each is a positive number, one of them may be -1")
        return self


@config
class Train:
    """A training job."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="name of the run folder")]
    runs_dir: Annotated[str, Field(min_length=1, description="where run folders stand; local or a bucket")] = "runs"
    seed: Annotated[Natural, Field(le=2**31 - 1, description="of weights, data order, dropout and draws")] = 0
    platform: Annotated[Literal["auto", "cpu", "gpu", "tpu"], Field(description="auto: the best that JAX finds")] = (
        "auto"
    )
    deterministic: Annotated[
        Flag,
        Field(description="on a GPU: only kernels whose sums do not depend on timing; slower. CPU and TPU: as ever"),
    ] = False
    trainable: Annotated[
        Literal["lora", "all"], Field(description="lora: adapters on a frozen base; all: full fine-tuning")
    ] = "lora"
    model: Model
    lora: Lora = Lora()
    tokenizer: Tokenizer = Tokenizer()
    data: Data
    optimizer: Optimizer = Optimizer()
    training: Training
    evaluation: Scoring = Scoring()
    mesh: Mesh = Mesh()
    track: Annotated[
        Literal["none", "tensorboard", "wandb"], Field(description="also send metrics there; needs the extra 'track'")
    ] = "none"

    @model_validator(mode="after")
    def _possible(self) -> "Train":
        if self.model.weights == "random" and not (self.tokenizer.path or self.tokenizer.train_vocab_size):
            raise ValueError(
                "model.weights 'random' has no tokenizer of its own: give tokenizer.path or tokenizer.train_vocab_size"
            )
        if self.trainable == "all" and self.model.quantize != "none":
            raise ValueError(
                f"model.quantize {self.model.quantize!r} is for a frozen base: set trainable 'lora', or model.quantize "
                "'none'"
            )
        if self.trainable == "all" and self.lora != Lora():
            raise ValueError("lora.* means nothing with trainable 'all': remove the section, or set trainable 'lora'")
        if self.tokenizer.train_vocab_size and self.model.weights != "random":
            raise ValueError(
                f"tokenizer.train_vocab_size makes a new vocabulary, but model.weights {self.model.weights!r} "
                "was trained with another; use its own tokenizer or model.weights 'random'"
            )
        if self.model.shape and self.data.length > self.model.shape.max_position_embeddings:
            raise ValueError(
                f"data.length {self.data.length} is beyond model.shape.max_position_embeddings "
                f"{self.model.shape.max_position_embeddings}"
            )
        if self.training.early_stopping and not self.training.eval_every:
            raise ValueError("training.early_stopping needs held-out losses to look at: set training.eval_every")
        if self.training.best == "held_out_loss" and not self.training.eval_every:
            raise ValueError("training.best held_out_loss needs held-out losses to compare: set training.eval_every")
        self.evaluation.check_best(self.training.best, self.training.eval_every)
        if self.training.eval_every and not self.data.held_out:
            raise ValueError("training.eval_every needs rows to evaluate: set data.held_out, e.g. 0.05")
        if self.training.steps and self.optimizer.warmup_steps > self.training.steps:
            raise ValueError(
                f"optimizer.warmup_steps {self.optimizer.warmup_steps} is more than "
                f"training.steps {self.training.steps}"
            )
        return self
