"""Evaluation items planted among generated instructions, verbatim and in other words, and what is formulaic."""

import json

import pytest

from bioinstruct_jax.generation.contamination import HeldOut, Met
from bioinstruct_jax.generation.job import Decontamination
from tests.preparation import corpora

SENTENCE = " ".join(word.split(":")[0] for word in corpora.HELD_OUT.split())
NEARLY = " ".join(word.split(":")[0] for word in corpora.NEARLY.split())
VIGNETTE = (
    "A 4-year-old boy has had a barking cough and noisy breathing since last night, which began two days after a cold. "
    "He is alert, drinks well, and his chest draws in only slightly when he cries. Which treatment is best now?"
)
SHORT = "Which of the following is not a sign of croup?"
NOTE = "Seen for a rash of both forearms since Monday, no fever, told to stop the new soap and to return in a week."
PREMISE = "The patient was given two units of packed cells after her haemoglobin fell to 68 during the night."


@pytest.fixture
def folder(tmp_path):
    """ncbi_disease, bc5cdr of two kinds with one text, medqa, mts_dialog, and mednli, which is restricted."""
    place = corpora.write(tmp_path / "corpora")
    same = corpora.columns(["Warfarin:O can:O cause:O bleeding:O of:O the:O gut:O in:O older:O people:O .:O"])
    for kind in ("chem", "disease"):
        for split in ("train", "devel", "test"):
            corpora.put(place, f"bc5cdr-{kind}/{split}.tsv", same)
    options = {"A": "Dexamethasone", "B": "Amoxicillin", "C": "Salbutamol", "D": "Intubation"}
    signs = {"A": "Barking cough", "B": "Stridor", "C": "Hoarse voice", "D": "Productive cough"}
    asked = ((VIGNETTE, options, "A"), (SHORT, signs, "D"))
    corpora.put(place, "medqa/phrases_no_exclude_test.jsonl", "".join(_asked(*one) for one in asked))
    head = "ID,section_header,section_text,dialogue\n"
    corpora.put(place, "mts-dialog/MTS-Dialog-ValidationSet.csv", f'{head}0,ASSESSMENT,"{NOTE}","Doctor: Hello."\n')
    row = {"pairID": "a1b2", "sentence1": PREMISE, "sentence2": "She was transfused.", "gold_label": "entailment"}
    corpora.put(place, "mednli/mli_dev_v1.jsonl", json.dumps(row) + "\n")
    return place


def _asked(question: str, options: dict[str, str], answer: str) -> str:
    row = {"question": question, "options": options, "answer_idx": answer, "answer": options[answer]}
    return json.dumps(row) + "\n"


def read(folder, **settings) -> HeldOut:
    return HeldOut.read(Decontamination(corpora=str(folder), **settings), lambda done, total: None)


def test_items_are_met_in_instruction_input_and_output(folder):
    # Mutations: any of the three left out; the item's free answer, its question or its text not added; the question of
    # a choice met with its options alone.
    index = read(folder)
    long = "As a colleague wrote, {} So much for that; now say in plain words what follows from it for the family."
    for text, item in (
        (SENTENCE, "ncbi_disease/dev/devel:1"),
        (VIGNETTE, "medqa/test/test:1"),
        (SHORT, "medqa/test/test:2"),
        (NOTE, "mts_dialog/dev/0"),
        (f"{PREMISE} She was transfused.", "mednli/dev/item 1"),
    ):
        for row in ((text, "", ""), ("Explain.", text, ""), ("Write.", "", text)):
            for one in (row, tuple(long.format(part) if part == text else part for part in row)):
                assert {met.item for met in index.find(*one)} == {item}, one
    for text in (VIGNETTE, f"{VIGNETTE} Dexamethasone Amoxicillin Salbutamol Intubation"):  # the best of its texts
        assert {(met.test, met.score) for met in index.find("", text, "")} == {
            ("13-gram", 1.0),
            ("8-gram", 1.0),
            ("ROUGE-L", 1.0),
        }
    assert not index.find("Name the signs of measles.", "", "Fever, cough, red eyes, and a rash.")


