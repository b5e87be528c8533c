"""The rows that the arms of a study are made of: what can be learned, once each, and no item that is evaluated."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bioinstruct_jax.config import Train
from bioinstruct_jax.data.mixture import mix
from bioinstruct_jax.data.prompts import Template
from bioinstruct_jax.data.records import BadRow, Record
from bioinstruct_jax.data.rows import fit
from bioinstruct_jax.data.tokens import CHUNK, encode_all
from bioinstruct_jax.evaluation import contamination
from bioinstruct_jax.evaluation.runner.planned import Planned
from bioinstruct_jax.studies.job import Arm, Study
from bioinstruct_jax.tasks.held_out import Items

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

UNREADABLE = "not readable"
TURNS = "several turns, which an arm's file has no place for"
TEXT = "text without an instruction"
EQUAL = "equal to another row"
MET = "meets an evaluated item"
TOLD = 10_000  # rows compared after which a line says so
RESTRICTED = "(restricted)"  # in place of a category, which may be any column of a row


@dataclass(frozen=True, eq=False)
class Pool:
    """Rows in the order of their sources.

    Attributes:
        records: with unique ids.
        target_tokens: of each, as the first model of the study learns it, int64 [records].
        removed: rows that were left out, by reason.
        told: of each of these its reason, and its id or line; what it met, by ids alone.
    """

    records: list[Record]
    target_tokens: np.ndarray
    removed: dict[str, int]
    told: list[dict[str, Any]]

    def of(self, arm: Arm) -> np.ndarray:
        """Places of an arm's rows, ascending, int64 [rows].

        Raises:
            ValueError: it names a category that no row has, or has no row.
        """
        only, without = ({name.strip().casefold() for name in names} for names in (arm.only, arm.without))
        found = {record.category.casefold() for record in self.records}
        for key, names in (("only", arm.only), ("without", arm.without)):
            if missing := [name for name in names if name.strip().casefold() not in found]:
                raise ValueError(f"arm {arm.name}: {key}: no row has the category {missing[0]!r}. {self._holds()}")
        kept = [
            place
            for place, record in enumerate(self.records)
            if (not only or record.category.casefold() in only) and record.category.casefold() not in without
        ]
        if not kept:
            raise ValueError(f"arm {arm.name}: not a row is left. {self._holds()}")
        return np.array(kept, np.int64)

    def _holds(self) -> str:
        """For people: which categories there are; that of a restricted row may be any column, and is not shown."""
        named = Counter(shown_category(record) for record in self.records)
        names = ", ".join(f"{name[:40]} ({count:,})" for name, count in named.most_common(30))
        return f"The pool has {names}. {_left_out(self.removed)}".strip()


def shown_category(record: Record) -> str:
    """A row's category, as files and messages may tell it."""
    return RESTRICTED if record.restricted else record.category or "(none)"


