"""Nothing read is nothing accepted: for every key of `Evaluate`, what changes when it is changed."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bioinstruct_jax import schema
from bioinstruct_jax.evaluation.judging import judge as judging
from bioinstruct_jax.evaluation.models import server as serving
from bioinstruct_jax.evaluation.runner.job import Evaluate
from bioinstruct_jax.inference import evaluated, hub_load
from tests import evaluations
from tests.api.server import Answer, Seen, error, serve
from tests.evaluation import choice_corpora
from tests.evaluation.judging import scripted

ELSEWHERE = {  # keys whose effect another test shows
    "cache": "test_evaluate.py::test_a_cache_serves_other_evaluations",
    "out": "test_evaluate.py::test_it_leaves_what_it_says",
    "bertscore.model": "inference/test_encoder.py::test_other_weights_have_another_note",
    "bertscore.layer": "inference/test_encoder.py::test_scores_are_those_of_the_bert_score_package",
}
QUESTION = choice_corpora.MEDQA[1][0]
HALF = " ".join(QUESTION.split()[:16])
NEARLY = " ".join("or" if place % 9 == 8 else word for place, word in enumerate(QUESTION.split()))


@dataclass(frozen=True)
class Key:
    """A value of a key, what else is set before and after, and the exit code with that value."""

    value: Any
    given: dict[str, Any] = field(default_factory=dict)
    code: int = 0


FILE = {"models.0.runs_on": "predictions", "models.0.predictions": "HOME/right.jsonl"}
SECOND = {"models.1.runs_on": "predictions", "models.1.predictions": "HOME/wrong.jsonl", "models.1.name": "second"}
TEXTS = {"tasks": "[medquad]", "models.0.predictions": "HOME/fair.jsonl", "models.1.predictions": "HOME/good.jsonl"}
GRADED = FILE | SECOND | TEXTS
GRADED |= {"judge.tasks": "[medquad]", "judge.endpoint.model": "j", "judge.endpoint.base_url": "JUDGE"}
SERVER = {
    "models.0.runs_on": "server", "models.0.endpoint.base_url": "SERVER", "models.0.endpoint.model": "m",
    "models.0.endpoint.limits.concurrency": 1,
}  # fmt: skip
PRICED = {"models.0.endpoint.price.input": 1, "models.0.endpoint.price.output": 1}
PAID = {"judge.endpoint.price.input": 1, "judge.endpoint.price.output": 1}

RUNS: dict[str, Key] = {  # seen by `_run`
    "corpora": Key("HOME/others", SERVER),
    "tasks": Key("[pubmedqa]", SERVER),
    "split": Key("dev", SERVER),
    "limit": Key(1, SERVER),
    "protocols": Key("[generated]", FILE | {"models.0.predictions": "HOME/ways.jsonl"}),
    "format": Key("json", SERVER | {"tasks": "[ncbi_disease]"}),
    "seed": Key(1, SERVER),
    "shots.count": Key(1, SERVER),
    "shots.split": Key("test", SERVER | {"shots.count": 1}),
    "shots.balanced": Key("true", SERVER | {"shots.count": 3, "tasks": "[gad]"}),
    "unfit": Key("refuse", SERVER | {"models.0.endpoint.model": "short"}, 2),
    "max_tokens": Key(5, SERVER),
    "baseline": Key("second", FILE | SECOND),
    "resamples": Key(333, FILE | SECOND),
    "budget.dollars": Key(0.0, SERVER | PRICED, 3),
    "budget.tokens": Key(1, SERVER, 3),
    "models": Key("[{name: m, runs_on: predictions, predictions: HOME/wrong.jsonl}]", FILE),
    "models.N.name": Key("other", FILE),
    "models.N.predictions": Key("HOME/wrong.jsonl", FILE),
    "models.N.tuned_on": Key("[HOME/half.jsonl]", FILE),
    "contamination.share_13": Key(1.0, FILE | {"models.0.tuned_on": "[HOME/half.jsonl]", "contamination.rouge_l": 1}),
    "contamination.rouge_l": Key(
        0.99, FILE | {"models.0.tuned_on": "[HOME/nearly.jsonl]", "contamination.share_13": 1}
    ),
    "judge.tasks": Key("[medqa]", GRADED | {"tasks": "[medquad, medqa]"}),
    "judge.limit": Key(1, GRADED),
    "judge.passes": Key(1, GRADED),
    "judge.pairwise": Key("false", GRADED),
    "judge.canaries": Key(1, GRADED),
    "judge.budget.dollars": Key(0.0, GRADED | PAID, 3),
    "judge.budget.tokens": Key(1, GRADED, 3),
}
MODEL = {"models.0.runs_on": "jax", "models.0.model": "HOME/model"}
LOADS: dict[str, Key] = {  # seen by what is loaded
    "models.N.runs_on": Key("transformers", MODEL),
    "models.N.model": Key("HOME/others", MODEL),
    "models.N.adapter": Key("FINISHED", MODEL),
    "models.N.dtype": Key("bfloat16", MODEL),
    "models.N.context": Key(99, MODEL),
    "models.N.batch": Key(3, MODEL),
}
ENDPOINT: dict[str, Any] = {  # seen by what the client is given; its own tests show what it makes of them
    "base_url": "http://127.0.0.1:9/v1",
    "model": "other",
    "key_env": "ANOTHER_KEY",
    "structured": "off",
    "batch": "on",
    "decoding.max_tokens": 3,
    "decoding.limit_name": "max_completion_tokens",
    "decoding.temperature": "null",
    "decoding.top_p": 0.5,
    "decoding.presence_penalty": 0.5,
    "decoding.frequency_penalty": 0.5,
    "decoding.extra": "{top_k: 5}",
    "limits.concurrency": 2,
    "limits.requests_per_minute": 9,
    "limits.tokens_per_minute": 9999,
    "limits.timeout": 9.0,
    "limits.attempts": 2,
    "limits.backoff": 2.0,
    "limits.breaker": 2,
    "price.input": 3.0,
    "price.output": 3.0,
    "price.batch": 0.7,
}
ASKED = {"models.N": (SERVER | PRICED, "models.0"), "judge": (GRADED | PAID, "judge")}


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    evaluations.corpora(folder / "corpora")
    medqa = folder / "corpora" / "medqa" / "phrases_no_exclude_test.jsonl"
    lines = medqa.read_text().splitlines(keepends=True)
    medqa.with_name("phrases_no_exclude_dev.jsonl").write_text("".join(lines[:2]))
    (folder / "corpora" / "gad" / "test.tsv").write_text(
        "index\tsentence\tlabel\n" + "".join(f"{n}\tCase {n}: @GENE$ and @DISEASE$.\t{int(n < 2)}\n" for n in range(9))
    )
    (folder / "others" / "medqa").mkdir(parents=True)
    (folder / "others" / "medqa" / medqa.name).write_text("".join(lines[1:]))
    for place, name in enumerate(("right", "wrong")):
        said = {f"test:{n}": letter if place == 0 else "C" for n, (_, _, letter) in enumerate(choice_corpora.MEDQA, 1)}
        evaluations.predictions(folder / f"{name}.jsonl", "medqa", said)
    ranked = {"filter": "none", "resps": [[["-1.0", "False"]], [["-2.0", "False"]], *[[["-3.0", "False"]]] * 2]}
    written = {"filter": "generated", "resps": [["A"]]}
    ways = [{"id": f"medqa/test/test:{n}", **way} for n in (1, 2, 3) for way in (ranked, written)]
    (folder / "ways.jsonl").write_text("".join(json.dumps(way) + "\n" for way in ways))
    for name, answer in (("fair", scripted.FAIR), ("good", scripted.GOOD)):
        said = {f"{n}:{n + 1}": f"{answer} {n}" for n in range(3)}
        both = evaluations.predictions(folder / f"{name}.jsonl", "medquad", said, "output").read_text()
        of_medqa = {f"test:{n}": f"{name[0].upper()}." for n in (1, 2, 3)}
        with evaluations.predictions(folder / f"{name}.jsonl", "medqa", of_medqa, "output").open("a") as file:
            file.write(both)
    for name, text in (("half", HALF), ("nearly", NEARLY)):
        (folder / f"{name}.jsonl").write_text(json.dumps({"instruction": text, "input": "", "output": "Yes."}) + "\n")
    return folder


def _words(options: dict[str, Any], home: Path, **places: str) -> list[str]:
    words = {"corpora": "HOME/corpora", "tasks": "[medqa]", "resamples": 100} | options
    texts = [f"--{key}={value}" for key, value in words.items()]
    for name, place in {"HOME": str(home), **places}.items():
        texts = [text.replace(name, place) for text in texts]
    return texts


def _changed(key: str, seen: Key) -> dict[str, Any]:
    return {name: value for name, value in seen.given.items() if key != "models"} | {key.replace("N", "0"): seen.value}


def _answers(seen: Seen) -> Answer:
    if seen.json["model"] == "short":
        return error("This model's maximum context length is 16 tokens. However, you requested 50 tokens", 400)
    return Answer(content="A")


def _run(options: dict[str, Any], home: Path, out: Path) -> list[Any]:
    """What came of it, without what merely repeats the settings: files of models, scores, comparisons, requests."""
    with serve(_answers) as server, serve(scripted.judge()) as judge:
        said = evaluations.call(*_words(options, home, SERVER=server.url, JUDGE=judge.url), f"--out={out}")
        asked = [[sorted(seen.body for seen in one.seen)] for one in (server, judge)]
    names = sorted(file.parent.name for file in out.glob("*/results_*"))
    scored = [evaluations.results(out, name)["bioinstruct"]["tasks"] for name in names]
    compared = json.loads((out / "comparisons.json").read_text()) if names else {}
    verdicts = compared.pop("judge", None)
    for tasks in scored:
        for protocols in tasks.values():
            for one in protocols.values():
                del one["samples"]
    return [said.code, asked, names, scored, compared, verdicts and {**verdicts, "judge": None, "spent": None}]


@pytest.mark.slow
@pytest.mark.parametrize("key", RUNS)
def test_a_key_is_seen_in_what_comes_of_it(home, tmp_path, key):
    # Mutations: `baseline`, `shots.balanced` or `judge.passes` replaced by its default where it is read.
    seen = RUNS[key]
    before, after = _run(seen.given, home, tmp_path / "before"), _run(_changed(key, seen), home, tmp_path / "after")
    assert (before[0], after[0]) == (0, seen.code)
    assert before != after


@pytest.mark.slow
@pytest.mark.parametrize("given", [FILE | SECOND, SERVER, GRADED], ids=["files", "server", "judge"])
def test_what_is_not_changed_looks_the_same_twice(home, tmp_path, given):
    # Without this, a look at something random would show a change for any key.
    first, again = (_run(given, home, tmp_path / name) for name in ("first", "again"))
    assert first == again
    assert first[0] == 0


@pytest.mark.parametrize("key", LOADS)
def test_a_key_of_a_model_reaches_what_is_loaded(home, finished, tmp_path, monkeypatch, key):
    # Mutation: context not handed on by `evaluated._jax`.
    seen: list[Any] = []

    def load(kind: str) -> Any:
        def loaded(*given: Any, **more: Any) -> None:
            seen.append((kind, given, sorted(more.items())))
            raise ValueError("enough")

        return loaded

    monkeypatch.setattr(evaluated, "load", load("jax"))
    monkeypatch.setattr(hub_load, "load", load("transformers"))
    monkeypatch.setattr(evaluated.locate, "whole_model", lambda name: name)
    for number, options in enumerate((LOADS[key].given, _changed(key, LOADS[key]))):
        said = evaluations.call(*_words(options, home, FINISHED=str(finished)), f"--out={tmp_path / str(number)}")
        assert "error: model: enough" in said.err
    assert seen[0] != seen[1]


def test_the_template_of_a_model_is_seen_in_prompts(home, tmp_path, finished):
    # Mutation: None handed to `choose_template`.
    words = [*_words(MODEL | {"models.0.model": finished / "base"}, home), f"--out={tmp_path}", "--preview=1"]
    said = [evaluations.call(*words, f"--models.0.template={name}").out for name in ("alpaca", "medtuned")]
    assert said[0] != said[1]


@pytest.mark.parametrize("section", ASKED)
@pytest.mark.parametrize("key", ENDPOINT)
def test_a_key_of_an_endpoint_reaches_the_client(home, tmp_path, monkeypatch, section, key):
    # Mutation: `extra` lost in `ServerModel._decoding`.
    given, name = ASKED[section]
    seen: list[str] = []

    class Client:
        def __init__(self, endpoints: Any, **more: Any) -> None:
            self.endpoints = endpoints

        def check(self) -> None: ...

        async def __aenter__(self) -> None:
            seen.append(repr(self.endpoints))
            raise ValueError("enough")

        async def __aexit__(self, *_: Any) -> None: ...

    monkeypatch.setattr(serving, "Client", Client)
    monkeypatch.setattr(judging, "Client", Client)
    urls = {"SERVER": "http://127.0.0.1:8/v1", "JUDGE": "http://127.0.0.1:8/v1"}
    for number, options in enumerate((given, given | {f"{name}.endpoint.{key}": ENDPOINT[key]})):
        said = evaluations.call(*_words(options, home, **urls), f"--out={tmp_path / str(number)}")
        assert "error: enough" in said.err
    assert seen[0] != seen[1]


def test_every_key_has_an_entry():
    # Mutation: a field added to Evaluate, Model or Judge, or one removed.
    names = {key.name for key in schema.keys(Evaluate) if not schema.fields(key.kind)}  # values, not sections
    endpoints = {f"{section}.endpoint.{key}" for section in ASKED for key in ENDPOINT}
    assert names == {*RUNS, *LOADS, *endpoints, *ELSEWHERE, "models.N.template"}
    assert not ELSEWHERE.keys() & {*RUNS, *LOADS}
    for file, test in (name.split("::") for name in ELSEWHERE.values()):
        assert f"def {test}(" in (Path(__file__).parent / file).read_text(encoding="utf-8")
