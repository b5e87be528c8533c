"""Rows that a generation might have made, for tests of what is told of them; no medicine."""

import random
from collections import Counter
from typing import Any

from bioinstruct_jax.generation.item import CATEGORIES, Accepted, Rejected

REASONS = ("too_similar", "near_duplicate", "too_long", "refusal", "malformed")
HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>document.title = 'taken'</script>",
    "<!-- <script>",
    "]]>",
    "javascript:alert(1)",
    "dose \u202e03\u202c mg \u2066x\u2069",
    "\x1b[31mred\x1b[0m\x07\x00",
    "half \ud800 and \udc00, whole \U0001f600",
    "\u2028line\u2029",
    "&lt;b&gt; <img src=x onerror=alert(1)>",
    "\u200bzero \U000e0041tag",
    "a\r\nb\rc",
    "__proto__",
    "x" * 5_000_000,
    "",
    "\"'`${1+1}\\u003c\\",
)


def made(
    accepted: int, rejected: int, *, words: int, seed: int, hostile: bool = False
) -> tuple[list[Accepted], list[Rejected]]:
    """Rows of at most so many words an input or output; the first of each kind are hostile where asked."""
    chance = random.Random(seed)
    parts = ("cardio", "neuro", "hepato", "nephro", "derma", "onco", "endo")
    known = [a + b for a in parts for b in ("logy", "pathy", "genic", "toxic", "scopy", "tomy", "itis")]

    def text(most: int) -> str:
        return " ".join(chance.choices(known, k=chance.randint(1, most)))

    good = [
        Accepted(
            id=f"{place // 5}.{place % 5}",
            instruction=text(25),
            input=text(words) if place % 3 else "",
            output=text(words),
            category=chance.choice(CATEGORIES),
            seeds=tuple(f"ext_{chance.randint(1, 27):03}" for _ in range(3)),
            teacher=chance.choice(["one", "two"]),
            model="a-model",
            prompt="5f" * 32,
            request=f"{chance.getrandbits(256):064x}",
            nearest=f"{place // 9}.0",
            similarity=chance.random() * 0.7,
        )
        for place in range(accepted)
    ]
    bad = [
        Rejected(
            id=f"{place // 5}.{5 + place % 5}",
            reason=chance.choice(REASONS),
            detail="ROUGE-L 0.83 with 12.3",
            instruction=text(25),
            input=text(words),
            output=text(words),
            teacher=chance.choice(["one", "two"]),
            request=f"{chance.getrandbits(256):064x}",
        )
        for place in range(rejected)
    ]
    if hostile:
        for place, evil in enumerate(HOSTILE):
            name, told, short = f"h{place}", f"Hostile {evil}", evil[:30] or "none"
            good[place] = Accepted(
                name, told, evil, evil, "other", (short,), short, short, "p", "r", short, 0.5
            )  # fmt: skip
            bad[place] = Rejected(f"{name}r", short, evil, told, evil, evil, short, "r")
    return good, bad


def numbers(accepted: list[Accepted], rejected: list[Rejected]) -> dict[str, Any]:
    """What `statistics` asks for beside the accepted rows, such that it adds up."""
    chance = random.Random(len(accepted))
    verbs = ["summarize", "identify", "explain", "extract", "list", "generate", "describe", "classify", "</script>"]
    objects = ["note", "patient", "diagnosis", "treatment", "mechanism", "half \ud800", ""]
    weights = [1 / (place + 1) for place in range(len(verbs))]
    good, bad = len(accepted), len(rejected)
    return {
        "ended": {"reason": "target", "said": "", "target": good},
        "failed": {"given up": 2},
        "seen": good + bad,
        "waiting": 0,
        "compared": {"tasks": {"medqa": 1273, "gad": 534}, "missing": {"hoc": ["HoC/test.tsv"]}, "action": "remove"},
        "rejected": Counter(row.reason for row in rejected),
        "turned_down": Counter(row.teacher for row in rejected),
        "requests": [(at, good * at // 450, bad * at // 450) for at in range(1, 451)],
        "client": {
            "requests": {"sent": 460, "answered": 450, "replayed": 3, "without_answer": 2},
            "retried": {"429": 8},
            "tokens": {"input": 900_000, "output": 800_000},
            "dollars": {"spent": 13.5, "uncertain": 0.02, "projected": None},
        },
        "roots": [(chance.choices(verbs, weights)[0], chance.choice(objects)) for _ in accepted],
        "decontamination": {"medqa": {"rouge_l": 2, "n_gram_13": 4}, "gad": {"n_gram_13": 1}},
        "agreement": {
            "by": "a teacher",
            "rows": 80,
            "unknown": 1,
            "accuracy": 0.9125,
            "low": 0.83,
            "high": 0.957,
            "majority": 0.3375,
            "kappa": 0.88,
            "table": [[18, 0, 0, 0], [2, 24, 1, 0], [1, 1, 25, 0], [0, 1, 1, 6]],
        },
    }
