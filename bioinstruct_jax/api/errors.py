"""Why no more is asked. What was answered is in the journal, and the same command goes on."""


class BudgetError(Exception):
    """The next request could cost more than is left. What was on its way was finished and is in the journal."""


class StoppedError(Exception):
    """A server will not answer: wrong key, unknown model, no credit, or one failure after another."""
