"""The verb from its words to its files: two models on the same items, what is kept, what is refused."""

import json
from pathlib import Path

import pytest

from tests import evaluations
from tests.api.server import Answer, Seen, serve
from tests.evaluation import choice_corpora
from tests.evaluations import QUIET, call, predictions, results, rows, samples, scores

IDS = [f"test:{number}" for number in (1, 2, 3)]
RIGHT = {id: letter for id, (_, _, letter) in zip(IDS, choice_corpora.MEDQA, strict=True)}
WRONG = {id: "A" if letter != "A" else "B" for id, letter in RIGHT.items()}


@pytest.fixture(scope="module")
def corpora(tmp_path_factory) -> Path:
    return evaluations.corpora(tmp_path_factory.mktemp("corpora"))


@pytest.fixture(scope="module")
def both(finished, corpora, tmp_path_factory) -> tuple[list[str], Path, evaluations.Said]:
    """Base and tuned once through all protocols: the words, the folder, what was said."""
    out = tmp_path_factory.mktemp("both") / "out"
    words = ["base_and_tuned", f"--corpora={corpora}", f"--models.0.model={finished / 'base'}"]
    words += [f"--models.1.adapter={finished}", "--tasks=[medqa, medquad]", "--limit=2", f"--out={out}", *QUIET]
    return words, out, call(*words)


@pytest.fixture
def foretold(corpora, tmp_path) -> list[str]:
    """Words for a model whose answers to medqa are in ``said.jsonl``; nothing is loaded."""
    file = predictions(tmp_path / "said.jsonl", "medqa", RIGHT)
    words = ["--tasks=[medqa]", f"--corpora={corpora}", f"--out={tmp_path / 'out'}", "--resamples=100"]
    return [*words, "--models.0.runs_on=predictions", f"--models.0.predictions={file}"]


# -------------------------------------------------------------------- what it leaves


def test_it_leaves_what_it_says(both):
    # meditron#29, PMC-LLaMA#19.
    _, out, said = both
    assert said.code == 0, said.err
    assert {file.name for file in out.iterdir()} == {
        *("base", "tuned", "cache", "config.yaml", "started.json", "finished.json"),
        *("report.html", "tables.md", "tables.tex", "comparisons.json"),
    }
    assert samples(out).keys() == {
        f"{one}/samples_{task}" for one in ("base", "tuned") for task in ("medqa", "medquad")
    }
    report = (out / "report.html").read_text(encoding="utf-8")
    for text in (report, (out / "tables.md").read_text(), said.out):
        assert "base" in text
        assert "tuned" in text
    compared = json.loads((out / "comparisons.json").read_text())["comparisons"]
    assert {(one["task"], one["protocol"], one["first"], one["second"]) for one in compared} == {
        *(("medqa", protocol, "base", "tuned") for protocol in ("harness", "likelihood", "generated")),
        ("medquad", "generated", "base", "tuned"),
    }
    assert str(out / "report.html") in said.out


def test_scores_are_the_means_of_the_samples(both):
    # Mutation: the estimate of another metric in `harness_files._scores`.
    _, out, _ = both
    for model in ("base", "tuned"):
        for task, headline in (("medqa", "acc"), ("medquad", "rouge_l")):
            by_filter: dict[str, list[float]] = {}
            for row in rows(out, model, task):
                by_filter.setdefault(row["filter"], []).append(row[headline])
            assert {len(values) for values in by_filter.values()} == {2}
            for name, values in by_filter.items():
                assert scores(out, model)[task][f"{headline},{name}"] == pytest.approx(sum(values) / 2)
        assert results(out, model)["n-samples"]["medqa"] == {"original": 3, "effective": 2}
    asked = [[row["id"] for row in rows(out, model, "medqa")] for model in ("base", "tuned")]
    assert asked[0] == asked[1]
    given = [
        [row["resps"] for row in rows(out, model, "medqa") if row["filter"] != "generated"]
        for model in ("base", "tuned")
    ]
    assert given[0] != given[1]  # the adapter is there


def test_log_likelihoods_choose_the_answer(both):
    # From the rows alone. Mutation: the least likely choice is taken.
    for model in ("base", "tuned"):
        for row in rows(both[1], model, "medqa"):
            if row["filter"] != "generated":
                values = [float(one[0][0]) for one in row["resps"]]
                assert row["answer"] == "ABCD"[values.index(max(values))]
                assert row["acc"] == float(row["answer"] == row["gold"])


def test_a_base_without_a_record_is_asked_in_the_adapters_template(both):
    # Mutation: `shared` not handed on by `opened`.
    _, out, said = both
    prompts = [
        [row["arguments"]["gen_args_0"]["arg_0"] for row in rows(out, model, "medqa") if row["filter"] == "generated"]
        for model in ("base", "tuned")
    ]
    assert prompts[0] == prompts[1]
    assert all("### Instruction:" in prompt for prompt in prompts[0])
    assert "asked in the template alpaca, as the tuned model is" in said.err
    assert "as the tuned model is" in (out / "report.html").read_text(encoding="utf-8")


