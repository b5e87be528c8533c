"""What a generation will cost, before anything is asked: from the seeds' lengths, and assumptions that are told.

Tokens are reckoned as 4 bytes of UTF-8 each, which is near to what English takes in the tokenizers in use.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation import asking, prompts
from bioinstruct_jax.generation.job import Generate, Teacher
from bioinstruct_jax.reporting.progress import duration
from bioinstruct_jax.reporting.terminal import columns

BYTES = 4  # of English text in a token
SPEED = 60.0  # tokens a second that one answer is written with: an assumption
ACCEPTED = (0.9, 0.6, 0.3)  # shares of what is asked for: assumptions
SAMPLE = 32  # requests whose prompts are measured
RUBRIC = 900  # tokens of the prompt for categories without its rows: an assumption
LABEL = 12  # tokens of a row's category in the answer: an assumption


@dataclass(frozen=True)
class Estimate:
    """One line of a dry run.

    Attributes:
        accepted: share of the instructions asked for.
        requests: for instructions, for outputs and for categories, in all.
        tokens: of prompts; of answers.
        dollars: at the prices of the settings.
        seconds: with as many requests at once as the settings allow, and no limit a minute reached.
    """

    accepted: float
    requests: int
    tokens: tuple[int, int]
    dollars: float
    seconds: float


def estimate(job: Generate, seeds: Sequence[Record], accepted: float) -> Estimate:
    """The cost of the whole target from nothing, at a share of accepted instructions above 0."""
    count = math.ceil(job.target / (job.asked * accepted))
    if job.most_requests:
        count = min(count, job.most_requests)
    prompt = sum(_tokens(asking.request(job, seeds, number).messages) for number in range(SAMPLE)) / SAMPLE
    answered = job.answers.by == "instruction"
    task = sum(_size(seed, outputs=answered) for seed in seeds) / len(seeds)
    kept = min(job.target, round(count * job.asked * accepted))
    lines = [(_share(job), count, prompt, job.asked * task)]
    if not answered:
        asked = kept
        pass_prompt = _tokens(prompts.answer("", "")) + sum(_size(seed, outputs=False) for seed in seeds) / len(seeds)
        output = sum(len(seed.output.encode()) for seed in seeds) / len(seeds) / BYTES
        named = [teacher for teacher in job.teachers if teacher.name in job.answers.teachers]
        lines.append(([(teacher, 1.0) for teacher in named] or _share(job), asked, pass_prompt, output))
    if job.categories.by == "teacher":
        name = job.categories.teacher or job.teachers[0].name
        rows = job.categories.rows
        batches = math.ceil(kept / rows) + math.ceil(len(seeds) / rows)
        shown = RUBRIC + rows * sum(_size(seed, outputs=False) for seed in seeds) / len(seeds)
        teacher = next(teacher for teacher in job.teachers if teacher.name == name)
        lines.append(([(teacher, 1.0)], batches, shown, rows * LABEL))
    dollars = sum(
        share * number * _dollars(teacher, shown, written)
        for teachers, number, shown, written in lines
        for teacher, share in teachers
    )
    seconds = sum(  # of stage after stage; the teachers of one write side by side
        max(share * number * written / SPEED / teacher.limits.concurrency for teacher, share in teachers)
        for teachers, number, _, written in lines
    )
    times = [(number * sum(share for _, share in who), shown, written) for who, number, shown, written in lines]
    tokens = (round(sum(n * shown for n, shown, _ in times)), round(sum(n * written for n, _, written in times)))
    return Estimate(accepted, round(sum(number for number, _, _ in times)), tokens, dollars, seconds)


def said(job: Generate, seeds: Sequence[Record]) -> str:
    """The estimates for several shares of accepted instructions, as a table, and what they assume."""
    lines = [("accepted", "requests", "prompt tokens", "answer tokens", "US dollars", "time")]
    for share in ACCEPTED:
        one = estimate(job, seeds, share)
        lines.append(
            (
                f"{share:.0%}",
                f"{one.requests:,}",
                f"{one.tokens[0]:,}",
                f"{one.tokens[1]:,}",
                f"{one.dollars:,.2f}",
                duration(one.seconds),
            )
        )
    within = "no limit" if job.budget.dollars is None else f"{job.budget.dollars:,.2f} dollars"
    return (
        f"{job.target:,} instructions with outputs and categories, from nothing, by the share of the {job.asked} asked "
        "for that is accepted:\n"
        f"{columns(lines[0], lines[1:])}\n"
        f"Assumed: {BYTES} bytes a token; new tasks as long as the seeds; {SPEED:.0f} tokens a second in each answer; "
        f"as many requests at once as `limits.concurrency` allows. Budget: {within}."
        + (" The batch API takes up to a day for each round." if any(one.batch == "on" for one in job.teachers) else "")
    )


def _share(job: Generate) -> list[tuple[Teacher, float]]:
    whole = sum(teacher.weight for teacher in job.teachers)
    return [(teacher, teacher.weight / whole) for teacher in job.teachers]


def _dollars(teacher: Teacher, shown: float, written: float) -> float:
    if teacher.price is None:
        return 0.0
    factor = teacher.price.batch if teacher.batch == "on" else 1.0
    return factor * (shown * teacher.price.input + written * teacher.price.output) / 1e6


def _tokens(messages: prompts.Messages) -> float:
    return sum(len(text.encode()) for _, text in messages) / BYTES


def _size(seed: Record, *, outputs: bool) -> float:
    """Tokens of a task like this seed, as JSON."""
    texts = (seed.instruction, seed.input, *([seed.output] if outputs else []))
    return sum(len(text.encode()) + 16 for text in texts) / BYTES
