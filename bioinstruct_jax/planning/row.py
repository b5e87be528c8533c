"""One row of a plan: a job on a slice, and whether, how fast and how long."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from bioinstruct_jax import settings
from bioinstruct_jax.config import Shape, Train
from bioinstruct_jax.model import kernels
from bioinstruct_jax.planning import arithmetic, compile, inputs, roofline
from bioinstruct_jax.planning.slices import Slice
from bioinstruct_jax.training import flops

COMPILER, ARITHMETIC = "compiler", "arithmetic"


@dataclass(frozen=True)
class Row:
    """A plan. Bytes, FLOPs and rows are of one chip unless another is named; None: not known, or it does not fit.

    Attributes:
        outcome: fits; out of memory; or impossible, as `reason` says.
        by: whether a compiler or a formula counted the memory.
        settings: what differs from the job that was asked for, as options of `train`.
        rows: of a micro-batch on one chip.
        peak, limit: bytes that it needs and may have.
        flops, useful_flops: of a step on all chips, with recomputation and without.
        sent, sent_between_slices: bytes over the interconnect in a step.
        seconds: of each part of the roofline.
        bound: its longest part.
        tokens_per_second: slots for tokens, on all chips.
        mfu: useful FLOPs over the peak at that speed.
    """

    slice: str
    chips: int
    outcome: Literal["fits", "out of memory", "impossible"]
    by: str
    remat: str
    length: int
    batch_rows: int
    micro_batches: int
    rows: float
    limit: int
    settings: tuple[str, ...] = ()
    reason: str | None = None
    mesh: dict[str, int] | None = None
    arguments: int | None = None
    temporaries: int | None = None
    peak: int | None = None
    compile_seconds: float | None = None
    flops: float | None = None
    useful_flops: float | None = None
    sent: float | None = None
    sent_between_slices: float | None = None
    seconds: dict[str, float] | None = None
    step_seconds: float | None = None
    bound: str | None = None
    tokens_per_second: float | None = None
    mfu: float | None = None
    steps: int | None = None
    hours: float | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(job: Train, shape: Shape, slice_: Slice, *, asked: Train, rows: int | None, timeout: float) -> Row:
    """The row of a job on a slice.

    Args:
        job: with a mesh and batch that suit the slice.
        shape: of its base.
        asked: the job as the user wrote it.
        rows: packed rows of the data set, if known.
        timeout: seconds after which a compile is given up.
    """
    chip = slice_.chip
    steps = inputs.steps(job, rows)
    training = job.training
    row = Row(
        slice=slice_.name,
        chips=slice_.chips,
        outcome="fits",
        by=ARITHMETIC if slice_.gpu else COMPILER,
        remat=job.model.remat,
        length=job.data.length,
        batch_rows=training.batch_rows,
        micro_batches=training.micro_batches,
        rows=training.batch_rows / training.micro_batches / slice_.chips,
        limit=chip.memory,
        settings=options(asked, job),
        steps=steps,
    )
    if slice_.gpu:
        found: Any = on_gpu(job, shape)
        if isinstance(found, compile.Compiled) and found.memory.peak > chip.memory:
            found = compile.TooBig(found.memory.peak, chip.memory)
    else:
        try:
            found = compile.compile_for(job, shape, steps or 1000 + job.optimizer.warmup_steps, slice_, timeout=timeout)
        except compile.CompilerError as error:  # one compile that broke down leaves the others as they are
            found = compile.Impossible(str(error))
    if isinstance(found, compile.Impossible):
        return replace(row, outcome="impossible", reason=found.reason)
    if isinstance(found, compile.TooBig):
        needed = None if found.needed is None else found.needed * chip.devices
        return replace(row, outcome="out of memory", peak=needed)
    work = roofline.work(job, shape, slice_.chips, found.mesh["tensor"], found.collectives, chip)
    time = roofline.time(work, chip)
    useful = flops.per_token(job, shape).useful * roofline.tokens(job)
    reason = found.unreadable and f"what is sent is not known: {found.unreadable}"
    if work.sent_between and time.between_slices is None:
        reason = f"how fast slices of {slice_.name} reach each other is not published: the time leaves that out"
    return replace(
        row,
        mesh=found.mesh,
        arguments=found.memory.arguments * chip.devices,
        temporaries=found.memory.temporaries * chip.devices,
        peak=found.memory.peak * chip.devices,
        compile_seconds=None if slice_.gpu else found.seconds,
        flops=work.flops * slice_.chips,
        useful_flops=useful,
        reason=reason,
        sent=None if found.unreadable else work.sent,
        sent_between_slices=None if found.unreadable else work.sent_between,
        seconds=time.parts,
        step_seconds=time.step,
        bound=time.bound,
        tokens_per_second=roofline.tokens(job) / time.step,
        mfu=useful / time.step / (chip.flops * slice_.chips),
        hours=steps * time.step / 3600 if steps else None,
        versions=found.versions,
    )


def on_gpu(job: Train, shape: Shape) -> compile.Compiled | compile.Impossible:
    """The same answer for one GPU, by arithmetic; nothing is sent."""
    sizes = [size for size in (job.mesh.data, job.mesh.fsdp, job.mesh.tensor) if size > 0]
    if any(size > 1 for size in sizes):
        return compile.Impossible(f"the mesh asks for {' x '.join(map(str, sizes))} devices, and this is one")
    mesh = {"data": 1, "fsdp": 1, "tensor": 1}
    try:
        kernels.choose_for(job.model.attention, "gpu", "GPU", shape, job.data.length)
    except ValueError as error:
        return compile.Impossible(str(error))
    return compile.Compiled(mesh, arithmetic.memory(job, shape), 0.0, (), {})


def options(asked: Train, job: Train) -> tuple[str, ...]:
    """What makes `job` of `asked`, as options of the command line."""
    changed = (line.partition(": ") for line in settings.changes(asked, job))
    return tuple(f"--{name}={values.rpartition(' -> ')[2]}" for name, _, values in changed)
