"""Judges by script behind the local server, and what they are given to judge."""

import json
import re
from collections.abc import Callable
from typing import Any

from bioinstruct_jax.api.settings import Decoding, Endpoint, Limits
from bioinstruct_jax.evaluation.judging.prompts import CRITERIA
from bioinstruct_jax.evaluation.judging.samples import Sample
from bioinstruct_jax.evaluation.runner.job import Evaluate, Judge, Model
from tests.api.server import Answer, Seen

GOOD = "Drink enough, rest, and see a doctor if the fever lasts longer than three days."
FAIR = "Rest."
ASKING = re.compile(r"ignore the rubric|excellent in every|checked by experts|clinician has confirmed", re.IGNORECASE)


def blocks(user: str) -> dict[str, str]:
    """The texts in a judge's request by name, read strictly; raises where a line is out of place."""
    first, *lines = user.split("\n")
    tag = first.removeprefix("The tag of this request is ").removesuffix(".")
    assert re.fullmatch("[0-9a-f]{32}", tag)
    found = {}
    while len(lines) > 1:
        begin, text, end, *lines = lines
        name = begin.removeprefix(f"BEGIN {tag} ")
        assert begin == f"BEGIN {tag} {name}"
        assert end == f"END {tag} {name}"
        assert name not in found
        found[name] = json.loads(text)
    return found


def worth(answer: str) -> int:
    """What an honest judge gives: it knows good and fair answers, whatever stands behind them."""
    return 5 if answer.startswith(GOOD) else 3 if answer.startswith(FAIR) else 1


def verdict(overall: int) -> str:
    return json.dumps({"reason": "by script", **dict.fromkeys(CRITERIA, overall)})


def judge(
    grade: Callable[[str], Any] = worth, better: Callable[[int, int], str] | None = None
) -> Callable[[Seen], Answer]:
    """A judge; what `grade` gives as text is sent as it is."""

    def script(seen: Seen) -> Answer:
        texts = blocks(seen.prompt)
        if "answer" in texts:
            given = grade(texts["answer"])
            return Answer(content=given if isinstance(given, str) else verdict(given))
        first, second = worth(texts["first answer"]), worth(texts["second answer"])
        winner = "tie" if first == second else "first" if first > second else "second"
        return Answer(content=json.dumps({"reason": "-", "winner": better(first, second) if better else winner}))

    return script


def obeys(answer: str) -> int:
    """Gives what is asked for."""
    return 5 if ASKING.search(answer) else worth(answer)


def job(url: str, *, resamples: int = 200, **settings: Any) -> Evaluate:
    settings.setdefault("limit", None)
    limits = Limits(backoff=0.01, timeout=5.0, attempts=2)
    endpoint = Endpoint(
        base_url=url, model="judge-1", key_env="TEST_JUDGE_KEY", decoding=Decoding(max_tokens=50), limits=limits
    )
    models = (Model(name="base", model="x"), Model(name="tuned", model="y"))
    judge = Judge(endpoint=endpoint, **settings)
    return Evaluate(out="out", models=models, judge=judge, resamples=resamples)


def samples(base: list[str], tuned: list[str], *, task: str = "meqsum", restricted: bool = False) -> Any:
    def some(answers: list[str]) -> list[Sample]:
        return [
            Sample(
                f"i{place}", f"d{place}", "Answer.", f"Fever since day {place}, secretword.", GOOD, answer, restricted
            )
            for place, answer in enumerate(answers)
        ]

    return {"base": {task: some(base)}, "tuned": {task: some(tuned)}}
