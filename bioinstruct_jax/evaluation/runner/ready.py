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
    plain,
)
from bioinstruct_jax.evaluation.models.predictions import Predictions
from bioinstruct_jax.evaluation.models.server import ServerModel, messages
from bioinstruct_jax.evaluation.runner import outputs, questions
from bioinstruct_jax.evaluation.runner.job import PROTOCOLS, Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.tasks.task import Task

STOPS = {"alpaca": ("\n### Instruction:",), "medtuned": ("\n### Instruction:",)}  # where a base goes on by itself

Asked = list[ScoreRequest] | CompletionRequest | None  # a request for each choice, or one that is completed
Put = Callable[[int, Output], None]  # called with a question's place and its output, as soon as it is known


class Ready(Interface):
    """A model that answers questions.

    Attributes:
        name: by which tables and files know it.
        fingerprint: hash of all that its answers depend on, but for the question.
        notes: what a reader should know: another template than in training, an unknown one.
        told: what stands in the results file: where it lies, dtype, template.
        keeps: whether its answers are worth keeping; those of a file are there anyway, a server has a journal.
    """

    name: str
    fingerprint: str
    notes: list[str]
    told: dict[str, Any]
    keeps: bool

    def protocols(self, task: Task[Any, Any]) -> tuple[Protocol, ...]:
        """In which it can be asked a task."""
        ...

    def requests(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> Asked:
        """A question as the model sees it; ``most``: tokens of a generated answer. None where it is asked nothing."""
        ...

    def answer(
        self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[tuple[Question, Asked]], put: Put
    ) -> None:
        """Answer questions of one task, each with what `requests` made of it."""
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
    keeps: bool = True

    def protocols(self, task: Task[Any, Any]) -> tuple[Protocol, ...]:
        return PROTOCOLS

    def requests(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> Asked:
        """What the model is asked for a question: scores of choices, or a completion of at most `most` tokens."""
        if protocol != "generated":
            return questions.score_requests(question, task, protocol, self.template)
        return CompletionRequest(
            questions.rendered(question, self.template),
            most,
            stop=STOPS.get(self.template.name, ()),
            stop_tokens=(self.template.end,),
        )

    def answer(
        self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[tuple[Question, Asked]], put: Put
    ) -> None:
        """Ask in one batch; `put` is called with the place of a question and its output."""
        if protocol == "generated":

            def take(place: int, result: Completion | TooLong) -> None:
                put(place, outputs.of_completion(result))

            prompts_ = [request for _, request in asked if isinstance(request, CompletionRequest)]
            self.language_model.complete(prompts_, take)
            return
        flat = [
            (place, choice, request)
            for place, (_, some) in enumerate(asked)
            if isinstance(some, list)
            for choice, request in enumerate(some)
        ]
        found: list[dict[int, Score | TooLong]] = [{} for _ in asked]

        def gather(number: int, result: Score | TooLong) -> None:
            place, choice, _ = flat[number]
            found[place][choice] = result
            some = asked[place][1]
            if isinstance(some, list) and len(found[place]) == len(some):
                put(place, outputs.of_scores([found[place][one] for one in range(len(some))]))

        self.language_model.loglikelihood([request for _, _, request in flat], gather)


@dataclass
class Served:
    """A model behind a server. Implements `Ready`."""

    name: str
    fingerprint: str
    server: ServerModel
    notes: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    keeps: bool = False

    def protocols(self, task: Task[Any, Any]) -> tuple[Protocol, ...]:
        return ("generated",)

    def requests(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> Asked:
        said = [{"role": role, "content": text} for role, text in messages(question.record)]
        return CompletionRequest(json.dumps(said, ensure_ascii=False), most)

    def answer(
        self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[tuple[Question, Asked]], put: Put
    ) -> None:
        """Ask the server; `put` is called with the place of a question and its output."""
        keyed = [(f"{protocol}/{question.id}", question.record) for question, _ in asked]
        most = max((one.max_tokens for _, one in asked if isinstance(one, CompletionRequest)), default=1)
        self.server.answer(keyed, put, max_tokens=most)


@dataclass
class Foretold:
    """A model whose outputs were made elsewhere. Implements `Ready`."""

    name: str
    fingerprint: str
    predictions: Predictions
    notes: list[str] = field(default_factory=list)
    told: dict[str, Any] = field(default_factory=dict)
    keeps: bool = False

    def protocols(self, task: Task[Any, Any]) -> tuple[Protocol, ...]:
        return self.predictions.protocols(task.name)

    def requests(self, task: Task[Any, Any], protocol: Protocol, question: Question, most: int) -> Asked:
        return None

    def answer(
        self, task: Task[Any, Any], protocol: Protocol, asked: Sequence[tuple[Question, Asked]], put: Put
    ) -> None:
        """Look answers up; ValueError for a kind of prediction that the task does not take."""
        entities = task.family.name == "entities"
        labelled = bool(task.labels) and not entities
        for place, (question, _) in enumerate(asked):
            words = task.family.question(question.item)
            output = self.predictions.output(task.name, protocol, question.id, question=words)
            if output and ((output.tags is not None and not entities) or (output.label is not None and not labelled)):
                kind, needs = ("tags", "label or output") if output.tags is not None else ("a label", "tags or output")
                raise ValueError(f"{self.name}: {question.id} has {kind}, and its task {task.name} takes {needs}")
            put(place, output or Output(problem="there is no prediction"))


def described(request: Asked) -> list[Any]:
    """A request as plain JSON values, equal for equal requests: what a key is made of."""
    match request:
        case CompletionRequest():
            return [_pieces(request.prompt), *(value for name, value in vars(request).items() if name != "prompt")]
        case None:
            return []
    return [[_pieces(one.context), one.continuation] for one in request]


def _pieces(text: Text) -> Any:
    return text if isinstance(text, str) else [[piece.text, piece.control] for piece in text]


def previewed(question: Question, task: Task[Any, Any], protocol: Protocol, template: prompts.Template) -> str:
    """A question for people: the prompt, and behind it what is ranked, or the gold answer."""
    if protocol == "generated":
        return f"{plain(questions.rendered(question, template))}\n--- gold: {question.record.output}"
    requests = questions.score_requests(question, task, protocol, template)
    ranked = ", ".join(repr(one.continuation) for one in requests)
    return f"{plain(requests[0].context)}\n--- ranked: {ranked}; gold: {question.record.output!r}"
