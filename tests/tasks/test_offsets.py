"""Standoff, PubTator and BioC: the same two passages in each."""

from collections import Counter

import pytest

from bioinstruct_jax.tasks import bioc, pubtator, standoff
from bioinstruct_jax.tasks.spans import ACROSS, DISCONTINUOUS, WIDENED
from bioinstruct_jax.tasks.task import CorpusError

TYPES = {"Disease": "Disease", "Chemical": "Chemical", "DiseaseClass": "Disease"}
TITLE = "Carbamazepine-induced hyponatraemia"
ABSTRACT = "A woman (72 years) took carbamazepine 400 mg/day; her sodium fell to 118 mmol/L. Hyponatraemia resolved."
FIRST = ("Chemical", "Carbamazepine"), ("Disease", "hyponatraemia")
SECOND = ("Chemical", "carbamazepine"), ("DiseaseClass", "Hyponatraemia")
PLACES = [
    *((kind, TITLE.index(words), words) for kind, words in FIRST),
    *((kind, len(TITLE) + 1 + ABSTRACT.index(words), words) for kind, words in SECOND),
]

ANN = "".join(
    f"T{number}\t{kind} {start} {start + len(words)}\t{words}\n"
    for number, (kind, start, words) in enumerate(PLACES, 1)
)
ANN += "R1\tCauses Arg1:T1 Arg2:T2\nE1\tTaking:T3\nA1\tNegated T2\n*\tEquiv T1 T3\n#1\tAnnotatorNotes T1\ta note\n"

PUBTATOR = f"101|t|{TITLE}\n101|a|{ABSTRACT}\n" + "".join(
    f"101\t{start}\t{start + len(words)}\t{words}\t{kind}\tD000000\n" for kind, start, words in PLACES
)
PUBTATOR += "101\tCID\tD000001\tD000002\n\n"


def _annotation(kind, start, words, key="type"):
    return (
        f'<annotation id="{start}"><infon key="MESH">D0</infon><infon key="{key}">{kind}</infon>'
        f'<location offset="{start}" length="{len(words)}"/><text>{words}</text></annotation>'
    )


def _passage(offset, text, annotations):
    inside = "\n".join(_annotation(*one) for one in annotations)
    return f'<passage><infon key="type">x</infon><offset>{offset}</offset><text>{text}</text>\n{inside}</passage>\n'


BIOC = (
    '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE collection SYSTEM "BioC.dtd">\n<collection><source>ours</source>'
    "<date>2026</date><key>x.key</key>\n<document><id>101</id>\n"
    + _passage(0, TITLE, PLACES[:2])
    + _passage(len(TITLE) + 1, ABSTRACT, PLACES[2:])
    + '<relation id="R1"><infon key="type">causes</infon><node refid="0" role="x"/></relation>'
    + "</document></collection>\n"
)


def _read(form, put, content):
    """The items of the one file with an error in it, if there is one."""
    if form == "standoff":
        put("corpus/101.txt", f"{TITLE}\n{ABSTRACT}\n")
        return list(standoff.read(put("corpus/101.ann", content).parent, TYPES))
    reader = pubtator if form == "pubtator" else bioc
    return list(reader.read(put(f"corpus/{form}", content), TYPES))


FORMS = [("standoff", ANN), ("pubtator", PUBTATOR), ("bioc", BIOC)]


@pytest.mark.parametrize(("form", "content"), FORMS)
def test_the_same_mentions_in_each_form(put, form, content):
    # Mutations: len(title) for the abstract's offset; bisect_left for _right in passages.items; keep relations.
    title, abstract = _read(form, put, content)
    assert (title.text, abstract.text) == (TITLE, ABSTRACT)
    assert [(mention.type, title.words(mention)) for mention in title.mentions] == list(FIRST)
    assert [(mention.type, abstract.words(mention)) for mention in abstract.mentions] == [
        (TYPES[kind], words) for kind, words in SECOND
    ]
    assert title.tokens == ("Carbamazepine", "-", "induced", "hyponatraemia")
    assert title.spaces == ("", "", " ", "")
    assert title.exceptions == abstract.exceptions == ()
    assert title.id != abstract.id


