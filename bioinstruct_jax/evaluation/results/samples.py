"""What was asked, given and made of it, item by item, in the layout of lm-evaluation-harness's sample files.

``samples_<task>_<date>.jsonl`` has a row an item and protocol, those of a protocol together; the protocol is the row's
``filter``, which is what the harness calls several readings of one task. Keys and hashes are those of the harness
0.4.13, and ours stand behind them: ``id``, ``document``, ``answer``, ``gold``, ``why``, ``problems``, ``span``,
``value``, ``counts`` (what the headline metric sums: `Reading.counts`), ``flagged``, and what else `output` needs to
give the output back.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, BinaryIO, cast

from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.data import guard, jsonlines, prompts
from bioinstruct_jax.evaluation.language_model import CompletionRequest, ScoreRequest, plain
from bioinstruct_jax.evaluation.runner.job import Protocol
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question, choices
from bioinstruct_jax.evaluation.scoring.scored import Reading
from bioinstruct_jax.tasks.task import Task

FILTERS: dict[Protocol, str] = {"harness": "none", "likelihood": "likelihood", "generated": "generated"}
UNREAD = "[invalid]"  # what the harness's own filters leave where they find no answer
Asked = Sequence[ScoreRequest] | CompletionRequest | None
Row = dict[str, Any]


def stamp(date: datetime) -> str:
    """A date as names of files have it: UTC to the microsecond, so that later ones sort behind; ``:`` as ``-``."""
    return date.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds").replace(":", "-")


def file_name(task: str, date: datetime) -> str:
    """By which the harness's readers know the file of a task's samples."""
    return f"samples_{task}_{stamp(date)}.jsonl"


@dataclass(frozen=True)
class Written:
    """A finished file.

    Attributes:
        name: of the file.
        rows: in it.
        hash: over the rows' hashes, as the harness makes its ``task_hashes``.
        metrics: that every row has.
    """

    name: str
    rows: int
    hash: str
    metrics: tuple[str, ...]


class SampleFile:
    """Writes one task's rows as they come; none is kept. A context manager; `written` is complete behind it.

    The text of a restricted task is nowhere in the file, not even hashed: `guard.shown` stands in its place, and the
    hashes are of that.
    """

    def __init__(self, file: UPath, task: Task[Any, Any]):
        self._file, self._task = file, task
        self._stream: BinaryIO | None = None
        self._filters: list[str] = []
        self._item = self._rows = 0
        self._hash = hashlib.sha256()
        self._metrics: dict[str, None] | None = None

    def __enter__(self) -> "SampleFile":
        files.make_folder(self._file.parent)
        self._stream = cast(BinaryIO, self._file.open("wb"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()

    @property
    def written(self) -> Written:
        """What is in the file so far."""
        return Written(self._file.name, self._rows, self._hash.hexdigest(), tuple(self._metrics or ()))

    def add(
        self,
        question: Question,
        protocol: Protocol,
        asked: Asked,
        output: Output,
        reading: Reading,
        *,
        counts: Sequence[float],
        flagged: bool | None = None,
    ) -> None:
        """Writes a row; items are numbered from 0 in each protocol, in the order in which they come.

        Args:
            asked: a request for each choice, or the one that was completed; None: a model whose answers were read from
                a file was asked nothing, and the question stands there without a template.
            counts: of the reading, those that the headline metric sums, so that its score follows from the file alone.
            flagged: whether the item stands in what the model was tuned on; None: not looked for.

        Raises:
            ValueError: rows of a protocol that was left come again, or a score has the name of another key.
        """
        assert self._stream is not None, "open the file first: with SampleFile(...) as samples"
        name = FILTERS[protocol]
        if name not in self._filters:
            self._filters.append(name)
            self._item = 0
        elif name != self._filters[-1]:
            raise ValueError(
                f"{self._file.name}: rows of {name!r} come again behind those of {self._filters[-1]!r}; add all of one "
                "protocol, then all of the next"
            )
        made = _row(self._item, question, self._task, protocol, asked, output, reading, counts, flagged)
        line = json.dumps(made, ensure_ascii=False, allow_nan=False) + "\n"
        self._stream.write(line.encode("utf-8", "backslashreplace"))  # half a surrogate pair becomes JSON's escape
        self._hash.update("".join(made[key] for key in ("doc_hash", "prompt_hash", "target_hash")).encode())
        has = self._metrics if self._metrics is not None else dict.fromkeys(made["metrics"])
        self._metrics = {metric: None for metric in has if metric in made["metrics"]}
        self._item += 1
        self._rows += 1


def _row(
    number: int,
    question: Question,
    task: Task[Any, Any],
    protocol: Protocol,
    asked: Asked,
    output: Output,
    reading: Reading,
    counts: Sequence[float],
    flagged: bool | None,
) -> Row:
    restricted = task.licence.restricted
    if asked is None and protocol != "generated":
        asked = _ranked(question, task, output)
    arguments = _arguments(question, asked, restricted)
    scored = asked is not None and not isinstance(asked, CompletionRequest)
    given = _scores(output, len(arguments)) if scored else [guard.shown(_text(output), restricted)]
    target = question.record.output
    if protocol != "generated":  # the harness counts lettered options and names labels
        gold = task.family.gold(question.item)
        target = str(choices(question, task).index(gold)) if task.family.name == "choice" else gold
    texts = {"answer": reading.answer, "gold": reading.gold, "label": output.label, "tags": output.tags}
    shown = _shown(
        texts | {"problem": output.problem or None, "doc": asdict(question.item), "target": target}, restricted
    )
    doc, target = shown.pop("doc"), shown.pop("target")
    read = [UNREAD if reading.answer is None else shown["answer"]]
    made: Row = {
        "doc_id": number,
        "doc": doc,
        "target": target,
        "arguments": arguments,
        "resps": [[one] for one in given],
        "filtered_resps": given if scored else read,
        "filter": FILTERS[protocol],
        "metrics": list(reading.scores),
        "doc_hash": _sha256(json.dumps(doc, indent=2, ensure_ascii=False)),
        "prompt_hash": _sha256(arguments["gen_args_0"]["arg_0"]),
        "target_hash": _sha256(target),
        "id": question.id,
        "document": question.document,
        **shown,
        "why": reading.why,
        "problems": dict(reading.problems),
        "span": reading.span,
        "value": _finite(reading.value),
        "counts": [int(count) if float(count).is_integer() else float(count) for count in counts],
        "flagged": flagged,
        "wrote": output.text is not None,
        "finish": output.finish,
        "unfit": output.unfit,
        "restricted": restricted,
    }
    if taken := sorted(set(reading.scores) & set(made)):
        raise ValueError(f"{task.name}: a score is called {taken[0]!r}, which is a key of sample files; rename it")
    return made | {metric: _finite(score) for metric, score in reading.scores.items()}


def _ranked(question: Question, task: Task[Any, Any], output: Output) -> Asked:
    """What was ranked elsewhere, behind the question without a template; None where it is not told of each choice."""
    names = choices(question, task)
    if len(output.loglikelihoods) not in (0, len(names)):
        return None
    text = prompts.question(question.record.instruction, question.record.input)
    return [ScoreRequest(text, name) for name in names]


def _arguments(question: Question, asked: Asked, restricted: bool) -> dict[str, dict[str, Any]]:
    """What was asked, in the harness's words for it."""
    if asked is None:
        text = prompts.question(question.record.instruction, question.record.input)
        return {"gen_args_0": {"arg_0": guard.shown(text, restricted), "arg_1": {}}}
    if isinstance(asked, CompletionRequest):
        settings = {
            "until": [*asked.stop, *asked.stop_tokens],
            "max_gen_toks": asked.max_tokens,
            "do_sample": asked.temperature > 0,
            "temperature": asked.temperature,
            "top_k": asked.top_k,
            "top_p": asked.top_p,
            "repetition_penalty": asked.repetition_penalty,
            "seed": asked.seed,
        }
        return {"gen_args_0": {"arg_0": guard.shown(plain(asked.prompt), restricted), "arg_1": settings}}
    return {
        f"gen_args_{place}": {
            "arg_0": guard.shown(plain(one.context), restricted),
            "arg_1": guard.shown(one.continuation, restricted),
        }
        for place, one in enumerate(asked)
    }


