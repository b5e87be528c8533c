"""The same rows under Apache Beam, for corpora that outgrow one machine.

    python -m bioinstruct_jax.prepare medtuned --corpora=gs://MINE/corpora --out=gs://MINE/rows \
        --beam="--runner=DataflowRunner --project=MINE --region=us-east1 --temp_location=gs://MINE/temp"

The functions are those of `pipeline.rows`, and so are the bytes of the folder. Corpora and `out` lie where every worker
reaches them, and every worker has this package with its extra ``beam`` (and Dataflow ``apache-beam[gcp]``). What a
worker holds at once: the index of the evaluation rows; the training rows of one family and subject, where several
sources share it; 24 bytes for each row of a part, and on its disk their text; a shard. A file is read by one worker.
The direct runner holds every row in memory: it is for trying a recipe.
"""

import json
import shlex
from pathlib import Path
from typing import Any

import apache_beam
from apache_beam import Create, Filter, FlatMap, GroupByKey, Map
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.pvalue import AsDict, AsIter
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.output import claim
from bioinstruct_jax.data.output.folder import PUBLISHED
from bioinstruct_jax.preparation import beam_steps, folder, sources
from bioinstruct_jax.preparation.job import Prepare
from bioinstruct_jax.preparation.sources import Found
from bioinstruct_jax.tasks.table import TASKS


def make(job: Prepare, flags: str) -> dict[str, Any]:
    """Make the folder of a preparation; returns its report.

    Args:
        flags: pipeline options as on a command line. With no runner or DirectRunner the pipeline runs in this process:
            by Beam's FnApiRunner, as its DirectRunner may fetch another program from the network.

    Raises:
        RestrictedError: restricted rows would go to other machines.
        FileNotFoundError, OSError: as `sources.find`.
        ValueError: the form has a data card, corpora are not what their publishers ship, or there is no such runner.
    """
    if job.form in PUBLISHED:
        raise ValueError(
            f"form {job.form} has a data card, which one machine writes: leave --beam out, or give another --form"
        )
    there, out = sources.find(job, Path()), files.path(job.out)
    pipeline = _pipeline(flags, there)
    _graph(pipeline, job, there, out)
    begun = (out / folder.CONFIG).is_file()
    folder.begin(out, job)
    claim.claim(out / folder.ROWS)
    if (out / folder.PROBLEMS).is_file():  # of a call that was cut off
        (out / folder.PROBLEMS).unlink()
    pipeline.run().wait_until_finish()
    if (out / folder.PROBLEMS).is_file():
        raise ValueError(_undone(out, begun))
    claim.release(out / folder.ROWS)
    return json.loads(files.read_text(out / folder.REPORT))


def _pipeline(flags: str, there: Found) -> apache_beam.Pipeline:
    """An empty one, of a runner that the parts may go to."""
    try:
        options = PipelineOptions(shlex.split(flags))
        runner = options.view_as(StandardOptions).runner or "DirectRunner"
        here = runner.rsplit(".", 1)[-1].lower().removesuffix("runner") in ("direct", "fnapi")
        if not here:
            _refuse_restricted(there, runner)
        return apache_beam.Pipeline(FnApiRunner() if here else runner, options=options)
    except RestrictedError:
        raise
    except (ImportError, AttributeError, ValueError) as error:  # a runner's package, its name, its options
        raise ValueError(f"--beam={flags}: {' '.join(str(error).split())}") from error


def _undone(out: UPath, begun: bool) -> str:
    """Remove what was begun, but for settings that were here before; returns what the workers say was wrong."""
    said = files.read_text(out / folder.PROBLEMS)
    claim.clear(out / folder.ROWS)
    if files.is_local(out):
        (out / folder.ROWS).rmdir()
    (out / folder.PROBLEMS).unlink()
    if not begun:
        (out / folder.CONFIG).unlink()
    return said


def _refuse_restricted(there: Found, runner: str) -> None:
    names = dict.fromkeys(part.task for part in there.parts + there.others)
    restricted = [name for name in names if TASKS[name].licence.restricted]
    if restricted:
        raise RestrictedError(
            f"{runner}: the text of {', '.join(restricted)} is restricted and goes to no other machine. Leave them out "
            "of the sources, and with --overlap.against=sources of what is compared with; or use --beam="
            "--runner=DirectRunner"
        )


def _graph(pipeline: apache_beam.Pipeline, job: Prepare, there: Found, out: UPath) -> None:
    """What is to be run, from the parts to the index of the folder."""
    parts, settings, rows = there.parts, job.overlap, str(out / folder.ROWS)
    splits = [part.split for part in parts + there.others]

    # Read, part by part.
    read = (
        pipeline
        | "parts" >> Create(list(enumerate(parts + there.others)))
        | "spread" >> apache_beam.Reshuffle()
        | "read" >> FlatMap(beam_steps.read).with_outputs("errors", main="rows")
    )
    training = read.rows | "training" >> Filter(lambda row: splits[row.part] == "train")
    evaluation = read.rows | "evaluation" >> Filter(lambda row: splits[row.part] != "train")

    # Compare: with evaluation rows one by one, with each other in the order of the recipe.
    if settings.leaks == "ignore":
        met = training | "no leaks" >> Map(lambda row: (row, None))
    else:
        texts = evaluation | "texts" >> Map(beam_steps.text)
        met = training | "leaks" >> apache_beam.ParDo(beam_steps.Leaks(settings), AsIter(texts))
    if settings.duplicates == "ignore":
        judged = met | "no duplicates" >> Map(beam_steps.judge, settings)
    else:
        judged = (
            met
            | "by kind" >> Map(beam_steps.by_kind, parts)
            | "kinds" >> GroupByKey()
            | "duplicates" >> FlatMap(beam_steps.judge_kind, parts, settings)
        )
    found = judged | "found" >> FlatMap(beam_steps.told)

    # Share out: how often each row is taken, and where it stands in its split.
    asked = evaluation | "asked" >> Filter(lambda row: row.part < len(parts)) | "all of them" >> Map(beam_steps.kept)
    counted = (judged, asked) | "counted" >> apache_beam.Flatten()
    ledgers = (
        counted
        | "by part" >> Map(beam_steps.by_part)
        | "of a part" >> GroupByKey()
        | "ledgers" >> Map(beam_steps.ledger)
    )
    counts = ledgers | "counts" >> Map(beam_steps.count)
    places = ledgers | "places" >> FlatMap(beam_steps.placed, AsDict(counts), job, parts)

    # Write, shard by shard.
    written = (
        {"samples": counted | "by row" >> FlatMap(beam_steps.by_row), "places": places}
        | "of a row" >> apache_beam.CoGroupByKey()
        | "copies" >> FlatMap(beam_steps.by_shard, parts, job.shard_rows)
        | "of a shard" >> GroupByKey()
        | "write"
        >> FlatMap(beam_steps.write, AsIter(read.errors), rows, job.form, job.tokenizer).with_outputs(
            "errors", main="shards"
        )
    )
    said = [AsIter(found), AsIter(written.shards), AsIter(read.errors), AsIter(written.errors)]
    end = pipeline | "end" >> Create([there.missing])
    _ = end | "finish" >> Map(beam_steps.finish, job, parts, AsDict(counts), *said)
