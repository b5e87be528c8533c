"""What a client has done, for whoever watches it."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass(slots=True)
class Counts:
    """What a client has done so far, and what the journal's requests have cost, those of earlier runs included.

    Attributes:
        sent: attempts; `answered`: replies with an answer; `replayed`: taken from the journal.
        failed: requests that have no answer for good, `given_up` among them after too many attempts.
        in_flight: attempts on their way now; `waiting`: requests without a reply so far, those among them.
        retried: attempts that came to nothing, by reason.
        lost: attempts that were on their way when an earlier process was killed; asked again where still needed.
        uncertain_dollars: what lost attempts may have cost, at most; `reserved_dollars`: those on their way, at most.
        paused: seconds for which an endpoint wants to be left alone, by name.
        streak: refused or given up since the last answer, of the endpoint where it is longest.
    """

    sent: int = 0
    answered: int = 0
    replayed: int = 0
    failed: int = 0
    given_up: int = 0
    in_flight: int = 0
    waiting: int = 0
    retried: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    dollars: float = 0.0
    uncertain_tokens: int = 0
    uncertain_dollars: float = 0.0
    reserved_tokens: int = 0
    reserved_dollars: float = 0.0
    paused: dict[str, float] = field(default_factory=dict)
    streak: int = 0
