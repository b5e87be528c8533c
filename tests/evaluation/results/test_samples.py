"""Sample files: the harness's keys and hashes, outputs that come back, restricted text that does not go out."""

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.evaluation.results import samples
from bioinstruct_jax.evaluation.results.samples import SampleFile
from bioinstruct_jax.evaluation.runner.outputs import Output
from tests.evaluation.results import by_hand as made

TEXTS = st.text(max_size=20)


def _write(folder, *rows, task=made.PUBMEDQA) -> UPath:
    file = UPath(folder) / samples.file_name(task.name, made.DATE)
    with SampleFile(file, task) as stream:
        for row in rows:
            stream.add(*row, counts=(1.0, 0.25))
    return file


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def test_a_row_of_log_likelihoods_by_hand(tmp_path):
    # Mutations: the number of the gold label as target; all counts as int; resps as numbers; doc hashed bare.
    file = _write(tmp_path, (made.question(), "harness", made.scores(), made.LIKELY, made.RIGHT))
    assert file.name == "samples_pubmedqa_2026-03-04T05-06-07.000089.jsonl"
    context = f"Abstract: {made.TEXT}\nAnswer:"
    doc = {"id": "100", "question": made.ASKED, "context": made.TEXT, "answer": "yes"}
    pairs = [["-0.5", "True"], ["-1.25", "False"], ["-7.0", "False"]]
    assert [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] == [
        {
            "doc_id": 0,
            "doc": doc,
            "target": "yes",
            "arguments": {
                "gen_args_0": {"arg_0": context, "arg_1": " yes"},
                "gen_args_1": {"arg_0": context, "arg_1": " no"},
                "gen_args_2": {"arg_0": context, "arg_1": " maybe"},
            },
            "resps": [[pair] for pair in pairs],
            "filtered_resps": pairs,
            "filter": "none",
            "metrics": ["acc", "acc_norm"],
            "doc_hash": _sha256(json.dumps(doc, indent=2)),
            "prompt_hash": _sha256(context),
            "target_hash": _sha256("yes"),
            "id": "pubmedqa/test/100",
            "document": "pubmedqa/test/100",
            "answer": "yes",
            "gold": "yes",
            "label": None,
            "tags": None,
            "problem": None,
            "why": "likeliest",
            "problems": {},
            "span": None,
            "value": 1.0,
            "counts": [1, 0.25],
            "flagged": None,
            "wrote": False,
            "finish": "",
            "unfit": None,
            "restricted": False,
            "acc": 1.0,
            "acc_norm": 1.0,
        }
    ]


def test_a_generated_row(tmp_path):
    file = UPath(tmp_path / "rows.jsonl")
    with SampleFile(file, made.PUBMEDQA) as stream:
        stream.add(
            made.question(), "generated", made.completion(), made.WROTE, made.READ, counts=(1.0, 1.0), flagged=True
        )
        unread = replace(made.READ, answer=None, value=float("nan"), scores={"acc": float("nan")})
        stream.add(
            made.question(1), "generated", made.completion(), Output(text=""), unread, counts=(0.0,), flagged=False
        )
    first, second = samples.read(file)
    assert first["target"] == "yes"
    assert first["arguments"]["gen_args_0"]["arg_0"] == f"<s>{made.TEXT}"
    assert (
        first["arguments"]["gen_args_0"]["arg_1"].items()
        >= {
            "until": ["\n\n"],
            "max_gen_toks": 8,
            "do_sample": False,
            "temperature": 0.0,
        }.items()
    )
    assert (first["resps"], first["filtered_resps"]) == ([["Yes, it does."]], ["yes"])
    assert (first["filter"], first["span"], first["problems"], first["flagged"]) == (
        "generated",
        [0, 3],
        {"long": 2},
        True,
    )
    assert (second["resps"], second["filtered_resps"], second["answer"]) == ([[""]], ["[invalid]"], None)
    assert (second["value"], second["acc"], second["flagged"]) == (None, None, False)  # JSON has no NaN


def test_items_are_numbered_in_each_protocol_and_protocols_stand_together(tmp_path):
    # Mutation: the number goes on over protocols.
    asked = (made.scores(), made.LIKELY, made.RIGHT)
    rows = [(made.question(number), name, *asked) for name in ("harness", "likelihood") for number in range(2)]
    file = _write(tmp_path, *rows)
    assert [(row["filter"], row["doc_id"], row["id"][-3:]) for row in samples.read(file)] == [
        ("none", 0, "100"),
        ("none", 1, "101"),
        ("likelihood", 0, "100"),
        ("likelihood", 1, "101"),
    ]
    with pytest.raises(ValueError, match=r"rows of 'none' come again behind those of 'likelihood'"):
        _write(tmp_path, *rows, rows[0])


