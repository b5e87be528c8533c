"""What the cells of a study scored, item by item, out of the folders that `evaluate` left."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from upath import UPath

from bioinstruct_jax.evaluation import paired
from bioinstruct_jax.evaluation.results import harness_files, samples
from bioinstruct_jax.evaluation.runner.job import PROTOCOLS, Evaluate, Protocol
from bioinstruct_jax.evaluation.runner.questions import answer_form
from bioinstruct_jax.evaluation.scoring import table
from bioinstruct_jax.evaluation.scoring.scored import Metric, Scorer
from bioinstruct_jax.tasks.table import TASKS

AGAIN = "score the cell again"
NEEDS = ("id", "document", "answer", "flagged", "counts", "doc_hash", "target_hash", "restricted")


class UnusableError(ValueError):
    """Scores that cannot be used: damaged, or of other items than another cell's.

    Attributes:
        cell: that is to be scored again; of two that differ the one that was scored first.
    """

    def __init__(self, cell: str, problem: str):
        super().__init__(problem)
        self.cell = cell


@dataclass(frozen=True)
class Scores:
    """A folder of scores.

    Attributes:
        cell: whose they are.
        file: of its results.
        told: what the results say of each task and protocol (`harness_files`, under ``bioinstruct``).
    """

    cell: str
    file: UPath
    told: Mapping[str, Mapping[Protocol, Mapping[str, Any]]]


@dataclass(frozen=True, eq=False)
class Gathered:
    """What one cell scored in one task under one protocol.

    Attributes:
        when: it was scored, as the names of its files have it: later ones sort behind.
        ids: of items [N], `documents` [N] likewise.
        contents: hashes of item and right answer [N]; empty of a restricted one, whose sign says nothing elsewhere.
        headline: the metric that comparisons use.
        counts: what it sums, [N, K].
        flagged: bool [N], items that stand in what the model was tuned on; None: not looked for.
        answered: share of items with an answer.
        unfit: items longer than the model's context; they count as wrong.
        majority: the score of the commonest label; None where there is none.
    """

    cell: str
    task: str
    group: Literal["QA", "IE", "GEN"]
    protocol: Protocol
    when: str
    ids: tuple[str, ...]
    documents: tuple[str, ...]
    contents: tuple[str, ...]
    headline: Metric
    counts: np.ndarray
    flagged: np.ndarray | None
    answered: float
    unfit: int
    majority: float | None


def opened(folder: UPath, cell: str) -> Scores:
    """The scores of a cell, of its last evaluation that came to an end: the latest of its files of results.

    Raises:
        UnusableError: there is none, it is damaged, or of another model or program.
    """
    with _of(cell):
        return _opened(folder, cell)


def _opened(folder: UPath, cell: str) -> Scores:
    files = sorted((folder / cell).glob("results_*.json"))
    if not files:
        raise ValueError(f"{folder / cell}: no results_*.json: the evaluation has not ended; {AGAIN}")
    made = harness_files.read(files[-1])
    if made.get("model_name") != cell:
        raise ValueError(
            f"{files[-1]}: scores of {made.get('model_name')!r} in the folder of {cell!r}: it is mixed; {AGAIN}"
        )
    try:
        told = made["bioinstruct"]["tasks"]
        if unknown := [task for task in told if task not in TASKS]:
            raise KeyError(f"task {unknown[0]}")
        for task, protocols in told.items():
            for protocol, one in protocols.items():
                needs = (
                    one["headline"],
                    one["metrics"][one["headline"]]["estimate"]["value"],
                    one["items"],
                    one["unfit"],
                )
                if protocol not in PROTOCOLS or None in (*needs, one["samples"], one["versions"]["scorer"]):
                    raise KeyError(f"{task}, {protocol}")
    except (KeyError, TypeError, AttributeError) as lacking:
        raise ValueError(f"{files[-1]}: not the results of an evaluation of ours: {lacking}; {AGAIN}") from lacking
    return Scores(cell, files[-1], told)


def read(scores: Scores, task: str, job: Evaluate) -> dict[Protocol, Gathered]:
    """What a cell scored in a task, by protocol; empty where it was not scored in it.

    Args:
        job: how the cells are evaluated.

    Raises:
        UnusableError: rows that are damaged, missing, of another evaluation or scorer, or without counts; names file
            and line.
    """
    with _of(scores.cell):
        return _read(scores, task, job)


@contextmanager
def _of(cell: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise UnusableError(cell, str(error)) from error


def _read(scores: Scores, task: str, job: Evaluate) -> dict[Protocol, Gathered]:
    told = scores.told.get(task, {})
    if not told:
        return {}
    names = {one["samples"] for one in told.values()}
    file = scores.file.parent / min(names)
    if len(names) > 1 or not file.exists():
        raise FileNotFoundError(f"{scores.file} names the samples {', '.join(sorted(names))}: not there; {AGAIN}")
    rows = _rows(file)
    if apart := {samples.FILTERS[protocol] for protocol in told} ^ rows.keys():
        raise ValueError(f"{file}: rows of {', '.join(sorted(apart))} stand there or in {scores.file} alone; {AGAIN}")
    found: dict[Protocol, Gathered] = {}
    for protocol, one in told.items():
        where = f"{file}, rows of {samples.FILTERS[protocol]!r}"
        scorer = table.scorer(TASKS[task], protocol, answer_form(job, TASKS[task]))
        found[protocol] = _gathered(scores, task, protocol, one, scorer, rows[samples.FILTERS[protocol]], where)
    return found


def aligned(found: Sequence[Gathered]) -> list[Gathered]:
    """The same with the items of all in the order of the first's.

    Raises:
        UnusableError: two cells answered different items, or the same otherwise; names both.
    """
    first, made = found[0], []
    for one in found:
        where = f"{first.task}, {first.protocol}: cells {first.cell} (first) and {one.cell} (second)"
        earlier = min(one, first, key=lambda either: either.when).cell
        try:
            places = paired.places_of_same(first.ids, one.ids)
        except ValueError as unlike:
            raise UnusableError(earlier, f"{where}: {unlike}") from None
        documents, contents = (tuple(own[place] for place in places) for own in (one.documents, one.contents))
        if documents != first.documents or one.counts.shape != first.counts.shape:
            problem = f"{where}: the same items in other documents, or counted otherwise; {AGAIN} in one way"
            raise UnusableError(earlier, problem)
        if other := [id for id, new, old in zip(first.ids, contents, first.contents, strict=True) if new != old]:
            problem = f"{where}: {len(other):,} items have other text or another right answer ({other[0]}); {AGAIN}"
            raise UnusableError(earlier, problem)
        flagged = None if one.flagged is None else one.flagged[places]
        one = replace(one, ids=first.ids, documents=documents, contents=contents)
        made.append(replace(one, counts=one.counts[places], flagged=flagged))
    return made


def _rows(file: UPath) -> dict[str, list[samples.Row]]:
    """What is needed of the rows, by filter."""
    found: dict[str, list[samples.Row]] = {}
    seen: dict[tuple[str, str], int] = {}
    for line, row in samples.numbered(file):
        where = f"{file}, line {line}"
        if missing := [key for key in NEEDS if key not in row]:
            why = ", as before they were kept" if missing == ["counts"] else ""
            raise ValueError(f"{where}: the row has no {', '.join(missing)}{why}; {AGAIN}")
        counts, rows = row["counts"], found.setdefault(row["filter"], [])
        if not isinstance(counts, list) or not counts or not all(map(_number, counts)):
            raise ValueError(f"{where}: counts {counts!r:.80} are no list of numbers; {AGAIN}")
        if rows and len(counts) != len(rows[0]["counts"]):
            raise ValueError(f"{where}: {len(counts)} counts, others have {len(rows[0]['counts'])}; {AGAIN}")
        if rows and (row["flagged"] is None) != (rows[0]["flagged"] is None):
            raise ValueError(f"{where}: flagged is {row['flagged']!r}, of others {rows[0]['flagged']!r}; {AGAIN}")
        if (key := (row["filter"], row["id"])) in seen:
            raise ValueError(f"{where}: item {row['id']!r} stands in line {seen[key]} too; {AGAIN}")
        seen[key] = line
        rows.append({key: row[key] for key in NEEDS})
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _gathered(
    scores: Scores,
    task: str,
    protocol: Protocol,
    told: Mapping[str, Any],
    scorer: Scorer,
    rows: Sequence[samples.Row],
    where: str,
) -> Gathered:
    headline, version = scorer.metrics()[0], told["versions"]["scorer"]
    if (told["headline"], version) != (headline.name, scorer.version):
        raise ValueError(
            f"{where}: scored by {told['headline']}, version {version}; now it is {headline.name}, version "
            f"{scorer.version}; {AGAIN}"
        )
    if len(rows) != told["items"]:
        raise ValueError(f"{where}: {len(rows):,} of {told['items']:,} items that the results tell of; {AGAIN}")
    counts = np.array([row["counts"] for row in rows], float)
    documents = tuple(row["document"] for row in rows)
    said, score = told["metrics"][headline.name]["estimate"]["value"], None
    with suppress(ValueError, IndexError):  # as many counts as no such scorer has: told below
        score = float(headline.score(headline.gather(counts, documents).sum(axis=0)[None])[0])
    if score is None or not math.isclose(score, said, rel_tol=1e-9, abs_tol=1e-12):
        raise ValueError(f"{where}: {headline.name} is {score} by its counts, {said} by the results; {AGAIN}")
    flags = None if rows[0]["flagged"] is None else np.array([bool(row["flagged"]) for row in rows])
    return Gathered(
        cell=scores.cell,
        task=task,
        group=TASKS[task].family.category,
        protocol=protocol,
        when=scores.file.stem,
        ids=tuple(row["id"] for row in rows),
        documents=documents,
        contents=tuple("" if row["restricted"] else f"{row['doc_hash']} {row['target_hash']}" for row in rows),
        headline=headline,
        counts=counts,
        flagged=flags,
        answered=sum(row["answer"] is not None for row in rows) / len(rows),
        unfit=told["unfit"],
        majority=told["baselines"].get(headline.name, {}).get("majority"),
    )