def test_items_in_other_words_are_met(folder):
    # Mutations: ROUGE-L of the whole row alone; without the output, or instruction and input together.
    index = read(folder)
    for row in (("Find the diseases.", NEARLY, "otitis media"), ("Write a sentence.", "", NEARLY)):
        assert index.find(*row) == [Met("ncbi_disease", "ncbi_disease/dev/devel:1", "ROUGE-L", 0.9167)]
    other = VIGNETTE.replace("noisy", "loud").replace("last night", "yesterday").replace("best", "right")
    begun, ended = other[: len(other) // 2], other[len(other) // 2 :]
    for row in ((other, "", ""), ("", other, ""), (begun, ended, "")):
        assert "ROUGE-L" in {met.test for met in index.find(*row)}


def test_one_text_of_several_tasks_is_told_of_each(folder):
    # Mutation: equal texts added once, for the first task alone.
    index = read(folder)
    met = index.find("", "Warfarin can cause bleeding of the gut in older people.", "")
    assert {(one.task, one.item) for one in met} == {
        (task, f"{task}/{split}/{name}:1")
        for task in ("bc5cdr_disease", "bc5cdr_chem", "bc5cdr")
        for split, name in (("dev", "devel"), ("test", "test"))
    }
    assert list(dict.fromkeys(one.task for one in met)) == ["bc5cdr_disease", "bc5cdr_chem", "bc5cdr"]  # of the table


@pytest.mark.parametrize(
    "text",
    [
        "Which of the following is not a sign of asthma?",  # nine of ten words
        "Which of the following is not a sign of",
        "Doctor: Hello.",
        "Barking cough",
        "Rickets is rare",
        corpora.SENTENCES[2].replace(":O", "").replace(":B", ""),  # of a training split
    ],
)
def test_what_is_formulaic_or_for_training_is_not_met(folder, text):
    # Mutations: short questions compared by ROUGE-L or by 8-grams; texts of a few words compared; training splits read.
    assert not read(folder).find(text, text, text)


def test_the_thresholds_are_read(folder):
    # Mutation: one setting for both n-grams.
    begun = " ".join(VIGNETTE.split()[:15])  # 15 of 41 words
    row = (f"{begun} complaint of another kind that came and went for weeks on end.", "", "")
    assert {met.test for met in read(folder).find(*row)} == {"13-gram"}
    assert not read(folder, share_13=0.5).find(*row)
    assert {met.test for met in read(folder, share_13=0.5, share_8=0.3).find(*row)} == {"8-gram"}
    assert not read(folder, rouge_l=0.95).find("", NEARLY, "")


def test_what_was_compared_and_what_is_missing(folder):
    # Mutations: a task with one split of two counted as there; training splits counted; `told` never called.
    told = []
    index = HeldOut.read(Decontamination(corpora=str(folder)), lambda *done: told.append(done))
    assert index.tasks == {
        "ncbi_disease": 2,
        "bc5cdr_disease": 2,
        "bc5cdr_chem": 2,
        "bc5cdr": 2,
        "medqa": 2,
        "mts_dialog": 1,
        "mednli": 1,
    }
    assert index.missing["mednli"] == ("mednli/mli_test_v1.jsonl",)
    assert index.missing["medmcqa"] == ("medmcqa/dev.json",)
    assert "ncbi_disease" not in index.missing
    assert "medquad" not in {*index.tasks, *index.missing}  # it has no evaluation split
    assert told == [(done, 11) for done in range(12)]


def test_no_word_of_a_restricted_item_is_told(folder):
    # Mutations: ids of the file in place of numbers; the damaged value shown.
    found = read(folder).find("", f"{PREMISE} She was transfused.", "")
    assert found
    assert {one.item for one in found} == {"mednli/dev/item 1"}
    corpora.put(folder, "mednli/mli_dev_v1.jsonl", json.dumps({"pairID": "a1b2", "gold_label": PREMISE}) + "\n")
    with pytest.raises(ValueError, match=r"mli_dev_v1\.jsonl, line 1: .*fetch it again") as error:
        read(folder)
    assert "haemoglobin" not in str(error.value)
    assert error.value.__cause__ is None


def test_errors_say_what_to_do(tmp_path, folder):
    with pytest.raises(
        FileNotFoundError, match=r"decontamination\.corpora .*: no such folder\..*--decontamination\.corpora="
    ):
        read(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no evaluation split of any task"):
        read(tmp_path / "empty")
    with pytest.raises(ValueError, match="corpora: null"):
        HeldOut.read(Decontamination(), lambda done, total: None)
    corpora.put(folder, "medqa/phrases_no_exclude_test.jsonl", "")
    with pytest.raises(ValueError, match="medqa"):
        read(folder)