@pytest.mark.parametrize(("form", "content"), FORMS)
def test_crlf(put, form, content):
    if form == "standoff":  # the .txt counts its own characters: only the .ann has them here
        assert len(_read(form, put, content.replace("\n", "\r\n"))) == 2
    else:
        assert [item.text for item in _read(form, put, content.replace("\n", "\r\n"))] == [TITLE, ABSTRACT]


def _change(old, new):
    def change(content):
        assert content.count(old) >= 1
        return content.replace(old, new, 1)

    return change


WRONG = [
    ("standoff", _change("T1\tChemical 0 13", "T1\tChemical 0-13"), 1, "is not 'T1<TAB>Type start end<TAB>words'"),
    ("standoff", _change("T2\tDisease", "T2\tGene"), 2, "unknown type 'Gene'; known: Disease"),
    ("standoff", _change("22 35", "22 2200"), 2, "characters 22 to 2200 lie outside the text"),
    ("standoff", _change("22 35", "35 22"), 2, "lie outside the text"),
    ("standoff", _change("22 35", "21 34"), 2, "not 'hyponatraemia'"),
    ("standoff", _change("R1\t", "?1\t"), 5, "no line of the standoff format"),
    ("standoff", lambda content: content.encode() + b"\xff", 10, "not UTF-8"),
    ("pubtator", _change("101|a|", "101|b|"), 2, "is not 'PMID|a|text'"),
    ("pubtator", _change("101|a|", "102|a|"), 2, "of one document"),
    ("pubtator", _change("101|t|", "101\tt\t"), 1, "is not 'PMID|t|text'"),
    ("pubtator", _change("101\t0\t", "102\t0\t"), 3, "does not begin with the document's 101"),
    ("pubtator", _change("\t0\t13", "\tzero\t13"), 3, "parted by tabs"),
    ("pubtator", _change("\tChemical\tD000000", ""), 3, "parted by tabs"),
    ("pubtator", _change("\tDisease\t", "\tGene\t"), 4, "unknown type 'Gene'"),
    ("pubtator", _change("\t22\t35", "\t22\t900"), 4, "lie outside the text"),
    ("pubtator", _change("hyponatraemia\tDisease", "hyperkalaemia\tDisease"), 4, "not 'hyperkalaemia'"),
    ("pubtator", lambda content: f"7|t|{TITLE}\n\n" + content, 1, "a title without"),
    ("pubtator", lambda content: "\n", 0, "no document"),
    ("bioc", _change("</passage>", ""), 11, "no well-formed XML: mismatched tag"),
    ("bioc", _change("<collection>", "<PubmedArticleSet>"), 3, "not with <collection>"),
    ("bioc", _change("<id>101</id>", ""), 11, "a document without <id>"),
    ("bioc", _change("<offset>0</offset>", ""), 11, "a passage without <offset>"),
    ("bioc", _change("<offset>0<", "<offset>zero<"), 5, "'zero' where an offset or length"),
    ("bioc", _change('length="13"', 'length="-1"'), 6, "'-1' where an offset or length"),
    ("bioc", _change('<location offset="0" length="13"/>', ""), 6, "an annotation without <location>"),
    ("bioc", _change(">Disease<", ">Gene<"), 7, "unknown type 'Gene'"),
    ("bioc", _change('key="type">Disease', 'key="kind">Disease'), 7, "unknown type ''"),
    ("bioc", _change('offset="22"', 'offset="2200"'), 7, "lie outside the text"),
    ("bioc", _change("<text>hyponatraemia", "<text>hyperkalaemia"), 7, "not 'hyperkalaemia'"),
    (
        "bioc",
        _change('offset="22" length="13"/><text>hyponatraemia', 'offset="21" length="1"/><text>'),
        7,
        "hold no word",
    ),
    ("bioc", _change('encoding="UTF-8"', 'encoding="klingon"'), 1, "klingon"),
    ("bioc", lambda content: "Gout\tO\n", 1, "no well-formed XML"),
    ("bioc", lambda content: "<collection></collection>", 0, "no document"),
    ("bioc", _change("<id>101", "<id>&disease;"), 4, "&disease;"),
    ("bioc", _change('"BioC.dtd">', '"BioC.dtd" [<!ENTITY lol "lol">]>'), 2, "declares the entity 'lol'"),
    (
        "bioc",
        _change('"BioC.dtd">', '"BioC.dtd" [<!ENTITY file SYSTEM "file:///etc/hostname">]>'),
        2,
        "declares the entity 'file'",
    ),
]


