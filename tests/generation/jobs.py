"""What the tests of `generate` ask for."""

import json
from typing import Any

from bioinstruct_jax.api.request import Reply
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.generation.job import Generate

TEACHER = {"name": "one", "model": "m1", "base_url": "http://127.0.0.1:9/v1"}


def job(**more: Any) -> Generate:
    """A small generation; keys of `Generate` over its defaults."""
    return Generate(**{"out": "out", "target": 10, "asked": 3, "teachers": (TEACHER,), **more})


def seeds(count: int = 5) -> list[Record]:
    return [
        Record(f"seed_{n}", f"Name the organ that {words}.", "", "An organ.", category="question_answering")
        for n, words in enumerate(
            (
                "filters blood into urine",
                "pumps oxygen-rich blood to the body",
                "stores bile between meals",
                "makes insulin in its islets",
                "exchanges gases with inhaled air",
            )[:count]
        )
    ]


def item(instruction: str, input: str = "", output: str = "A sound answer.", closed: bool = False) -> dict[str, Any]:
    return {"instruction": instruction, "input": input, "output": output, "is_classification": closed}


def reply(*items: dict[str, Any], number: int = 0, finish: str = "stop") -> Reply:
    return Reply(f"tasks/{number:06d}", json.dumps({"tasks": list(items)}), finish)
