"""Whether a budget bears one more attempt, in the worst case of all that has happened and is on its way.

What a server told it charged is spent. An attempt on its way is reserved at its worst: as many tokens of prompt as its
text has bytes, and as many of answer as `decoding.max_tokens`. One that was lost after it was sent (time-out, reset,
process killed, a body that cannot be read and has no usage) stays uncertain at its worst, and counts against the
budget: the server may have answered and charged it.
"""

from bioinstruct_jax.api.ledger import Cost, Ledger
from bioinstruct_jax.api.settings import Budget


def fits(ledger: Ledger, budget: Budget, more: Cost, *, alone: bool = False) -> bool:
    """Whether this much more can be spent; `alone`: once all that is on its way were to cost nothing."""
    total = ledger.spent + ledger.uncertain + more + (Cost() if alone else ledger.reserved)
    dollars, tokens = budget.dollars, budget.tokens
    return (dollars is None or total.price <= dollars * 1e12) and (tokens is None or total.tokens <= tokens)


def used_up(ledger: Ledger, budget: Budget, more: Cost) -> str:
    """What to say where it does not fit."""
    spent, may_be, reserved = ledger.spent, ledger.uncertain, ledger.reserved
    dollars = "no limit" if budget.dollars is None else f"{budget.dollars:.6g}"
    tokens = "no limit" if budget.tokens is None else f"{budget.tokens:,}"
    return (
        f"the budget is used up: {spent.dollars:.6g} dollars are spent, {may_be.dollars:.6g} may be, "
        f"{reserved.dollars:.6g} are reserved, and the next request could cost {more.dollars:.6g} (budget.dollars: "
        f"{dollars}); tokens: {spent.tokens:,}, {may_be.tokens:,}, {reserved.tokens:,} and {more.tokens:,} "
        f"(budget.tokens: {tokens}). Raise the budget, or lower decoding.max_tokens, and start the same command again"
    )
