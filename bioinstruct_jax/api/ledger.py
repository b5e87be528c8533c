"""What the lines of a journal say: replies, what was spent, what is on its way, what was given up.

One function takes a line, whether it was written a moment ago or is read again, so that both come to the same.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from bioinstruct_jax.api.answers import Attempt, Kind, Verdict, lost, read
from bioinstruct_jax.api.request import Reply

VERSION = 1
Id = tuple[str, str]  # key and fingerprint of a request
Line = Mapping[str, Any]


class LaterError(Exception):
    """A later version of this program wrote the journal."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens, and dollars in 1e-12, so that sums are exact."""

    input: int = 0
    output: int = 0
    price: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.input + other.input, self.output + other.output, self.price + other.price)

    def __sub__(self, other: "Cost") -> "Cost":
        return Cost(self.input - other.input, self.output - other.output, self.price - other.price)

    @property
    def tokens(self) -> int:
        return self.input + self.output

    @property
    def dollars(self) -> float:
        return self.price / 1e12


def cost(attempt: Attempt, tokens_in: int, tokens_out: int) -> Cost:
    """What so many tokens of an attempt cost, in dollars at the attempt's prices."""
    return Cost(tokens_in, tokens_out, tokens_in * attempt.input_price + tokens_out * attempt.output_price)


def worst(attempt: Attempt) -> Cost:
    """What an attempt costs at most."""
    return cost(attempt, attempt.input_most, attempt.output_most)


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that went to the batch API together.

    Attributes:
        number: in the journal, from 1; ``name``: by which the server's list of batches shows it.
        endpoint, address: where it was sent; the address is that of `Endpoint`, with the model.
        attempts: by their ids, those without an outcome.
        file, id: of the server; empty until known.
    """

    number: int
    name: str
    endpoint: str
    address: str
    attempts: dict[int, Attempt]
    file: str = ""
    id: str = ""


@dataclass(slots=True)
class Ledger:
    """The state that lines add up to.

    Attributes:
        replies: what a request was answered with, also where for good with nothing.
        under_way: attempts sent and without an outcome, by id; ``reserved``: what they cost at most.
        spent: what servers told, and guesses where they did not; ``uncertain``: what they may have charged beyond it:
            attempts lost after they were sent, in full; answers without usage, up to the most they can have cost.
        lost: attempts that were on their way when a process was killed.
        streaks: of each endpoint, the requests refused or given up since its last answer, in order, with the problem.
        modes: of each address, the response_format that it was found to take.
        batches: those not yet finished, by number.
        memos: what whoever asks keeps beside the answers, by name.
    """

    replies: dict[Id, Reply] = field(default_factory=dict)
    under_way: dict[int, Attempt] = field(default_factory=dict)
    reserved: Cost = Cost()
    spent: Cost = Cost()
    uncertain: Cost = Cost()
    lost: int = 0
    streaks: dict[str, dict[Id, str]] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    batches: dict[int, Batch] = field(default_factory=dict)
    memos: dict[str, str] = field(default_factory=dict)
    last_attempt: int = 0
    last_batch: int = 0

    def take(self, line: Line) -> Verdict | None:
        """Add what a line says; of an outcome of an attempt, the verdict.

        Raises KeyError, TypeError, ValueError or AttributeError for a line that is none, and has then added nothing.
        """
        match line["kind"]:
            case "journal":
                if int(line["version"]) > VERSION:
                    raise LaterError
            case "sent":
                self._send(_attempt(line))
            case "response":
                attempt = _attempt(line)
                return self._end(attempt, read(attempt, int(line["status"]), line["body"]))
            case "fault":
                attempt = _attempt(line)
                return self._end(attempt, lost(attempt, str(line["problem"]), charged=bool(line["charged"])))
            case "outcome":
                identity, endpoint, problem = (line["key"], line["fingerprint"]), line["endpoint"], line["problem"]
                self.replies.setdefault(identity, Reply(identity[0], "", problem=problem))
                if line["why"] != Kind.FILTERED:
                    self.streaks.setdefault(endpoint, {})[identity] = problem
            case "reopened":
                for key, fingerprint in line["requests"]:
                    self.replies.pop((key, fingerprint), None)
                self.streaks[line["endpoint"]] = {}
            case "structured":
                self.modes[line["address"]] = line["mode"]
            case "memo":
                self.memos[str(line["name"])] = str(line["value"])
            case "batch" | "uploaded" | "submitted" | "finished":
                self._batch(line)
            case other:
                raise ValueError(f"kind {other!r}")
        return None

    def abandon(self) -> None:
        """Count what is still on its way as lost: its process is gone. Batches go on without a process."""
        for attempt in [other for other in self.under_way.values() if other.batch not in self.batches]:
            sent = not attempt.batch  # a batch is in the journal before its first byte is sent
            self._end(attempt, lost(attempt, "its process ended", charged=sent))
            self.lost += sent

    def _send(self, attempt: Attempt) -> None:
        self.under_way[attempt.id] = attempt
        self.reserved += worst(attempt)
        self.last_attempt = max(self.last_attempt, attempt.id)

    def _end(self, attempt: Attempt, verdict: Verdict) -> Verdict:
        self.last_attempt = max(self.last_attempt, attempt.id)
        if (known := self.under_way.pop(attempt.id, None)) is not None:
            self.reserved -= worst(known)
        if attempt.batch in self.batches:
            self.batches[attempt.batch].attempts.pop(attempt.id, None)
        self.spent += cost(attempt, verdict.input_tokens, verdict.output_tokens)
        self.uncertain += cost(attempt, verdict.uncertain_input, verdict.uncertain_output)
        identity = (attempt.key, attempt.fingerprint)
        match verdict.kind:
            case Kind.ANSWERED:
                self.replies[identity] = verdict.reply(attempt.key)
                self.streaks.pop(attempt.endpoint, None)
            case Kind.FILTERED:
                self.replies[identity] = verdict.reply(attempt.key)
            case Kind.REFUSED:
                self.replies[identity] = verdict.reply(attempt.key)
                self.streaks.setdefault(attempt.endpoint, {})[identity] = verdict.problem
        return verdict

    def _batch(self, line: Line) -> None:
        number = int(line["batch"])
        match line["kind"]:
            case "batch":
                attempts = {
                    attempt.id: attempt for attempt in self.under_way.values() if attempt.batch == number
                }  # their lines stand before this one
                self.batches[number] = Batch(number, line["name"], line["endpoint"], line["address"], attempts)
                self.last_batch = max(self.last_batch, number)
            case "uploaded":
                self.batches[number] = replace(self.batches[number], file=str(line["file"]))
            case "submitted":
                self.batches[number] = replace(self.batches[number], id=str(line["id"]))
            case _:
                self.batches.pop(number, None)


_FIELDS = {name: field.type for name, field in Attempt.__dataclass_fields__.items()}


def attempt_line(kind: str, attempt: Attempt, **more: Any) -> dict[str, Any]:
    """A line about an attempt: it says all of it, so that each can be read without the others."""
    return {"kind": kind, **asdict(attempt), **more}


def _attempt(line: Line) -> Attempt:
    values = {name: line[name] for name in _FIELDS}
    for name, kind in _FIELDS.items():
        if type(values[name]) is not kind:
            raise TypeError(f"{name} is {values[name]!r}")
    return Attempt(**values)
