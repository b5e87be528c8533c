"""Results in the harness's layout, by hand; what the layout has no place for; what is refused."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.evaluation.bootstrap import Estimate
from bioinstruct_jax.evaluation.calibration import Bin
from bioinstruct_jax.evaluation.results import harness_files, samples
from bioinstruct_jax.evaluation.results.harness_files import Group
from tests.evaluation.results.by_hand import ACC, STAMP, estimate, ran, result

GROUP = Group("QA", ("pubmedqa", "medqa"), "harness", "acc", estimate(0.5))


def _made() -> dict:
    generated = result(protocol="generated", metrics=(ACC,), estimates={"acc": estimate(0.75)}, answered=0.5)
    scored = [result(), generated, result(task="medqa", shots=2)]
    return harness_files.results(ran("pubmedqa", "medqa"), scored, groups=[GROUP], comparisons={"base": {"p": 0.03}})


def test_what_the_harness_reads_by_hand():
    # Mutations: the protocol in place of its filter; the error as 0 where there is none; the group left out of results.
    made = _made()
    pubmedqa = {
        "name": "pubmedqa",
        "alias": "pubmedqa",
        "sample_len": 4,
        "acc,none": 0.5,
        "acc_stderr,none": 0.0125,
        "macro_f1,none": 0.25,
        "macro_f1_stderr,none": "N/A",
        "acc,generated": 0.75,
        "acc_stderr,generated": 0.0125,
    }
    group = {"name": "QA", "alias": "QA", "acc,none": 0.5, "acc_stderr,none": 0.0125}
    assert list(made["results"]) == ["pubmedqa", "medqa", "QA"]
    assert made["results"]["pubmedqa"] == pubmedqa
    assert made["results"]["QA"] == made["groups"]["QA"] == group
    assert made["group_subtasks"] == {"QA": ["pubmedqa", "medqa"]}
    assert made["n-shot"] == {"pubmedqa": 0, "medqa": 2}
    assert made["higher_is_better"]["medqa"] == {"acc": True, "macro_f1": True}
    assert made["n-samples"]["pubmedqa"] == {"original": 500, "effective": 4}
    assert made["versions"] == {"pubmedqa": "scorer 1 extraction 2", "medqa": "scorer 1 extraction 2"}
    assert made["task_hashes"] == {"pubmedqa": "0" * 64, "medqa": "0" * 63 + "1"}
    assert made["config"] == {
        "model": "jax",
        "model_args": {"pretrained": "org/base", "peft": "runs/tuned"},
        "batch_size": 32,
        "batch_sizes": [],
        "device": None,
        "use_cache": None,
        "limit": 4,
        "bootstrap_iters": 10_000,
        "gen_kwargs": {},
        "random_seed": 7,
        "numpy_seed": 7,
        "torch_seed": 7,
        "fewshot_seed": 7,
    }
    assert made["configs"]["pubmedqa"] == {
        "task": "pubmedqa",
        "task_alias": "pubmedqa",
        "tag": "QA",
        "dataset_path": "pubmedqa",
        "dataset_name": None,
        "test_split": "test",
        "output_type": "generate_until",
        "num_fewshot": 0,
        "repeats": 1,
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
        "filter_list": [{"name": "none"}, {"name": "generated"}],
        "metadata": {"scorer": 1, "extraction": 2},
    }
    assert made["configs"]["medqa"]["output_type"] == "multiple_choice"
    assert (made["model_name"], made["chat_template"], made["chat_template_sha"]) == ("tuned", "W", "ab")


def test_what_the_harness_has_no_place_for():
    flagged = np.array([True, False, False, False])
    clean = {"acc": Estimate(1 / 3, None, None, None, 0.95, "BCa", 3, "one document: its spread is unknown")}
    bins = (Bin(0.0, 0.5, 0, None, None), Bin(0.5, 1.0, 4, 0.75, 0.5))
    more = {"unfit": 1, "problems": {"refusal": 2}, "whys": {"stated": 3, "refused": 1}, "bins": bins}
    one = result(flagged=flagged, clean=clean, documents=("a", "a", "b", "c"), **more)
    made = harness_files.results(ran("pubmedqa"), [one], comparisons={"base": {"p": np.float32(0.5), "d": np.nan}})
    assert made["bioinstruct"]["comparisons"] == {"base": {"p": 0.5, "d": None}}
    task = made["bioinstruct"]["tasks"]["pubmedqa"]["harness"]
    assert task["metrics"]["acc"]["estimate"] == {
        "value": 0.5,
        "error": 0.0125,
        "low": 0.475,
        "high": 0.525,
        "level": 0.95,
        "method": "BCa",
        "documents": 4,
        "note": "",
    }
    assert task["baselines"] == {"acc": {"majority": 0.552, "chance": 1 / 3}}
    assert (task["items"], task["documents"], task["flagged"], task["unfit"]) == (4, 3, 1, 1)
    assert (task["why"], task["problems"]) == ({"stated": 3, "refused": 1}, {"refusal": 2})
    assert task["clean"]["acc"]["note"] == "one document: its spread is unknown"
    assert task["calibration"][0] == {"low": 0.0, "high": 0.5, "items": 0, "confidence": None, "accuracy": None}
    assert task["samples"] == f"samples_pubmedqa_{STAMP}.jsonl"
    assert "groups" not in made


def test_a_file_comes_back(tmp_path):
    made = _made()
    file = harness_files.write(UPath(tmp_path), made)
    assert file == UPath(tmp_path) / "tuned" / f"results_{STAMP}.json"
    assert harness_files.read(file) == made
    assert json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail) == made


@given(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)))
def test_samples_and_results_have_one_date(date):
    # The file keeps the date as a number of seconds, as the harness does.
    assert samples.stamp(datetime.fromtimestamp(date.timestamp(), UTC)) == samples.stamp(date)


@given(st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.timezones()), max_size=9))
@example([datetime(2026, 3, 4, tzinfo=UTC), datetime(2026, 3, 4, microsecond=1, tzinfo=UTC)])
def test_names_sort_as_dates_do(dates):
    # Mutation: no timespec: ".json" behind a full second sorts behind ".000001.json".
    names = [f"{samples.stamp(date)}.json" for date in sorted(dates)]
    assert sorted(names) == names


@pytest.mark.parametrize(
    ("scored", "told"),
    [
        ([result("other")], "pubmedqa: scores of 'other' in the file of 'tuned'"),
        ([result(protocol="guessed")], "no protocol 'guessed'; they are harness, likelihood, generated"),
        ([result(), result()], "two results of 'tuned' under the protocol harness"),
        ([result(task="medqa")], "medqa: the items of its split are not told; there are those of pubmedqa"),
    ],
)
def test_what_does_not_belong_together_is_refused(scored, told):
    with pytest.raises(ValueError, match=told):
        harness_files.results(ran("pubmedqa"), scored)


@pytest.mark.parametrize(("text", "told"), [("{", "line 1: broken JSON"), ("[]", "lacks the key 'results'")])
def test_a_file_that_is_none_is_told(tmp_path, text, told):
    (tmp_path / "results_x.json").write_text(text)
    with pytest.raises(ValueError, match=told):
        harness_files.read(UPath(tmp_path / "results_x.json"))