def _scores(output: Output, requests: int) -> list[list[str]]:
    """Log-likelihood and whether it is greedy, as text as the harness has them; nan for what did not fit or failed."""
    if not output.loglikelihoods:
        return [["nan", "False"] for _ in range(requests)]
    pairs = zip(output.loglikelihoods, output.greedy, strict=True)
    return [[str(float(one)), str(bool(greedy))] for one, greedy in pairs]


def _text(output: Output) -> str:
    """What was written, or an answer made elsewhere; empty where there is none."""
    return output.text if output.text is not None else output.label or " ".join(output.tags or ())


def _shown(value: Any, hidden: bool) -> Any:
    """The same with every text in it as it may be shown; keys of objects are names of ours."""
    match value:
        case str():
            return guard.shown(value, hidden)
        case dict():
            return {key: _shown(one, hidden) for key, one in value.items()}
        case list() | tuple():
            return [_shown(one, hidden) for one in value]
    return value


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _finite(value: float) -> float | None:
    """JSON has no other numbers."""
    return float(value) if math.isfinite(value) else None


def read(file: UPath) -> Iterator[Row]:
    """The rows of a file, one at a time; raises as `numbered` does."""
    return (row for _, row in numbered(file))


def numbered(file: UPath) -> Iterator[tuple[int, Row]]:
    """The rows of a file with their lines, one at a time.

    Raises:
        ValueError: names the first line that is no row; of a file whose writing was broken off that is the last one.
    """
    with files.open_bytes(file) as stream:
        for one in jsonlines.line_rows(stream):
            if one.reason or not isinstance(one.value, dict) or not {"doc_id", "filter"} <= one.value.keys():
                why = one.reason or "not a row of samples: 'doc_id' or 'filter' is missing"
                raise ValueError(f"{file}, line {one.line}: {why}; have the evaluation write the file again")
            yield one.line, one.value


def output(row: Row) -> Output:
    """What the model gave, from a row of ours.

    Raises:
        ValueError: the row is of a restricted task, whose texts are not in the file, or of another program.
    """
    if not {"id", "wrote", "restricted"} <= row.keys():
        raise ValueError(f"item {row['doc_id']}: the row is of another program, and does not tell how it was answered")
    if row["restricted"]:
        raise ValueError(
            f"{row['id']}: the texts of restricted tasks are not kept in sample files; run the model again"
        )
    first = row["resps"][0][0]
    pairs = [given[0] for given in row["resps"]] if isinstance(first, list) and first[0] != "nan" else []
    return Output(
        text=first if row["wrote"] else None,
        finish=row["finish"],
        loglikelihoods=tuple(float(value) for value, _ in pairs),
        greedy=tuple(greedy == "True" for _, greedy in pairs),
        unfit=tuple(row["unfit"]) if row["unfit"] else None,
        problem=row["problem"] or "",
        label=row["label"],
        tags=None if row["tags"] is None else tuple(row["tags"]),
    )
