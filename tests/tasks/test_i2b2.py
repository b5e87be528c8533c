import pytest
from upath import UPath

from bioinstruct_jax.tasks import i2b2
from bioinstruct_jax.tasks.entity_corpora import TASKS
from bioinstruct_jax.tasks.spans import ACROSS, OTHER_WORDS
from bioinstruct_jax.tasks.task import CorpusError, Split

TASK = {task.name: task for task in TASKS}
SECRET = "Zyxwvutia"  # a word that no error may show
NOTE = f"""HISTORY OF PRESENT ILLNESS :
The patient has  severe {SECRET} and was given IV furosemide .
A chest x-ray showed
pulmonary oedema .
"""
CON = f"""c="severe {SECRET.lower()}" 2:3 2:4||t="problem"
c="iv furosemide" 2:8 2:9||t="treatment"
c="a chest x-ray" 3:0 3:2||t="test"
c="showed pulmonary oedema" 3:3 4:1||t="problem"
"""
EXTENT = f"""EVENT="severe {SECRET}" 2:3 2:4||type="PROBLEM"||modality="FACTUAL"||polarity="POS"||sec_time_rel="OVERLAP"
EVENT="IV furosemide" 2:8 2:9||type="TREATMENT"||modality="FACTUAL"||polarity="POS"
TIMEX3="today" 1:0 1:0||type="DATE"||val="2026-01-01"||mod="NA"
EVENT="A chest x-ray" 3:0 3:2||type="TEST"||modality="FACTUAL"||polarity="POS"
EVENT="pulmonary oedema" 4:0 4:1||type="PROBLEM"||modality="POSSIBLE"||polarity="POS"
"""
EVENTS = [("severe " + SECRET, "PROBLEM"), ("IV furosemide", "TREATMENT"), ("A chest x-ray", "TEST")]
EVENTS += [("pulmonary oedema", "PROBLEM")]


def _xml(shift=0, words=EVENTS):
    text = "\n" + NOTE
    tags = [
        f'<EVENT id="E{number}" start="{text.index(said) + shift}" end="{text.index(said) + len(said) + shift}" '
        f'text="{said}" modality="FACTUAL" polarity="POS" type="{kind}" />\n'
        for number, (said, kind) in enumerate(words)
    ]
    return (
        '<?xml version="1.0" encoding="UTF-8" ?>\n<ClinicalNarrativeTemporalAnnotation>\n<TEXT><![CDATA['
        + text
        + "]]></TEXT>\n<TAGS>\n"
        + "".join(tags)
        + '<TIMEX3 id="T0" start="1" end="3" text="B & W < 3" type="DATE" val="" mod="NA" />\n'
        + "</TAGS>\n</ClinicalNarrativeTemporalAnnotation>\n"
    )


def _named(items):
    return [(item.words(mention), mention.type) for item in items for mention in item.mentions]


def _concepts(put, con=CON, note=NOTE):
    root = "i2b2-2010/concept_assertion_relation_training_data"
    put(f"{root}/beth/txt/record-1.txt", note)
    folder = put(f"{root}/beth/concept/record-1.con", con).parents[4]
    return list(TASK["i2b2_2010_concepts"].items(folder, "train"))


def test_concepts(put):
    # Mutations: count lines from 0; take the last token for the first behind; drop lower() in the comparison.
    items = _concepts(put)
    assert [item.id for item in items] == ["record-1:1", "record-1:2", "record-1:3", "record-1:4"]
    assert [item.text for item in items] == NOTE.splitlines()
    assert _named(items) == [
        (f"severe {SECRET}", "problem"),
        ("IV furosemide", "treatment"),
        ("A chest x-ray", "test"),
    ]
    assert [item.exceptions for item in items] == [(), (), (ACROSS,), ()]


def test_the_test_part_has_its_notes_elsewhere(put):
    put("i2b2-2010/test_data/0001.txt", NOTE)
    file = put("i2b2-2010/reference_standard_for_test_data/concepts/0001.con", CON)
    assert len(_named(TASK["i2b2_2010_concepts"].items(file.parents[3], "test"))) == 3


def test_words_that_differ_are_told_and_the_place_stands(put):
    items = _concepts(put, con='c="acute gout" 2:8 2:9||t="treatment"\n')
    assert _named(items) == [("IV furosemide", "treatment")]
    assert items[1].exceptions == (OTHER_WORDS,)


