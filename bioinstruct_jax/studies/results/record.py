"""``study.json``: all that a study found as plain JSON, with what each key means."""

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from bioinstruct_jax.studies.found import Found

_AS_CELL = "as in a cell"
_ARM = {
    "model": "of the study, or of others",
    "arm": "base: tuned on nothing; empty: a model of others",
    "size": "natural: all rows; matched: as many rows and target tokens as others; 0.05: that share of the rows",
    "on": "task, or group of tasks",
    "group": "of the task: QA, IE or GEN; of a group itself",
    "protocol": "generated: the answer is written; likelihood: log-likelihood behind the model's template; harness: "
    "behind that of lm-evaluation-harness",
    "metric": "the headline metric; a group has the mean of its tasks'",
    "unit": "of all numbers of this entry: share (0 to 1), points (0 to 100), nats, error, ratio",
}
KEYS: dict[str, Any] = {
    "title": "of the report",
    "states": {
        "cell": {
            "name": "of its folders",
            "kind": "base and comparator: scored as they are; tuned: trained, then scored",
            "model": _ARM["model"],
            "arm": _ARM["arm"],
            "size": _ARM["size"],
            "seed": "of training; null where nothing is tuned",
        },
        "status": "finished, failed, stopped, waiting",
        "why": "last words of what failed",
        "seconds": "of training and evaluation; null: unknown",
        "run": "folder of training, within the study's; empty: none",
        "scores": "folder of evaluation, within the study's; empty: none",
        "log": "file, within the study's folder; empty: none",
    },
    "rows": {
        "arm": _AS_CELL,
        "size": _AS_CELL,
        "seed": "null where the rows are the same for every seed",
        "file": "of the rows, within the study's folder",
        "sha256": "of its bytes",
        "rows": "how many",
        "target_tokens": "how many tokens have loss weight",
        "categories": "of each category, rows and target tokens",
    },
    "removed": "rows of the pool that were left out, by reason",
    "scores": {
        **_ARM,
        "higher_is_better": "as it says",
        "value": "mean over seeds",
        "seeds": "the score of each seed, in their order",
        "low": "lower end of the interval of 95 % over seeds, then documents; null: unknown",
        "high": "upper end",
        "answered": "share of items with an answer that could be read",
        "items": "that were scored",
        "majority": "score of always giving the commonest label; null: none",
        "note": "what is missing or odd",
    },
    "contrasts": {
        **_ARM,
        "against": "what the arm is held against: base, or an arm of the same size",
        "first": "score of against, mean over seeds",
        "second": "score of the arm",
        "difference": "second less first",
        "low": "lower end of its interval of 95 %; null: unknown",
        "high": "upper end",
        "p": "two-sided, not adjusted; null: unknown",
        "primary": "whether it was declared before anything was run",
        "holm": "p adjusted for all declared hypotheses, untested ones at p = 1; null: exploratory, or not tested",
        "clean": "difference without items that a model was tuned on; null: there are none",
        "relative": "difference over first; null: withheld, because first is too low",
        "note": "what is missing or odd",
    },
    "reported": {
        "model": "as its paper calls it; nothing here was measured by this study",
        "paper": "as it is cited",
        "scores": "in per cent, by task or group",
        "gains": "whether they are relative gains over the untuned model",
        "note": "what makes them comparable or not",
    },
    "notes": "what a reader must know first",
    "settings": "of the study, as YAML",
}


def text(found: Found) -> str:
    """The file; numbers that are not finite stand as null, and ``keys`` says what each key means."""
    told = {**_plain(found), "keys": KEYS}
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
