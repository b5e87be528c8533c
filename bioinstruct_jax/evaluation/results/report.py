"""``report.html`` of an evaluation: whether tuning helped, how sure that is, and every item to read."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.evaluation.results import figures, judge_tables, sections, words
from bioinstruct_jax.evaluation.results.comparison import Comparison, GroupScore
from bioinstruct_jax.evaluation.results.items import Items, Sample
from bioinstruct_jax.evaluation.scoring.scored import TaskResult
from bioinstruct_jax.reporting import browser, page

_STANDS = (
    "The whole rows stand in the samples_*.jsonl files, in the folder of this report; restricted texts in neither."
)


def write(
    file: UPath,
    title: str,
    results: Sequence[TaskResult],
    comparisons: Sequence[Comparison],
    groups: Sequence[GroupScore],
    rows: Iterable[Sample],
    *,
    judge: Mapping[str, Any] | None = None,
    settings: str,
    notes: Sequence[str],
) -> None:
    """Writes the page piece by piece; see `pieces`."""
    files.make_folder(file.parent)
    with file.open("w", encoding="utf-8", newline="\n") as out:
        for piece in pieces(title, results, comparisons, groups, rows, judge=judge, settings=settings, notes=notes):
            out.write(piece)


def pieces(
    title: str,
    results: Sequence[TaskResult],
    comparisons: Sequence[Comparison],
    groups: Sequence[GroupScore],
    rows: Iterable[Sample],
    *,
    judge: Mapping[str, Any] | None = None,
    settings: str,
    notes: Sequence[str],
) -> Iterator[str]:
    """The page in pieces.

    Args:
        results: of every model, task and protocol; the first model is the baseline where nothing is compared.
        rows: of the samples files, as `Items` reads them, gone through twice; restricted texts are signs already.
        judge: what a judge found, as plain JSON; None: nobody judged.
        settings: of the evaluation, as YAML.
        notes: what a reader must know first, e.g. tasks that were left out.
    """
    sections = _sections(results, comparisons, groups, rows, judge, settings, notes)
    return page.pieces(title, sections, scripts=[browser.SCRIPT])


def _sections(
    results: Sequence[TaskResult],
    comparisons: Sequence[Comparison],
    groups: Sequence[GroupScore],
    rows: Iterable[Sample],
    judge: Mapping[str, Any] | None,
    settings: str,
    notes: Sequence[str],
) -> Iterator[str]:
    first, *others = words.headlines(results, comparisons)
    yield page.lead(first)
    yield from map(page.paragraph, others)
    yield from map(page.note, notes)
    yield page.folded("How to read this page", *map(page.paragraph, words.GUIDE))
    baseline = comparisons[0].first if comparisons else results[0].model if results else ""
    models = sorted(dict.fromkeys(one.model for one in results), key=lambda name: name != baseline)
    tasks = list(dict.fromkeys(one.task for one in results))
    results = sorted(
        results, key=lambda one: (tasks.index(one.task), words.place(one.protocol), models.index(one.model))
    )
    comparisons = sorted(comparisons, key=lambda one: (tasks.index(one.task), words.place(one.protocol)))
    if groups:
        yield page.section("Groups of tasks", *figures.groups(groups, models), *sections.groups(groups))
    if results:
        yield page.section("Each task", *figures.tasks(results, models))
        yield page.section("Scores", *sections.scores(results, comparisons))
        yield page.section("Written beside log-likelihood", page.paragraph(_TWO_WAYS), *sections.protocols(results))
    yield page.section("Comparisons", *sections.compared(comparisons, results))
    if results:
        yield page.section("Confusion matrices", page.paragraph(_MATRIX), *sections.matrices(results))
        yield page.section("Answers that could not be read", page.paragraph(_READ), *sections.readings(results))
        if calibration := figures.calibration(results, models):
            yield page.section("Calibration", page.paragraph(_SURE), *calibration)
        yield page.section("Items in the tuning data", *sections.contamination(results))
        yield page.section("Published scores, for context", *sections.published([one.task for one in results]))
    if judge is not None:
        yield page.section("Judged by a language model", *judge_tables.tables(judge))
    items = Items(rows, results, baseline)
    told = f"{_BASE.format(baseline)} {_STANDS}" if items.paired else _STANDS
    yield from browser.section("Every item", "items", items.columns, items, stands=told)
    yield page.section("Settings", page.folded("As they were given", page.code(settings)), *sections.versions(results))


_BASE = "Here, base is the model {}, and tuned the one that is named as tuned model; right is a value of 1."
_TWO_WAYS = (
    "A written answer must be worded so that it can be read; log-likelihood asks which of the answers the model holds "
    "most likely, and needs no wording. Low on the left and high on the right: the model knows more than it says."
)
_MATRIX = (
    "A line for each right answer, a column for each given one; those in a frame agree. The stronger its "
    "colour, the larger a cell's share of its line; a column of one colour is an answer given whatever was asked."
)
_READ = (
    "An item without an answer counts as wrong. Before a low score is taken for a lack of knowledge, look here "
    "whether the model answered at all."
)
_SURE = (
    "A model that is 70% sure should be right 70 times in 100. Sureness is the probability of the choice taken, among "
    "the choices of the item."
)
