"""The items of an evaluation as rows to browse: what the baseline and another model wrote, side by side."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from bioinstruct_jax.evaluation.results.words import of_protocol
from bioinstruct_jax.evaluation.scoring.scored import TaskResult
from bioinstruct_jax.reporting.browser import Cell, Column

Sample = Mapping[str, Any]  # as `sample` makes it
Key = tuple[str, str, str]  # task, protocol, item

SINGLE = (
    Column("item"),
    Column("task", "value"),
    Column("protocol", "value"),
    Column("model", "value"),
    Column("outcome", "value"),
    Column("value", "number"),
    Column("right answer"),
    Column("read"),
    Column("output"),
    Column("how it was read", "value", listed=False),
    Column("problems", listed=False),
    Column("in tuning data", "value", listed=False),
    Column("prompt", listed=False),
)
PAIRED = (
    Column("item"),
    Column("task", "value"),
    Column("protocol", "value"),
    Column("tuned model", "value", listed=False),
    Column("outcome", "value"),
    Column("right answer"),
    Column("base: read"),
    Column("tuned: read", beside=True),
    Column("base: output", listed=False),
    Column("tuned: output", listed=False, beside=True),
    Column("base: value", "number"),
    Column("tuned: value", "number", beside=True),
    Column("gain", "number"),
    Column("base: how it was read", "value", listed=False),
    Column("tuned: how it was read", "value", listed=False, beside=True),
    Column("base: problems", listed=False),
    Column("tuned: problems", listed=False, beside=True),
    Column("in tuning data", "value", listed=False),
    Column("prompt", listed=False),
    Column("tuned: prompt, where it is another", listed=False),
)


class Samples:
    """Samples of several files, as often as they are asked for; no file is held in memory.

    Args:
        files: model, task, and what reads the rows of its samples file; a task's next to each other, so that few rows
            wait for those of another model.
    """

    def __init__(self, files: Sequence[tuple[str, str, Callable[[], Iterable[Mapping[str, Any]]]]]) -> None:
        self._files = files

    def __iter__(self) -> Iterator[Sample]:
        for model, task, rows in self._files:
            for row in rows():
                yield sample(model, task, row)


def sample(model: str, task: str, row: Mapping[str, Any]) -> Sample:
    """What a reader sees of a row of a samples file; of log-likelihoods a line for each choice."""
    asked = list(row["arguments"].values())
    given = [one[0] for one in row["resps"]]
    output = "\n".join(
        one if isinstance(one, str) else f"{str(request['arg_1']).strip()}: {one[0]}{' (greedy)' * (one[1] == 'True')}"
        for request, one in zip(asked, given, strict=True)
    )
    return {
        "model": model,
        "task": task,
        "protocol": "harness" if row["filter"] == "none" else row["filter"],
        "prompt": asked[0]["arg_0"],
        "output": f"(a server gave none: {row['problem']})" if row.get("problem") else output,
        **{key: row[key] for key in ("id", "answer", "gold", "why", "problems", "value", "flagged")},
    }


class Items:
    """Cells of `columns`, as often as they are asked for.

    A sample waits in memory until those of the other models on the same item have come: one task's where the files are
    read task by task, the baseline's where they are read model by model.

    Args:
        samples: as `sample` makes them; an iterator is held in memory.
        baseline: with which each other model is paired.
    """

    def __init__(self, samples: Iterable[Sample], results: Sequence[TaskResult], baseline: str) -> None:
        self._samples = list(samples) if iter(samples) is samples else samples
        self._baseline = baseline
        self._models: dict[tuple[str, str], set[str]] = {}
        self._graded: set[tuple[str, str]] = set()
        for one in results:
            where = (one.task, one.protocol)
            self._models.setdefault(where, set()).add(one.model)
            if not np.isin(one.values, (0, 1)).all():
                self._graded.add(where)
        self.paired = any(len(models) > 1 for models in self._models.values())
        self.columns = PAIRED if self.paired else SINGLE

    def __iter__(self) -> Iterator[tuple[Cell, ...]]:
        return self._pairs() if self.paired else map(self._single, self._samples)

    def _pairs(self) -> Iterator[tuple[Cell, ...]]:
        bases: dict[Key, Sample] = {}
        unpaired: dict[Key, None] = {}  # of the baseline's
        waiting: dict[Key, list[Sample]] = {}
        left: dict[Key, int] = {}
        for row in self._samples:
            key = (row["task"], row["protocol"], row["id"])
            left[key] = left.get(key, len(self._models.get(key[:2], ()))) - 1
            if row["model"] == self._baseline:
                bases[key] = row
                unpaired[key] = None
            else:
                waiting.setdefault(key, []).append(row)
            if key in bases:
                for other in waiting.pop(key, ()):
                    unpaired.pop(key, None)
                    yield self._pair(bases[key], other)
                if left[key] <= 0:
                    base = bases.pop(key)
                    del left[key]
                    if key in unpaired:
                        del unpaired[key]
                        yield self._pair(base, None)
        for key in unpaired:
            yield self._pair(bases[key], None)
        for others in waiting.values():
            for other in others:
                yield self._pair(None, other)

    def outcome(self, base: Sample | None, tuned: Sample | None) -> str:
        """``base wrong, tuned right`` and the like; of answers that are right by degrees ``tuned better`` and so on."""
        graded = any((row["task"], row["protocol"]) in self._graded for row in (base, tuned) if row)
        if base is None or tuned is None:
            only = "base" if tuned is None else "tuned"
            row = base or tuned
            assert row is not None
            return f"only {only}: {'by degrees' if graded else _right(row)}"
        if graded:
            gain = tuned["value"] - base["value"]
            return "equal" if abs(gain) < 1e-9 else "tuned better" if gain > 0 else "tuned worse"
        before, after = _right(base), _right(tuned)
        return f"both {after}" if before == after else f"base {before}, tuned {after}"

    def _pair(self, base: Sample | None, tuned: Sample | None) -> tuple[Cell, ...]:
        row = base or tuned
        assert row is not None
        prompt = _text(row, "prompt")
        other = "" if base is None or tuned is None else _text(tuned, "prompt")
        flagged = [name for name, one in (("base", base), ("tuned", tuned)) if one and one.get("flagged")]
        gain = None if base is None or tuned is None else round(tuned["value"] - base["value"], 4)
        return (
            *(row["id"], row["task"], of_protocol(row["protocol"]), tuned["model"] if tuned else ""),
            *(self.outcome(base, tuned), _text(row, "gold")),
            *(_read(base), _read(tuned), _text(base, "output"), _text(tuned, "output")),
            *(_value(base), _value(tuned), gain),
            *(_text(base, "why"), _text(tuned, "why"), _problems(base), _problems(tuned)),
            *(f"of {' and '.join(flagged)}" if flagged else "no", prompt, "" if other == prompt else other),
        )

    def _single(self, row: Sample) -> tuple[Cell, ...]:
        graded = (row["task"], row["protocol"]) in self._graded
        outcome = (
            ("full" if row["value"] >= 1 else "part" if row["value"] > 0 else "nothing") if graded else _right(row)
        )
        return (
            *(row["id"], row["task"], of_protocol(row["protocol"]), row["model"], outcome, _value(row)),
            *(_text(row, "gold"), _read(row), _text(row, "output"), _text(row, "why"), _problems(row)),
            *("yes" if row.get("flagged") else "no", _text(row, "prompt")),
        )


def _right(row: Sample) -> str:
    return "right" if row["value"] >= 1 else "wrong"


def _value(row: Sample | None) -> float | None:
    return None if row is None else round(float(row["value"]), 4)


def _text(row: Sample | None, name: str) -> str:
    found = None if row is None else row.get(name)
    return "" if found is None else str(found)


def _read(row: Sample | None) -> str:
    """The answer; that there is none is told, as an empty answer is one too."""
    return "" if row is None else "(no answer)" if row.get("answer") is None else _text(row, "answer")


def _problems(row: Sample | None) -> str:
    found = (row or {}).get("problems") or {}
    return ", ".join(f"{name}: {count}" for name, count in found.items())
