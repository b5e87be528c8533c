"""Say whether a job fits a TPU slice or a GPU, how fast it may be and how long it takes, before anything is rented.

The job's own train step is compiled for the slice by the TPU's compiler, with no TPU attached (extra 'plan'). The
settings file may also be given as --config=NAME.

Exit code: 0 something fits, 1 nothing does, 2 unusable settings or no compiler, 130 interrupted.
"""

import json
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from bioinstruct_jax import platforms, settings
from bioinstruct_jax.config import Flag, Positive, Train, config
from bioinstruct_jax.reporting.terminal import put, say
from bioinstruct_jax.resources import resource
from bioinstruct_jax.usage import Verb

if TYPE_CHECKING:
    from bioinstruct_jax.config import Shape
    from bioinstruct_jax.planning.row import Row
    from bioinstruct_jax.planning.slices import Slice

EXAMPLES = (
    "llama2_7b --slice=v5e-8",
    "llama2_7b --slice=v5e-8 --search --rows=4000",
    "llama2_13b --slices=v5e-8,v5e-16,v6e-8,h100-1",
    "my.yaml --slice=2xv5e-16 --json",
)


@config
class Options:
    """Options of one call."""

    slice: Annotated[
        str | None,
        Field(min_length=1, description="kind and chips, v5e-8; several as one, 2xv5e-16; one GPU, h100-1"),
    ] = None
    slices: Annotated[
        str | None, Field(min_length=1, description="compare these, separated by commas, or all, and recommend")
    ] = None
    search: Annotated[Flag, Field(description="find the largest batch and the cheapest remat that fit")] = False
    rows: Annotated[
        Positive | None, Field(description="packed rows of the data set, for the hours where it is not at hand")
    ] = None
    timeout: Annotated[Positive, Field(description="seconds after which a compile is given up")] = 1800
    json: Annotated[Flag, Field(description="print JSON")] = False

    @model_validator(mode="after")
    def _asked(self) -> "Options":
        if (self.slice is None) == (self.slices is None):
            given = "neither was given" if self.slice is None else "not both"
            raise ValueError(f"give --slice=v5e-8 for one plan, or --slices=v5e-8,v6e-8 (or all) to compare; {given}")
        return self


@dataclass
class Planner:
    """Plans of one job, told on standard error as they come."""

    asked: Train
    shape: "Shape"
    rows: int | None
    timeout: float

    def plan(self, slice_: "Slice", job: Train) -> "Row":
        """One row of the plan, told before and after it is made."""
        from bioinstruct_jax.planning import row, table

        training = job.training
        at_once = training.batch_rows / training.micro_batches / slice_.chips
        say(f"{slice_.name}: {at_once:g} rows a chip, remat {job.model.remat} ...")
        made = row.plan(job, self.shape, slice_, asked=self.asked, rows=self.rows, timeout=self.timeout)
        say(f"  {made.outcome}, {table.gib(made.peak) or '?'} of {table.gib(made.limit)} GiB a chip")
        return made


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    verb = Verb("plan", " ".join((__doc__ or "").split()), EXAMPLES, default=resource("configs", "tiny.yaml"))
    try:
        job, options = settings.load(named(argv), verb, Train, Options)
        platforms.settle("cpu")
        return run(job, options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def named(argv: list[str]) -> list[str]:
    """The words, with `--config NAME` and `--config=NAME` as the plain NAME that every verb takes."""
    words: list[str] = []
    for index, word in enumerate(argv):
        if word == "--config":
            continue
        follows = index > 0 and argv[index - 1] == "--config"
        words.append(word if follows else word.removeprefix("--config="))
    return words


def run(job: Train, options: Options) -> int:
    """Every plan that is asked for; returns 0 if one of them fits, else 1.

    Raises:
        ValueError: an unknown slice, a base whose size is not known, no compiler.
    """
    from bioinstruct_jax.planning import compile, inputs, search, slices, table

    # ---------------------------------------------------------------- what is planned
    wanted = [slices.find(options.slice)] if options.slice else slices.several(options.slices or "")
    if any(not one.gpu for one in wanted):
        compile.check_installed()
    shape = inputs.base_shape(job)
    rows, unknown = options.rows, "--rows=N gives the packed rows of the data set"
    if rows is None and job.training.steps is None:
        try:
            rows = inputs.training_rows(job)
        except (ValueError, OSError) as error:
            unknown = f"{error}; --rows=N gives the packed rows of the data set"
    planner = Planner(job, shape, rows, options.timeout)

    # ---------------------------------------------------------------- compiled, or computed
    shown: list[Row] = []
    for one in wanted:
        start = search.for_slice(job, one)
        attempt = partial(planner.plan, one)
        if options.search:
            shown += search.largest(start, shape, one, attempt)
        elif options.slices:
            shown.append(search.recommend(start, one, attempt))
        else:
            shown.append(attempt(start))

    # ---------------------------------------------------------------- told
    chosen = search.recommended(shown) if options.slices else {}
    best = search.best(shown) if options.search and not options.slices else None
    if options.json:
        report = {
            "rows": [row.as_json() for row in shown],
            "best": best.as_json() if best else None,
            "recommended": {name: row.slice for name, row in chosen.items()},
            "hours_unknown": unknown if rows is None and job.training.steps is None else None,
        }
        put(json.dumps(report, indent=1))
    elif len(shown) == 1:
        put(table.one(shown[0], unknown))
    else:
        put(table.many(shown))
        for name, row in chosen.items():
            put(f"{name}: {row.slice} {' '.join(row.settings)}".rstrip())
        if best:
            put(f"\nbest:\n{table.one(best, unknown)}")
    return int(not any(row.outcome == "fits" for row in shown))


if __name__ == "__main__":
    sys.exit(main())
