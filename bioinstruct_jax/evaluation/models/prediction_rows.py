"""One row of a file of predictions: of which task, asked how, for which item, and what it says.

Three kinds: rows with task, id, and output, label or tags, where an id that begins with the task says it too; rows of
the samples files of an evaluation of ours; rows of those of lm-evaluation-harness, which writes numbers as text and
knows items by their place.
"""

import difflib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bioinstruct_jax.evaluation.runner.job import Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.tasks.table import TASKS

HARNESS = {task.likelihood.harness: name for name, task in TASKS.items() if task.likelihood and task.likelihood.harness}
FILTERS: dict[str, Protocol] = {"none": "harness", "likelihood": "likelihood", "generated": "generated"}
HIDDEN = "restricted, keyed hash "  # how `guard.shown` begins what stands in place of restricted text


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a row says.

    Attributes:
        task: by our name.
        item: the row's id, the item's id alone, or its place in the split from 0.
        prompt: that lm-evaluation-harness showed, to tell whether the place is that of our item; else empty.
        filter: as the harness names it; it repeats an output for each of them.
    """

    task: str
    protocol: Protocol
    item: str | int
    output: Output
    prompt: str = ""
    filter: str = ""


def read(value: object, named: str) -> Prediction:
    """The prediction in a row.

    Args:
        named: the task that the file's name has; empty without one.

    Raises:
        ValueError: says what is wrong, and quotes nothing but names of tasks and keys.
    """
    if not isinstance(value, Mapping):
        raise ValueError("not an object")
    if "resps" in value:
        return _sample(value, named)
    item = value.get("id")
    if not isinstance(item, str) or not item:
        raise ValueError("no id; it is the row's, task/split/id, or the item's own, as text")
    task = task_name(value.get("task", named or _of_row(item)))
    given = [key for key in ("output", "label", "tags") if value.get(key) is not None]
    if len(given) != 1:
        raise ValueError(f"{' and '.join(given) or 'neither output nor label nor tags'}; one of the three is expected")
    said = value[given[0]]
    if given == ["tags"]:
        if not isinstance(said, list) or not all(isinstance(tag, str) for tag in said):
            raise ValueError("tags: a list of texts is expected, one a token")
        return Prediction(task, "generated", item, Output(tags=tuple(said)))
    if not isinstance(said, str):
        raise ValueError(f"{given[0]}: text is expected, not {type(said).__name__}")
    return Prediction(task, "generated", item, Output(text=said) if given == ["output"] else Output(label=said))


def _of_row(item: str) -> str:
    """The task that a row's id begins with; empty for an item's own id."""
    task = item.partition("/")[0]
    return task if item.count("/") >= 2 and task in TASKS else ""


def task_name(name: object) -> str:
    """Our name of a task; raises ValueError where there is none."""
    if not isinstance(name, str) or not name:
        raise ValueError('no task: give "task", or as "id" the row\'s, task/split/id')
    if name in TASKS or name in HARNESS:
        return name if name in TASKS else HARNESS[name]
    near = difflib.get_close_matches(name, [*TASKS, *HARNESS], 1)
    raise ValueError(f"no task {name[:64]!r}" + (f"; did you mean {near[0]}?" if near else ""))


def _sample(value: Mapping[str, Any], named: str) -> Prediction:
    item, filter = value.get("id"), value.get("filter", "none")
    if isinstance(item, str) and item.count("/") >= 2:
        if filter not in FILTERS:
            raise ValueError(f"filter: one of {', '.join(FILTERS)} is expected")
        task, protocol = task_name(item.split("/")[0]), FILTERS[filter]
        output = _resps(value["resps"], scores=protocol != "generated", written=_written(value))
        if TASKS[task].licence.restricted and output.text is not None and output.text.startswith(HIDDEN):
            raise ValueError("restricted text is not in samples, and cannot be scored again from them")
        if value.get("wrote") is False:  # a label, tags or nothing: the text only shows it
            output = replace(output, text=None)
        return Prediction(task, protocol, item, output)
    number = value.get("doc_id")
    if type(number) is not int or number < 0:
        raise ValueError("neither an id task/split/id nor a doc_id from 0")
    task = task_name(named or value.get("task"))
    scores = not isinstance(_first(value["resps"]), str) or len(value["resps"]) > 1
    output = _resps(value["resps"], scores=scores, written={})
    prompt = next(_texts(value.get("arguments")), "")
    return Prediction(task, "harness" if scores else "generated", number, output, prompt, str(filter))


def _written(value: Mapping[str, Any]) -> dict[str, Any]:
    """What our samples have beside the answer."""
    known = ("finish", "problem", "label")
    found: dict[str, Any] = {key: value[key] for key in known if isinstance(value.get(key), str)}
    unfit, tags = value.get("unfit"), value.get("tags")
    if isinstance(tags, list) and all(isinstance(tag, str) for tag in tags):
        found["tags"] = tuple(tags)
    if isinstance(unfit, list) and [type(one) for one in unfit] == [int, int]:
        found["unfit"] = tuple(unfit)
    return found


def _first(value: Any) -> Any:
    """What stands at the very beginning of nested lists, less the last of them: a text, or [log-likelihood, greedy]."""
    one = value[0] if isinstance(value, list) and value else None
    return one[0] if isinstance(one, list) and one else None


def _resps(resps: Any, *, scores: bool, written: dict[str, Any]) -> Output:
    if not scores:
        text = _first(resps)
        if text is not None and not isinstance(text, str):
            raise ValueError("resps: [[text]] is expected")
        return Output(text=text, **written)
    if not isinstance(resps, list):
        raise ValueError("resps: a list is expected, [[log-likelihood, is greedy]] for each choice")
    if "unfit" in written or "problem" in written:  # nan stands for each choice, or there is none
        return Output(**written)
    pairs = [_pair(one) for one in resps]
    if not pairs:
        raise ValueError("resps: empty")
    return Output(loglikelihoods=tuple(one for one, _ in pairs), greedy=tuple(two for _, two in pairs), **written)


def _pair(choice: Any) -> tuple[float, bool]:
    try:
        [[value, greedy]] = choice
        number, flag = float(value), {"true": True, "false": False}[str(greedy).lower()]
    except (ValueError, TypeError, KeyError):
        raise ValueError("resps: [[log-likelihood, is greedy]] is expected for each choice") from None
    if math.isnan(number) or number > 0.01:
        raise ValueError("resps: a log-likelihood that is none: it is above 0, or no number")
    return number, flag


def _texts(value: Any) -> Iterator[str]:
    """The texts of an instance's arguments, which the harness writes as lists or as objects; the prompt comes first."""
    if isinstance(value, str):
        yield value
    for one in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from _texts(one)
