"""What a preparation says of itself: ``report.json``, and the same for people as ``report.html`` and in a terminal.

No text of a row stands in it, restricted or not: names, counts, ids and labels of closed sets.
"""

from typing import TYPE_CHECKING, Any

from bioinstruct_jax.preparation.composition import Composition
from bioinstruct_jax.preparation.job import Corpus, Prepare, Published
from bioinstruct_jax.preparation.overlaps import REASONS
from bioinstruct_jax.preparation.sources import fingerprint
from bioinstruct_jax.reporting import page
from bioinstruct_jax.tasks.table import TASKS

if TYPE_CHECKING:
    from bioinstruct_jax.preparation.pipeline import Findings


def told(job: Prepare, rows: "Findings", composition: Composition) -> dict[str, Any]:
    """All of it; what `report.json` holds."""
    written = {f"{task}/{split}": share.rows for (task, split), share in composition.by_source.items()}
    return {
        "totals": _totals(job, written),
        "sources": [_source(one, rows, written) for one in job.sources],
        "missing": [
            {"task": one.task, "split": one.split, "files": one.files, "obtain": TASKS[one.task].licence.obtain}
            for one in rows.missing
        ],
        "overlap": {"duplicates": job.overlap.duplicates, "leaks": job.overlap.leaks, "found": rows.reasons},
        "composition": composition.summary(),
        "files": fingerprint(job),
    }


def _source(source: Corpus, rows: "Findings", written: dict[str, int]) -> dict[str, Any]:
    task = TASKS[source.task]
    names = {split: f"{source.task}/{split}" for split in source.made}
    there = {split: name for split, name in names.items() if name in rows.read}
    return {
        "task": source.task,
        "title": task.title,
        "licence": task.licence.kind,
        "ours": source.ours,
        "note": task.note,
        "read": {split: rows.read[name] for split, name in there.items()},
        "written": {split: written.get(name, 0) for split, name in there.items()},
        "published": _published(source.published),
    }


def _totals(job: Prepare, written: dict[str, int]) -> dict[str, Any]:
    """Rows in all, and the paper's beside: its scored rows against the same splits here."""
    train = sum(rows for name, rows in written.items() if name.endswith("/train"))
    totals: dict[str, Any] = {"train": train, "all": sum(written.values())}
    if job.paper:
        scored = [source for source in job.sources if source.published and source.published.evaluation]
        totals["paper"] = {"name": job.paper.name, "train": job.paper.train, "evaluation": job.paper.evaluation}
        totals["paper_compatible_evaluation"] = sum(
            written.get(f"{source.task}/{source.published.split if source.published else ''}", 0) for source in scored
        )
        totals["absent"] = [{"name": one.name, "why": one.why, **_published(one.published)} for one in job.paper.absent]
    return totals


def lines(told: dict[str, Any]) -> list[tuple[str, ...]]:
    """The table of a terminal, head first: what was made here, beside the paper's."""
    head = ("task", "train: read", "written", "dev", "test", "paper: train", "scored", "which are")
    body = []
    for row in told["sources"]:
        published = row["published"]
        if not row["read"] and not published:
            continue
        which = published.get("split", "") if published.get("evaluation") else ""
        body.append(
            (
                row["task"] + (" (ours)" if row["ours"] else ""),
                _count(row["read"].get("train")),
                *(_count(row["written"].get(split)) for split in ("train", "dev", "test")),
                _count(published.get("train")),
                _count(published.get("evaluation")),
                "dev (paper_compatible)" if which == "dev" else which,
            )
        )
    for one in told["totals"].get("absent", ()):
        body.append((one["name"], "", "", "", "", _count(one["train"]), _count(one["evaluation"]), one["why"]))
    return [head, *body]


def html(told: dict[str, Any]) -> str:
    """`report.html`: the same, with lengths, labels and wordings."""
    head, *body = lines(told)
    parts = [page.table(list(head), map(list, body)), page.paragraph(said(told))]
    sections = [page.section("Sources", *parts)]
    if told["missing"]:
        missing = [[one["task"], one["split"], ", ".join(one["files"]), one["obtain"]] for one in told["missing"]]
        sections.append(page.section("Not there", page.table(["task", "split", "files", "to be had"], missing)))
    overlap = told["overlap"]
    reasons = [[task, *(found.get(reason, 0) for reason in REASONS)] for task, found in overlap["found"].items()]
    said_of = f"Duplicates: {overlap['duplicates']}. Leaks: {overlap['leaks']}. Each is named in overlaps.jsonl."
    sections.append(page.section("Overlaps", page.table(["task", *REASONS], reasons), page.paragraph(said_of)))
    sections.append(page.section("Composition", page.paragraph(f"Lengths count {told['composition']['unit']}.")))
    for kind in ("sources", "families"):
        sections += [page.section(f"By {kind}", *_shares(told["composition"][kind]))]
    return page.page("Preparation", sections)


def said(told: dict[str, Any]) -> str:
    """Totals, and what is not there, in a few sentences."""
    totals = told["totals"]
    text = f"{totals['all']:,} rows, {totals['train']:,} of them for training."
    lost = dict.fromkeys(one["task"] for one in told["missing"])
    if lost:
        named = ", ".join(list(lost)[:8]) + (f" and {len(lost) - 8} more" if len(lost) > 8 else "")
        text += f" Not there, whole or in part: {named} (see the report)."
    if "paper" in totals:
        paper = totals["paper"]
        text += (
            f" {paper['name']}: {paper['train']:,} for training and {paper['evaluation']:,} scored, beside "
            f"{totals['train']:,} and, of the same splits, {totals['paper_compatible_evaluation']:,} here."
        )
    return text


def _shares(shares: dict[str, Any]) -> list[str]:
    rows: list[list[object]] = []
    labels: list[list[object]] = []
    for name, splits in shares.items():
        for split, share in splits.items():
            lengths = [
                share[side].get(key, 0)
                for side in ("input_tokens", "output_tokens")
                for key in ("median", "p95", "max")
            ]
            rows.append(
                [
                    f"{name}/{split}",
                    share["rows"],
                    share["tokens"]["input"],
                    share["tokens"]["output"],
                    *lengths,
                    " ".join(map(str, share["wordings"])),
                ]
            )
            labels += [[f"{name}/{split}", label, count] for label, count in share["labels"].items()]
    head = [
        "rows of",
        "rows",
        "input tokens",
        "output tokens",
        "input: median",
        "95 %",
        "max",
        "output: median",
        "95 %",
    ]
    parts = [page.table([*head, "max", "rows of each wording"], rows)]
    return [*parts, page.table(["rows of", "label", "times"], labels)] if labels else parts


def _published(published: Published | None) -> dict[str, Any]:
    if published is None:
        return {}
    return {"train": published.train, "evaluation": published.evaluation, "split": published.split}


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"
