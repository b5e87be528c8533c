"""Ask which instructions help which tasks: tune models on arms of a pool, score all on the same items, and compare.

Each cell of the grid is an ordinary run of train and evaluate. The same command goes on where it stopped: finished
cells are not repeated, failed ones are tried again.

Exit code: 0 every cell that was asked for is finished and the results are written, 2 unusable settings or input, 3
cells failed or are not finished (the results of the others are written), 75 SIGTERM, 130 interrupted.
"""

import sys
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from bioinstruct_jax import settings
from bioinstruct_jax.config import Flag, Positive, config
from bioinstruct_jax.interrupt import Interrupt, exit_code
from bioinstruct_jax.reporting.terminal import put
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.usage import Verb

if TYPE_CHECKING:
    from bioinstruct_jax.studies.found import State
    from bioinstruct_jax.studies.grid import Cell

EXAMPLES = (
    "my_study.yaml --dry-run",
    "my_study.yaml --out=studies/first",
    "my_study.yaml --out=studies/first --cells='*-s0' --jobs=2",
    "my_study.yaml --out=studies/first --commands",
    "my_study.yaml --out=studies/first --gather",
)


@config
class Options:
    """Options of one call."""

    dry_run: Annotated[Flag, Field(description="print the grid with time and cost, and what is missing")] = False
    commands: Annotated[
        Flag, Field(description="make the arms, and print one shell line for each cell that is not finished")
    ] = False
    gather: Annotated[Flag, Field(description="run nothing; results of what is finished")] = False
    cells: Annotated[str, Field(min_length=1, description="run only cells with such names, as '*-s0' or 'base-*'")] = (
        "*"
    )
    jobs: Annotated[Positive, Field(description="cells that run at once on this machine")] = 1

    @model_validator(mode="after")
    def _one(self) -> "Options":
        asked = [f"--{name}" for name in ("dry_run", "commands", "gather") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(asked)}: one at a time")
        return self


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    verb = Verb("study", " ".join((__doc__ or "").split()), EXAMPLES, configs="studies")

    def work() -> int:
        job, options = settings.load(argv, verb, Study, Options)
        with Interrupt() as interrupt:
            return run(job, options, interrupt)

    return exit_code(work)


def run(job: Study, options: Options, interrupt: Interrupt) -> int:
    """What the options ask for; returns the exit code.

    Raises:
        ValueError, OSError: settings or input that cannot be used, with what to do.
        KeyboardInterrupt, Terminated: a signal came; what ran has saved.
    """
    from bioinstruct_jax.reporting.progress import Progress
    from bioinstruct_jax.studies import arms, cells, commands, estimate, folder, grid, running

    # ---------------------------------------------------------------- the grid
    every = grid.cells(job)
    for cell in every:
        if cell.kind == "base":
            commands.model(job, cell)  # which checks the settings of its training
    wanted = [cell for cell in every if fnmatchcase(cell.name, options.cells)]
    if not wanted:
        raise ValueError(f"--cells={options.cells}: no such cell; they are {', '.join(cell.name for cell in every)}")
    if options.dry_run:
        put(estimate.said(job, wanted))
        return 0
    folder.check(job)  # before anything is put into it
    with folder.claimed(job) as claim, Progress() as progress:
        out = folder.begin(job)

        # ---------------------------------------------------------------- the rows of each arm
        if not options.gather:
            progress.phase("making the arms")
            arms.make(job, progress.note)

        # ---------------------------------------------------------------- cell by cell
        if options.commands:
            return 3 if printed(job, wanted) else 0
        if not options.gather:
            running.run(job, wanted, options.jobs, claim, progress, interrupt)

        # ---------------------------------------------------------------- what they show together
        states = cells.states(job, every)
        if any(one.status == "finished" for one in states):
            progress.phase("comparing")
            states = results(job, states)
    return ended(states, wanted, str(out))


def printed(job: Study, wanted: "list[Cell]") -> int:
    """Print a shell line for each cell that is not finished; returns how many cannot be run, which are told."""
    from bioinstruct_jax.studies import cells, commands

    failed = 0
    for cell in wanted:
        try:
            ahead = cells.ahead(job, cell)
        except cells.RunError as error:
            print(f"{cell.name}: failed: {error}", file=sys.stderr)
            failed += 1
            continue
        if ahead:
            cells.begin(job, cell, ahead)
            put(commands.anywhere(ahead))
    return failed


def results(job: Study, states: "list[State]") -> "list[State]":
    """Tables, figures and the report of what is finished, and what was changed on the way to it.

    Returns how far the cells are now: those whose scores cannot be used are to be scored again.
    """
    from bioinstruct_jax.studies import cells, contrasts, folder, gathered
    from bioinstruct_jax.studies.results import write

    while any(one.status == "finished" for one in states):
        try:
            found = contrasts.found(job, states)
        except gathered.UnusableError as error:
            states = [cells.unscored(job, one, str(error)) if one.cell.name == error.cell else one for one in states]
            continue
        print(write.write(job, replace(found, notes=(*folder.changes(job), *found.notes))))
        break
    return states


def ended(states: "list[State]", wanted: "list[Cell]", out: str) -> int:
    """Tell what is not finished, and where everything is; returns the exit code, by the cells that were asked for."""
    from bioinstruct_jax.reporting.terminal import harmless

    missing = [one for one in states if one.status != "finished"]
    for one in missing:
        why = f": {harmless(one.why)}" if one.why else ""
        print(f"{one.cell.name}: {one.status}{why}", file=sys.stderr)
    print(f"{len(states) - len(missing)} of {len(states)} cells are finished: {out}")
    if missing:
        print("The same command goes on with the others; what is finished is not repeated.", file=sys.stderr)
    return 3 if any(one.cell in wanted for one in missing) else 0


if __name__ == "__main__":
    sys.exit(main())