# -------------------------------------------------------------------- what is kept


def test_the_same_again_asks_nothing_and_gives_the_same(both, monkeypatch):
    # Mutations: the date in the fingerprint; `kept` not looked at in `asking.outputs`; `finish` removes nothing.
    words, out, _ = both
    before, known = evaluations.kept(out / "cache"), samples(out)
    told, compared = [scores(out, model) for model in ("base", "tuned")], (out / "comparisons.json").read_bytes()
    evaluations.nobody(monkeypatch)
    assert call(*words).code == 0
    assert evaluations.kept(out / "cache") == before
    assert samples(out) == known
    assert [scores(out, model) for model in ("base", "tuned")] == told  # and one file each is left
    assert (out / "comparisons.json").read_bytes() == compared


@pytest.mark.parametrize(
    "change",
    ["--resamples=150", "--unfit=refuse", "--baseline=tuned", "--contamination.rouge_l=0.9", "--limit=1",
     "--protocols=[likelihood, generated]", "--models.0.batch=1", "--models=[{name: base, model: BASE}]"],
)  # fmt: skip
def test_other_settings_ask_for_nothing_that_is_known(both, monkeypatch, tmp_path, change):
    # Mutations: resamples or batch in the fingerprint; the number of the item in the key.
    words, out, _ = both
    before = evaluations.kept(out / "cache")
    evaluations.nobody(monkeypatch)
    base = words[2].partition("=")[2]
    if "BASE" in change:
        words = ["base_and_tuned", words[1], *words[4:], "--models.0.template=alpaca"]
    said = call(*words, change.replace("BASE", base), f"--out={tmp_path / 'out'}", f"--cache={out / 'cache'}")
    assert said.code == 0, said.err
    assert evaluations.kept(out / "cache") == before
    for name in {path.parent.name for path in (tmp_path / "out").glob("*/results_*")}:
        for task in ("medqa", "medquad"):
            whole = [row | {"doc_id": 0} for row in rows(out, name, task)]
            assert all(row | {"doc_id": 0} in whole for row in rows(tmp_path / "out", name, task))


@pytest.mark.parametrize("change", ["--seed=1", "--max_tokens=7", "--models.1.dtype=bfloat16", "--shots.count=1"])
def test_what_an_answer_depends_on_asks(both, monkeypatch, tmp_path, change):
    # Mutations: max_tokens, dtype left out of the key.
    words, out, _ = both
    evaluations.nobody(monkeypatch)
    with pytest.raises(AssertionError, match="a model was asked"):
        call(*words, change, f"--out={tmp_path / 'out'}", f"--cache={out / 'cache'}")


def test_a_cache_serves_other_evaluations(both, monkeypatch, tmp_path):
    words, out, _ = both
    evaluations.nobody(monkeypatch)
    assert call(*words, f"--out={tmp_path / 'out'}", f"--cache={out / 'cache'}").code == 0
    assert samples(tmp_path / "out") == samples(out)
    assert not (tmp_path / "out" / "cache").exists()


# -------------------------------------------------------------------- answers made elsewhere


def test_labels_are_scored(foretold, tmp_path):
    said = call(*foretold)
    assert said.code == 0, said.err
    assert scores(tmp_path / "out", "model")["medqa"]["acc,generated"] == 1.0


@pytest.mark.parametrize("key", ["label", "output", "tags"])
def test_predictions_of_each_kind_are_scored_again_from_samples(corpora, tmp_path, key):
    # Mutation: `label` and `tags` not read from samples.
    task, said = {
        "label": ("gad", {"test:2": "associated", "test:3": "associated"}),
        "output": ("medqa", {id: f"The answer is {letter}." for id, letter in WRONG.items()}),
        "tags": ("ncbi_disease", {"test:1": ["B", "I", "I", "O", "O", "O"], "test:2": ["O", "B", "O"]}),
    }[key]
    file = predictions(tmp_path / "said.jsonl", task, said, key)
    words = [f"--tasks=[{task}]", f"--corpora={corpora}", "--resamples=100", "--models.0.runs_on=predictions"]
    first, second = tmp_path / "first", tmp_path / "second"
    done = call(*words, f"--models.0.predictions={file}", f"--out={first}")
    assert done.code == 0, done.err
    assert call(*words, f"--models.0.predictions={first / 'model'}", f"--out={second}").code == 0
    assert scores(first, "model") == scores(second, "model")
    assert [row["answer"] for row in rows(first, "model", task)] == [
        row["answer"] for row in rows(second, "model", task)
    ]


