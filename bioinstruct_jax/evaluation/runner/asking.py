"""Ask a model the questions of a task, block by block, so that memory does not grow with their number."""

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from bioinstruct_jax.evaluation.runner import cache
from bioinstruct_jax.evaluation.runner.cache import Cache
from bioinstruct_jax.evaluation.runner.job import Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.runner.ready import Asked, Ready, described
from bioinstruct_jax.reporting.progress import Progress, duration
from bioinstruct_jax.tasks.task import Task

BLOCK = 2048  # questions held at once
FLOOR = 64  # tokens that any generated answer may have: a letter may come in a sentence


class Rate:
    """Tells how far the whole evaluation is, and how long it takes at the speed so far; what was kept costs nothing."""

    def __init__(self, total: int, check: Callable[[], None] = lambda: None) -> None:
        self.total, self.done, self._asked, self._check = total, 0, 0, check
        self._began = time.monotonic()

    def add(self, asked: int, kept: int) -> None:
        """So many more questions are answered; raises what `check` does."""
        self._check()
        self.done += asked + kept
        self._asked += asked

    def left(self) -> str:
        """Words for the time left; empty before anything is known."""
        seconds = time.monotonic() - self._began
        if not self._asked or self.done >= self.total:
            return ""
        return f", {duration((self.total - self.done) * seconds / self._asked)} left"


def most_tokens(longest: int) -> int:
    """Tokens that a generated answer of a task may have, by the characters of its longest gold answer.

    Room for half as much again at three characters a token; the same for every model, so that none is cut where another
    is not.
    """
    return max(FLOOR, longest // 2 + 16)


def outputs(
    model: Ready,
    task: Task[Any, Any],
    protocol: Protocol,
    questions: Iterable[Question],
    *,
    most: int,
    kept: Cache | None,
    progress: Progress,
    rate: Rate,
) -> Iterator[tuple[Question, Output, Asked]]:
    """Each question with its output and what was asked, in order.

    Args:
        most: tokens of a generated answer.
        kept: outputs given before; new ones go there as they come. None: nothing is kept.
    """
    rest = iter(questions)
    while block := list(islice(rest, BLOCK)):
        asked = [model.requests(task, protocol, question, most) for question in block]
        keys = [cache.key(model.fingerprint, described(one)) for one in asked]
        found: dict[int, Output] = {}
        if kept is not None:
            found = {place: kept[one] for place, one in enumerate(keys) if one in kept}
        missing = [place for place in range(len(block)) if place not in found]
        rate.add(0, len(found))

        def put(
            number: int,
            output: Output,
            missing: list[int] = missing,
            found: dict[int, Output] = found,
            keys: list[str] = keys,
        ) -> None:
            place = missing[number]
            found[place] = output
            if kept is not None:
                kept.put(keys[place], output)
            rate.add(1, 0)
            progress.told(rate.done, rate.total, f"{rate.done:,} of {rate.total:,} answers{rate.left()}")

        if missing:
            model.answer(task, protocol, [(block[place], asked[place]) for place in missing], put)
        else:
            progress.told(rate.done, rate.total, f"{rate.done:,} of {rate.total:,} answers{rate.left()}")
        for place, question in enumerate(block):
            yield question, found.pop(place), asked[place]


def cache_file(folder: Path, model: Ready, task: str, protocol: Protocol) -> Path:
    """Where the outputs of a model, task and protocol are kept."""
    return folder / model.fingerprint[:16] / f"{task}-{protocol}.jsonl"
