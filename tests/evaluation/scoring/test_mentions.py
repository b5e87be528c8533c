"""Mentions from outputs to scores: seqeval and nervaluate on real sentences, and the rules by hand."""

import json
import random
import warnings
from dataclasses import replace

import pytest
from upath import UPath

from bioinstruct_jax.evaluation.runner.outputs import Output
from bioinstruct_jax.evaluation.scoring.named import OTHER, of_json
from bioinstruct_jax.evaluation.scoring.table import scorer
from bioinstruct_jax.evaluation.tags import conlleval, strict
from bioinstruct_jax.tasks import json_answer
from bioinstruct_jax.tasks.iob_answer import align, inexpressible
from bioinstruct_jax.tasks.spans import Entities, Mention
from bioinstruct_jax.tasks.table import TASKS
from tests.evaluation.scoring.asked import question, scored
from tests.evaluation.scoring.made import BOTH, DISEASES, C, D

NCBI, CDR = TASKS["ncbi_disease"], TASKS["bc5cdr"]


def tagged(item, kinds, draw):
    """An item's tags, and those of a poor tagger: of each hundred about ten changed."""
    gold = ["O"] * len(item.tokens)
    for start, end, kind in item.mentions:
        gold[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    tags = ["O", *(f"{letter}-{kind}" for kind in kinds for letter in "BI")]
    return gold, [draw.choice(tags) if draw.random() < 0.1 else tag for tag in gold]


@pytest.mark.parametrize("name", ["ncbi_disease", "bc5cdr"])
def test_scores_of_real_sentences_are_those_of_seqeval_and_nervaluate(data_folder, name):
    # Mutations: strict and lenient exchanged; the relaxed row under f1; schemes in another order.
    metrics, nervaluate = pytest.importorskip("seqeval.metrics"), pytest.importorskip("nervaluate")
    from seqeval.scheme import IOB2

    task, draw = TASKS[name], random.Random(0)
    items = list(task.items(UPath(data_folder), "test"))[:600]
    gold, said = zip(*(tagged(item, task.labels, draw) for item in items), strict=True)
    several = len(task.labels) > 1
    shown = [[tag if several else tag[0] for tag in row] for row in said]
    lines = [
        "\n".join(map(" : ".join, zip(item.tokens, row, strict=True))) for item, row in zip(items, shown, strict=True)
    ]
    as_json = [
        task.family.render(replace(item, mentions=strict(row)), task, "json")[1]
        for item, row in zip(items, said, strict=True)
    ]
    ways = {
        "lines": ("iob", [Output(text=text) for text in lines]),
        "tags": ("json", [Output(tags=tuple(row)) for row in shown]),
        "json": ("json", [Output(text=text) for text in as_json]),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exact = {
            name: getattr(metrics, f"{name}_score")(gold, said, mode="strict", scheme=IOB2)
            for name in ("f1", "precision", "recall")
        }
        exact["macro_f1"] = metrics.f1_score(gold, said, average="macro", mode="strict", scheme=IOB2)
        lenient = metrics.f1_score(gold, said)

    def rows(side):
        return [[{"label": m.type, "start": m.start, "end": m.end - 1} for m in strict(row)] for row in side]

    known = nervaluate.Evaluator(rows(gold), rows(said), tags=list(task.labels), loader="dict").evaluate()["overall"]
    for way, (form, outputs) in ways.items():
        questions = [question(task, item, form) for item in items]
        found, _ = scored(scorer(task, "generated", form), questions, outputs)
        for metric, value in exact.items():
            if metric in found:
                assert found[metric] == pytest.approx(value, abs=1e-12), (way, metric)
        assert found["f1_conlleval"] == pytest.approx(exact["f1"] if way == "json" else lenient, abs=1e-12)
        for ours, theirs in (("strict", "strict"), ("exact", "exact"), ("partial", "partial"), ("type", "ent_type")):
            assert found[f"f1_muc_{ours}"] == pytest.approx(known[theirs].f1, abs=1e-12), (way, ours)
        assert found["extraction_rate"] == 1.0
        assert exact["f1"] < found["f1_relaxed"] < 1
    assert abs(lenient - exact["f1"]) > 0.001


def test_the_papers_way_of_counting_changes_gold(data_folder):
    # 787 mentions of the development split become 817.
    items = list(NCBI.items(UPath(data_folder), "dev"))
    one = scorer(NCBI, "generated", "iob")
    asked = [question(NCBI, item, "iob") for item in items]
    readings = [one.read(it, Output(text=it.record.output)) for it in asked]
    sums = {
        name: [sum(column) for column in zip(*(reading.counts[name] for reading in readings), strict=True)]
        for name in ("mentions", "token_dict")
    }
    assert (sums["mentions"][4], sums["token_dict"][4]) == (787, 817)


def read(item, said, task=NCBI, form="json"):
    output = said if isinstance(said, Output) else Output(text=said if isinstance(said, str) else json.dumps(said))
    return scored(scorer(task, "generated", form), [question(task, item, form)], [output])


def test_one_rule_for_what_is_said_too_often():
    # Mutation: a surplus mention is dropped in JSON, as `json_answer.parse` does: precision is 1.
    for said, form in (([{"text": "gout"}] * 2, "json"), ("gout : B\ngout : B", "iob")):
        found, (one,) = read(DISEASES[1], said, form=form)
        assert (found["precision"], found["recall"]) == (0.5, 1.0)
        assert sum(one.problems.get(kind, 0) for kind in ("more often than in the text", "not in the text")) == 1
        assert json.loads(one.answer) == [{"text": "gout", "type": D}] * 2
    found, (one,) = read(DISEASES[1], [{"text": "gout"}, {"text": "migraine"}])
    assert found["precision"] == found["f1_muc_strict"] - 1 / 6 == 0.5
    assert json.loads(one.answer)[1] == {"text": "migraine", "type": D}


def test_a_type_that_the_task_does_not_have_is_a_false_positive():
    # Mutations: unknown types dropped; counted to the first type.
    for said, form in (
        ([{"text": "Lithium", "type": "Chemical"}, {"text": "tremor", "type": "Symptom"}], "json"),
        ("Lithium : B-Chemical\ntremor : B-Symptom\nand : O", "iob"),
        (Output(tags=("B-chemical", "B-Symptom", "O", "O", "O")), "json"),
    ):
        found, (one,) = read(BOTH[0], said, CDR, form)
        assert (found["precision"], found["recall"]) == pytest.approx((1 / 2, 1 / 3))
        assert found["macro_f1"] == 0.5
        assert one.counts["mentions"][5] == 1  # the column of OTHER
    found = of_json('[{"text":"tremor","type":"Sign"}]', BOTH[0], CDR.labels)
    assert (found.foreign, found.words) == ({OTHER: 1}, (("tremor", OTHER),))


def test_an_occurrence_that_is_said_and_there_is_kept():
    # Mutations: `occurrence` passed over; one that is not there makes the mention foreign.
    item = DISEASES[3]
    assert read(item, [{"text": "tremor", "occurrence": 2}])[1][0].counts["mentions"][:3] == [1, 0, 1]
    two = Entities("x", ("rash", "then", "rash"), (Mention(2, 3, D),))
    assert read(two, [{"text": "rash", "occurrence": 2}])[0]["f1"] == 1
    assert read(two, [{"text": "rash"}])[0]["f1"] == 0
    found, (one,) = read(two, [{"text": "rash", "occurrence": 2}, {"text": "rash", "occurrence": 2}])
    assert (found["precision"], one.problems) == (0.5, {"more often than in the text": 1})
    found, (one,) = read(two, [{"text": "rash"}, {"text": "Rash", "occurrence": 3}])
    assert (found["recall"], one.problems) == (1.0, {"no such occurrence": 1, "case": 1})


def test_what_is_written_otherwise_is_found_and_told():
    item = Entities("x", ("IL", "-", "2", "deficiency"), (Mention(0, 4, D),), (" ", " ", " ", ""))
    assert read(item, [{"text": "il-2 deficiency"}])[1][0].problems == {"punctuation": 1}
    assert read(DISEASES[1], [{"text": "Gout"}])[1][0].problems == {"case": 1}
    fenced = 'Here they are:\n```json\n[{"text": "gout"}]\n```\nQuestion: next'
    thought = '<think>perhaps [{"text": "fever"}]?</think>[{"text": "gout"}]'
    cut = '[{"text": "gout"}, {"text": "mi'
    lines = '{"text": "gout"}\n'
    for said in (fenced, thought, cut, lines):
        assert read(DISEASES[1], said)[0]["f1"] == 1, said
    # Mutation: of mentions one after another, or of a list without an end, the first alone is read.
    assert read(DISEASES[3], '[{"text": "tremor"}, {"text": "tremor"}, {"text": "ataxia"}')[0]["f1"] == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("There is gout.", "unparsable"),
        ("[]", "none"),
        ("I cannot answer that.", "refused"),
        ("[[[", "unparsable"),
        (Output(tags=("O",)), "unparsable"),
        (Output(tags=("O",) * 5 + ("E-Disease",)), "unparsable"),
        (Output(tags=("O",) * 5 + ("B",)), "mentions"),
    ],
)
def test_what_cannot_be_read_scores_as_none_and_is_counted(said, why):
    found, (one,) = read(DISEASES[1], said)
    assert one.why == why
    assert found["extraction_rate"] == (why in ("none", "mentions"))
    assert found["f1"] == one.value == (why == "mentions")
    if why == "unparsable":
        assert (one.answer, sum(one.problems.values())) == (None, 1)


