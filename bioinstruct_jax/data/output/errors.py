"""What can be wrong with an output, told before or instead of writing it."""

from collections.abc import Mapping

from bioinstruct_jax.data import guard


class OutputError(ValueError):
    """An output folder that cannot be written or trusted. The message names it and says what to do."""


class RestrictedError(OutputError, guard.RestrictedError):
    """Rows whose licence forbids what was asked for."""


def refuse_restricted(rows: Mapping[str, int], *, form: str) -> None:
    """Raises RestrictedError, naming every source and its rows, if `rows` of restricted sources (by name) has any."""
    if found := {source: count for source, count in sorted(rows.items()) if count}:
        named = ", ".join(f"{source} ({count:,} rows)" for source, count in found.items())
        raise RestrictedError(
            f"form {form} is made to be passed on, and the licence of {named} is restricted: its text may not leave "
            f"this machine. Leave {'it' if len(found) == 1 else 'them'} out, or write alpaca, chat or parquet to a "
            "folder of your own"
        )