def test_an_earlier_evaluation_is_scored_again_from_its_samples(both, corpora, tmp_path):
    _, out, _ = both
    words = ["--tasks=[medqa, medquad]", "--limit=2", f"--corpora={corpora}", f"--out={tmp_path / 'out'}", *QUIET]
    said = call(*words, "--models.0.runs_on=predictions", f"--models.0.predictions={out / 'tuned'}")
    assert said.code == 0, said.err
    assert scores(tmp_path / "out", "model") == scores(out, "tuned")
    for task in ("medqa", "medquad"):  # so that they can be read a third time
        assert [row["resps"] for row in rows(tmp_path / "out", "model", task)] == [
            row["resps"] for row in rows(out, "tuned", task)
        ]


def test_missing_predictions_are_counted_and_refused(foretold, tmp_path):
    predictions(tmp_path / "said.jsonl", "medqa", {IDS[0]: "B", "test:9": "A"})
    said = call(*foretold)
    assert said.code == 2
    assert "2 of 3 items have no prediction (medqa/test/test:2, medqa/test/test:3)" in said.err
    assert "1 predictions are of no item that is scored (test:9)" in said.err


def test_an_item_of_the_tuning_rows_is_flagged_and_left_out_of_clean(foretold, tmp_path):
    # Mutation: `flagged` not handed to the tally.
    predictions(tmp_path / "said.jsonl", "medqa", WRONG | {IDS[1]: RIGHT[IDS[1]]})
    asked = choice_corpora.MEDQA[1][0]
    planted = {"instruction": f"Answer: {asked}", "input": "", "output": "The right coronary artery."}
    (tmp_path / "rows.jsonl").write_text(json.dumps(planted) + "\n")
    said = call(*foretold, f"--models.0.tuned_on=[{tmp_path / 'rows.jsonl'}]")
    assert said.code == 0, said.err
    out = tmp_path / "out"
    assert [row["flagged"] for row in rows(out, "model", "medqa")] == [False, True, False]
    told = results(out, "model")["bioinstruct"]["tasks"]["medqa"]["generated"]
    assert told["flagged"] == 1
    assert told["metrics"]["acc"]["estimate"]["value"] == pytest.approx(1 / 3)
    assert told["clean"]["acc"]["value"] == 0


# -------------------------------------------------------------------- what is shown and refused


def test_list_shows_items_and_protocols(foretold, tmp_path):
    said = call(*foretold, "--tasks=[QA, medquad]", "--limit=2", "--list")
    assert said.code == 0
    shown = {line.split()[0]: " ".join(line.split()[1:]) for line in said.out.splitlines()}
    assert shown["medqa"] == "QA test 2 harness, likelihood, generated"
    assert shown["medquad"] == "QA train 2 generated"
    assert "bioasq_yes_no" in said.err  # which is not there
    assert not (tmp_path / "out").exists()


def test_a_task_of_no_item_is_told_before_anything_is_asked(foretold, tmp_path):
    # Mutation: `--list` says nothing of it, and the run ends in a traceback when all is answered.
    words = [*foretold, f"--corpora={evaluations.corpora(tmp_path / 'corpora')}"]
    (tmp_path / "corpora" / "own-instructions").mkdir()
    (tmp_path / "corpora" / "own-instructions" / "test.jsonl").write_text("")
    for more in ((), ("--list",)):
        said = call(*words, "--tasks=[medqa, own_instructions]", *more)
        assert said.code == 2
        assert "own-instructions/test.jsonl: not one item in it" in said.err
    assert not (tmp_path / "out").exists()
    said = call(*words, "--tasks=[medqa, GEN]", "--list")
    assert said.code == 0
    assert "note: not scored: own_instructions/test: own-instructions/test.jsonl: not one item" in said.err


def test_preview_shows_prompts_and_no_restricted_word(finished, corpora, tmp_path):
    words = [f"--corpora={corpora}", "--tasks=[medqa, mednli]", f"--models.0.adapter={finished}"]
    said = call(*words, f"--out={tmp_path / 'out'}", "--preview=1")
    assert said.code == 0, said.err
    assert "=== medqa/test/test:1, harness\nQuestion: A 24-year-old woman" in said.out
    assert "### Response:" in said.out
    assert "restricted, keyed hash" in said.out
    assert "transfused" not in said.out + said.err
    assert not (tmp_path / "out").exists()


