"""The pool of accepted instructions, filled in the order of the requests and of the places in their answers.

What is accepted depends on the settings and the answers alone: not on when an answer came, on how many were asked for
at once, or on how often the run was interrupted.
"""

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bioinstruct_jax.api.request import Reply
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation.contamination import HeldOut, Met
from bioinstruct_jax.generation.draw import Draw
from bioinstruct_jax.generation.filters import problem
from bioinstruct_jax.generation.item import Accepted, Broken, Item, Rejected
from bioinstruct_jax.generation.job import Generate
from bioinstruct_jax.generation.parsing import parse
from bioinstruct_jax.similarity.duplicates import Exact, NearDuplicates
from bioinstruct_jax.similarity.join import Near

LEAST_BODY = 12  # words of input and output together, below which equal ones say nothing: "yes" is many answers


@dataclass(frozen=True)
class Answer:
    """What the second pass gave a candidate: texts and who wrote them, or a reason and a detail."""

    input: str = ""
    output: str = ""
    by: str = ""
    reason: str = ""
    detail: str = ""


@dataclass
class Candidate:
    """An instruction that is new and in order, and may still want its output."""

    row: Accepted
    classification: bool
    met: list[Met]


@dataclass(frozen=True)
class Point:
    """Where the pool stood when the answer to a request had been filtered."""

    number: int
    accepted: int
    rejected: int


