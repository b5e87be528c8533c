"""Make instruction rows of biomedical corpora: rendered, compared with what evaluation will ask, balanced and counted.

With --list it prints the tasks, which of their files are there, and where they are to be had; --audit=200 draws rows
for two readers to judge, and --agreement says how far the filled sheets agree.

Exit code: 0 done, 2 unusable settings or corpora, 130 interrupted.
"""

import os
import sys
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, model_validator
from upath import UPath

from bioinstruct_jax import files, settings
from bioinstruct_jax.config import Flag, Natural, config
from bioinstruct_jax.data.guard import shown
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.reporting.terminal import columns, harmless, put
from bioinstruct_jax.resources import resource
from bioinstruct_jax.tasks.task import check_folder
from bioinstruct_jax.usage import Verb

if TYPE_CHECKING:
    from bioinstruct_jax.preparation.pipeline import Rows

EXAMPLES = (
    "--list --corpora=MY_CORPORA",
    "--corpora=MY_CORPORA",
    "medtuned --corpora=MY_CORPORA --form=hub",
    "medtuned_open --corpora=MY_CORPORA --balance.temperature=2 --balance.total=50000",
    "medtuned --corpora=MY_CORPORA --audit=200",
)


@config
class Options:
    """Options of one call."""

    list: Annotated[Flag, Field(description="print every task: files, licence, where to get them")] = False
    preview: Annotated[Natural, Field(description="print this many rows of each source and split, then stop")] = 0
    audit: Annotated[Natural, Field(description="draw so many training rows to blinded sheets for two readers")] = 0
    agreement: Annotated[Flag, Field(description="read the filled sheets: how far the two readers agree")] = False
    beam: Annotated[
        str, Field(description="options of an Apache Beam pipeline, '--runner=...', to make the same rows by it")
    ] = ""

    @model_validator(mode="after")
    def _one(self) -> "Options":
        asked = [name for name in ("list", "preview", "audit", "agreement", "beam") if getattr(self, name)]
        if len(asked) > 1:
            raise ValueError(f"{' and '.join(f'--{name}' for name in asked)}: one at a time")
        return self


def main(argv: list[str] | None = None) -> int:
    """Entry point of the verb; returns the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    default = resource("configs", "corpora/everything.yaml")
    verb = Verb("prepare", " ".join((__doc__ or "").split()), EXAMPLES, default=default, configs="corpora")
    try:
        job, options = settings.load(argv, verb, Prepare, Options)
        run(job, options)
        return 0
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command starts again, and writes the same rows", file=sys.stderr)
        return 130


def run(job: Prepare, options: Options) -> None:
    """What the options ask for; raises ValueError or OSError for input that cannot be used, with what to do."""
    if options.list:
        from bioinstruct_jax.preparation import listing

        corpora = files.path(job.corpora)
        try:
            check_folder(corpora)
        except FileNotFoundError as error:
            print(f"note: {error}", file=sys.stderr)
        put(listing.text(corpora))
        return
    if options.agreement:
        from bioinstruct_jax.preparation import agreement, folder

        print(agreement.read(files.path(job.out) / folder.AUDIT))
        return
    from bioinstruct_jax.preparation import folder

    out = files.path(job.out)
    if not options.preview and folder.finished(out, job) and not options.audit:
        print(f"{out} is finished: {out / folder.REPORT}")
        return
    if options.beam:
        try:
            from bioinstruct_jax.preparation import beam
        except ImportError as error:
            raise ValueError(f"--beam needs Apache Beam ({error}): pip install 'bioinstruct-jax[beam]'") from error
        finish(beam.make(job, options.beam), out)
        return
    from bioinstruct_jax.preparation import pipeline
    from bioinstruct_jax.reporting.progress import Progress

    with Progress() as progress, pipeline.rows(job, job.workers or os.cpu_count() or 1, progress) as rows:
        if options.preview:
            preview(rows, options.preview)
            return
        if options.audit:
            from bioinstruct_jax.preparation import audit

            drawn = audit.draw(rows.distinct("train"), options.audit, seed=job.seed)
            folder.begin(out, job)
            audit.write(drawn, out / folder.AUDIT, seed=job.seed)
            print(f"{len(drawn.samples)} rows to judge: {', '.join(audit.SHEETS)} in {out / folder.AUDIT}")
            return
        progress.phase("writing")
        told = write(job, rows, out)
    finish(told, out)


def finish(told: dict[str, Any], out: UPath) -> None:
    """Print what was made, and where it is."""
    from bioinstruct_jax.preparation import folder, report

    head, *body = report.lines(told)
    print(columns(head, body), report.said(told), sep="\n")
    print(f"rows    {out / folder.ROWS}", f"report  {out / 'report.html'}", sep="\n")


def write(job: Prepare, rows: "Rows", out: UPath) -> dict[str, Any]:
    """Rows, overlaps and reports into the folder, and the index of the rows last; returns the report."""
    from bioinstruct_jax.data.output.folder import writing
    from bioinstruct_jax.preparation import card, folder, report
    from bioinstruct_jax.preparation.composition import Composition

    published = card.card(job, rows)
    composition = Composition(job.tokenizer)
    folder.begin(out, job)
    with writing(str(out / folder.ROWS), form=job.form, rows_per_shard=job.shard_rows, card=published) as output:
        for sample in rows:
            output.add(sample)
            composition.add(sample)
        told = report.told(job, rows, composition)
        folder.tell(out, told, report.html(told), rows.found)
    return told


def preview(rows: "Rows", count: int) -> None:
    """Print the first rows of each source and split, a sign in place of restricted text."""
    for part in rows.parts:
        for sample in islice(rows.distinct(part.split, task=part.task), count):
            put(f"=== {sample.id} ({sample.family}, {sample.format}, {sample.licence})")
            for text in (sample.instruction, sample.input, sample.output):
                put(harmless(shown(text, sample.restricted)) + "\n")


if __name__ == "__main__":
    sys.exit(main())
