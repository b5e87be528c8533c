"""How long it takes to keep out of a pool of instructions what is too similar to one in it, beside rouge_score.

    python -m tests.benchmarks.novelty [--rows=25005] [--seed=0] [--of=instructions|drawn] [--sample=12]

One core: nothing here starts a thread, and seconds are the processor's. Each row in turn is scored against all that
were accepted before it and accepted unless its ROUGE-L (F1) with one of them is above 0.7, as Self-Instruct has it:
once asking what is near only, once asking what is nearest at any score, as `generate` does for its rows and its
histogram. Self-Instruct scores a row against the whole pool with rouge_score: that is done for a sample of rows, each
against the pool it met, with the seconds of a pair times all pairs as its time. On these rows the decision and the
highest score must be the same.
"""

import argparse
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from rouge_score import rouge_scorer

from bioinstruct_jax.similarity.join import THRESHOLD, Match, Near
from bioinstruct_jax.similarity.tokens import words
from tests.benchmarks import instructions

SAME = 1e-12  # of a score, between rouge_score and ours


@dataclass(frozen=True)
class Filtered:
    """What a filter made of rows.

    Attributes:
        accepted: numbers of the rows, ascending.
        pairs: of a row and one accepted before it, in all.
        nearest: what each row was nearest to, as far as was asked.
        seconds: of the processor.
    """

    accepted: list[int]
    pairs: int
    nearest: list[Match | None]
    seconds: float


@dataclass(frozen=True)
class Theirs:
    """rouge_score as Self-Instruct uses it, on a sample of rows.

    Attributes:
        pools: accepted rows that each of the sample met; ``micros``: microseconds of a pair, each.
        seconds: for all pairs of the filter, extrapolated.
        difference: the largest between its highest score and ours; ``decisions``: rows judged otherwise.
    """

    pools: list[int]
    micros: list[float]
    seconds: float
    difference: float
    decisions: int


def filtered(rows: list[str], *, nearest: bool) -> Filtered:
    """Filter rows in their order."""
    pool, accepted, found, pairs = Near(), [], [], 0
    ask: Callable[[str], Match | None] = pool.nearest if nearest else pool.find
    begun = time.process_time()
    for number, row in enumerate(rows):
        pairs += len(accepted)
        match = ask(row)
        found.append(match)
        if match is None or match.score <= THRESHOLD:
            pool.add(str(number), row)
            accepted.append(number)
    return Filtered(accepted, pairs, found, time.process_time() - begun)


def theirs(rows: list[str], ours: Filtered, sample: int) -> Theirs:
    """Score rows from all over the filter as Self-Instruct does.

    Args:
        ours: made with ``nearest``.
    """
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    pools, micros, difference, decisions = [], [], 0.0, 0
    for place in range(1, sample + 1):
        number = len(rows) * place // sample - 1
        pool = [rows[one] for one in ours.accepted if one < number]
        if not pool:
            continue
        begun = time.process_time()
        highest = max(scorer.score(rows[number], other)["rougeL"].fmeasure for other in pool)
        micros.append((time.process_time() - begun) / len(pool) * 1e6)
        pools.append(len(pool))
        match = ours.nearest[number]
        score = match.score if match else 0.0
        difference = max(difference, abs(highest - score))
        # A score of exactly 0.7 may come out of their three roundings as more: no decision is asked of it.
        decisions += abs(score - THRESHOLD) > SAME and (highest > THRESHOLD) != (score > THRESHOLD)
    return Theirs(pools, micros, sum(micros) / len(micros) * ours.pairs / 1e6, difference, decisions)


def main(args: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.novelty")
    parser.add_argument("--rows", type=int, default=25_005)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--of", choices=["instructions", "drawn"], default="instructions")
    parser.add_argument("--sample", type=int, default=12, help="rows that rouge_score judges too")
    asked = parser.parse_args(args)
    rows = list(getattr(instructions, asked.of)(asked.rows, asked.seed))
    tokens = [words(row) for row in rows]
    print(
        f"{len(rows):,} rows of {sum(map(len, tokens)) / len(rows):.1f} words, {len(set().union(*tokens)):,} different"
    )
    del tokens
    near = filtered(rows, nearest=False)
    print(f"filter                 {near.seconds:9.1f} s, {len(near.accepted):,} accepted, {near.pairs:,} pairs")
    ours = filtered(rows, nearest=True)
    print(f"filter with nearest    {ours.seconds:9.1f} s, {len(ours.accepted):,} accepted")
    print(f"peak memory            {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:9.2f} GiB")
    other = theirs(rows, ours, asked.sample)
    print(
        f"rouge_score            {other.seconds:9.0f} s, from {len(other.pools)} rows that met {min(other.pools):,} to "
        f"{max(other.pools):,} others, {min(other.micros):.0f} to {max(other.micros):.0f} microseconds a pair"
    )
    print(
        f"ratio                  {other.seconds / near.seconds:9,.0f}, with nearest {other.seconds / ours.seconds:,.0f}"
    )
    print(f"largest difference     {other.difference:9.1e}, other decisions {other.decisions}")
    same = ours.accepted == near.accepted and other.difference <= SAME and not other.decisions
    if not same:
        print("the filters do not agree", file=sys.stderr)
    return 0 if same else 1


if __name__ == "__main__":
    raise SystemExit(main())
