"""Files of ours read by lm-evaluation-harness's own code, and its own files beside ours."""

import json
from pathlib import Path
from typing import Any

import pytest
from upath import UPath

from bioinstruct_jax.evaluation import choice_prompts
from bioinstruct_jax.evaluation.results import harness_files, samples
from bioinstruct_jax.evaluation.results.harness_files import Group
from bioinstruct_jax.evaluation.results.samples import SampleFile
from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.runner.questions import Question
from bioinstruct_jax.tasks.table import TASKS
from tests.benchmarks import harness
from tests.evaluation import choice_corpora
from tests.evaluation.results import by_hand as made

pytestmark = pytest.mark.slow  # importing the harness takes seconds
pytest.importorskip("lm_eval")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


@pytest.fixture
def out(tmp_path) -> Path:
    """An evaluation of one model: PubMedQA under all protocols, MedQA under the harness's."""
    written = {}
    for name, protocols in (("pubmedqa", ("harness", "likelihood", "generated")), ("medqa", ("harness",))):
        file = UPath(tmp_path) / "tuned" / samples.file_name(name, made.DATE)
        with SampleFile(file, made.PUBMEDQA) as stream:
            for protocol in protocols:
                for number in range(4):
                    scored = (made.scores(), made.LIKELY, made.RIGHT)
                    wrote = (made.completion(), made.WROTE, made.READ)
                    stream.add(
                        made.question(number),
                        protocol,
                        *(wrote if protocol == "generated" else scored),
                        counts=(1.0, 1.0),
                    )
        written[name] = stream.written
    ran = made.ran("pubmedqa", "medqa")
    ran.samples.update(written)
    scored = [made.result(protocol=one) for one in ("harness", "likelihood", "generated")] + [made.result(task="medqa")]
    group = Group("QA", ("pubmedqa", "medqa"), "harness", "acc", made.estimate(0.5))
    harness_files.write(UPath(tmp_path), harness_files.results(ran, scored, groups=[group]))
    return tmp_path


def test_its_readers_find_the_files_and_their_tasks(out):
    # Mutation: an underscore in the date, or the files straight in the folder.
    from lm_eval import utils

    names = [file.as_posix() for file in sorted((out / "tuned").iterdir())]
    (results,) = utils.get_results_filenames(names)
    rows = utils.get_sample_results_filenames(names)
    assert utils.get_latest_filename([results, results.replace("2026", "2025")]) == results
    assert [utils.get_file_task_name(Path(name).name) for name in rows] == ["medqa", "pubmedqa"]
    assert {utils.get_file_datetime(Path(name).name) for name in rows} == {made.STAMP}
    assert utils.sanitize_model_name("tuned") == json.loads(Path(results).read_text())["model_name_sanitized"]


def test_its_table_shows_tasks_protocols_and_groups(out):
    from lm_eval.utils import make_table

    read = json.loads(next((out / "tuned").glob("results_*.json")).read_text())
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in make_table(read).splitlines()[2:]]
    shown = [(row[0], row[2], row[3], row[4], row[5], float(row[6]), row[8]) for row in rows]
    assert shown[:3] == [
        ("QA", "none", "", "acc", "↑", 0.5, "0.0125"),
        ("- medqa", "none", "0", "acc", "↑", 0.5, "0.0125"),
        ("", "none", "0", "macro_f1", "↑", 0.25, "N/A"),
    ]
    assert {(row[1], row[3]) for row in shown[3:]} == {
        (name, metric) for name in ("none", "likelihood", "generated") for metric in ("acc", "macro_f1")
    }
    assert (len(rows), rows[0][1], rows[1][1]) == (9, "N/A", "scorer 1 extraction 2")
    groups = make_table(read, "groups").splitlines()
    assert groups[2].split("|")[1].strip() == "QA"
    assert len(groups) == 3


def test_its_logger_takes_the_results(out):
    from lm_eval.loggers.wandb_logger import WandbLogger

    logger = WandbLogger.__new__(WandbLogger)  # without a run
    logger.post_init(json.loads(next((out / "tuned").glob("results_*.json")).read_text()))
    summary, scores = logger._sanitize_results_dict()
    assert scores["pubmedqa/acc"] == 0.5
    assert scores["pubmedqa/acc,likelihood"] == 0.5
    assert summary["pubmedqa/macro_f1_stderr"] == "N/A"
    assert logger._get_config()["cli_configs"]["limit"] == 4