@pytest.mark.parametrize("form", ["extent", "xml", "xml counted from 1", "xml with CRLF"])
def test_events(put, form):
    # Mutations: always shift 0; keep TIMEX3 in _extents; parse the tags as XML (the time's & and < end it).
    if form == "extent":
        put("folder/7.xml.txt", NOTE)
        folder = put("folder/7.xml.extent", EXTENT).parent
        put("folder/7.xml", "not read where the others are there")
    else:
        content = _xml(shift=form.endswith("1"))
        folder = put("folder/7.xml", content.replace("\n", "\r\n") if "CRLF" in form else content).parent
    types = {kind.lower(): kind for kind in TASK["i2b2_2012_events"].labels}
    items = list(i2b2.events(folder.parent, Split("train", ("folder",)), types))
    assert _named(items) == EVENTS
    assert not any(item.exceptions for item in items)
    assert items[0].text == NOTE.splitlines()[0]


@pytest.mark.parametrize(
    ("con", "line", "reason"),
    [
        (CON.replace('2:3 2:4||t="problem"', '2:3 2:4|t="problem"'), 1, "not of the form"),
        (CON.replace('"problem"', f'"{SECRET}"', 1), 1, "unknown type; known: problem, test, treatment"),
        (CON.replace("2:8 2:9", "2:8 2:99"), 2, "2:99 is no token of the note"),
        (CON.replace("2:8 2:9", "0:8 2:9"), 2, "0:8 is no token of the note"),
        (CON.replace("2:8 2:9", "0:0 0:1"), 2, "0:0 is no token of the note"),
        (CON.replace("2:8 2:9", "2:8 9:0"), 2, "9:0 is no token of the note"),
        (CON.replace("2:8 2:9", "2:9 2:8"), 2, "ends before it begins"),
        (CON.encode() + b"\xe9", 5, "not UTF-8"),
    ],
)
def test_a_wrong_concept_file_says_where_and_quotes_nothing(put, con, line, reason):
    # Mutation: put the line or the type into any of the messages.
    with pytest.raises(CorpusError) as told:
        _concepts(put, con=con)
    assert f"record-1.con, line {line}: " in str(told.value)
    assert reason in str(told.value)
    assert SECRET.lower() not in str(told.value).lower()


@pytest.mark.parametrize(
    ("name", "content", "line", "reason"),
    [
        ("7.xml.extent", EXTENT.replace("2:8 2:9", "2:8"), 2, "not of the form"),
        ("7.xml.extent", EXTENT.replace('"TREATMENT"', '"DRUG"'), 2, "unknown type"),
        ("7.xml.extent", EXTENT.replace("4:0 4:1", "4:0 4:5"), 5, "4:5 is no token"),
        ("7.xml", _xml().replace("<TEXT>", "<BODY>"), 1, "no <TEXT>"),
        ("7.xml", _xml().replace('type="TEST"', 'type="SCAN"'), 12, "unknown type"),
        ("7.xml", _xml().replace('end="', 'ende="', 1), 10, "without start, end and type"),
        ("7.xml", _xml().replace('end="', 'end="9', 1), 10, "lie outside the note"),
    ],
)
def test_a_wrong_event_file_says_where_and_quotes_nothing(put, name, content, line, reason):
    put("i2b2-2012/2012-07-15.original-annotation.release/7.xml.txt", NOTE)
    file = put(f"i2b2-2012/2012-07-15.original-annotation.release/{name}", content)
    with pytest.raises(CorpusError) as told:
        list(TASK["i2b2_2012_events"].items(file.parents[2], "train"))
    assert f"{name}, line {line}: " in str(told.value)
    assert reason in str(told.value)
    assert SECRET.lower() not in str(told.value).lower()


def test_files_that_are_missing(put, tmp_path):
    file = put("i2b2-2010/concept_assertion_relation_training_data/partners/concept/1.con", CON)
    with pytest.raises(CorpusError, match=r"1\.txt is missing"):
        list(TASK["i2b2_2010_concepts"].items(file.parents[4], "train"))
    file = put("i2b2-2012/2012-07-15.original-annotation.release/8.xml.extent", EXTENT)
    with pytest.raises(CorpusError, match=r"its note 8\.xml\.txt is missing"):
        list(TASK["i2b2_2012_events"].items(file.parents[2], "train"))
    put("empty/read.me", "")
    split = Split("train", ("empty",))
    for read in (i2b2.concepts, i2b2.events):
        with pytest.raises(CorpusError, match=r"no \.(con|xml)"):
            list(read(UPath(tmp_path), split, {}))


def test_without_a_copy_the_terms_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"restricted.*portal\.dbmi\.hms\.harvard\.edu.*data use agreement"):
        list(TASK["i2b2_2012_events"].items(UPath(tmp_path), "train"))
