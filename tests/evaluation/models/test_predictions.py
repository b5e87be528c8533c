import gzip
import json
import math
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from bioinstruct_jax.evaluation.models.predictions import Predictions
from bioinstruct_jax.evaluation.runner.outputs import Output

IDS = [f"medqa/test/{number}" for number in range(4)]
DATE = "2026-03-01T10-00-00.123456"


def written(file: Path, rows: list[Any]) -> str:
    text = "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows)
    file.write_bytes(gzip.compress(text.encode()) if file.suffix == ".gz" else text.encode())
    return str(file)


def rows(count: int = 4, **more: Any) -> list[dict[str, Any]]:
    return [
        {"task": "medqa", "id": f"medqa/test/{number}", "output": f"Answer {number}", **more} for number in range(count)
    ]


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz", "p.json", "p.txt"])
def test_rows_are_read_whichever_way_they_are_written(tmp_path, name):
    if name == "p.json":
        (tmp_path / name).write_text(json.dumps(rows(), indent=1))
    else:
        written(tmp_path / name, rows())
    with Predictions(str(tmp_path / name)) as found:
        assert found.protocols("medqa") == ("generated",)
        assert found.protocols("medmcqa") == ()
        assert [found.output("medqa", "generated", row) for row in IDS] == [
            Output(text=f"Answer {number}") for number in range(4)
        ]
        assert found.output("medqa", "generated", "medqa/test/9") is None
        assert found.output("medqa", "harness", IDS[0]) is None
        assert not found.bad
        assert not found.notes


def test_outputs_labels_and_tags_by_either_id(tmp_path):
    # Mutation: the item's own id looked for without its slashes.
    made = [
        {"task": "medqa", "id": "a/b", "output": ""},
        {"task": "medqa", "id": "medqa/test/1", "label": "C"},
        {"task": "ncbi_disease", "id": "7", "tags": ["O", "B-Disease"]},
        {"task": "ncbi_disease", "id": "8", "tags": []},
        {"id": "medqa/test/2", "output": "A"},
    ]
    with Predictions(written(tmp_path / "p.jsonl", made)) as found:
        assert found.output("medqa", "generated", "medqa/test/a/b") == Output(text="")
        assert found.output("medqa", "generated", "medqa/test/1") == Output(label="C")
        assert found.output("ncbi_disease", "generated", "ncbi_disease/test/7") == Output(tags=("O", "B-Disease"))
        assert found.output("ncbi_disease", "generated", "ncbi_disease/test/8") == Output(tags=())
        assert found.output("medqa", "generated", "medqa/test/2") == Output(text="A")
        assert found.output("medqa", "generated", "medqa/dev/1") is None


def test_bad_rows_are_listed_and_take_no_good_one_with_them(tmp_path):
    # Mutation: a row's task taken as it stands.
    bad = [
        '{"task": "medqa", "id": ',
        [1, 2],
        {"task": "medqq", "id": "1", "output": "x"},
        {"task": "medqa", "output": "x"},
        {"id": "1", "output": "x"},
        {"id": "medqq/test/1", "output": "x"},
        {"task": "medqa", "id": 1, "output": "x"},
        {"task": "medqa", "id": "1"},
        {"task": "medqa", "id": "1", "output": "x", "label": "A"},
        {"task": "medqa", "id": "1", "output": 3},
        {"task": "medqa", "id": "1", "tags": ["O", 1]},
        {"task": "medqa", "id": "medqa/test/0", "filter": "none", "resps": [[["nan", "False"]]]},
        {"task": "medqa", "id": "medqa/test/0", "filter": "first", "resps": [["x"]]},
    ]
    good = rows()
    with Predictions(written(tmp_path / "p.jsonl", [*good[:2], *bad, *good[2:]])) as found:
        assert [one.line for one in found.bad] == list(range(3, 3 + len(bad)))
        assert "did you mean medqa" in found.bad[2].reason
        assert len(found.notes) == 1
        assert 'give "task"' in found.bad[4].reason
        assert "13 rows are no predictions" in found.notes[0]
        assert "line 3" in found.notes[0]
        assert found.check("medqa", "generated", IDS) == []
    with pytest.raises(ValueError, match=r"no prediction in it: line 1 of .*broken JSON"):
        Predictions(written(tmp_path / "none.jsonl", bad[:2]))
    with pytest.raises(FileNotFoundError, match="no such file"):
        Predictions(str(tmp_path / "nothing.jsonl"))