def test_what_a_viewer_takes_from_the_samples_is_there(out):
    # What the harness's scripts/zeno_visualize.py asks of each row.
    configs = json.loads(next((out / "tuned").glob("results_*.json")).read_text())["configs"]
    for task, config in configs.items():
        rows = [json.loads(line) for line in next((out / "tuned").glob(f"samples_{task}_*")).read_text().splitlines()]
        assert {row["filter"] for row in rows} == {one["name"] for one in config["filter_list"]}
        assert len({f"{row['doc_id']}.{row['filter']}" for row in rows}) == len(rows) == 4 * len(config["filter_list"])
        for row in rows:
            assert row["arguments"]["gen_args_0"]["arg_0"]
            assert row["target"] == "yes"
            assert str(row["filtered_resps"][0])
            if config["output_type"] == "multiple_choice":
                assert [float(value) for value, _ in row["filtered_resps"]]
            assert all(isinstance(row[metric["metric"]], float) for metric in config["metric_list"])
        assert config["metric_list"]


def test_datasets_reads_the_samples(out, tmp_path):
    import datasets

    file = str(next((out / "tuned").glob("samples_medqa_*")))
    rows = datasets.load_dataset("json", data_files=file, split="train", cache_dir=str(tmp_path / "cache"))
    assert rows["acc"] == [1.0] * 4
    assert rows[0]["arguments"]["gen_args_1"]["arg_1"] == " no"


@pytest.mark.parametrize("name", ["medqa", "medmcqa", "pubmedqa", "mmlu_medical_genetics"])
def test_its_own_files_beside_ours(tmp_path, name):
    # Mutations: the label as target of lettered options, its number elsewhere; the continuation in prompt_hash;
    # numbers in resps; sample_len left out.
    import lm_eval
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.models.dummy import DummyLM
    from lm_eval.tasks import TaskManager

    choice_corpora.write(tmp_path)
    task = TASKS[name]
    pairs = harness.documents(task, tmp_path)
    (tmp_path / "tasks").mkdir()
    harness.task_file(task, [doc for doc, _ in pairs], tmp_path / "tasks")
    called = choice_prompts.likelihood(task).harness
    tracker = EvaluationTracker(str(tmp_path / "theirs"))
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)
    told: Any = lm_eval.simple_evaluate(
        DummyLM(), tasks=[called], num_fewshot=0, task_manager=manager, bootstrap_iters=10, evaluation_tracker=tracker
    )
    rows = told.pop("samples")
    tracker.save_results_aggregated(told, rows)
    tracker.save_results_samples(called, rows[called])
    theirs = [json.loads(line) for line in next((tmp_path / "theirs").rglob("samples_*")).read_text().splitlines()]
    results = json.loads(next((tmp_path / "theirs").rglob("results_*")).read_text())

    file = UPath(tmp_path) / "tuned" / samples.file_name(name, made.DATE)
    with SampleFile(file, task) as stream:
        for (_, item), row in zip(pairs, sorted(theirs, key=lambda row: row["doc_id"]), strict=True):
            given = [one[0] for one in row["resps"]]
            output = Output(loglikelihoods=tuple(float(one) for one, _ in given), greedy=(False,) * len(given))
            question = Question(f"{name}/{item.id}", item.id, item, made.question().record, (), "label")
            scores = {metric: float(row[metric]) for metric in ("acc", "acc_norm")}
            reading = made.Reading(task.family.gold(item), task.family.gold(item), "likeliest", 1.0, scores, {})
            asked = choice_prompts.prompt(task, item).requests()
            stream.add(question, "harness", asked, output, reading, counts=(1.0, 1.0))
    for ours, row in zip(samples.read(file), sorted(theirs, key=lambda row: row["doc_id"]), strict=True):
        assert ours.keys() >= row.keys() - {"brier_score"}  # ours rests on a scorer, which this test has none of
        for key in row.keys() - {"doc", "doc_hash", "metrics", "brier_score"}:  # the item is told in our words
            assert ours[key] == row[key], key
        assert ours["doc_hash"] == samples._sha256(json.dumps(ours["doc"], indent=2, ensure_ascii=False))

    ran = made.ran(name)
    whole = harness_files.results(ran, [made.result(task=name)])
    missing = results.keys() - whole.keys()
    assert not {key for key in missing if not key.startswith("tokenizer_")} - {
        "eot_token_id",
        "max_length",
        "upper_git_hash",
    }
    assert whole["results"][name].keys() >= results["results"][called].keys() & {
        "name",
        "alias",
        "sample_len",
        "acc,none",
    }
    assert whole["config"].keys() >= results["config"].keys()
    assert whole["n-samples"][name].keys() == results["n-samples"][called].keys()
    assert whole["configs"][name].keys() & results["configs"][called].keys() >= {
        "task",
        "dataset_path",
        "test_split",
        "output_type",
        "metric_list",
        "num_fewshot",
        "repeats",
        "metadata",
    }
    for part in ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes"):
        assert type(whole[part]) is type(results[part]), part