def read(
    job: Study,
    train: Train,
    template: Template,
    tokenizer: "PreTrainedTokenizerFast",
    plan: Sequence[Planned],
    told: Callable[[str], None],
) -> Pool:
    """The rows of `Study.pool` that may be tuned on.

    Left out and counted, in this order: rows that are bad; that hold several turns, or no instruction; whose texts all
    equal those of a row before; that training would drop, as they are too long; that meet an item of `plan`.

    Args:
        train: settings of the first model, whose tokens are counted.
        plan: what is evaluated, with all items of each split.
        told: a line of what is done.

    Raises:
        FileNotFoundError, ValueError: a source cannot be read, has a weight above 1, or no row is left.
    """
    for number, source in enumerate(job.pool):
        if source.weight > 1:
            raise ValueError(
                f"pool.{number}.weight {source.weight:g} ({source.path}): an arm has a row once; give 1, or less to "
                "take a part of the rows, and set training.epochs of the models for more passes"
            )
    mixture = mix(job.pool, seed=job.seed, on_bad_row=train.data.on_bad_row)
    lines = [_line(UNREADABLE, f"{row.source}:{row.line}", why=row.reason) for row in mixture.bad_rows]
    _tell_bad(mixture.bad_rows, told)
    records = list(_distinct(mixture.records, lines))
    del mixture
    told(f"pool: {len(records):,} different rows are read; their target tokens are counted")
    records, tokens = fitting(records, train, template, tokenizer, lines)
    index = contamination.items(job.contamination)
    for one in plan:
        contamination.add(index, one.task, one.questions())
    items, tasks = sum(index.tasks.values()), len(index.tasks)
    told(f"pool: {len(records):,} rows are compared with the {items:,} items of {tasks} tasks")
    clean = []
    for number, record in enumerate(records, 1):
        clean.append(_apart(record, index, lines))
        if number % TOLD == 0:
            told(f"pool: {number:,} of {len(records):,} rows are compared")
    kept = [record for record, stays in zip(records, clean, strict=True) if stays]
    removed = dict(Counter(line["reason"] for line in lines))
    told(f"pool: {len(kept):,} rows to tune on. {_left_out(removed)}".strip())
    if not kept:
        raise ValueError(f"pool: not a row is left. {_left_out(removed)}. Give other rows, or look at these reasons")
    return Pool(kept, tokens[np.array(clean, bool)], removed, lines)


def _distinct(records: Sequence[Record], lines: list[dict[str, Any]]) -> Iterator[Record]:
    """Those of one turn, each text once; adds to `lines`."""
    seen: dict[bytes, str] = {}
    for record in records:
        if record.history or not record.instruction:
            lines.append(_line(TURNS if record.history else TEXT, _named(record)))
            continue
        texts = [text.strip() for text in (record.system, record.instruction, record.input, record.output)]
        key = hashlib.blake2b(json.dumps(texts).encode(), digest_size=16).digest()
        if key in seen:
            lines.append(_line(EQUAL, _named(record), equals=seen[key]))
            continue
        seen[key] = _named(record)
        yield record


def fitting(
    records: Sequence[Record],
    train: Train,
    template: Template,
    tokenizer: "PreTrainedTokenizerFast",
    lines: list[dict[str, Any]],
) -> tuple[list[Record], np.ndarray]:
    """Those that training would not drop, and the target tokens of each, int64 [kept]; adds to `lines`."""
    kept, counts = [], []
    for begin in range(0, len(records), CHUNK):
        chunk = records[begin : begin + CHUNK]
        for record, encoded in zip(chunk, encode_all(chunk, template, tokenizer), strict=True):
            fitted = fit(
                record,
                encoded,
                template,
                tokenizer,
                length=train.data.length,
                over_length=train.data.over_length,
            )
            if fitted.how == "dropped":
                lines.append(_line(fitted.reason, _named(record)))
                continue
            kept.append(record)
            counts.append(sum(int(example.weights.sum()) for example in fitted.examples))
    return kept, np.array(counts, np.int64)


def _apart(record: Record, index: Items, lines: list[dict[str, Any]]) -> bool:
    """Whether a row meets no item; adds to `lines` what it meets."""
    met = contamination.meets(record, index)
    if met:
        found = [{"task": one.task, "item": one.item, "test": one.test, "score": one.score} for one in met]
        lines.append(_line(MET, _named(record), met=found))
    return not met


def _named(record: Record) -> str:
    """By what a row is known where it may be shown; a restricted one's id may say more than it should."""
    return "" if record.restricted else record.id


def _line(reason: str, row: str, **more: Any) -> dict[str, Any]:
    return {"row": row, "reason": reason, **more}


def _tell_bad(bad: Sequence[BadRow], told: Callable[[str], None]) -> None:
    if bad:
        first = bad[0]
        told(f"pool: {len(bad):,} rows cannot be read; the first: {first.source}, line {first.line}: {first.reason}")


def _left_out(removed: dict[str, int]) -> str:
    if not removed:
        return ""
    return "Left out: " + "; ".join(f"{count:,} x {reason}" for reason, count in removed.items())