def test_help_names_every_setting():
    said = call("--help")
    assert said.code == 0
    for name in ("resamples", "models", "tuned_on", "--list", "--preview", "canaries"):
        assert name in said.out


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("--tasks=[medqqa]", "did you mean medqa?"),
        ("--tasks=[hoc]", "HoC"),
        ("--corpora=/nowhere", "corpora /nowhere: no such folder. Give"),
        ("--tasks=[IE] --corpora=/nowhere", "corpora /nowhere: no such folder. Give"),
        ("--baseline=tuned", "baseline 'tuned': the models are model"),
        ("--models.0.predictions=/nowhere.jsonl", "/nowhere.jsonl"),
        ("--models.0.runs_on=jax", "runs_on jax takes no predictions"),
        ("--models.0.model=x", "takes neither model nor adapter"),
        ("--out=memory://x", "local folder"),
        ("--list --preview=1", "one at a time"),
        ("--resampels=100", "resamples"),
        ("--shots.count=9", "shots"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_before_anything_is_written(foretold, tmp_path, change, says):
    said = call(*foretold, *change.split(" "))
    assert said.code == 2
    assert says in said.err
    assert not list(tmp_path.glob("out/*/results*"))


def test_a_model_that_can_be_asked_nothing_is_refused(foretold):
    # It left an empty table, with exit code 0.
    said = call(*foretold, "--protocols=[harness, likelihood]")
    assert said.code == 2
    assert "model: nothing to score: it can be asked none of medqa under harness, likelihood" in said.err


def test_a_cache_that_is_a_file_is_refused(foretold, tmp_path):
    said = call(*foretold, f"--cache={tmp_path / 'said.jsonl'}")
    assert said.code == 2
    assert "this is a file; give another --cache" in said.err
    assert not (tmp_path / "out").exists()


def test_two_models_of_one_name_are_refused(foretold, tmp_path):
    more = ["--models.1.runs_on=predictions", f"--models.1.predictions={tmp_path / 'said.jsonl'}"]
    said = call(*foretold, *more)
    assert said.code == 2
    assert "two have one name (model, model)" in said.err


def test_a_folder_of_something_else_is_left_alone(foretold, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.md").write_text("Years of work.")
    said = call(*foretold)
    assert said.code == 2
    assert "nothing is overwritten" in said.err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["thesis.md"]
    said = call(*foretold, f"--out={tmp_path / 'out' / 'thesis.md'}")
    assert said.code == 2
    assert "this is a file" in said.err


# -------------------------------------------------------------------- servers


def _served(url: str, *more: str) -> list[str]:
    limits = ["limits.attempts=1", "limits.backoff=0.01", "limits.concurrency=1", "limits.breaker=2"]
    words = ["--models.0.runs_on=server", f"--models.0.endpoint.base_url={url}", "--models.0.endpoint.model=m"]
    return [*words, *(f"--models.0.endpoint.{one}" for one in limits), *more]


@pytest.fixture
def asked(corpora, tmp_path) -> list[str]:
    words = ["--tasks=[medqa, pubmedqa]", f"--corpora={corpora}", f"--out={tmp_path / 'out'}"]
    return [*words, "--resamples=100"]


def _b(seen: Seen) -> Answer:
    return Answer(content="B" if "A." in seen.prompt or "A)" in seen.prompt else "yes", usage=(200, 5))


@pytest.mark.parametrize(
    ("code", "more"), [(4, ""), (3, "--budget.tokens=900")], ids=["a server that breaks", "a budget"]
)
def test_a_server_is_asked_each_question_once(asked, tmp_path, code, more):
    # Mutation: the journal opened anew for each call.
    down = [code == 4]

    def script(seen: Seen) -> Answer:
        return Answer(status=500, body=b"{}") if down[0] and seen.number > 2 else _b(seen)

    with serve(script) as server:
        words = _served(server.url, "--max_tokens=64")
        said = call(*asked, *words, *filter(None, [more]))
        assert said.code == code, said.err
        assert "the same command goes on" in said.err
        assert "Traceback" not in said.err
        assert not list(tmp_path.glob("out/*/results*"))
        well = 2 if code == 4 else len(server.seen)
        assert 0 < well < 6
        first, down[0] = len(server.seen), False
        assert call(*asked, *words).code == 0
        assert len(server.seen) - first == 6 - well
        assert call(*asked, *words, "--resamples=150").code == 0
        assert len(server.seen) - first == 6 - well
    told = scores(tmp_path / "out", "model")
    assert told["medqa"]["acc,generated"] == pytest.approx(1 / 3)
    assert told["pubmedqa"]["acc,generated"] == pytest.approx(1 / 3)
    assert {row["filter"] for row in rows(tmp_path / "out", "model", "medqa")} == {"generated"}


def test_a_server_that_is_not_there_ends_it(asked, tmp_path):
    said = call(*asked, *_served("http://127.0.0.1:9/v1"))
    assert said.code == 4
    assert "127.0.0.1:9" in said.err
    assert "Traceback" not in said.err


def test_restricted_questions_do_not_leave_this_machine(asked, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "of-a-test")
    price = ("--models.0.endpoint.price.input=0", "--models.0.endpoint.price.output=0")
    said = call(*asked, "--tasks=[mednli]", *_served("https://api.example.org/v1", *price))
    assert said.code == 2
    assert "restricted" in said.err
