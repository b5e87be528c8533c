"""Inference, labels and yes/no: their readers. All sentences here are our own."""

import json

import pytest
from upath import UPath

from bioinstruct_jax.tasks import inference, labels, yes_no
from bioinstruct_jax.tasks.inference import Inference
from bioinstruct_jax.tasks.labels import HALLMARKS, Labelled
from bioinstruct_jax.tasks.task import CorpusError
from bioinstruct_jax.tasks.yes_no import Question

TASKS = {task.name: task for module in (inference, labels, yes_no) for task in module.TASKS}


def read(folder, name: str, split: str, *texts: str) -> list:
    task = TASKS[name]
    for file, text in zip(task.split(split).files, texts, strict=True):
        place = folder / task.folder / file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    return list(task.items(UPath(folder), split))


GIVEN, JUDGED = "Creatinine rose from 0.9 to 3.4 mg/dL.", "The patient has kidney injury."


def mednli(**changes: object) -> str:
    row = {"gold_label": "entailment", "pairID": "p1", "sentence1": GIVEN, "sentence2": JUDGED}
    return json.dumps(row | {"sentence1_parse": "(ROOT)"} | changes) + "\n"


def test_mednli_has_two_sentences_and_a_label(tmp_path):
    [item] = read(tmp_path, "mednli", "test", mednli())
    assert item == Inference("p1", GIVEN, JUDGED, "entailment")
    asked, output = TASKS["mednli"].family.render(item, TASKS["mednli"], "label")
    assert asked.startswith(f"Sentence 1: {GIVEN}\nSentence 2: {JUDGED}\nOptions:\n- entailment: ")
    assert output == "entailment"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"gold_label": "-"},
            r"'gold_label' is \(restricted, not shown\), not one of entailment, contradiction, neutral",
        ),
        ({"gold_label": JUDGED}, "'gold_label' is a text of length 30, not one of"),
        ({"sentence2": ""}, "'sentence2' is blank"),
        ({"pairID": 3}, "'pairID' is 3, not text"),
    ],
)
def test_mednli_refuses_what_is_not_its_own_without_a_word_of_it(tmp_path, changes, message):
    # Mutation: `shown` repeats the whole value.
    with pytest.raises(CorpusError, match=rf"mli_dev_v1\.jsonl, line 1: {message}") as caught:
        read(tmp_path, "mednli", "dev", mednli(**changes))
    assert "kidney" not in str(caught.value)
    assert "Creatinine" not in str(caught.value)


RQE = """<?xml version="1.0" encoding="UTF-8"?>
<RQE>
<pair pid="1" type="part1" value="true">
<chq>My ankle swells &amp; I take amlodipine. Can that be why?</chq>
<faq>What are the side effects of amlodipine?</faq>
</pair>
<pair pid="2" value="false"><chq>Is asthma catching?</chq><faq>How is asthma treated?</faq></pair>
</RQE>
"""


def test_rqe_has_pairs_of_questions(tmp_path):
    # Mutation: the questions exchanged, which turns entailment over.
    first, second = read(tmp_path, "mediqa_rqe", "test", RQE)
    asked = "My ankle swells & I take amlodipine. Can that be why?"
    assert first == Inference("1:3", asked, "What are the side effects of amlodipine?", "entailment")
    assert second.label == "not entailment"
    assert TASKS["mediqa_rqe"].family.render(first, TASKS["mediqa_rqe"], "label")[0].startswith("Question 1: My ankle")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('value="true"', 'value="yes"', "line 3: 'value' is 'yes', not one of true, false"),
        ('value="true"', "", "line 3: there is no field 'value'"),
        ("<faq>How is asthma treated?</faq>", "", "line 7: there is no field 'faq'"),
        ("</RQE>", "</rqe>", "line 8: broken XML: mismatched tag"),
        ("pair", "item", "line 1: there is no element 'pair'"),
        ("&amp;", "&which;", "line 4: broken XML: undefined entity"),
    ],
)
def test_rqe_refuses_what_is_not_its_own(tmp_path, old, new, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "mediqa_rqe", "test", RQE.replace(old, new))


def hoc(flags: str = "0_1,1_0,2_0,3_0,4_0,5_0,6_0,7_1,8_0,9_0", index: str = "100_s3", header: str = "labels") -> str:
    return f'{header}\tsentence\tindex\n{flags}\tThe "drug" slowed invasion and induced apoptosis.\t{index}\n'


def test_hoc_has_flags_in_the_order_of_the_hallmarks(tmp_path):
    [item] = read(tmp_path, "hoc", "test", hoc())
    text = 'The "drug" slowed invasion and induced apoptosis.'
    assert item == Labelled("100_s3", text, (HALLMARKS[0], HALLMARKS[7]), "100")
    assert TASKS["hoc"].family.render(item, TASKS["hoc"], "names")[1] == f"{HALLMARKS[0]}, {HALLMARKS[7]}"


