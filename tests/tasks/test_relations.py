"""Relations: readers, marks, and both formats. All sentences here are our own."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from upath import UPath

from bioinstruct_jax.tasks import chemprot, clinical_relations, drug_interactions, gad, reading
from bioinstruct_jax.tasks.relations import Pair, marked
from bioinstruct_jax.tasks.task import CorpusError

TASKS = {task.name: task for module in (chemprot, clinical_relations, drug_interactions, gad) for task in module.TASKS}


def write(folder, name: str, text: str | bytes) -> None:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())


def read(folder, name: str, split: str) -> list[Pair]:
    return list(TASKS[name].items(UPath(folder), split))


ABSTRACT = "Both drugs were tested, e.g. alprenolol. Aspirin acetylates COX-1. Ibuprofen was given orally."
TEXT = f"Aspirin and COX-1\t{ABSTRACT}"


def spans(*mentions: tuple[str, str, str, int]) -> str:
    """Lines of entities: term, type, text, and which of its occurrences."""
    rows = []
    for term, kind, name, occurrence in mentions:
        start = -1
        for _ in range(occurrence):
            start = TEXT.index(name, start + 1)
        rows.append(f"100\t{term}\t{kind}\t{start}\t{start + len(name)}\t{name}\n")
    return "".join(rows)


ENTITIES = spans(
    ("T1", "CHEMICAL", "Aspirin", 1),
    ("T2", "GENE-Y", "COX-1", 1),
    ("T3", "CHEMICAL", "Aspirin", 2),
    ("T4", "GENE-Y", "COX-1", 2),
    ("T5", "CHEMICAL", "Ibuprofen", 1),
)
RELATIONS = "100\tCPR:4\tY \tINHIBITOR\tArg1:T3\tArg2:T4\n100\tCPR:2\tN\tREGULATOR\tArg1:T1\tArg2:T2\n"


def write_chemprot(folder, abstracts: str = f"100\t{TEXT}\n", entities: str = ENTITIES, relations: str = RELATIONS):
    for kind, text in (("abstracts", abstracts), ("entities", entities), ("relations", relations)):
        write(folder, f"ChemProt_Corpus/chemprot_training/chemprot_training_{kind}.tsv", text)


def test_chemprot_has_the_publishers_groups():
    assert chemprot.GROUPS == {
        "CPR:0": ("UNDEFINED",),
        "CPR:1": ("PART_OF",),
        "CPR:2": ("REGULATOR", "DIRECT-REGULATOR", "INDIRECT-REGULATOR"),
        "CPR:3": ("UPREGULATOR", "ACTIVATOR", "INDIRECT-UPREGULATOR"),
        "CPR:4": ("DOWNREGULATOR", "INHIBITOR", "INDIRECT-DOWNREGULATOR"),
        "CPR:5": ("AGONIST", "AGONIST-ACTIVATOR", "AGONIST-INHIBITOR"),
        "CPR:6": ("ANTAGONIST",),
        "CPR:7": ("MODULATOR", "MODULATOR-ACTIVATOR", "MODULATOR-INHIBITOR"),
        "CPR:8": ("COFACTOR",),
        "CPR:9": ("SUBSTRATE", "PRODUCT-OF", "SUBSTRATE_PRODUCT-OF"),
        "CPR:10": ("NOT",),
    }
    types = {name for group in chemprot.GROUPS.values() for name in group}
    assert set(chemprot.COPY_LABELS) <= types
    assert TASKS["chemprot"].labels == ("CPR:3", "CPR:4", "CPR:5", "CPR:6", "CPR:9", "none")


def test_chemprot_pairs_within_sentences_with_negatives(tmp_path):
    # Mutations: CPR:2, which is not evaluated, kept as a class; pairs across sentences as negatives.
    write_chemprot(tmp_path)
    assert read(tmp_path, "chemprot", "train") == [
        Pair("100:T1:T2", "<< Aspirin >> and [[ COX-1 ]]", "Aspirin", "COX-1", "none", "100"),
        Pair("100:T3:T4", "<< Aspirin >> acetylates [[ COX-1 ]].", "Aspirin", "COX-1", "CPR:4", "100"),
    ]


def test_chemprot_keeps_a_relation_that_crosses_sentences(tmp_path):
    write_chemprot(tmp_path, relations="100\tCPR:4\tY\tINHIBITOR\tArg1:T5\tArg2:T4\n")
    [crossing] = [pair for pair in read(tmp_path, "chemprot", "train") if pair.label != "none"]
    assert crossing.text == "Aspirin acetylates [[ COX-1 ]]. << Ibuprofen >> was given orally."


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"abstracts": "100\tAspirin and COX-1\n"}, r"abstracts.tsv, line 1: 2 columns, not 3"),
        ({"abstracts": "101\tAspirin\tText.\n"}, r"entities.tsv: 1 documents have no abstract, the first is 100"),
        (
            {"entities": ENTITIES.replace("\tAspirin\n", "\tASS\n", 1)},
            r"entities.tsv, line 1: 100 T1: the",
        ),
        ({"entities": ENTITIES.replace("GENE-Y", "PROTEIN", 1)}, r"line 2: 'type' is 'PROTEIN', not one of CHEMICAL"),
        ({"entities": "100\tT1\tCHEMICAL\t7\t0\tAspirin\n"}, r"line 1: offsets '7' and '0' are no span"),
        ({"relations": RELATIONS.replace("CPR:4", "CPR:11")}, r"relations.tsv, line 1: 'group' is 'CPR:11'"),
        ({"relations": RELATIONS.replace("Y ", "?")}, r"line 1: 'evaluated' is '\?', not one of Y, N"),
        ({"relations": RELATIONS.replace("Arg1:T3", "T3")}, r"line 1: arguments 'T3' and 'Arg2:T4'"),
        ({"relations": RELATIONS.replace("T3", "T9")}, r"line 1: 100 has no chemical T9"),
    ],
)
def test_chemprot_refuses_what_is_not_its_own(tmp_path, broken, message):
    write_chemprot(tmp_path, **broken)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "chemprot", "train")


def test_the_copy_of_chemprot_has_its_entities_marked(tmp_path):
    text = "<< Losartan >> blocks the [[ AT1 receptor ]]."
    write(tmp_path, "chemprot/train.txt", json.dumps({"text": text, "label": "ANTAGONIST", "metadata": []}) + "\n")
    assert read(tmp_path, "chemprot_positives", "train") == [
        Pair("train:1", text, "Losartan", "AT1 receptor", "ANTAGONIST")
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"text": "<< A >> and [[ B ]]", "label": "BLOCKER"}', "train.txt, line 1: 'label' is 'BLOCKER', not one of"),
        ('{"text": "<< A >> and B", "label": "AGONIST"}', r"line 1: 1 entities stand between << >> and 0 between"),
        ('{"text": "<< A >>"', "line 1: broken JSON"),
        ('{"text": 3, "label": "AGONIST"}', "line 1: 'text' is 3, not text"),
        ('["<< A >>"]', "line 1"),
    ],
)
def test_the_copy_of_chemprot_refuses_what_is_not_its_own(tmp_path, line, message):
    write(tmp_path, "chemprot/train.txt", line + "\n")
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "chemprot_positives", "train")


GAD = """index	sentence	label
0	Variants of @GENE$ raise the risk of @DISEASE$.	1
1	No link of @GENE$ to @DISEASE$.	0
"""


def test_gad_counts_1_as_associated(tmp_path):
    # Mutation: the labels turned over.
    write(tmp_path, "gad/test.tsv", GAD)
    assert [pair.label for pair in read(tmp_path, "gad", "test")] == ["associated", "not associated"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (GAD.replace("\tlabel", "\tclass"), "test.tsv, line 1: the header is 'index', 'sentence', 'class', not"),
        (GAD.replace("\t1\n", "\t2\n"), "line 2: 'label' is '2', not one of 1, 0"),
        (GAD.replace("@DISEASE$.\t0", "asthma.\t0"), r"line 3: @DISEASE\$ stands 0 times"),
        (GAD.replace("\t1\n", "\n"), "line 2: 2 columns, not 3"),
        (GAD.encode("utf-16"), "line 1: not UTF-8: byte 0xff at 1"),
    ],
)
def test_gad_refuses_what_is_not_its_own(tmp_path, text, message):
    write(tmp_path, "gad/test.tsv", text)
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "gad", "test")


DDI = """<?xml version="1.0" encoding="UTF-8"?>
<document id="DDI-X.d1">
 <sentence id="DDI-X.d1.s0" text="Warfarin &amp; aspirin raise the risk of bleeding, unlike paracetamol.">
  <entity id="e0" charOffset="0-7" type="drug" text="Warfarin"/>
  <entity id="e1" charOffset="11-17" type="drug" text="aspirin"/>
  <entity id="e2" charOffset="54-64" type="drug" text="paracetamol"/>
  <pair id="p0" e1="e0" e2="e1" ddi="true" type="effect"/>
  <pair id="p1" e1="e0" e2="e2" ddi="false"/>
  <pair id="p2" e1="e1" e2="e2" ddi="true"/>
 </sentence>