def test_a_file_that_is_cut_off_gives_what_stands_before(tmp_path):
    noise = random.Random(0).randbytes(40_000).hex()  # longer than what a packer remembers of it
    whole = gzip.compress("".join(json.dumps(row) + "\n" for row in rows(60, output=noise)).encode())
    (tmp_path / "p.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with Predictions(str(tmp_path / "p.jsonl.gz")) as found:
        assert "cannot be read on" in found.bad[-1].reason
        assert found.output("medqa", "generated", IDS[0])


def test_runs_on_different_items_are_refused(tmp_path):
    # Mutations: missing items let through; the later of two that differ taken without a word; unknown ones not told.
    made = rows()
    with Predictions(written(tmp_path / "p.jsonl", [made[0], made[0], *made[2:], {**made[3], "id": "x"}])) as found:
        with pytest.raises(ValueError, match=r"1 of 4 items have no prediction \(medqa/test/1\).*1 pred.* \(x\)"):
            found.check("medqa", "generated", IDS)
        told = found.coverage("medqa", "generated", IDS)
        assert (told.missing, told.unknown, told.repeated) == ((IDS[1],), ("x",), (IDS[0],))
        assert found.check("medqa", "generated", [IDS[0], *IDS[2:]]) == [
            "medqa, generated: 1 predictions are of no item that is scored (x), and are left out",
            "medqa, generated: 1 items have the same prediction more than once (medqa/test/0)",
        ]
    with Predictions(written(tmp_path / "q.jsonl", [*made, {**made[2], "output": "other"}])) as found:
        with pytest.raises(ValueError, match=r"1 items have several that differ \(medqa/test/2\)"):
            found.check("medqa", "generated", IDS)
        assert found.output("medqa", "generated", IDS[2]) == Output(text="Answer 2")
    with Predictions(
        written(tmp_path / "r.jsonl", [*made, {**made[1], "id": "1"}, {**made[2], "id": "2", "output": "!"}])
    ) as found:
        told = found.coverage("medqa", "generated", IDS)
        assert (told.repeated, told.contradicted, told.unknown) == ((IDS[1],), (IDS[2],), ())
        with pytest.raises(ValueError, match="4 of 4 items have no prediction"):
            found.check("medmcqa", "generated", IDS)


def test_our_samples_come_back_as_they_were(tmp_path):
    # Mutation: the filter overlooked.
    scores = [[[-1.5, False]], [[-0.25, True]], [[-math.inf, False]]]
    made = [
        {"id": IDS[0], "doc_id": 0, "filter": "none", "resps": scores},
        {"id": IDS[0], "doc_id": 0, "filter": "likelihood", "resps": scores[:2]},
        {"id": IDS[0], "doc_id": 0, "filter": "generated", "resps": [["B"]], "finish": "length"},
        {"id": IDS[1], "doc_id": 1, "filter": "generated", "resps": [[None]], "problem": "the server's content filter"},
        {"id": IDS[2], "doc_id": 2, "filter": "generated", "resps": [], "unfit": [5000, 4096]},
        {"id": IDS[2], "doc_id": 2, "filter": "none", "resps": [], "unfit": [5000, 4096]},
    ]
    written(tmp_path / f"samples_medqa_{DATE}.jsonl", made)
    written(tmp_path / "samples_medqa_2026-02-01T10-00-00.jsonl", rows(1))
    (tmp_path / f"results_{DATE}.json").write_text("{}")
    with Predictions(str(tmp_path)) as found:
        assert found.protocols("medqa") == ("harness", "likelihood", "generated")
        assert not found.numbered("medqa")
        assert found.output("medqa", "harness", IDS[0]) == Output(
            loglikelihoods=(-1.5, -0.25, -math.inf), greedy=(False, True, False)
        )
        assert found.output("medqa", "likelihood", IDS[0]) == Output(loglikelihoods=(-1.5, -0.25), greedy=(False, True))
        assert found.output("medqa", "generated", IDS[0]) == Output(text="B", finish="length")
        assert found.output("medqa", "generated", IDS[1]) == Output(problem="the server's content filter")
        for protocol in ("generated", "harness"):
            assert found.output("medqa", protocol, IDS[2]) == Output(unfit=(5000, 4096))
        assert len(found.notes) == 1
        assert "is newer" in found.notes[0]


def harness_row(number: int, **more: Any) -> dict[str, Any]:
    """As lm-evaluation-harness 0.4 writes it: numbers as text."""
    prompt = f"Question: Which  drug is\nnumber {number}?\nA. one\nB. two\nAnswer:"
    return {
        "doc_id": number,
        "doc": {"sent1": "..."},
        "target": "1",
        "arguments": {f"gen_args_{n}": {"arg_0": prompt, "arg_1": f" {letter}"} for n, letter in enumerate("AB")},
        "resps": [[["-1.5", "False"]], [["-0.25", "True"]]],
        "filtered_resps": [["-1.5", "False"], ["-0.25", "True"]],
        "filter": "none",
        "acc": 1.0,
        **more,
    }


def test_samples_of_the_harness_are_matched_by_place_and_prompt(tmp_path):
    # Mutations: places counted from 1; the prompt not compared.
    written(tmp_path / f"samples_medqa_4options_{DATE}.jsonl", [harness_row(number) for number in (2, 0, 3)])
    with Predictions(str(tmp_path)) as found:
        assert found.protocols("medqa") == ("harness",)
        assert found.numbered("medqa")
        assert found.output("medqa", "harness", IDS[2]) is None
        found.name("medqa", IDS)
        assert not found.numbered("medqa")
        wanted = Output(loglikelihoods=(-1.5, -0.25), greedy=(False, True))
        assert found.output("medqa", "harness", IDS[2], question="Which drug is number 2?") == wanted
        with pytest.raises(ValueError, match="made for another question"):
            found.output("medqa", "harness", IDS[3], question="Which drug is number 1?")
        assert found.coverage("medqa", "harness", IDS).missing == (IDS[1],)
        assert found.coverage("medqa", "harness", [IDS[0], IDS[2]]).unknown == (IDS[3],)


def test_filters_of_the_harness_repeat_a_text_that_is_one_prediction(tmp_path):
    made = [
        harness_row(number, resps=[[f"It is {number}"]], filter=name)
        for number in range(2)
        for name in ("strict-match", "flexible-extract")
    ]
    written(tmp_path / f"samples_pubmedqa_{DATE}.jsonl", made)
    with Predictions(str(tmp_path)) as found:
        ids = ["pubmedqa/test/a", "pubmedqa/test/b"]
        found.name("pubmedqa", ids)
        assert found.coverage("pubmedqa", "generated", ids).repeated == ()
        assert found.output("pubmedqa", "generated", ids[1]) == Output(text="It is 1")


def test_a_folder_without_samples_says_where_some_are(tmp_path):
    (tmp_path / "one").mkdir()
    written(tmp_path / "one" / f"samples_medqa_4options_{DATE}.jsonl", [harness_row(0)])
    with pytest.raises(FileNotFoundError, match=r"there are some in .*one: give one"):
        Predictions(str(tmp_path))


def test_of_restricted_tasks_nothing_of_a_file_is_shown(tmp_path):
    # Mutation: unknown ids shown as they stand.
    secret = "Mr. Example 1950"
    made = [
        {"task": "mednli", "id": "mednli/test/item 1", "label": "entailment"},
        {"task": "mednli", "id": secret, "label": "entailment"},
        {"task": "mednli", "id": secret, "label": [secret]},
        {"id": "mednli/test/item 3", "filter": "generated", "resps": [["restricted, keyed hash 0123456789ab"]]},
    ]
    with Predictions(written(tmp_path / "p.jsonl", made)) as found:
        with pytest.raises(ValueError, match="item 2") as raised:
            found.check("mednli", "generated", ["mednli/test/item 1", "mednli/test/item 2"])
        assert secret not in str(raised.value) + " ".join(found.notes) + repr(found.bad)
        assert [one.line for one in found.bad] == [3, 4]


def test_texts_are_not_kept_in_memory(tmp_path):
    # Mutation: the outputs kept in a dict.
    path = written(tmp_path / "p.jsonl", rows(3000, output="word " * 1000))
    tracemalloc.start()
    with Predictions(path) as found:
        assert tracemalloc.get_traced_memory()[0] < 2_000_000
        tracemalloc.stop()
        assert found.output("medqa", "generated", "medqa/test/2999") == Output(text="word " * 1000)
