"""How many stored outputs a second are scored, by kind of answer, on items made here.

    python -m tests.benchmarks.scoring [--items 2000]

One core, one model, extraction and all scores. `mix` is what 100,000 outputs take where each kind has as many.
"""

import argparse
import random
import time
from typing import Any

from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.tasks.choice import Choice
from bioinstruct_jax.tasks.labels import HALLMARKS, Labelled
from bioinstruct_jax.tasks.note import Conversation
from bioinstruct_jax.tasks.open_answer import OpenQuestion
from bioinstruct_jax.tasks.relations import Pair
from bioinstruct_jax.tasks.spans import Entities, Mention
from bioinstruct_jax.tasks.table import TASKS
from bioinstruct_jax.tasks.yes_no import Question as Decision
from tests.evaluation.scoring.asked import question

WORDS = (
    "patient",
    "fever",
    "with",
    "acute",
    "renal",
    "failure",
    "after",
    "lithium",
    "was",
    "treated",
    "by",
    "a",
    "dose",
)


def prose(draw: random.Random, words: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(words))


def entities(draw: random.Random, id: str) -> Entities:
    """A sentence of 25 tokens with two mentions."""
    tokens = tuple(draw.choice(WORDS) for _ in range(25))
    return Entities(id, tokens, (Mention(1, 2, "Disease"), Mention(9, 12, "Disease")))


def item(name: str, draw: random.Random, id: str) -> Any:
    """An item of a task."""
    if name == "medqa":
        return Choice(id, prose(draw, 100), tuple(prose(draw, 3) for _ in range(4)), draw.randrange(4))
    if name == "pubmedqa":
        return Decision(id, prose(draw, 12), prose(draw, 200), draw.choice(TASKS[name].labels))
    if name == "gad":
        return Pair(id, prose(draw, 30), "@GENE$", "@DISEASE$", draw.choice(TASKS[name].labels))
    if name == "hoc":
        return Labelled(id, prose(draw, 25), (draw.choice(HALLMARKS),), f"{int(id) // 10}")
    if name == "ncbi_disease":
        return entities(draw, id)
    if name == "medquad":
        return OpenQuestion(id, prose(draw, 10), prose(draw, 200))
    return Conversation(id, prose(draw, 200), prose(draw, 40))


def said(asked: Question, draw: random.Random) -> str:
    """Gold, gold in a sentence, or gold with every eighth word or line missing."""
    gold, kind = asked.record.output, draw.random()
    if kind < 0.4:
        return gold
    if kind < 0.7:
        return f"Let me think about {prose(draw, 20)}. The answer is {gold}"
    joint = "\n" if "\n" in gold else " "
    return joint.join(part for part in gold.split(joint) if draw.random() < 7 / 8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=2000, help="of each kind")
    count = parser.parse_args().items
    kinds = [("medqa", "likelihood", "letter"), ("medqa", "generated", "letter"), ("pubmedqa", "generated", "word")]
    kinds += [("gad", "generated", "class"), ("hoc", "generated", "names"), ("ncbi_disease", "generated", "iob")]
    kinds += [("ncbi_disease", "generated", "json"), ("mts_dialog", "generated", "text")]
    kinds += [("medquad", "generated", "text")]
    seconds = 0.0
    for name, protocol, form in kinds:
        draw = random.Random(0)
        one, task = scorer(TASKS[name], protocol, form), TASKS[name]  # type: ignore[arg-type]
        questions = [question(task, item(name, draw, str(place)), form) for place in range(count)]
        if protocol == "generated":
            outputs = [Output(text=said(asked, draw)) for asked in questions]
        else:
            outputs = [Output(loglikelihoods=tuple(draw.gauss(-9, 2) for _ in range(4))) for _ in questions]
        start = time.process_time()
        for pair in zip(questions, outputs, strict=True):
            one.read(*pair)
        took = (time.process_time() - start) / count
        seconds += took
        print(f"{name:13} {protocol:11} {form:7} {1 / took:8,.0f} items/s  {1e6 * took:6,.0f} us")
    print(f"mix of {len(kinds)}: 100,000 outputs in {1e5 * seconds / len(kinds):.0f} s")


if __name__ == "__main__":
    main()
