"""From the settings of a job to its rows: mix, hold out, tokenizer, template, rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bioinstruct_jax import config as configuration
from bioinstruct_jax.data import tokenizer as tokenizers
from bioinstruct_jax.data.cache import cached_rows, cached_tokenizer
from bioinstruct_jax.data.guard import RestrictedError
from bioinstruct_jax.data.mixture import mix
from bioinstruct_jax.data.prompts import Template, render, template
from bioinstruct_jax.data.records import BadRow, Record
from bioinstruct_jax.data.rows import Built, Rows
from bioinstruct_jax.data.split import held_out_split

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclass(frozen=True, eq=False)
class Dataset:
    """What a job trains on. `held_out` is None where the configuration holds nothing out; `report` is data.json.

    `members` names the records in each row of `train`, and `restricted` those whose text is not to be shown.
    """

    train: Rows
    members: list[list[str]]
    held_out: Rows | None
    tokenizer: PreTrainedTokenizerFast
    template: Template
    report: dict
    bad_rows: list[BadRow]
    restricted: frozenset[str] = frozenset()


def load(
    config: configuration.Train, on_progress: Callable[[str, int, int], None] = lambda phase, done, total: None
) -> Dataset:
    """Reads, splits, encodes and packs the sources of a job; the same configuration and files give the same bytes.

    Args:
      config: the job.
      on_progress: called with a phase (``training tokenizer``, ``tokenizing``), records done and records in all.

    Raises:
      ValueError: a setting that does not fit the data, or nothing left to train on or to hold out; a RestrictedError
        where restricted rows meet a setting that would send or publish something of them.
      OSError: a source that cannot be read.
    """
    data = config.data
    mixture = mix(data.sources, seed=config.seed, on_bad_row=data.on_bad_row)
    restricted = frozenset(record.id for record in mixture.records if record.restricted)
    if restricted and config.track == "wandb":
        raise RestrictedError(
            f"track: wandb sends a run's settings and the lines of its screen elsewhere, and {len(restricted):,} rows "
            "of data.sources are restricted; set track to tensorboard, which writes into the run folder, or to none"
        )
    records: Sequence[Record] = mixture.records
    held_out: Sequence[Record] = ()
    if data.held_out:
        records, held_out = held_out_split(mixture.records, data.held_out, config.seed)
    if not records:
        raise ValueError(
            f"no record to train on: {len(mixture.bad_rows)} bad rows, {len(held_out)} records held out; "
            "look at data.sources, their categories and data.held_out"
        )
    if config.tokenizer.train_vocab_size:
        on_progress("training tokenizer", 0, len(records))
        fast = cached_tokenizer(
            texts(records, data.template), config.tokenizer.train_vocab_size, cache_dir=data.cache_dir
        )
        name = "trained on the training records"
    else:
        fast, name = tokenizers.of_job(config), config.tokenizer.path or config.model.weights
    form = template(data.template, fast)
    build = partial(
        cached_rows,
        template=form,
        fast=fast,
        length=data.length,
        packing=data.packing,
        over_length=data.over_length,
        cache_dir=data.cache_dir,
        on_progress=partial(on_progress, "tokenizing"),
    )
    train = _some(build(records), "train on", mixture.bad_rows)
    held = _some(build(held_out), "hold out", mixture.bad_rows) if data.held_out else None
    report = {
        "sources": mixture.sources,
        "records": len(mixture.records),
        "bad_rows": {"count": len(mixture.bad_rows), "reasons": dict(Counter(bad.reason for bad in mixture.bad_rows))},
        "tokenizer": {"name": name, "size": len(fast), "fingerprint": tokenizers.fingerprint(fast)},
        "template": {"name": form.name, "hash": form.hash},
        "train": train.report,
        "held_out": held.report if held else None,
    }
    held_rows = held.rows if held else None
    return Dataset(train.rows, train.members, held_rows, fast, form, report, mixture.bad_rows, restricted)


def _some(built: Built, purpose: str, bad: list[BadRow]) -> Built:
    if len(built.rows.tokens) == 0:
        if purpose == "hold out" and not built.report["records"]:
            first = (
                f" ({len(bad)} bad rows, the first: {bad[0].source}, row {bad[0].line}: {bad[0].reason})" if bad else ""
            )
            raise ValueError(
                f"too few records to hold any of them out{first}: set data.held_out to 0, or give more rows"
            )
        reasons = "; ".join(f"{named['count']} x {reason}" for reason, named in built.report["dropped"].items())
        raise ValueError(
            f"nothing left to {purpose}: of {built.report['records']} records none fits "
            f"({reasons or 'there were none'}); look at data.length, data.over_length, data.template and data.held_out"
        )
    return built


def texts(records: Sequence[Record], name: str) -> list[str]:
    """The texts of records as a template writes them, for training a tokenizer; what it refuses is left out.

    Raises:
      ValueError: the template `name` needs special tokens or a chat template, which a trained tokenizer never has; a
        RestrictedError for restricted records, whose words would be the tokenizer's.
    """
    if restricted := sum(record.restricted for record in records):
        raise RestrictedError(
            f"a tokenizer trained on {restricted:,} restricted records would have words of theirs in its vocabulary, "
            "which is published with an adapter; take one that is there (tokenizer.path), or leave these records out"
        )
    form = template(name, tokenizers.train([], tokenizers.SMALLEST))
    written = []
    for record in records:
        try:
            written += [piece.text for piece in render(record, form) if not piece.control]
        except ValueError:
            continue  # counted when the rows are built
    return written
