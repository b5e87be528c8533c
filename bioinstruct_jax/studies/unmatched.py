"""Learners for which matched arms are not quite equal: their target tokens are those of the first learner."""

from collections.abc import Sequence
from pathlib import Path

from bioinstruct_jax.config import Source, Train
from bioinstruct_jax.data import readers
from bioinstruct_jax.data import tokenizer as tokenizers
from bioinstruct_jax.data.prompts import template
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.studies import pool
from bioinstruct_jax.studies.found import Rows
from bioinstruct_jax.studies.job import Study
from bioinstruct_jax.studies.learners import train_settings


def notes(job: Study, rows: Sequence[Rows], out: Path) -> list[str]:
    """A sentence for each learner that reads rows otherwise than the first, or does not learn all of them.

    Args:
        rows: of the arms; those of the first seed are counted anew for such a learner.
        out: the folder in which their files stand.

    Raises:
        ValueError: settings of a learner that cannot be used.
        OSError: a file of rows cannot be read.
    """
    if not any("matched" in job.sizes_of(arm) for arm in job.arms):
        return []
    first, said = train_settings(job.models[0]), []
    for one in job.models:
        train, where = train_settings(one), f"models: {one.name}"
        if train.data.held_out:
            said.append(
                f"{where}: data.held_out {train.data.held_out:g} keeps that share of an arm's rows from being learned, "
                "so matched arms differ by what it keeps"
            )
        try:
            if unlike := _unlike(first, train):
                matched = [row for row in rows if (row.size, row.seed) == ("matched", job.seeds[0])]
                apart = _apart(train, matched, out) if matched else ""
                said.append(f"{where}: arms are matched for {job.models[0].name}, not for {', '.join(unlike)}{apart}")
        except ValueError as unreadable:
            said.append(f"{where}: whether arms are matched for it is not known: {unreadable}")
    return said


def _unlike(first: Train, other: Train) -> list[str]:
    """In what another learner reads rows otherwise."""
    keys = ("template", "length", "over_length")
    theirs = [(key, getattr(first.data, key), getattr(other.data, key)) for key in keys]
    found = [f"data.{key} {own}" for key, was, own in theirs if own != was]
    places = [(job.tokenizer.path or job.model.weights, job.model.revision) for job in (first, other)]
    if places[0] != places[1]:
        made = [tokenizers.fingerprint(tokenizers.of_job(job)) for job in (first, other)]
        found += ["its tokenizer"] if made[0] != made[1] else []
    return found


def _apart(train: Train, matched: Sequence[Rows], out: Path) -> str:
    """How far from one another arms of one seed are for a learner."""
    tokenizer = tokenizers.of_job(train)
    form = template(train.data.template, tokenizer)
    sums, dropped = [], 0
    for one in matched:
        read = readers.read(Source(path=str(out / one.file), format="alpaca"))
        records = [row for row in read if isinstance(row, Record)]
        kept, tokens = pool.fitting(records, train, form, tokenizer, [])
        sums.append(int(tokens.sum()))
        dropped += len(records) - len(kept)
    share = (max(sums) - min(sums)) * len(sums) / max(1, sum(sums))
    lost = f", and {dropped:,} of their rows are too long for it" if dropped else ""
    return f": with seed {matched[0].seed} their target tokens are {share:.1%} of their mean apart{lost}"
