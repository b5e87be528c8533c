"""Open answers, summaries, notes and clinical extraction: their readers. All sentences here are our own."""

import csv
import io
import json
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.tasks import answers, clinical_ie, note, open_answer, summary
from bioinstruct_jax.tasks.note import SECTIONS, Conversation
from bioinstruct_jax.tasks.open_answer import OpenQuestion, laid_out
from bioinstruct_jax.tasks.relations import Pair
from bioinstruct_jax.tasks.summary import Document
from bioinstruct_jax.tasks.task import CorpusError

TASKS = {task.name: task for module in (clinical_ie, note, open_answer, summary) for task in module.TASKS}


def read(folder, name: str, split: str, data: str | bytes) -> list:
    task = TASKS[name]
    place = folder / task.folder / task.split(split).files[0]
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data if isinstance(data, bytes) else data.encode())
    return list(task.items(UPath(folder), split))


def table(*rows: tuple[str, ...]) -> str:
    file = io.StringIO(newline="")
    csv.writer(file).writerows(rows)
    return file.getvalue()


MEDQUAD = {
    "id": "7-1",
    "question": "What is (are) a sprained ankle ?",
    "answer": "Signs are:\n                  - swelling    - pain\n        \n       See a   doctor.",
    "qtype": "information",
    "focus": "Sprained ankle",
    "source": "X",
    "url": "u",
}


def test_medquad_is_laid_out_anew(tmp_path):
    # Mutation: the id alone, which stands for several rows.
    items = read(tmp_path, "medquad", "train", f"{json.dumps(MEDQUAD)}\n" * 2)
    answer = "Signs are:\n- swelling\n- pain\nSee a doctor."
    assert items[0] == OpenQuestion("7-1:1", "What is (are) a sprained ankle?", answer, (), "Sprained ankle")
    assert items[1].id == "7-1:2"


@given(st.text("ab -\n.", max_size=60))
def test_laying_out_keeps_every_word(text):
    # Mutation: what follows a dash is dropped.
    assert laid_out(text).replace("-", " ").split() == text.replace("-", " ").split()


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (json.dumps(MEDQUAD | {"answer": ""}), "medquad.jsonl, line 1: 'answer' is blank"),
        (json.dumps({"id": "7"}), "line 1: there is no field 'question'; the fields are 'id'"),
        ("\xff", "line 1"),
        ("{", "line 1: broken JSON"),
    ],
)
def test_medquad_refuses_what_is_not_its_own(tmp_path, line, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "medquad", "train", line.encode("latin-1"))


def test_pmc_llama_has_an_instruction_of_its_own(tmp_path):
    row = {"source": "liveqa", "instruction": "Answer this.", "input": "What is gout?", "output": "Arthritis."}
    other = row | {"input": ""}
    expected = [
        OpenQuestion("train:1", "Answer this.\n\nWhat is gout?", "Arthritis.", (), "liveqa"),
        OpenQuestion("train:2", "Answer this.", "Arthritis.", (), "liveqa"),
    ]
    assert read(tmp_path, "pmc_llama", "train", f"{json.dumps(row)}\n{json.dumps(other)}\n") == expected
    (tmp_path / "array").mkdir()
    array = read(tmp_path / "array", "pmc_llama", "train", json.dumps([row, other]))
    assert [item.answer for item in array] == ["Arthritis.", "Arthritis."]


def test_patients_questions_come_as_lines_or_as_a_table(tmp_path):
    row = {"question": "My knee hurts. What now?", "answer": "Rest it, and see us if it swells."}
    lines = read(tmp_path, "patient_questions_jsonl", "dev", json.dumps(row))
    rows = read(
        tmp_path, "patient_questions_csv", "dev", table(("answer", "question"), (row["answer"], row["question"]))
    )
    assert [item.question for item in lines] == [item.question for item in rows] == [row["question"]]
    assert (lines[0].id, rows[0].id) == ("dev:1", "dev:2")


def test_patients_questions_need_both_columns(tmp_path):
    with pytest.raises(
        CorpusError, match=r"test\.csv, line 1: no column answer; the header has \(restricted, not shown\)"
    ):
        read(tmp_path, "patient_questions_csv", "test", table(("question", "reply"), ("Q?", "R.")))


MTS = ("ID", "section_header", "section_text", "dialogue")


def test_mts_dialog_asks_for_a_named_section(tmp_path):
    row = ("0", "CC", "Chest pain.", "Doctor: What is it?\r\nPatient: My chest, it hurts.")
    [item] = read(tmp_path, "mts_dialog", "dev", table(MTS, row))
    assert item == Conversation(
        "0", "Doctor: What is it?\nPatient: My chest, it hurts.", "Chest pain.", "Chief complaint"
    )
    asked = TASKS["mts_dialog"].family.render(item, TASKS["mts_dialog"], "text")[0]
    assert asked.startswith("Section: Chief complaint\nConversation:\nDoctor: What is it?\n")


def test_sections_are_named_once():
    assert len(set(SECTIONS.values())) == len(SECTIONS) == 20


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([MTS, ("0", "HISTORY", "Text.", "Talk.")], "line 2: 'section_header' is 'HISTORY', not one of FAM/SOCHX"),
        ([MTS, ("0", "CC", "Text.")], "line 2: 3 fields, but the header has 4"),
        ([MTS, ("0", "CC", "Text.", " ")], "line 2: 'dialogue' is blank"),
        ([("ID", "text"), ("0", "Text.")], "line 1: no column section_header, section_text, dialogue"),
    ],
)
def test_mts_dialog_refuses_what_is_not_its_own(tmp_path, rows, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "mts_dialog", "dev", table(*rows))


