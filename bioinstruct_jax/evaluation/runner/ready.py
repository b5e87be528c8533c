"""A model that is ready to be asked, whatever runs it, and how a question is put to it."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from typing import Protocol as Interface

from bioinstruct_jax.data import prompts
from bioinstruct_jax.evaluation.language_model import (
    Completion,
    CompletionRequest,
    LanguageModel,
    Score,
    ScoreRequest,
    Text,
    TooLong,
)
from bioinstruct_jax.evaluation.models.predictions import Predictions
from bioinstruct_jax.evaluation.models.server import ServerModel, messages
from bioinstruct_jax.evaluation.runner import outputs, questions
from bioinstruct_jax.evaluation.runner.job import Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.tasks.task import Task

STOPS = {"alpaca": ("\n### Instruction:",), "medtuned": ("\n### Instruction:",)}  # where a base goes on by itself

Put = Callable[[int, Output], None]  # called with a question's place and its output, as soon as it is known


class Ready(Interface):
    """A model that answers questions.

    Attributes:
        name: by which tables and files know it.
        fingerprint: hash of all that its answers depend on, but for the question.
        protocols: in which it can be asked.
        notes: what a reader should know: another template than in training, an unknown one.
        told: what stands in the results file: where it lies, dtype, template.
        keeps: whether its answers are worth keeping; those of a file are there anyway, a server has a journal.
    """

    name: str
    fingerprint: str
    protocols: tuple[Protocol, ...]
    notes: list[str]
    told: dict[str, Any]
    keeps: bool

    def arguments(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> list[Any]:
        """The question as the model sees it, for its key and the samples file: a list of JSON values."""
        ...

    def ask(self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[Question], most: int, put: Put) -> None:
        """Answer questions; ``most``: tokens of a generated answer."""
        ...


@dataclass
class Local:
    """A language model of this process, JAX or transformers. Implements `Ready`."""

    name: str
    fingerprint: str
    language_model: LanguageModel
    template: prompts.Template
    notes: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    protocols: tuple[Protocol, ...] = ("harness", "likelihood", "generated")
    keeps: bool = True

    def arguments(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> list[Any]:
        if protocol == "generated":
            request = self._completion(question, most)
            return [[shown(request.prompt), {"until": list(request.stop), "max_gen_toks": most, "temperature": 0.0}]]
        requests = questions.score_requests(question, task, protocol, self.template)
        return [[shown(one.context), one.continuation] for one in requests]

    def ask(self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[Question], most: int, put: Put) -> None:
        if protocol == "generated":
            requests = [self._completion(question, most) for question in asked]

            def take(place: int, result: Completion | TooLong) -> None:
                put(place, outputs.of_completion(result))

            self.language_model.complete(requests, take)
            return
        flat: list[ScoreRequest] = []
        owner: list[tuple[int, int]] = []  # question and choice of each request
        found: list[dict[int, Score | TooLong]] = [{} for _ in asked]
        sizes = []
        for place, question in enumerate(asked):
            some = questions.score_requests(question, task, protocol, self.template)
            sizes.append(len(some))
            flat += some
            owner += [(place, choice) for choice in range(len(some))]

        def gather(number: int, result: Score | TooLong) -> None:
            place, choice = owner[number]
            found[place][choice] = result
            if len(found[place]) == sizes[place]:
                put(place, outputs.of_scores([found[place][one] for one in range(sizes[place])]))

        self.language_model.loglikelihood(flat, gather)

    def _completion(self, question: Question, most: int) -> CompletionRequest:
        return CompletionRequest(
            questions.rendered(question, self.template),
            most,
            stop=STOPS.get(self.template.name, ()),
            stop_tokens=(self.template.end,),
        )


@dataclass
class Served:
    """A model behind a server. Implements `Ready`."""

    name: str
    fingerprint: str
    server: ServerModel
    notes: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    protocols: tuple[Protocol, ...] = ("generated",)
    keeps: bool = False

    def arguments(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> list[Any]:
        said = [{"role": role, "content": text} for role, text in messages(question.record)]
        return [[json.dumps(said, ensure_ascii=False), {"max_gen_toks": most, "temperature": 0.0}]]

    def ask(self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[Question], most: int, put: Put) -> None:
        keyed = ((f"{protocol}/{question.id}", question.record) for question in asked)
        self.server.answer(keyed, put, max_tokens=most)


@dataclass
class Foretold:
    """A model whose outputs were made elsewhere. Implements `Ready`."""

    name: str
    fingerprint: str
    predictions: Predictions
    notes: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    protocols: tuple[Protocol, ...] = ("harness", "likelihood", "generated")
    keeps: bool = False

    def arguments(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> list[Any]:
        return [["", {"made elsewhere": True}]]

    def ask(self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[Question], most: int, put: Put) -> None:
        for place, question in enumerate(asked):
            put(place, self.predictions.output(task.name, protocol, question.id))


def shown(text: Text) -> str:
    """A prompt as one text, control tokens by their names."""
    return text if isinstance(text, str) else "".join(piece.text for piece in text)


def previewed(question: Question, task: Task[Any, Any], protocol: Protocol, template: prompts.Template) -> str:
    """A question for people: the prompt, and behind it what is ranked, or the gold answer."""
    if protocol == "generated":
        return f"{shown(questions.rendered(question, template))}\n--- gold: {question.record.output}"
    requests = questions.score_requests(question, task, protocol, template)
    ranked = ", ".join(repr(one.continuation) for one in requests)
    return f"{shown(requests[0].context)}\n--- ranked: {ranked}; gold: {question.record.output!r}"