def test_gold_that_lines_cannot_hold_is_gold_all_the_same():
    # Mutation: gold is what was rendered.
    nested = Entities("x", ("lung", "cancer"), (Mention(0, 2, D), Mention(1, 2, D)))
    assert len(inexpressible(nested)) == 1
    asked = question(NCBI, nested, "iob")
    found, _ = scored(scorer(NCBI, "generated", "iob"), [asked], [Output(text=asked.record.output)])
    assert (found["precision"], found["recall"]) == (1.0, 0.5)
    assert read(nested, [{"text": "lung cancer"}, {"text": "cancer"}])[0]["f1"] == 1


def test_strict_and_lenient_differ_where_an_i_follows_nothing():
    # Mutation: lenient mentions in both rows.
    tags = ("O", "O", "O", "O", "O", "I")
    found, (one,) = read(DISEASES[1], Output(tags=tags))
    assert (found["f1"], found["f1_conlleval"]) == (0.0, 1.0)
    assert one.problems == {"I without B": 1}
    assert conlleval(tags) != strict(tags)


def test_nothing_to_find_and_nothing_found_is_right_and_adds_nothing():
    found, (one,) = read(DISEASES[2], "[]")
    assert (one.value, found["f1"], one.answer, one.gold) == (1.0, 0.0, "[]", "[]")
    assert read(DISEASES[2], [{"text": "plague"}])[1][0].value == 0.0
    assert BOTH[0].mentions[0].type == C


def test_the_search_in_vain_ends():
    # Mutations: EFFORT 10**12: each of the brackets is read to the end; CELLS 10**12: each line against each token.
    vain = "[" * 30 + '"fever",' * 40_000 + '] [{"text":"gout"}]'
    assert json_answer.read(vain, (D,)) == (None, {"unparsable JSON": 1})
    assert align(["x"] * 300_000 + ["gout", "y"], ("gout", "end")) == [None] * 300_002