</document>
"""
OUTSIDE = '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
DRUGS = "DDICorpus/Train/DrugBank/Warfarin_ddi.xml"


def write_ddi(folder, text: str) -> None:
    write(folder, DRUGS, text)
    write(folder, "DDICorpus/Train/MedLine/1.xml", '<document id="m"/>')


def test_ddi_has_every_pair_of_the_publishers(tmp_path):
    # Mutation: a pair without interaction left out.
    write_ddi(tmp_path, DDI)
    first, second, third = read(tmp_path, "ddi_2013", "train")
    text = "<< Warfarin >> & [[ aspirin ]] raise the risk of bleeding, unlike paracetamol."
    assert first == Pair("p0", text, "Warfarin", "aspirin", "effect", "DDI-X.d1")
    assert (second.label, third.label) == ("none", "int")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('text="aspirin"', 'text="heparin"', "xml, line 5: the sentence does not have the text of the entity"),
        ('"11-17"', '"11"', "line 5: 'charOffset' is '11', not first-last"),
        ('"effect"', '"harm"', "line 7: 'type' is 'harm', not one of mechanism, effect, advise, int"),
        ('e2="e2" ddi="false"', 'e2="e9" ddi="false"', "line 8: no entity 'e9' in its sentence"),
        ('ddi="false"', 'ddi="no"', "line 8: 'ddi' is 'no', not one of true, false"),
        ("</document>", "", "broken XML"),
        (
            '<document id="DDI-X.d1">',
            '<!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/hostname">]><document id="d">',
            "entities",
        ),
        ("document", "corpus", "line 2: the root element is 'corpus', not 'document'"),
    ],
)
def test_ddi_refuses_what_is_not_its_own(tmp_path, old, new, message):
    write_ddi(tmp_path, DDI.replace(old, new))
    with pytest.raises(CorpusError, match=message):
        read(tmp_path, "ddi_2013", "train")


def test_ddi_marks_a_name_in_two_parts_from_its_first_to_its_last(tmp_path):
    # Mutation: the last character of charOffset left out.
    write_ddi(tmp_path, DDI.replace('charOffset="0-7" type="drug" text="Warfarin"', 'charOffset="0-7;19-23" text="x"'))
    assert read(tmp_path, "ddi_2013", "train")[1].text.startswith("<< Warfarin & aspirin raise >> the")


def test_a_name_next_to_its_offsets_is_found(tmp_path):
    # Mutation: the first place of the name rather than the nearest.
    write_ddi(tmp_path, DDI)
    straight = read(tmp_path, "ddi_2013", "train")
    write_ddi(tmp_path, DDI.replace('"11-17"', '"12-18"'))
    assert read(tmp_path, "ddi_2013", "train") == straight
    assert reading.placed("ab cab", 4, 6, "ab") == (4, 6)
    assert reading.placed("ab cab", 3, 5, "ab") == (4, 6)
    assert reading.placed("ab cab", 3, 5, "abc") is None


def test_ddi_says_that_a_folder_is_empty(tmp_path):
    write_ddi(tmp_path, DDI)
    (tmp_path / DRUGS).rename(tmp_path / "elsewhere.xml")
    with pytest.raises(CorpusError, match="DrugBank: there are no XML files"):
        read(tmp_path, "ddi_2013", "train")


NOTE = (
    "Patient was given  metoprolol for atrial fibrillation .\nECG showed atrial fibrillation with pulmonary edema .\n"
)
CONCEPTS = """c="metoprolol" 1:3 1:3||t="treatment"
c="Atrial Fibrillation" 1:5 1:6||t="problem"
c="ecg" 2:0 2:0||t="test"
c="atrial fibrillation" 2:2 2:3||t="problem"
c="pulmonary edema" 2:5 2:6||t="problem"
"""
STATED = """c="metoprolol" 1:3 1:3||r="TrAP"||c="atrial fibrillation" 1:5 1:6
c="ecg" 2:0 2:0||r="TeRP"||c="atrial fibrillation" 2:2 2:3
"""
SITE = "i2b2-2010/reference_standard_for_test_data"


def write_i2b2(folder, note: str = NOTE, concepts: str = CONCEPTS, relations: str = STATED) -> None:
    write(folder, "i2b2-2010/test_data/0001.txt", note)
    write(folder, f"{SITE}/concepts/0001.con", concepts)
    write(folder, f"{SITE}/rel/0001.rel", relations)


def test_i2b2_has_every_pair_of_a_line(tmp_path):
    # Mutations: tokens counted from 1; problems paired in both directions.
    write_i2b2(tmp_path)
    pairs = read(tmp_path, "i2b2_2010_relations", "test")
    assert [(pair.first, pair.second, pair.label) for pair in pairs] == [
        ("metoprolol", "atrial fibrillation", "TrAP"),
        ("ECG", "atrial fibrillation", "TeRP"),
        ("ECG", "pulmonary edema", "none"),
        ("atrial fibrillation", "pulmonary edema", "none"),
    ]
    assert pairs[0].text == "Patient was given  << metoprolol >> for [[ atrial fibrillation ]] ."


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"concepts": CONCEPTS.replace("1:3 1:3", "1:4 1:4")}, "0001.con, line 1: the note has another text at 1:4"),
        ({"concepts": CONCEPTS.replace("2:5 2:6", "2:5 2:9")}, "line 5: the note has no tokens 2:5 to 2:9"),
        ({"concepts": CONCEPTS.replace("2:5 2:6", "2:5 4:6")}, "line 5: the note has no tokens 2:5 to 4:6"),
        ({"concepts": CONCEPTS.replace('t="test"', 't="exam"')}, "line 3: not c="),
        (
            {"relations": STATED.replace("TeRP", "TrAP")},
            "0001.rel, line 2: TrAP from a test to a problem is no",
        ),
        ({"relations": STATED.replace("2:2 2:3", "2:2 2:2")}, "line 2: no concept stands at 2:2 to 2:2"),
        ({"relations": "TrAP\n"}, "line 1: not c="),
    ],
)
def test_i2b2_refuses_what_is_not_its_own_without_a_word_of_the_note(tmp_path, broken, message):
    # Mutation: the text of a concept in a message.
    write_i2b2(tmp_path, **broken)
    with pytest.raises(CorpusError, match=message) as caught:
        read(tmp_path, "i2b2_2010_relations", "test")
    assert not [word for word in ("metoprolol", "fibrillation", "ecg", "edema") if word in str(caught.value).lower()]


def test_i2b2_leaves_out_a_concept_over_two_lines(tmp_path):
    over = 'c="atrial fibrillation ecg" 1:5 2:0||t="problem"\n'
    states = 'c="ecg" 2:0 2:0||r="TeRP"||c="atrial fibrillation ecg" 1:5 2:0\n'
    write_i2b2(tmp_path, concepts=CONCEPTS + over, relations=STATED + states)
    assert len(read(tmp_path, "i2b2_2010_relations", "test")) == 4


@given(st.text("ab ", min_size=8, max_size=8), st.data())
def test_marks_stand_around_both_entities(text, data):
    # Mutation: marks set from the left, so that the second is shifted by the first.
    ends = st.tuples(st.integers(0, 7), st.integers(1, 8)).filter(lambda span: span[0] < span[1])
    first, second = data.draw(ends), data.draw(ends)
    with_marks = marked(text, first, second)
    assert with_marks.replace("<< ", "").replace(" >>", "").replace("[[ ", "").replace(" ]]", "") == text
    plain = with_marks.replace("[[ ", "").replace(" ]]", "")
    assert plain == f"{text[: first[0]]}<< {text[slice(*first)]} >>{text[first[1] :]}"


@given(st.sampled_from(sorted(TASKS)), st.text(min_size=1, max_size=40), st.text(min_size=1, max_size=40), st.data())
def test_both_formats_give_the_class_back(name, first, second, data):
    task = TASKS[name]
    item = Pair("1", f"{first} and {second}", first, second, data.draw(st.sampled_from(task.labels)))
    for format in task.family.formats:
        answer = task.family.parse(task.family.render(item, task, format)[1], item, task, format)
        assert (answer.gold, answer.problems) == (item.label, {})


@pytest.mark.parametrize(
    ("text", "gold", "problems"),
    [
        ('```json\n{"first": "a", "second": "b", "class": "Effect"}\n```', "effect", {}),
        ('Here it is: {"first": "a", "second": "b", "class": "advise"}', "advise", {}),
        ('{"first": "b", "second": "a", "class": "effect"}', "effect", {"other entities": 1}),
        ('{"first": "a", "second": "b"}', None, {"empty": 1}),
        ('{"first": "a", "second": "b", "class": "harm"}', None, {"no label": 1}),
        ("effect", "effect", {"unparsable JSON": 1}),
        ("I cannot help with that.", None, {"unparsable JSON": 1, "refusal": 1}),
    ],
)
def test_json_is_read_as_far_as_it_goes(text, gold, problems):
    task = TASKS["ddi_2013"]
    answer = task.family.parse(text, Pair("1", "a b", "a", "b", "effect"), task, "json")
    assert (answer.gold, answer.problems) == (gold, problems)