def test_what_was_written_is_told(tmp_path):
    file = UPath(tmp_path / "rows.jsonl")
    with SampleFile(file, made.PUBMEDQA) as stream:
        stream.add(made.question(), "harness", made.scores(), made.LIKELY, made.RIGHT, counts=(1.0, 1.0))
        stream.add(made.question(), "generated", made.completion(), made.WROTE, made.READ, counts=(1.0, 1.0))
    rows = list(samples.read(file))
    hashes = "".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows)
    assert stream.written == samples.Written("rows.jsonl", 2, _sha256(hashes), ("acc",))  # acc_norm is of one row only


@given(
    st.one_of(
        st.builds(Output, text=TEXTS, finish=st.sampled_from(["end", "length"])),
        st.builds(Output, problem=st.just("content_filter")),
        st.builds(Output, unfit=st.tuples(st.integers(9, 99), st.just(8))),
        st.builds(Output, label=st.sampled_from(["yes", "no", "B-Disease"])),
        st.builds(Output, tags=st.lists(st.sampled_from(["O", "B-Disease"])).map(tuple)),
    )
)
@example(Output(text="half a pair: \ud83d", finish="end"))
@example(Output(text="a line\u2028a line\n", finish="length"))
@settings(max_examples=60)
def test_outputs_come_back(tmp_path_factory, output):
    # Mutation: no errors="backslashreplace": half a surrogate pair ends the run.
    file = _write(tmp_path_factory.mktemp("x"), (made.question(), "generated", made.completion(), output, made.READ))
    assert [samples.output(row) for row in samples.read(file)] == [output]


@given(st.lists(st.tuples(st.floats(-1e6, 0) | st.just(-float("inf")), st.booleans()), min_size=3, max_size=3))
@settings(max_examples=40)
def test_scores_come_back(tmp_path_factory, pairs):
    # Mutation: f"{one:.6f}".
    output = Output(loglikelihoods=tuple(one for one, _ in pairs), greedy=tuple(greedy for _, greedy in pairs))
    long, failed = Output(unfit=(9, 8)), Output(problem="time-out")
    rows = [(made.question(), "likelihood", made.scores(), one, made.RIGHT) for one in (output, long, failed)]
    file = _write(tmp_path_factory.mktemp("x"), *rows)
    assert [samples.output(row) for row in samples.read(file)] == [output, long, failed]


def test_answers_read_from_a_file_stand_under_the_question_itself(tmp_path):
    file = _write(tmp_path, (made.question(), "generated", None, Output(label="no"), made.READ))
    (row,) = samples.read(file)
    assert row["arguments"] == {"gen_args_0": {"arg_0": f"Decide.\n\nText: {made.TEXT}", "arg_1": {}}}
    assert row["resps"] == [["no"]]


def test_restricted_text_does_not_reach_the_file(tmp_path):
    # Mutations: any one text left out of guard.shown; hashes taken of the text itself.
    texts = {*made.SECRET, "note 17:3", "entailment", "bleeding", "entails", "not sent: warfarin"}
    prompt = " ".join(made.SECRET)
    wrote = Output(text="It entails bleeding.", problem="not sent: warfarin", label="entailment", tags=("entailment",))
    reading = replace(made.READ, answer="entailment", gold="entailment")
    scores = [replace(one, context=prompt) for one in made.scores(made.MEDNLI.labels)]
    likely = replace(made.RIGHT, answer="entailment", gold="entailment")
    rows = [
        (made.hidden(), "likelihood", scores, made.LIKELY, likely),
        (made.hidden(), "generated", made.completion(prompt), wrote, reading),
        (made.hidden(), "generated", None, Output(label="entailment"), reading),
    ]
    file = _write(tmp_path, *rows, task=made.MEDNLI)
    written = file.read_text(encoding="utf-8")
    assert not [text for text in texts if text in written]
    guessed = (*texts, prompt, f"<s>{prompt}", f"Decide.\n\n{prompt}")
    assert not [text for text in guessed if _sha256(text) in written]
    first, *others = samples.read(file)
    assert first["resps"][1] == [["-1.25", "False"]]  # numbers are no text
    assert first["id"] == "mednli/test/item 1"
    for row in (first, *others):
        with pytest.raises(ValueError, match="run the model again"):
            samples.output(row)


def test_a_score_may_not_take_the_place_of_another_key(tmp_path):
    reading = replace(made.READ, scores={"span": 1.0})
    with pytest.raises(ValueError, match="a score is called 'span'"):
        _write(tmp_path, (made.question(), "generated", made.completion(), made.WROTE, reading))


@pytest.mark.parametrize(
    ("text", "told"),
    [('{"doc_id": 0, "fil', r"line 2: broken JSON.*write the file again"), ('{"a": 1}\n', "line 2: not a row")],
)
def test_a_broken_file_is_told(tmp_path, text, told):
    file = _write(tmp_path, (made.question(), "harness", made.scores(), made.LIKELY, made.RIGHT))
    file.write_bytes(file.read_bytes() + text.encode())
    with pytest.raises(ValueError, match=told):
        list(samples.read(file))


def test_rows_of_another_program_are_told(tmp_path):
    with pytest.raises(ValueError, match="item 3: the row is of another program"):
        samples.output({"doc_id": 3, "filter": "none"})