class Pool:
    """Takes replies in order; `accepted` and `rejected` are what became of their items.

    Attributes:
        next: number of the reply that is to be taken next.
        barren: requests one after another, up to the last whose items all have their end, of which none was accepted.
        ended: the target is reached, or `barren` is what the settings bear; what comes behind does not count.
        reasons: rejected so far by reason, those beyond the target too.
        failed: requests without an answer, by problem.
        contaminated: items that met an evaluation row, by task and test.
    """

    def __init__(self, job: Generate, seeds: Sequence[Record], *, prompt: str, held_out: HeldOut | None):
        self._job, self._prompt, self._held_out = job, prompt, held_out
        self._second_pass = job.answers.by == "second_pass"
        self._accepted: list[Accepted] = []
        self._rejected: list[tuple[tuple[int, int], Rejected]] = []  # by request and place
        self._waiting: deque[Candidate] = deque()
        self._met: list[tuple[str, list[Met]]] = []  # id of the item
        self._seen = Exact()
        self._near = Near()
        self._bodies = NearDuplicates(job.filters.rouge_l)
        self._failed: list[tuple[int, str]] = []
        self.reasons: Counter[str] = Counter()
        self.next = self.barren = 0
        self._open: deque[list[int]] = deque()  # requests, in order: number, candidates that wait, and accepted rows
        self._seen_items: list[tuple[int, int]] = []
        self._end: tuple[float, float] | None = None  # request and place of the last item that counts
        for seed in seeds:
            self._seen.add(seed.id, seed.instruction)
            self._near.add(seed.id, seed.instruction)
            self._near_body(seed.id, seed.input, seed.output)

    def take(self, drawn: Draw, key: str, reply: Reply) -> list[Candidate]:
        """Filters the items of the next reply.

        Returns:
            Those that now want their output, in order; none where the outputs came with them.
        """
        number, self.next = self.next, self.next + 1
        if reply.problem:
            self._failed.append((number, reply.problem))
        found: list[Candidate] = []
        self._open.append([number, 0, 0])
        parsed = [] if reply.problem else parse(reply.text, truncated=reply.finish == "length")
        for count, item in enumerate(parsed):
            made = self._judge(item, number, count, drawn, key)
            self._seen_items.append((number, item.place))
            if isinstance(made, Rejected):
                self._reject(made)
            elif self._second_pass:
                self._waiting.append(made)
                self._open[-1][1] += 1
                found.append(made)
            else:
                self._met_by(made)
                self._accept(made.row)
                self._open[-1][2] += 1
        self._close()
        return found

    def settle(self, answer: Answer) -> None:
        """What the second pass gave the candidate that has waited longest."""
        candidate = self._waiting.popleft()
        row = replace(candidate.row, input=answer.input, output=answer.output, answered_by=answer.by)
        item = Item(0, row.instruction, row.input, row.output, candidate.classification)
        refused: tuple[str, str] | None = (answer.reason, answer.detail) if answer.reason else None
        refused = refused or problem(item, self._job.filters) or self._contaminated(candidate, row)
        if refused or (refused := self._near_body(row.id, row.input, row.output)):
            self._reject(_rejected(row, *refused))
        else:
            self._met_by(candidate)
            self._accept(row)
            self._open[0][2] += 1
        self._open[0][1] -= 1
        self._close()

    def _accept(self, row: Accepted) -> None:
        self._accepted.append(row)
        if self._end is None and len(self._accepted) == self._job.target:
            self._end = _order(row.id)

    def _close(self) -> None:
        """Requests whose items all have their end, in order: how many one after another brought nothing."""
        while self._open and not self._open[0][1]:
            number, _, accepted = self._open.popleft()
            self.barren = 0 if accepted else self.barren + 1
            if self._end is None and self.barren == self._job.patience:
                self._end = (number, math.inf)

    @property
    def ended(self) -> bool:
        return self._end is not None

    @property
    def waiting(self) -> int:
        """Candidates that want an output, of those that count."""
        return sum(self._counts(_order(one.row.id)) for one in self._waiting)

    @property
    def due(self) -> str:
        """The id of the candidate that is to be settled next; empty: none waits."""
        return self._waiting[0].row.id if self._waiting else ""

    @property
    def seen(self) -> int:
        """Items of the answers, broken ones too, up to the last that counts."""
        return sum(map(self._counts, self._seen_items))

    @property
    def count(self) -> int:
        """Accepted so far, those beyond the target too."""
        return len(self._accepted)

    @property
    def full(self) -> bool:
        """Whether the target is reached."""
        return self._end is not None and self._end[1] < math.inf

    @property
    def accepted(self) -> list[Accepted]:
        """Those that count: the first, as many as are wanted."""
        return [row for row in self._accepted if self._counts(_order(row.id))]

    @property
    def rejected(self) -> list[Rejected]:
        """Those that count, in the order of requests."""
        return [row for place, row in sorted(self._rejected, key=lambda pair: pair[0]) if self._counts(place)]

    @property
    def failed(self) -> Counter[str]:
        return Counter(why for number, why in self._failed if self._counts((number, -1)))

    @property
    def contaminated(self) -> dict[str, Counter[str]]:
        """By task and test: items that met any row of it, each once."""
        found = dict[str, Counter[str]]()
        for id, met in self._met:
            if self._counts(_order(id)):
                for task, test in {(one.task, one.test) for one in met}:
                    found.setdefault(task, Counter())[test] += 1
        return found

    @property
    def points(self) -> list[Point]:
        """The course of the pool, request by request."""
        rejected = Counter(place[0] for place, _ in self._rejected if self._counts(place))
        accepted = Counter(_order(row.id)[0] for row in self.accepted)
        course, sums = [], [0, 0]
        for number in range(self.next if self._end is None else int(self._end[0]) + 1):
            sums = [sums[0] + accepted[number], sums[1] + rejected[number]]
            course.append(Point(number, *sums))
        return course

    def _counts(self, place: tuple[int, int]) -> bool:
        return self._end is None or place <= self._end

    def _judge(self, item: Item | Broken, number: int, count: int, drawn: Draw, key: str) -> Candidate | Rejected:
        row = Accepted(
            id=f"{number:06d}.{item.place:03d}",
            instruction="" if isinstance(item, Broken) else item.instruction.strip(),
            input="" if isinstance(item, Broken) else item.input.strip(),
            output=item.text if isinstance(item, Broken) else item.output.strip(),
            category="",
            seeds=tuple(seed.id for seed in drawn.seeds),
            teacher=drawn.teacher.name,
            model=drawn.teacher.model,
            prompt=self._prompt,
            request=key,
            nearest="",
            similarity=0.0,
            answered_by="" if self._second_pass else drawn.teacher.name,
        )
        if isinstance(item, Broken):
            return _rejected(row, item.reason, "its first characters stand as the output")
        if count >= self._job.asked:
            return _rejected(row, "surplus", f"{self._job.asked} were asked for")
        if refused := problem(item, self._job.filters, answered=not self._second_pass):
            return _rejected(row, *refused)
        candidate = Candidate(row, item.classification, [])
        if refused := self._contaminated(candidate, row):
            return _rejected(row, *refused)
        if (same := self._seen.find(row.instruction)) is not None:
            return _rejected(row, "duplicate", f"of {same}")
        nearest = self._near.nearest(row.instruction)
        if nearest is not None and nearest.score > self._job.filters.rouge_l:
            return _rejected(row, "too_similar", f"ROUGE-L {nearest.score:.4f} with {nearest.id}")
        if not self._second_pass and (refused := self._near_body(row.id, row.input, row.output)):
            return _rejected(row, *refused)
        if nearest is not None:
            candidate.row = replace(row, nearest=nearest.id, similarity=nearest.score)
        self._seen.add(row.id, row.instruction)
        self._near.add(row.id, row.instruction)
        return candidate

    def _contaminated(self, candidate: Candidate, row: Accepted) -> tuple[str, str] | None:
        if self._held_out is None:
            return None
        candidate.met = self._held_out.find(row.instruction, row.input, row.output)
        if not candidate.met or self._job.decontamination.action == "report":
            return None
        self._met_by(candidate)
        first = candidate.met[0]
        return "contaminated", f"{first.test} {first.score:.4f} with {first.item} of {first.task}"

    def _met_by(self, candidate: Candidate) -> None:
        if candidate.met:
            self._met.append((candidate.row.id, candidate.met))

    def _near_body(self, id: str, input: str, output: str) -> tuple[str, str] | None:
        text = f"{input}\n{output}"
        if not self._job.filters.near_duplicates or len(text.split()) < LEAST_BODY:
            return None
        match = self._bodies.see(id, text)
        return ("near_duplicate", f"input and output: ROUGE-L {match.score:.4f} with {match.id}") if match else None

    def _reject(self, row: Rejected) -> None:
        self._rejected.append((_order(row.id), row))
        self.reasons[row.reason] += 1


def _order(id: str) -> tuple[int, int]:
    number, place = id.split(".")
    return int(number), int(place)


def _rejected(row: Accepted, reason: str, detail: str) -> Rejected:
    return Rejected(row.id, reason, detail, row.instruction, row.input, row.output, row.teacher, row.request)