def test_quotes_that_a_writer_of_tables_added_go(tmp_path):
    # Mutation: every pair of quotes around a sentence goes.
    quoted = hoc().replace('The "drug" slowed invasion and induced apoptosis.', '"The ""drug"" slowed."')
    assert read(tmp_path, "hoc", "test", quoted)[0].text == 'The "drug" slowed.'
    own = hoc().replace('The "drug" slowed invasion and induced apoptosis.', '"Drug" or "placebo"')
    assert read(tmp_path, "hoc", "test", own)[0].text == '"Drug" or "placebo"'


def test_a_sentence_without_hallmarks_is_none(tmp_path):
    [item] = read(tmp_path, "hoc", "test", hoc(",".join(f"{place}_0" for place in range(10))))
    family = TASKS["hoc"].family
    assert family.render(item, TASKS["hoc"], "names")[1] == "none"
    assert family.parse("none", item, TASKS["hoc"], "names").gold == ()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flags": "0_1,1_0"}, "line 2: 'labels' are not 10 flags"),
        ({"flags": "1_1,0_0,2_0,3_0,4_0,5_0,6_0,7_1,8_0,9_0"}, "line 2: 'labels' are not 10 flags"),
        ({"index": "100"}, "line 2: 'index' is '100', not a document and a sentence"),
        ({"header": "text"}, "line 1: 'labels' are not 10 flags"),
    ],
)
def test_hoc_refuses_what_is_not_its_own(tmp_path, changes, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "hoc", "test", hoc(**changes))


def pubmedqa(**changes: object) -> dict[str, object]:
    row = {
        "QUESTION": "Does aspirin prevent stroke?",
        "CONTEXTS": ["We followed 200 patients.", "Nine had a stroke."],
        "LONG_ANSWER": "Aspirin prevented strokes in this trial.",
        "final_decision": "yes",
    }
    return row | changes


def test_pubmedqa_divides_by_the_official_ids_and_hides_the_conclusion(tmp_path):
    # Mutations: LONG_ANSWER among the contexts; train with the test ids in it.
    tree = json.dumps({"100": pubmedqa(), "200": pubmedqa(final_decision="maybe")}, indent=1)
    [test] = read(tmp_path, "pubmedqa", "test", tree, '{"200": "maybe"}')
    [train] = read(tmp_path, "pubmedqa", "train", tree, '{"200": "maybe"}')
    assert (test.id, test.answer, train.id, train.answer) == ("200", "maybe", "100", "yes")
    asked, output = TASKS["pubmedqa"].family.render(test, TASKS["pubmedqa"], "word")
    assert asked == (
        "Text: We followed 200 patients.\nNine had a stroke.\nQuestion: Does aspirin prevent stroke?\n"
        "Answer with yes, no or maybe."
    )
    assert output == "maybe"


@pytest.mark.parametrize(
    ("changes", "ids", "message"),
    [
        ({"final_decision": "perhaps"}, "{}", r"ori_pqal\.json, line 2: 'final_decision' is 'perhaps', not one of"),
        ({"CONTEXTS": "text"}, "{}", r"ori_pqal\.json, line 2: 'CONTEXTS' is not a list of texts"),
        ({}, '{\n"101": "no"}', r"test_ground_truth\.json, line 2: 101 is not in ori_pqal\.json"),
        ({}, '{"100": "no"}', "line 1: 100 is 'no' here, but not in"),
        ({}, '["100"]', "line 1: a list where an object should be"),
        ({}, '{\n"100" "no"}', "line 2: broken JSON"),
    ],
)
def test_pubmedqa_refuses_what_is_not_its_own(tmp_path, changes, ids, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "pubmedqa", "train", json.dumps({"100": pubmedqa(**changes)}, indent=1), ids)


def bioasq(**changes: object) -> str:
    row = {
        "body": "Is metformin excreted by the kidney?",
        "id": "5a",
        "type": "yesno",
        "exact_answer": "Yes.",
        "snippets": [{"text": "Metformin is cleared renally."}, {"text": "Metformin is cleared renally."}],
    }
    others = {"id": "5b", "type": "factoid", "body": "Which organ?", "exact_answer": [["kidney"]], "snippets": []}
    return json.dumps({"questions": [others, row | changes]}, indent=1)


def test_bioasq_has_its_yes_no_questions_with_each_snippet_once(tmp_path):
    task = TASKS["bioasq_yes_no"]
    items = read(tmp_path, "bioasq_yes_no", "train", bioasq())
    assert items == [Question("5a", "Is metformin excreted by the kidney?", "Metformin is cleared renally.", "yes")]
    assert task.family.render(items[0], task, "word")[0].endswith("Answer with yes or no.")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"exact_answer": "unclear"},
            r"json, line \d+: question 2: 'exact_answer' is \(restricted, not shown\), not yes or no",
        ),
        ({"snippets": ["Metformin"]}, r"line \d+: question 2: 'snippets' is not a list of objects"),
        ({"snippets": [{"offset": 3}]}, r"line \d+: there is no field 'text'"),
    ],
)
def test_bioasq_refuses_what_is_not_its_own(tmp_path, changes, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "bioasq_yes_no", "train", bioasq(**changes))
