"""What a model gave for one question, whichever way it was asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from bioinstruct_jax.evaluation.language_model import Completion, Score, TooLong


@dataclass(frozen=True, slots=True)
class Output:
    """What a model gave.

    Attributes:
        text: what it wrote; None where it was asked for log-likelihoods, or gave nothing.
        finish: why it stopped: end, stop, length, context, or a server's own word; empty where not known.
        loglikelihoods: of each choice, in nats; empty where the answer was generated.
        greedy: of each choice, whether the model would have written it by itself.
        unfit: (tokens, limit) where the question is longer than the model's context; nothing was cut.
        problem: why a server gave no answer, in a few words.
        label: an answer made elsewhere, already as a label; None: there is none, or `text` has it.
        tags: an answer made elsewhere as tags, one a token of the item; None as `label`.
    """

    text: str | None = None
    finish: str = ""
    loglikelihoods: tuple[float, ...] = ()
    greedy: tuple[bool, ...] = ()
    unfit: tuple[int, int] | None = None
    problem: str = ""
    label: str | None = None
    tags: tuple[str, ...] | None = None


def of_completion(result: Completion | TooLong) -> Output:
    """The output behind a completion."""
    if isinstance(result, TooLong):
        return Output(unfit=(result.tokens, result.limit))
    return Output(text=result.text, finish=result.finish)


def of_scores(results: Sequence[Score | TooLong]) -> Output:
    """The output behind the scores of an item's choices; one choice that does not fit makes the item unfit."""
    long = [result for result in results if isinstance(result, TooLong)]
    if long:
        return Output(unfit=(max(one.tokens for one in long), long[0].limit))
    scores = [result for result in results if isinstance(result, Score)]
    return Output(
        loglikelihoods=tuple(score.loglikelihood for score in scores), greedy=tuple(score.greedy for score in scores)
    )
