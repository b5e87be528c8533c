"""Which batch and which rematerialisation fit a slice, and which slice fits a job, with few compiles."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import get_args

from bioinstruct_jax import schema
from bioinstruct_jax.config import Model, Shape, Train
from bioinstruct_jax.planning.row import Row
from bioinstruct_jax.planning.slices import Slice
from bioinstruct_jax.training import flops

LARGEST = 1024  # rows of a micro-batch for each share of the batch, beyond which nobody gains by looking
Attempt = Callable[[Train], Row]


def for_slice(job: Train, slice_: Slice) -> Train:
    """The job with the mesh and the least change of batch that the slice needs.

    Between several slices only ``data`` may run, so a mesh that leaves it at 1 gets one copy a slice. Where the rows of
    a micro-batch cannot be divided, there are fewer micro-batches, and if that is not enough more rows in a step.
    """
    if slice_.count > 1 and job.mesh.data == 1:
        job = replace(job, mesh=replace(job.mesh, data=slice_.count))
    ways, training = shares(job, slice_), job.training
    if training.batch_rows // training.micro_batches % ways == 0:
        return job
    return with_rows(job, ways, max(1, training.batch_rows // training.micro_batches // ways))


def shares(job: Train, slice_: Slice) -> int:
    """Into how many parts the rows of a micro-batch are divided; 1 for a mesh that does not fit the slice at all."""
    devices = slice_.chips * slice_.chip.devices
    return devices // job.mesh.tensor if job.mesh.tensor > 0 and devices % job.mesh.tensor == 0 else 1


def with_rows(job: Train, ways: int, rows: int) -> Train:
    """The job with `rows` in each of the `ways` shares of a micro-batch, and a step as near to its own as can be."""
    parts = max(1, round(job.training.batch_rows / (rows * ways)))
    return replace(job, training=replace(job.training, batch_rows=rows * ways * parts, micro_batches=parts))


def remats(job: Train, shape: Shape) -> list[str]:
    """Names of `model.remat`, the one that computes least first."""
    names = get_args(schema.bare(schema.child(Model, "remat")))

    def cost(name: str) -> float:
        return flops.per_token(replace(job, model=replace(job.model, remat=name)), shape).executed  # type: ignore[arg-type]

    return sorted(names, key=cost)


def largest(job: Train, shape: Shape, slice_: Slice, attempt: Attempt) -> Iterator[Row]:
    """Tries batches for each rematerialisation, cheapest first; the last row that fits of each is the largest batch.

    Memory grows in a straight line with the rows, so two sizes tell where it ends, and that place and the next are
    tried: a size that does not fit is refused by the compiler within seconds.
    """
    ways = shares(job, slice_)
    for remat in remats(job, shape):
        this = replace(job, model=replace(job.model, remat=remat))  # type: ignore[arg-type]
        fits: dict[int, Row] = {}
        low, high, rows = 0, LARGEST + 1, 1
        while low + 1 < high:
            row = attempt(with_rows(this, ways, rows))
            yield row
            if row.outcome == "impossible":
                break
            if row.outcome == "fits":
                low, fits[rows] = rows, row
            else:
                high = rows
            rows = _next(low, high, fits, row.limit)


def _next(low: int, high: int, fits: dict[int, Row], limit: int) -> int:
    """The next size to try, between what fits and what does not: by a line through the two largest that fit."""
    if len(fits) < 2:
        guess = 2 * low if high > LARGEST else (low + high) // 2
    else:
        (one, first), (other, second) = sorted(fits.items())[-2:]
        slope = ((second.peak or 0) - (first.peak or 0)) / (other - one)
        guess = int(other + (limit - (second.peak or 0)) / slope) if slope > 0 else 2 * low
        guess = min(guess, 4 * low)
    return min(max(guess, low + 1), high - 1)


def best(rows: Iterable[Row]) -> Row | None:
    """The fastest of the rows that fit; of equally fast ones that with most rows at once."""
    return max((row for row in rows if row.outcome == "fits"), key=lambda row: (_speed(row), row.rows), default=None)


def _speed(row: Row) -> float:
    return row.tokens_per_second or 0.0


def recommend(job: Train, slice_: Slice, attempt: Attempt) -> Row:
    """The job on a slice with as many rows at once as asked for, or with half of them until they fit."""
    row = attempt(job)
    while row.outcome == "out of memory":
        ways, training = shares(job, slice_), job.training
        rows = training.batch_rows // training.micro_batches // ways
        if rows <= 1:
            break
        job = with_rows(job, ways, rows // 2)
        row = attempt(job)
    return row


def recommended(rows: Iterable[Row]) -> dict[str, Row]:
    """Of the rows that fit: the fewest chips, the most tokens for a chip's time, and the most tokens/s."""
    fitting = [row for row in rows if row.outcome == "fits"]
    if not fitting:
        return {}
    return {
        "fewest chips": min(fitting, key=lambda row: (row.chips, -_speed(row))),
        "most tokens a chip": max(fitting, key=lambda row: (_speed(row) / row.chips, -row.chips)),
        "fastest": max(fitting, key=lambda row: (_speed(row), -row.chips)),
    }