def test_aci_bench_has_whole_notes(tmp_path):
    row = ("aci", "D1", "[doctor] hi .\n[patient] hi .", "CHIEF COMPLAINT\n\nCough.\n")
    [item] = read(tmp_path, "aci_bench", "test", table(("dataset", "encounter_id", "dialogue", "note"), row))
    assert item == Conversation("D1", "[doctor] hi .\n[patient] hi .", "CHIEF COMPLAINT\n\nCough.")
    assert TASKS["aci_bench"].family.render(item, TASKS["aci_bench"], "text")[0].startswith("Conversation:\n[doctor]")


SHARED = (
    '<sst xmlns="m"><si><t>File</t></si><si><t>CHQ</t></si><si><r><t xml:space="preserve">Sum</t></r><r><t>mary</t></r>'
    "<rPh><t>x</t></rPh></si><si><t>1.txt</t></si><si><t>Is gout_x000D_\ninherited?</t></si></sst>"
)
SHEET = (
    '<worksheet xmlns="m"><sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="s"><v>1</v></c>'
    '<c r="D1" t="s"><v>2</v></c></row><row r="2"><c r="A2" t="s"><v>3</v></c><c r="B2"><v>7</v></c>'
    '<c r="C2" t="s"><v>4</v></c>'
    '<c r="D2" t="inlineStr"><is><t>Is gout genetic?</t></is></c></row><row r="3"/></sheetData></worksheet>'
)


def workbook(sheet: str = SHEET, shared: str = SHARED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as book:
        book.writestr("xl/sharedStrings.xml", shared)
        book.writestr("xl/worksheets/sheet1.xml", sheet)
    return file.getvalue()


def test_meqsum_is_read_out_of_its_workbook(tmp_path):
    # Mutations: phonetic runs kept; the second run of a string lost; cells by place rather than by column.
    assert read(tmp_path, "meqsum", "train", workbook()) == [
        Document("1.txt:2", "Is gout\ninherited?", "Is gout genetic?")
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"File,CHQ,Summary\n", "not a readable XLSX workbook"),
        (workbook(SHEET.replace("<v>4</v>", "<v>9</v>")), "line 2: string '9' of 5 does not exist"),
        (
            workbook(shared=SHARED.replace("mary", "")),
            "line 2: there is no field 'Summary'; the fields are 'File', 'CHQ'",
        ),
        (workbook(SHEET.replace("<is><t>Is gout genetic?</t></is>", "")), "line 2: 'Summary' is blank"),
        (workbook(SHEET.replace("</row>", "", 1)), "broken XML"),
        (workbook(f"<!DOCTYPE a [<!ENTITY b 'c'>]>{SHEET}"), "entities are declared"),
    ],
)
def test_meqsum_refuses_what_is_not_its_own(tmp_path, data, message):
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "meqsum", "train", data)


STATUS = ("index", "snippet", "active_medications", "discontinued_medications", "neither_medications")
SNIPPET = "Lisinopril was stopped for cough; he now takes losartan. Allergic to penicillin."


def test_medication_status_is_one_item_a_drug(tmp_path):
    # Mutation: the columns of active and discontinued exchanged.
    row = ("4", SNIPPET, '["losartan"]', '["lisinopril"]', '["penicillin"]')
    items = read(tmp_path, "medication_status", "dev", table(STATUS, row))
    assert [(item.first, item.label) for item in items] == [
        ("losartan", "active"),
        ("Lisinopril", "discontinued"),
        ("penicillin", "neither"),
    ]
    text = SNIPPET.replace("losartan", "<< losartan >>")
    assert items[0] == Pair("4:47", text, "losartan", "the patient", "active", "4")


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        (("losartan", "", ""), "line 2: 'active_medications' is no JSON list"),
        (('{"a": 1}', "", ""), "line 2: 'active_medications' is not a list of texts"),
        (('["warfarin"]', "", ""), "line 2: a medication of 'active_medications' is not in the snippet"),
        (('["losartan"]', '["losartan"]', ""), "line 2: a medication of 'discontinued_medications' has two statuses"),
    ],
)
def test_medication_status_refuses_what_is_not_its_own_without_a_word_of_it(tmp_path, lists, message):
    with pytest.raises(CorpusError, match=message) as caught:
        read(tmp_path, "medication_status", "dev", table(STATUS, ("4", SNIPPET, *lists)))
    assert "warfarin" not in str(caught.value)
    assert "losartan" not in str(caught.value)


def test_coreference_has_the_antecedents_as_they_stand(tmp_path):
    header = ("index", "snippet", "pronoun", "antecedents")
    row = ("4", "The wound was cleaned. It healed.", "It", '["The wound", "wound"]')
    [item] = read(tmp_path, "coreference", "test", table(header, row))
    question = 'Note: The wound was cleaned. It healed.\nPronoun: "It"'
    assert item == OpenQuestion("4", question, "The wound", ("wound",))
    with pytest.raises(CorpusError, match="line 2: 'antecedents' is an empty list"):
        read(tmp_path, "coreference", "test", table(header, (*row[:3], "[]")))


@given(
    st.text(min_size=1).filter(lambda text: text.strip() and "```" not in text and not answers.refused(text.strip()))
)
def test_free_text_comes_back(text):
    # Mutation: blanks within the text are tidied by the parser.
    for task in TASKS.values():
        if task.family.formats == ("text",):
            assert task.family.parse(text.strip(), None, task, "text").gold == text.strip()