@pytest.mark.parametrize(("form", "change", "line", "reason"), WRONG)
def test_a_wrong_file_says_where(put, form, change, line, reason):
    # Mutations: drop any check of the readers or of passages.items; drop EntityDeclHandler or SkippedEntityHandler.
    with pytest.raises(CorpusError) as told:
        _read(form, put, change(dict(FORMS)[form]))
    assert reason in str(told.value)
    if line:
        assert f", line {line}: " in str(told.value)


def test_a_document_is_both_files(put):
    put("corpus/101.txt", TITLE)
    with pytest.raises(CorpusError, match=r"101\.ann"):
        list(standoff.read(put("corpus/101.txt", TITLE).parent, TYPES))
    with pytest.raises(CorpusError, match=r"102\.txt"):
        list(standoff.read(put("other/102.ann", "").parent, TYPES))
    with pytest.raises(CorpusError, match=r"no \.txt and \.ann"):
        list(standoff.read(put("none/read.me", "").parent, TYPES))
    with pytest.raises(CorpusError, match="a folder"):
        list(standoff.read(put("file", ""), TYPES))


def test_what_spans_of_tokens_cannot_say_is_counted(put):
    # Mutations: keep the first piece of a discontinuous mention; cut a mention at the line's end; drop WIDENED.
    text = "Left and right\nrenal cysts, hypomagnesaemia"
    put("corpus/1.txt", text)
    ann = (
        "T1\tDisease 0 4;15 26\tLeft renal cysts\n"
        "T2\tDisease 9 26\tright renal cysts\n"
        "T3\tDisease 32 43\tmagnesaemia\n"
        "T4\tDisease 15 26\trenal cysts\n"
    )
    items = list(standoff.read(put("corpus/1.ann", ann).parent, TYPES))
    assert Counter(told for item in items for told in item.exceptions) == {DISCONTINUOUS: 1, ACROSS: 1, WIDENED: 1}
    assert [item.words(mention) for item in items for mention in item.mentions] == ["renal cysts", "hypomagnesaemia"]


def test_a_pmid_that_comes_again_has_ids_of_its_own(put):
    items = _read("pubtator", put, PUBTATOR + "\n" + PUBTATOR)
    assert [item.id for item in items] == ["101:t", "101:a", "101#2:t", "101#2:a"]


def test_an_empty_abstract_is_no_item(put):
    assert [item.text for item in _read("pubtator", put, f"101|t|{TITLE}\n101|a|\n")] == [TITLE]


def test_bioc_in_sentences(put):
    # Mutation: read `passages` where there are sentences: the text is lost.
    split = ABSTRACT.index("Hypo")
    base = len(TITLE) + 1
    sentence = "<sentence><offset>{}</offset><text>{}</text>{}</sentence>"
    inside = sentence.format(base, ABSTRACT[:split], _annotation(*PLACES[2])) + sentence.format(
        base + split, ABSTRACT[split:], _annotation(*PLACES[3])
    )
    content = (
        f"<collection><document><id>1</id><passage><offset>{base}</offset>{inside}</passage></document></collection>"
    )
    first, second = _read("bioc", put, content)
    assert [first.words(one) for one in first.mentions] == ["carbamazepine"]
    assert [second.words(one) for one in second.mentions] == ["Hyponatraemia"]


def test_escaped_signs_are_characters(put):
    text = "Sodium &lt; 120 &amp; seizures &#x2265; 2"
    start = len("Sodium < 120 & ")
    content = (
        f"<collection><document><id>1</id>{_passage(0, text, [('Disease', start, 'seizures')])}</document></collection>"
    )
    (item,) = _read("bioc", put, content)
    assert item.text == "Sodium < 120 & seizures ≥ 2"
    assert [item.words(one) for one in item.mentions] == ["seizures"]
