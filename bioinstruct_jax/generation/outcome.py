"""What is told of a generation: a line while it runs, `statistics.json`, the report, and a few sentences at its end."""

import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bioinstruct_jax import files
from bioinstruct_jax.generation import folder, prompts, report
from bioinstruct_jax.generation.contamination import TESTS
from bioinstruct_jax.generation.item import Accepted, Rejected
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.generation.pool import Pool
from bioinstruct_jax.generation.scripted_teacher import MODEL
from bioinstruct_jax.generation.statistics import statistics
from bioinstruct_jax.generation.verbs import root
from bioinstruct_jax.reporting.progress import duration

if TYPE_CHECKING:
    from bioinstruct_jax.api.client import Client
    from bioinstruct_jax.generation.asking import End
    from bioinstruct_jax.generation.contamination import HeldOut
    from bioinstruct_jax.generation.labelling import Labels


class Rate:
    """Accepted instructions a second since the first request of this run, those of the journal not counted."""

    def __init__(self) -> None:
        self._start: tuple[float, int] | None = None

    def __call__(self, accepted: int, sent: int) -> float:
        """Args: sent: requests of this run. 0 while none has brought anything."""
        if not sent or self._start is None:
            self._start = time.monotonic(), accepted
        began, before = self._start
        return (accepted - before) / max(time.monotonic() - began, 1e-9) if accepted > before else 0.0


def line(job: Generate, pool: Pool, client: "Client", rate: Rate) -> str:
    """Progress in one line."""
    counts = client.counts
    accepted = min(pool.count, job.target)
    speed = rate(accepted, counts.sent)
    rejected = ", ".join(f"{reason} {times:,}" for reason, times in pool.reasons.most_common(3))
    parts = [
        f"accepted {accepted:,} of {job.target:,}",
        f"rejected {pool.reasons.total():,}" + (f" ({rejected})" if rejected else ""),
        f"requests {counts.answered:,} answered, {counts.in_flight} in flight",
        f"{counts.input_tokens + counts.output_tokens:,} tokens",
    ]
    parts += [f"{name} is left alone for {duration(wait)}" for name, wait in counts.paused.items()]
    if any(teacher.price for teacher in job.teachers):
        limit = "" if job.budget.dollars is None else f" of {job.budget.dollars:,.2f}"
        projected = projection(job, pool, counts.dollars)
        parts.append(f"{counts.dollars:,.2f}{limit} dollars" + (f", {projected:,.2f} in all" if projected else ""))
    if speed and accepted < job.target:
        parts.append(f"{speed:.1f}/s, {duration((job.target - accepted) / speed)} left")
    return "  ".join(parts)


def projection(job: Generate, pool: Pool, dollars: float) -> float | None:
    """Dollars for the whole target, if it goes on as so far; None before the first accepted instruction."""
    return dollars * job.target / min(pool.count, job.target) if pool.count else None


def told(
    job: Generate,
    pool: Pool,
    accepted: list[Accepted],
    client: "Client",
    end: "End",
    labels: "Labels",
    held_out: "HeldOut | None",
) -> dict[str, Any]:
    """All of `statistics.json`.

    Args:
        accepted: the pool's, with their categories.
    """
    counts, rejected, met = client.counts, pool.rejected, defaultdict(Counter, pool.contaminated)
    priced = any(teacher.price for teacher in job.teachers)
    compared: dict[str, Any] = {}
    if held_out is not None:
        compared = {"tasks": held_out.tasks, "missing": held_out.missing, "action": job.decontamination.action}
    made = statistics(
        accepted,
        ended={"reason": end.reason, "said": end.said, "target": job.target},
        failed=pool.failed,
        seen=pool.seen,
        waiting=pool.waiting,
        compared=compared,
        rejected=Counter(row.reason for row in rejected),
        turned_down=Counter(row.teacher for row in rejected),
        requests=[(point.number, point.accepted, point.rejected) for point in pool.points],
        client={
            "requests": {
                "sent": counts.sent,
                "answered": counts.answered,
                "replayed": counts.replayed,
                "without_answer": counts.failed,
                "lost": counts.lost,
            },
            "retried": dict(counts.retried),
            "tokens": {"input": counts.input_tokens, "output": counts.output_tokens},
            "dollars": {
                "spent": counts.dollars if priced else None,
                "uncertain": counts.uncertain_dollars if priced else None,
                "projected": projection(job, pool, counts.dollars) if priced else None,
            },
        },
        roots=[root(row.instruction) for row in accepted],
        decontamination={
            task: {test: met[task][test] for test in TESTS} for task in (held_out.tasks if held_out else ())
        },
        agreement=labels.told | ({"incomplete": str(labels.failure)} if labels.failure else {}),
    )
    return {"prompt": {"version": prompts.VERSION, "hash": prompts.prompt_hash()}, **made}


def write_page(
    out: Path, job: Generate, told: dict[str, Any], accepted: list[Accepted], rejected: list[Rejected]
) -> None:
    """`report.html`."""
    note = "Nothing here was checked by a person; it is not for clinical use."
    if any(teacher.model == MODEL for teacher in job.teachers):
        note = f"Rows of {MODEL} were composed by a script, and say nothing of what a language model writes. {note}"
    report.write(files.path(out / folder.REPORT), told, accepted, rejected, note=note)


def said(told: dict[str, Any], out: Path) -> str:
    """A few sentences for the end of the run."""
    totals, ended, asked = told["totals"], told["ended"], told["client"]["requests"]
    lines = [report.headline(told)]
    if told["rejected"]:
        lines.append("left out: " + ", ".join(f"{reason} {times:,}" for reason, times in told["rejected"].items()))
    lines.append(
        f"requests: {asked['answered']:,} answered, {asked['replayed']:,} taken from the journal, "
        f"{asked['without_answer']:,} refused or given up, {asked['lost']:,} lost in a kill"
    )
    if told["failed"]:
        lines.append("without an answer: " + ", ".join(f"{why} ({times:,})" for why, times in told["failed"].items()))
    if totals["waiting"]:
        lines.append(f"waiting for an output: {totals['waiting']:,}; the same command goes on with them")
    if none := told["categories"]["none"]:
        lines.append(f"no category: {none:,} of {totals['accepted']:,}")
    if incomplete := told["agreement"].get("incomplete"):
        lines.append(f"categories are incomplete: {incomplete}")
    if ended["reason"] != "target" or ended["said"]:
        missing = f"{totals['accepted']:,} of {ended['target']:,} instructions"
        lines.append(f"ended ({ended['reason']}) with {missing}: {ended['said'] or 'target reached'}")
    lines += [f"rows    {out / folder.INSTRUCTIONS}", f"report  {out / folder.REPORT}"]
    return "\n".join(lines)
